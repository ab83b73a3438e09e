#!/usr/bin/env python3
"""overlaybd-resize: larger, smaller, too small; the file system is clean and its files the same.

    resize_test.py BIN_DIR
"""
import io
import os
import random
import struct
import tarfile
import unittest

from tool_case import tool_case

GIB = 1 << 30


class resize(tool_case):
    def make_image(self, kind, content, gib=2):
        self.ok("overlaybd-create", *kind, "--mkfs", "d", "i", gib)
        with tarfile.open("layer.tar", "w") as tar:
            member = tarfile.TarInfo("noise")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        self.write_config("c.json", upper={"data": "d", "index": "i"})
        self.ok("overlaybd-apply", "layer.tar", "c.json")

    def check(self, gib, content):
        self.assertEqual(self.run_tool("overlaybd-fsck", "d", "i")[0], 0)
        raw = self.disk_of(upper={"data": "d", "index": "i"})
        self.assertEqual(os.path.getsize(raw), gib * GIB)
        self.assert_clean(raw)
        with open(raw, "rb") as disk:
            disk.seek(1024 + 4)
            blocks = struct.unpack("<I", disk.read(4))[0]
        self.assertEqual(blocks * 4096, gib * GIB)
        self.assertEqual(self.file_in(raw, "/noise"), content)

    def test_larger_and_smaller(self):
        content = random.Random(1).randbytes(5 << 20)
        for kind in ([], ["-s"]):
            self.make_image(kind, content)
            for gib in ((3, 1, 2) if kind else (1,)):
                out, _ = self.ok("overlaybd-resize", "--config", "c.json", "--size", gib)
                self.assertIn(f"Success: filesystem resized to {gib} GB (", out)
                self.check(gib, content)
            for name in ("d", "i"):
                os.remove(name)

    def test_over_a_lower(self):
        content = random.Random(2).randbytes(1 << 20)
        self.make_image([], content)
        self.ok("overlaybd-commit", "-z", "d", "i", "lower")
        os.remove("d")
        os.remove("i")
        self.ok("overlaybd-create", "d", "i", 0)
        self.write_config("c.json", lowers=[{"file": "lower"}], upper={"data": "d", "index": "i"})
        for gib in (1, 4):
            self.ok("overlaybd-resize", "--config", "c.json", "--size", gib)
            raw = self.disk_of(lowers=[{"file": "lower"}], upper={"data": "d", "index": "i"})
            self.assertEqual(os.path.getsize(raw), gib * GIB)
            self.assert_clean(raw)
            self.assertEqual(self.file_in(raw, "/noise"), content)

    def test_too_small(self):
        content = random.Random(3).randbytes(1 << 20)
        self.make_image(["-s"], content)
        with open("big.tar", "wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
            member = tarfile.TarInfo("big")
            member.size = GIB + (16 << 20)
            tar.addfile(member, io.BytesIO(bytes(member.size)))
        self.ok("overlaybd-apply", "big.tar", "c.json")
        self.fails("overlaybd-resize", "--config", "c.json", "--size", 1, saying="do not fit", code=1)
        self.check(2, content)


if __name__ == "__main__":
    unittest.main(verbosity=0)
