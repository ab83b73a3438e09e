#!/usr/bin/env python3
"""The command lines of accelerated-container-image (its convertor and snapshotter), exactly as it writes them, one after
the other as it runs them; and all flags of overlaybd's tools.

    convertor_test.py BIN_DIR
"""
import os
import unittest

from tool_case import content_of, tar_of, tool_case

UUID = "01234567-89ab-cdef-0123-456789abcdef"
PARENT = "76543210-ba98-fedc-3210-fedcba987654"


class convertor(tool_case):
    def layer_directory(self, number, files, lowers, **create):
        """What the convertor's builder does for a layer: create, apply, commit. Returns the layer's path."""
        directory = f"{number:04}_sha256:x"
        os.mkdir(directory)
        data, index = (os.path.join(directory, name) for name in ("writable_data", "writable_index"))
        self.ok("overlaybd-create", data, index, "64", *(["-s"] if create["sparse"] else []),
                *(["--mkfs"] if number == 0 else []))
        with open(os.path.join(directory, "layer.tar"), "wb") as file:
            file.write(tar_of(files, seconds=1700000000))
        config = os.path.join(directory, "config.json")
        # The Go program writes absolute paths.
        self.write_config(config, repoBlobUrl="", resultFile="",
                          lowers=[{"file": os.path.abspath(path)} for path in lowers],
                          upper={"index": os.path.abspath(index), "data": os.path.abspath(data)})
        self.ok("overlaybd-apply", os.path.join(directory, "layer.tar"), config)
        layer = os.path.join(directory, "overlaybd.commit")
        self.ok("overlaybd-commit", data, index, layer, "-z", "-t", "--uuid", UUID,
                *(["--parent-uuid", PARENT] if number else []))
        return layer

    def test_convertor_builds_layers(self):
        for sparse in (True, False):
            first = self.layer_directory(0, {"etc/a": b"one", "gone": b"x"}, [], sparse=sparse)
            second = self.layer_directory(1, {"etc/a": b"two", ".wh.gone": b""}, [first], sparse=sparse)
            parts = self.parts_of(second)
            self.assertEqual(list(parts), ["file", "tar", "zfile", "lsmt"])
            self.assertEqual((parts["lsmt"]["uuid"].lower(), parts["lsmt"]["parent_uuid"].lower()), (UUID, PARENT))
            raw = self.disk_of(lowers=[{"file": first}, {"file": second}])
            self.assert_clean(raw)
            self.assertEqual(self.file_in(raw, "/etc/a"), b"two")
            self.assertEqual(self.names_in(raw, "/"), {"etc"})
            for directory in ("0000_sha256:x", "0001_sha256:x"):
                for name in os.listdir(directory):
                    os.remove(os.path.join(directory, name))
                os.rmdir(directory)

    def test_snapshotter_seals_and_commits(self):
        os.mkdir("block")
        os.mkdir("fs")
        self.ok("overlaybd-create", "block/writable_data", "block/writable_index", "1", "--mkfs")
        self.ok("overlaybd-commit", "--seal", "block/writable_data", "block/writable_index")
        os.rename("block/writable_data", "fs/overlaybd.sealed")
        os.remove("block/writable_index")
        lowers = [{"dir": os.path.abspath("fs")}]
        self.assert_clean(self.disk_of(lowers=lowers))
        self.ok("overlaybd-merge", "--compress=false", "to-merge.json", "before.lsmt")
        self.ok("overlaybd-commit", "--commit_sealed", "fs/overlaybd.sealed", "fs/overlaybd.commit.temp", "-z", "-t")
        os.rename("fs/overlaybd.commit.temp", "fs/overlaybd.commit")
        os.remove("fs/overlaybd.sealed")
        self.ok("overlaybd-merge", "--compress=false", "to-merge.json", "after.lsmt")
        self.assertEqual(content_of("before.lsmt"), content_of("after.lsmt"))

    def test_snapshotter_creates_an_inheriting_layer(self):
        self.ok("overlaybd-create", "writable_data", "writable_index", "0")
        self.ok("overlaybd-create", "sparse_data", "sparse_index", "0", "-s")

    def test_every_flag(self):
        """overlaybd's own help texts list these; each is accepted, by itself and with its kind of value."""
        tools = {
            "overlaybd-create": ["-u", "-s", "--turboOCI", "--fastoci", "--raw", "--mkfs", "--verbose"],
            "overlaybd-commit": ["-m", "--uuid", "-p", "--parent-uuid", "-z", "-t", "-f", "--algorithm", "--bs",
                                 "--turboOCI", "--fastoci", "--seal", "--commit_sealed", "--compress_threads",
                                 "--verbose", "--upload", "--upload_bs", "--cred_file_path", "--tls_key_path",
                                 "--tls_cert_path"],
            "overlaybd-apply": ["--raw", "--mkfs", "--from_qcow2", "--extract-rootfs", "--no-extract-rootfs", "--verbose",
                                "--service_config_path", "--gz_index_path", "--checksum"],
            "turboOCI-apply": ["--mkfs", "--fstype", "--verbose", "--service_config_path", "--gz_index_path", "--import",
                               "--export"],
            "overlaybd-merge": ["--verbose", "--service_config_path", "--compress", "-t", "--upload", "--upload_bs",
                                "--cred_file_path", "--tls_key_path", "--tls_cert_path"],
            "overlaybd-zfile": ["-t", "-x", "--verify", "-f", "--algorithm", "--bs", "--verbose"],
            "overlaybd-resize": ["--config", "--size", "--service_config_path", "--verbose"],
        }
        for tool, flags in tools.items():
            out, _ = self.ok(tool, "--help")
            words = set(out.replace(",", " ").replace("{", " ").split())
            for flag in flags:
                with self.subTest(tool=tool, flag=flag):
                    self.assertTrue(any(word.split(":")[0] == flag for word in words), out)
            self.assertGreaterEqual(self.run_tool(tool, "--no-such-flag")[0], 100)

    def test_flags_that_say_nothing_new(self):
        self.ok("overlaybd-create", "--verbose", "-u", UUID, "d", "i", "1")
        self.ok("overlaybd-commit", "--verbose", "-m", "hello", "-p", PARENT, "--bs", "8", "--algorithm", "zstd",
                "--compress_threads", "2", "-z", "-t", "-f", "d", "i", "layer")
        parts = self.parts_of("layer")
        self.assertEqual((parts["zfile"]["algorithm"], parts["zfile"]["block_size"]), ("zstd", 8192))
        self.assertEqual(parts["lsmt"]["message"], "hello")
        self.write_config("c.json", lowers=[{"file": "layer"}])
        for compress in ("--compress", "--compress=true", "--compress=false"):
            self.ok("overlaybd-merge", "--verbose", compress, "-f", "c.json", "merged")
            self.assertEqual("zfile" in self.parts_of("merged"), compress != "--compress=false")

    def test_failures_end_with_255(self):
        self.fails("overlaybd-commit", "c.json", "x", "y", saying="", code=105)
        self.write_config("c.json", lowers=[])
        self.fails("overlaybd-merge", "c.json", "out", saying="neither lowers nor a writable upper")
        self.fails("overlaybd-apply", "c.json", "c.json", saying="upper")
        self.fails("overlaybd-zfile", "missing", "out", saying="missing")
        self.fails("overlaybd-resize", "--config", "c.json", "--size", "0", saying="--size", code=1)
        self.fails("overlaybd-resize", "--config", "c.json", "--size", "1", saying="upper", code=1)


if __name__ == "__main__":
    unittest.main(verbosity=0)
