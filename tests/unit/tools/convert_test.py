#!/usr/bin/env python3
"""overlaybdctl convert into a real registry: every image of an index, by password, found again, mounted, taken up again
after a kill. Debian's docker-registry; skipped where it is not installed.

    convert_test.py BIN_DIR
"""
import base64
import gzip
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

from tool_case import BIN, content_of, sha256, tar_of, tool_case

# alice:secret, as `htpasswd -Bbn` writes it, with the least work that bcrypt allows
HTPASSWD = "alice:$2y$05$To6RRt7Pp76rKHQ9o2WWYu7sRh114xonlEzMdQVmrJRxUCUHSjXsq\n"
PREFIX = "containerd.io/snapshot/overlaybd/"


class layout:
    """An OCI layout that is written by hand."""

    def __init__(self, path):
        self.path = path
        os.makedirs(os.path.join(path, "blobs", "sha256"))
        with open(os.path.join(path, "oci-layout"), "w", encoding="utf-8") as file:
            file.write('{"imageLayoutVersion": "1.0.0"}')

    def put(self, data, media_type, **more):
        with open(os.path.join(self.path, "blobs", "sha256", sha256(data)[7:]), "wb") as file:
            file.write(data)
        return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}

    def image(self, layers, architecture):
        blobs = [self.put(gzip.compress(tar, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip") for tar in layers]
        config = {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers",
                                                                         "diff_ids": [sha256(tar) for tar in layers]}}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": self.put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
                    "layers": blobs}
        return self.put(json.dumps(manifest).encode(), manifest["mediaType"],
                        platform={"os": "linux", "architecture": architecture})

    def finish(self, manifests):
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests}
        root = self.put(json.dumps(index).encode(), index["mediaType"],
                        annotations={"org.opencontainers.image.ref.name": "src"})
        with open(os.path.join(self.path, "index.json"), "w", encoding="utf-8") as file:
            json.dump({"schemaVersion": 2, "manifests": [root]}, file)
        return "oci:" + self.path + ":src"


@unittest.skipUnless(shutil.which("docker-registry"), "docker-registry is not installed")
class convert(tool_case):
    def setUp(self):
        super().setUp()
        os.environ["XDG_CACHE_HOME"] = os.path.abspath("cache")
        os.environ["TMPDIR"] = os.path.abspath(".")
        with open("htpasswd", "w", encoding="utf-8") as file:
            file.write(HTPASSWD)
        self.log = []
        for _ in range(3):  # the port may be taken between choice and use
            if self.start_registry():
                break
        else:
            self.fail("the registry did not start")
        with open("cred.json", "w", encoding="utf-8") as file:
            json.dump({"auths": {self.host: {"username": "alice", "password": "secret"}}}, file)

    def start_registry(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        with open("registry.yml", "w", encoding="utf-8") as file:
            json.dump({"version": "0.1", "log": {"level": "info", "accesslog": {"disabled": False}},
                       "storage": {"filesystem": {"rootdirectory": os.path.abspath("registry")}},
                       "http": {"addr": self.host},
                       "auth": {"htpasswd": {"realm": "test", "path": os.path.abspath("htpasswd")}}}, file)
        registry = subprocess.Popen(["docker-registry", "serve", "registry.yml"], stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT, text=True)
        started = threading.Event()

        def listen():
            for line in registry.stdout:
                self.log.append(line)
                if "listening on" in line:
                    started.set()
            started.set()

        reader = threading.Thread(target=listen)
        reader.start()

        def end():
            registry.kill()
            registry.wait()
            reader.join()
            registry.stdout.close()

        self.addCleanup(end)
        started.wait()
        return any("listening on" in line for line in self.log)

    def get(self, path):
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers={
            "Authorization": "Basic " + base64.b64encode(b"alice:secret").decode(),
            "Accept": "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"})
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    def convert_to(self, source, target, *flags):
        words = ["overlaybdctl", "--json", "convert", "--vsize", "1", "--work-dir", ".", "--cred-file", "cred.json", *flags,
                 source, f"{self.host}/{target}"]
        out, err = self.ok(*words)
        return json.loads(out), err

    def two_platforms(self):
        """Two images with a common first layer."""
        made = layout("source")
        noise = random.Random(3)
        base = tar_of({"etc/os": b"base", "noise": noise.randbytes(2 << 20)})
        return made.finish([made.image([base, tar_of({"arch": b"amd64"})], "amd64"),
                            made.image([base, tar_of({"arch": b"arm64"}), tar_of({"last": b"x"})], "arm64")])

    def test_index_by_password_found_again_and_mounted(self):
        source = self.two_platforms()
        first, said = self.convert_to(source, "a/b:1")
        self.assertEqual(first["images"], 2)
        self.assertEqual((first["layers_built"], first["layers_reused"]), (4, 1))  # the common layer is built once
        for line in ("linux/amd64: layer 1/2", "linux/arm64: layer 3/3"):
            self.assertIn(line, said)
        index = json.loads(self.get("a/b/manifests/1"))
        self.assertEqual([each["platform"]["architecture"] for each in index["manifests"]], ["amd64", "arm64"])
        manifests = [json.loads(self.get("a/b/manifests/" + each["digest"])) for each in index["manifests"]]
        self.assertEqual(manifests[0]["layers"][0]["digest"], manifests[1]["layers"][0]["digest"])
        for manifest in manifests:
            config = json.loads(self.get("a/b/blobs/" + manifest["config"]["digest"]))
            self.assertEqual(config["rootfs"]["diff_ids"], [layer["digest"] for layer in manifest["layers"]])
            for layer in manifest["layers"]:
                self.assertEqual(layer["annotations"][PREFIX + "blob-digest"], layer["digest"])
                self.assertEqual(sha256(self.get("a/b/blobs/" + layer["digest"])), layer["digest"])

        again, _ = self.convert_to(source, "a/b:2")
        self.assertEqual((again["layers_built"], again["layers_reused"]), (0, 5))
        self.assertEqual(again["digest"], first["digest"])
        other, _ = self.convert_to(source, "c/d:1")
        self.assertEqual((other["layers_built"], other["digest"]), (0, first["digest"]))
        self.assertTrue(any("mount=sha256" in line and " 201 " in line for line in self.log))
        fresh, _ = self.convert_to(source, "e/f:1", "--no-reuse")
        self.assertEqual(fresh["digest"], first["digest"])

        one, _ = self.convert_to(source, "a/b:arm", "--platform", "linux/arm64", "--referrer")
        arm = json.loads(self.get("a/b/manifests/arm"))
        self.assertEqual(one["images"], 1)
        self.assertEqual(arm["layers"], manifests[1]["layers"])
        inner = json.loads(content_of("source/index.json"))["manifests"][0]["digest"][7:]
        sources = json.loads(content_of("source/blobs/sha256/" + inner))["manifests"]
        self.assertEqual(arm["subject"]["digest"], sources[1]["digest"])

    def test_refusals(self):
        source = self.two_platforms()
        to = f"{self.host}/a/b:1"
        common = ["overlaybdctl", "convert", "--work-dir", "."]
        for flags, code, saying in ((["--cred-file", "none"], 1, ""), (["--platform", "linux/mips"], 1, "linux/mips"),
                                    (["--fs", "erofs"], 1, "erofs"), (["--bs", "5"], 2, "5")):
            flags = flags if "--cred-file" in flags else [*flags, "--cred-file", "cred.json"]
            self.fails(*common, *flags, source, to, saying=saying, code=code)
        with self.assertRaises(urllib.error.HTTPError):
            self.get("a/b/manifests/1")

    def test_taken_up_again_after_a_kill(self):
        made = layout("source")
        noise = random.Random(4)
        layers = [tar_of({f"f{number}": noise.randbytes(3 << 20)}) for number in range(4)]
        source = made.finish([made.image(layers, "amd64")])
        words = [os.path.join(BIN, "overlaybdctl"), "convert", "--vsize", "1", "--work-dir", ".", "--cred-file", "cred.json",
                 source, f"{self.host}/a/b:1"]
        child = subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for line in child.stderr:
            if "layer 3/4" in line:  # built; the first is pushed by now, or soon
                child.send_signal(signal.SIGKILL)
                break
        child.stderr.close()
        child.wait()
        report, _ = self.convert_to(source, "a/b:1")
        self.assertEqual(report["layers_built"] + report["layers_reused"], 4)
        if child.returncode == -signal.SIGKILL:
            self.assertGreaterEqual(report["layers_built"], 1)
        fresh, _ = self.convert_to(source, "c/d:1", "--no-reuse")
        self.assertEqual(fresh["digest"], report["digest"])


if __name__ == "__main__":
    unittest.main(verbosity=0)
