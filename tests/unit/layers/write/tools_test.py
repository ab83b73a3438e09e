#!/usr/bin/env python3
"""The image tools as programs: arguments, output, exit status, files left behind.

    tools_test.py BIN_DIR
"""
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

BIN = sys.argv.pop(1)
MIB = 1 << 20


def run(tool, *args, stdin=b""):
    done = subprocess.run([os.path.join(BIN, "overlaybd-" + tool), *map(str, args)], input=stdin,
                          capture_output=True, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


class tools(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        os.chdir(self.scratch.name)

    def ok(self, tool, *args, stdin=b""):
        code, out, err = run(tool, *args, stdin=stdin)
        self.assertEqual(code, 0, f"{tool} {args}: {out}{err}")
        return out, err

    def fails(self, tool, *args, saying=""):
        code, out, err = run(tool, *args)
        self.assertEqual(code, 255, f"{tool} {args}: {out}{err}")
        self.assertIn(saying, err)
        return err

    def inspect(self, path, *flags):
        out, _ = self.ok("inspect", "--json", *flags, path)
        return {part["what"]: part for part in json.loads(out)["parts"]}

    def filled_layer(self):
        """An append-only layer whose journal and data are written by hand: three writes and a discard."""
        self.ok("create", "d", "i", 1)
        with open("d", "ab") as data, open("i", "ab") as journal:
            for start, sectors in ((0, 8), (100, 1), (4, 8)):
                place = data.tell() // 512
                data.write(bytes((start + 1) % 256 for _ in range(sectors * 512)))
                journal.write(struct.pack("<QQ", start | sectors << 50, place))
            journal.write(struct.pack("<QQ", 64 | 32 << 50, 8 | 1 << 55))

    def test_create(self):
        out, err = self.ok("create", "d", "i", 2, "-u", "01234567-89ab-cdef-0123-456789abcdef")
        self.assertEqual(out, "overlaybd-create has created files SUCCESSFULLY\n")
        self.assertEqual(err, "")
        self.assertEqual((os.path.getsize("d"), os.path.getsize("i")), (4096, 4096))
        header = self.inspect("d")["lsmt_data"]
        self.assertEqual(header["virtual_size"], 2 << 30)
        self.assertEqual(header["parent_uuid"], "01234567-89ab-cdef-0123-456789abcdef")
        self.fails("create", "d", "i2", 2, saying="already exists")
        self.assertFalse(os.path.exists("i2"))
        self.fails("create", "d3", "i3", 2, "-u", "x", saying="parent uuid")
        self.fails("create", "no/d", "no/i", 2, saying="not found")
        self.assertGreaterEqual(run("create", "d5")[0], 100)
        self.assertGreaterEqual(run("create", "d5", "i5", "-3")[0], 100)
        self.assertEqual(run("create", "--help")[0], 0)

    def test_create_sparse_raw_and_inheriting(self):
        self.ok("create", "-s", "d", "i", 3)
        self.assertEqual((os.path.getsize("d"), os.path.getsize("i")), (4096 + (3 << 30), 0))
        self.assertLess(os.stat("d").st_blocks, 100)
        self.ok("create", "--raw", "r", "unused", 1)
        self.assertEqual(os.path.getsize("r"), 1 << 30)
        self.assertFalse(os.path.exists("unused"))
        self.ok("create", "d0", "i0", 0)
        self.fails("create", "d1", "i1", 0, "--mkfs", saying="vsize 0")

    def test_mkfs(self):
        self.ok("create", "--raw", "--mkfs", "r", "unused", 1)
        checked = subprocess.run(["/sbin/e2fsck", "-fn", "r"], capture_output=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        for kind in ([], ["-s"]):
            self.ok("create", *kind, "--mkfs", "d", "i", 1)
            self.assertEqual(run("fsck", "d", "i")[0], 0)
            self.ok("commit", "d", "i", "layer")
            self.assertEqual(self.inspect("layer")["lsmt"]["virtual_size"], 1 << 30)
            for name in ("d", "i", "layer"):
                os.remove(name)

    def test_commit(self):
        self.filled_layer()
        out, err = self.ok("commit", "d", "i", "layer", "-m", "hello", "-p", "01234567-89AB-CDEF-0123-456789ABCDEF")
        self.assertEqual(out, "overlaybd-commit has committed files SUCCESSFULLY\n")
        self.assertEqual(err, "\n")
        found = self.inspect("layer", "--verify")["lsmt"]
        self.assertEqual(found["kind"], "committed")
        self.assertEqual(found["message"], "hello")
        self.assertEqual(found["parent_uuid"], "01234567-89AB-CDEF-0123-456789ABCDEF")
        self.assertEqual((found["data_bytes"], found["zeroed_bytes"]), (13 * 512, 32 * 512))
        self.assertEqual(found["index_entries"], 256)
        before = content_of("layer")
        self.assertEqual(before[4096:4096 + 2048], b"\x01" * 2048)
        self.assertEqual(before[4096 + 2048:4096 + 6144], b"\x05" * 4096)
        self.fails("commit", "d", "i", "layer", saying="already exists")
        self.assertEqual(content_of("layer"), before)
        self.ok("commit", "-f", "d", "i", "layer")
        self.assertEqual(sorted(os.listdir()), ["d", "i", "layer"])
        self.fails("commit", "d", "i", "other", "--uuid", "x", saying="uuid")
        self.fails("commit", "d", "i", "other", "-z", "--bs", 5, saying="--bs 5")
        self.fails("commit", "d", "i", "other", "-z", "--algorithm", "gzip", saying="gzip")
        self.fails("commit", "d", "i", "other", "--upload", "http://localhost/", saying="no upload URL")
        self.fails("commit", "d", "i", saying="commit file")
        self.assertEqual(sorted(os.listdir()), ["d", "i", "layer"])

    def test_commit_wrapped(self):
        self.filled_layer()
        for flags, parts in ((["-z"], ["file", "zfile", "lsmt"]), (["-t"], ["file", "tar", "lsmt"]),
                             (["-z", "-t", "--algorithm", "zstd", "--bs", "64", "--compress_threads", "4"],
                              ["file", "tar", "zfile", "lsmt"])):
            self.ok("commit", "-f", *flags, "d", "i", "layer")
            self.assertEqual(list(self.inspect("layer", "--verify")), parts)

    def test_seal(self):
        self.filled_layer()
        self.ok("commit", "d", "i", "direct")
        self.ok("commit", "--seal", "d", "i")
        self.assertEqual(self.inspect("d")["lsmt"]["kind"], "sealed in place")
        self.ok("commit", "--commit_sealed", "d", "compact")
        self.assertEqual(content_of("direct"), content_of("compact"))
        self.assertEqual(sorted(os.listdir()), ["compact", "d", "direct", "i"])

    def test_zfile(self):
        content = os.urandom(3 * MIB // 2) + b"text " * 100000
        with open("plain", "wb") as file:
            file.write(content)
        out, _ = self.ok("zfile", "plain", "z1")
        self.assertEqual(out, "compress file plain as z1\ncompress file done.\n")
        self.ok("zfile", "z2", stdin=content)
        self.assertEqual(content_of("z1"), content_of("z2"))
        self.ok("zfile", "-t", "--bs", 16, "plain", "z3")
        for path in ("z1", "z3"):
            self.assertEqual(self.ok("zfile", "--verify", path)[0], f"{path} is a valid zfile blob.\n")
            self.ok("zfile", "-f", "-x", path, "back")
            self.assertEqual(content_of("back"), content)
        damaged = bytearray(content_of("z1"))
        damaged[100000] ^= 1
        with open("z1", "wb") as file:
            file.write(damaged)
        code, out, err = run("zfile", "--verify", "z1")
        self.assertEqual(code, 255)
        self.assertIn("not a valid zfile blob", out)
        self.fails("zfile", "-x", "z1", "bad")
        self.assertFalse(os.path.exists("bad"))
        self.fails("zfile", "-x", "plain", "bad", saying="is no ZFile")

    def test_merge(self):
        self.filled_layer()
        self.ok("commit", "d", "i", "lower")
        os.remove("d")
        os.remove("i")
        self.filled_layer()
        with open("config.v1.json", "w") as file:
            json.dump({"lowers": [{"file": "lower"}], "upper": {"data": "d", "index": "i"}, "resultFile": "r"}, file)
        before = hashlib.sha256(content_of("i")).digest()
        self.ok("merge", "config.v1.json", "merged", "--compress=false")
        found = self.inspect("merged", "--verify")["lsmt"]
        self.assertEqual(found["data_bytes"], 13 * 512)
        self.assertEqual(hashlib.sha256(content_of("i")).digest(), before)
        self.ok("merge", "config.v1.json", "merged.zf", "-t")
        self.assertEqual(list(self.inspect("merged.zf")), ["file", "tar", "zfile", "lsmt"])
        self.assertFalse(os.path.exists("r"))
        self.fails("merge", "config.v1.json", "merged", saying="already exists")

    def test_fsck(self):
        self.filled_layer()
        self.assertEqual(run("fsck", "d", "i")[0], 0)
        with open("i", "ab") as journal:
            journal.write(struct.pack("<QQ", 7 | 8 << 50, 100000))
            journal.write(b"xyz")
        before = content_of("i")
        code, out, _ = run("fsck", "d", "i")
        self.assertEqual(code, 4)
        self.assertIn("never completed", out)
        self.assertEqual(content_of("i"), before)
        self.assertEqual(run("fsck", "--repair", "d", "i")[0], 1)
        self.assertEqual(content_of("i"), before[:-19])
        self.assertEqual(run("fsck", "d", "i")[0], 0)
        self.assertEqual(sorted(os.listdir()), ["d", "i"])
        with open("d", "r+b") as data:
            data.write(b"junk")
        self.fails("fsck", "d", "i", saying="d: ")

    def test_inspect(self):
        self.filled_layer()
        out, _ = self.ok("inspect", "--entries", "i")
        self.assertIn("zeroed", out)
        self.assertEqual(self.inspect("i")["lsmt_index"]["mappings"], 4)
        with open("noise", "wb") as file:
            file.write(os.urandom(5000))
        self.fails("inspect", "noise", saying="neither tar, ZFile, LSMT nor trace")
        with open("empty", "wb"):
            pass
        self.fails("inspect", "empty")


if __name__ == "__main__":
    unittest.main(verbosity=0)
