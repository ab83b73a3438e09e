#!/usr/bin/env python3
"""push_image.py REGISTRY REPOSITORY TAG LAYER...: puts overlaybd layer files as an image into a registry over plain HTTP.

Prints the manifest's digest. --user NAME:PASSWORD for a registry with Basic authentication; --platform-index wraps the
manifest into an index with an attestation entry, as image builders do. Loopback registries only: nothing is encrypted."""

import argparse
import base64
import hashlib
import http.client
import json
import os

LAYER = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


class Registry:
    def __init__(self, host, repository, user):
        self.host, self.repository = host, repository
        self.headers = {}
        if user:
            self.headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()

    def request(self, method, path, body=None, headers=None, wanted=(200, 201, 202)):
        connection = http.client.HTTPConnection(self.host, timeout=60)
        connection.request(method, path, body=body, headers={**self.headers, **(headers or {})})
        response = connection.getresponse()
        response.read()
        if response.status not in wanted:
            raise SystemExit(f"push_image: {method} {path}: {response.status} {response.reason}")
        return response

    def blob(self, file, size, digest):
        if self.request("HEAD", f"/v2/{self.repository}/blobs/{digest}", wanted=(200, 404)).status == 200:
            return
        place = self.request("POST", f"/v2/{self.repository}/blobs/uploads/").getheader("Location")
        path = place.split(self.host, 1)[-1]
        path += ("&" if "?" in path else "?") + "digest=" + digest.replace(":", "%3A")
        self.request("PUT", path, file, {"Content-Type": "application/octet-stream", "Content-Length": str(size)})

    def manifest(self, name, media_type, value):
        body = json.dumps(value, indent=1).encode()
        self.request("PUT", f"/v2/{self.repository}/manifests/{name or digest_of(body)}", body, {"Content-Type": media_type})
        return {"mediaType": media_type, "digest": digest_of(body), "size": len(body)}


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def file_digest(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return "sha256:" + digest.hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--user")
    parser.add_argument("--platform-index", action="store_true")
    parser.add_argument("registry")
    parser.add_argument("repository")
    parser.add_argument("tag")
    parser.add_argument("layers", nargs="+")
    options = parser.parse_args()

    registry = Registry(options.registry, options.repository, options.user)
    layers = []
    for path in options.layers:
        digest, size = file_digest(path), os.path.getsize(path)
        with open(path, "rb") as file:
            registry.blob(file, size, digest)
        layers.append({"mediaType": LAYER, "digest": digest, "size": size, "annotations": {
            "containerd.io/snapshot/overlaybd/blob-digest": digest,
            "containerd.io/snapshot/overlaybd/blob-size": str(size)}})
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]}}).encode()
    registry.blob(config, len(config), digest_of(config))
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": layers,
                "config": {"mediaType": CONFIG, "digest": digest_of(config), "size": len(config)}}
    if not options.platform_index:
        print(registry.manifest(options.tag, MANIFEST, manifest)["digest"])
        return
    image = {**registry.manifest(None, MANIFEST, manifest), "platform": {"architecture": "amd64", "os": "linux"}}
    attestation = {**registry.manifest(None, MANIFEST, {**manifest, "annotations": {"kind": "attestation"}}),
                   "platform": {"architecture": "unknown", "os": "unknown"},
                   "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image["digest"]}}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [attestation, image]}
    print(registry.manifest(options.tag, INDEX, index)["digest"])


if __name__ == "__main__":
    main()
