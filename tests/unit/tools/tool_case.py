"""What the tests of the image tools share: running a program in a scratch folder, and reading what it made without it."""
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import tempfile
import unittest

BIN = sys.argv.pop(1) if len(sys.argv) > 1 else "."
SECTOR = 512


def content_of(path):
    with open(path, "rb") as file:
        return file.read()


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files, seconds=0):
    """A tar of regular files, each last changed at that time."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.mtime = seconds
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def lsmt_to_raw(layer, raw):
    """A committed, uncompressed LSMT layer as a sparse disk image."""
    size = os.path.getsize(layer)
    with open(layer, "rb") as file, open(raw, "wb") as disk:
        file.seek(size - 4096)
        trailer = file.read(4096)
        assert trailer[:4] == b"LSMT", layer
        place, count, virtual_size = struct.unpack_from("<QQQ", trailer, 32)
        disk.truncate(virtual_size)
        file.seek(place)
        index = file.read(16 * count)
        for word0, word1 in struct.iter_unpack("<QQ", index):
            start, length = word0 & ((1 << 50) - 1), word0 >> 50
            if start == (1 << 50) - 1 or word1 >> 55 & 1:
                continue
            file.seek((word1 & ((1 << 55) - 1)) * SECTOR)
            disk.seek(start * SECTOR)
            disk.write(file.read(min(length * SECTOR, max(virtual_size - start * SECTOR, 0))))


class tool_case(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        os.chdir(self.scratch.name)

    def run_tool(self, *words):
        done = subprocess.run([os.path.join(BIN, words[0]), *map(str, words[1:])], capture_output=True, check=False,
                              stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def ok(self, *words):
        code, out, err = self.run_tool(*words)
        self.assertEqual(code, 0, f"{words}: {out}{err}")
        return out, err

    def fails(self, *words, saying, code=255):
        got, out, err = self.run_tool(*words)
        self.assertEqual(got, code, f"{words}: {out}{err}")
        self.assertIn(saying, err)

    def write_config(self, name, **members):
        with open(name, "w", encoding="utf-8") as file:
            json.dump(members, file)

    def parts_of(self, path):
        out, _ = self.ok("overlaybd-inspect", "--json", "--verify", path)
        return {part["what"]: part for part in json.loads(out)["parts"]}

    def disk_of(self, raw="disk.raw", **config):
        """The image's disk as a raw file, through overlaybd-merge."""
        self.write_config("to-merge.json", **config)
        self.ok("overlaybd-merge", "--compress=false", "to-merge.json", "to-merge.lsmt")
        lsmt_to_raw("to-merge.lsmt", raw)
        os.remove("to-merge.lsmt")
        return raw

    def assert_clean(self, raw):
        checked = subprocess.run(["/sbin/e2fsck", "-fn", raw], capture_output=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout.decode())

    def file_in(self, raw, path):
        return subprocess.run(["/sbin/debugfs", "-R", "cat " + path, raw], capture_output=True, check=True).stdout

    def names_in(self, raw, path):
        out = subprocess.run(["/sbin/debugfs", "-R", "ls -p " + path, raw], capture_output=True, check=True).stdout
        return {line.split("/")[5] for line in out.decode().splitlines() if line.count("/") >= 6} - {".", "..", "lost+found"}
