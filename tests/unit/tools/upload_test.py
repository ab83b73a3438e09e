#!/usr/bin/env python3
"""Image tools and a registry: --upload with every kind of trouble on the way, and layers that lie there.

    upload_test.py BIN_DIR
"""
import json
import os
import random
import unittest

from tiny_registry import tiny_registry
from tool_case import content_of, sha256, tool_case

MIB = 1 << 20


class upload(tool_case):
    def registry(self, access="none"):
        made = tiny_registry(access)
        self.addCleanup(made.stop)
        return made

    def layer(self, mib=3):
        """An upper of incompressible data, so that a committed layer takes several requests."""
        self.ok("overlaybd-create", "-s", "data", "index", 1)
        with open("data", "r+b") as file:
            file.seek(4096 + MIB)
            file.write(random.Random(7).randbytes(mib * MIB))

    def commit(self, registry, *more):
        return self.ok("overlaybd-commit", "-z", "-f", "data", "index", "layer", "--upload", registry.url("a/b"), *more)

    def test_plain_and_chunked(self):
        self.layer()
        for flags, patches in ((["--upload_bs", 1024], 3), ([], 0)):
            registry = self.registry()
            out, err = self.commit(registry, *flags)
            self.assertEqual(out, "overlaybd-commit has committed files SUCCESSFULLY\n")
            self.assertEqual(err, sha256(content_of("layer")) + "\n")
            self.assertEqual(registry.blobs, {err.strip(): content_of("layer")})
            self.assertEqual(registry.methods().count("PATCH"), patches)

    def test_a_blob_that_is_there_is_not_sent(self):
        self.layer(1)
        registry = self.registry()
        self.commit(registry)
        registry.log.clear()
        self.commit(registry)
        self.assertEqual(registry.methods(), ["HEAD"])

    def test_credentials(self):
        self.layer(1)
        for access in ("basic", "bearer"):
            registry = self.registry(access)
            with open("cred.json", "w", encoding="utf-8") as file:
                json.dump({"auths": {registry.host: {"username": "alice", "password": "secret"}}}, file)
            self.commit(registry, "--cred_file_path", "cred.json")
            self.assertEqual(len(registry.blobs), 1)
            self.fails("overlaybd-commit", "-z", "-f", "data", "index", "layer", "--upload",
                       self.registry(access).url("a/b"), saying="--upload")

    def test_every_broken_connection_is_taken_up_again(self):
        self.layer()
        fates = ["drop", "drop half", "drop answer", 500, 503]
        for seed in range(len(fates) * 2):
            chance = random.Random(seed)
            registry = self.registry()
            faults = []

            def fault(method, path, body):
                if method in ("PATCH", "PUT", "GET", "HEAD") and len(faults) < 3 and chance.random() < 0.4:
                    faults.append((method, fates[(seed + len(faults)) % len(fates)]))
                    return faults[-1][1]
                return None

            registry.fault = fault
            _, err = self.commit(registry, "--upload_bs", 1024)
            with self.subTest(seed=seed, faults=faults):
                self.assertEqual(registry.blobs.get(err.strip()), content_of("layer"))

    def test_a_lost_session_is_begun_anew(self):
        self.layer()
        registry = self.registry()
        lost = []

        def fault(method, path, body):
            if method == "PATCH" and not lost:
                lost.append(path)
                registry.uploads.clear()
                return "drop"
            return None

        registry.fault = fault
        _, err = self.commit(registry, "--upload_bs", 1024)
        self.assertEqual(registry.blobs, {err.strip(): content_of("layer")})
        self.assertEqual(registry.methods().count("POST"), 2)

    def test_refusals(self):
        self.layer(1)
        for url in ("ftp://x/v2/a/blobs/uploads", "http://127.0.0.1:1/a", "http://127.0.0.1:1/v2//blobs/uploads",
                    "http://127.0.0.1:1/v2/UPPER/blobs/uploads", "not a url"):
            self.fails("overlaybd-commit", "data", "index", "none", "--upload", url, saying="--upload")
            self.assertFalse(os.path.exists("none"))
        registry = self.registry()
        registry.fault = lambda method, path, body: 403 if method == "POST" else None
        self.fails("overlaybd-commit", "data", "index", "layer", "--upload", registry.url("a"), saying="403")

    def test_merge_of_remote_layers(self):
        self.layer(1)
        self.ok("overlaybd-commit", "-z", "-t", "data", "index", "lower")
        for access in ("none", "basic", "bearer"):
            registry = self.registry(access)
            with open("cred.json", "w", encoding="utf-8") as file:
                json.dump({"auths": {registry.host: {"username": "alice", "password": "secret"}}}, file)
            self.write_config("service.json", credentialConfig={"mode": "file", "path": "cred.json"})
            lower = {"digest": registry.add(content_of("lower")), "size": os.path.getsize("lower")}
            self.write_config("config.json", repoBlobUrl=f"http://{registry.host}/v2/a/b/blobs", lowers=[lower])
            _, err = self.ok("overlaybd-merge", "-f", "--service_config_path", "service.json", "config.json", "merged",
                             "--upload", registry.url("c/d"), "--cred_file_path", "cred.json")
            self.assertEqual(registry.blobs[err.strip()], content_of("merged"))
            self.write_config("local.json", lowers=[{"file": "lower"}])
            self.ok("overlaybd-merge", "-f", "local.json", "same")
            self.assertEqual(content_of("same"), content_of("merged"))
        self.write_config("service.json", credentialConfig={"mode": "telepathy"})
        self.fails("overlaybd-merge", "-f", "--service_config_path", "service.json", "config.json", "merged",
                   saying="telepathy")


if __name__ == "__main__":
    unittest.main(verbosity=0)
