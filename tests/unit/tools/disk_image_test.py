#!/usr/bin/env python3
"""overlaybd-apply --from_qcow2: the file system of a virtual machine's disk, or all of it.

    disk_image_test.py BIN_DIR
"""
import os
import shutil
import struct
import subprocess
import unittest

from tool_case import content_of, tool_case

MIB = 1 << 20
SECTORS = MIB // 512


def run(*words):
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


@unittest.skipUnless(shutil.which("qemu-img"), "qemu-img is not installed")
class disk_image(tool_case):
    def file_system(self, path, mib, text):
        os.makedirs("tree", exist_ok=True)
        with open("tree/file", "wb") as file:
            file.write(text)
        with open(path, "wb") as file:
            file.truncate(mib * MIB)
        run("/sbin/mke2fs", "-q", "-t", "ext4", "-d", "tree", path)
        return content_of(path)

    def disk(self, path, table, parts):
        """A disk of 64 MiB with parts: (first MiB, content)."""
        with open(path, "wb") as file:
            file.truncate(64 * MIB)
            for begin, content in parts:
                file.seek(begin * MIB)
                file.write(content)
            for at, data in table([(begin * SECTORS, len(content) // 512) for begin, content in parts]):
                file.seek(at)
                file.write(data)

    @staticmethod
    def mbr(parts):
        entries = b"".join(struct.pack("<B3sB3sII", 0, b"", 0x83, b"", first, sectors) for first, sectors in parts)
        return [(446, entries), (510, b"\x55\xaa")]

    @staticmethod
    def gpt(parts):
        entries = b"".join(struct.pack("<16s16sQQ80s", b"\1" * 16, b"\2" * 16, first, first + sectors - 1, b"")
                           for first, sectors in parts)
        header = b"EFI PART" + struct.pack("<IIIIQQQQ16sQIII", 1 << 16, 92, 0, 0, 1, 0, 34, 99, b"", 2, 128, 128, 0)
        return [(450, b"\xee"), (454, struct.pack("<II", 1, 99)), (510, b"\x55\xaa"), (512, header), (1024, entries)]

    def apply(self, source, *flags):
        for name in ("d", "i"):
            if os.path.exists(name):
                os.remove(name)
        self.ok("overlaybd-create", "d", "i", 1)
        self.write_config("c.json", upper={"data": "d", "index": "i"})
        out, _ = self.ok("overlaybd-apply", "--from_qcow2", *flags, source, "c.json")
        self.assertTrue(out.endswith("qcow2 to overlaybd conversion done\n"))
        return self.disk_of(upper={"data": "d", "index": "i"})

    def test_root_file_system_of_a_partition(self):
        small = self.file_system("small", 8, b"boot")
        large = self.file_system("large", 24, b"root")
        for table in (self.mbr, self.gpt):
            self.disk("disk.raw", table, [(1, small), (16, large)])
            run("qemu-img", "convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2")
            for source in ("disk.qcow2", "disk.raw"):
                raw = self.apply(source)
                os.truncate(raw, 24 * MIB)
                self.assertEqual(content_of(raw), large)
                self.assertEqual(self.file_in(raw, "/file"), b"root")
            whole = self.apply("disk.qcow2", "--no-extract-rootfs")
            os.truncate(whole, 64 * MIB)
            self.assertEqual(content_of(whole), content_of("disk.raw"))

    def test_a_disk_that_is_a_file_system(self):
        plain = self.file_system("plain", 16, b"alone")
        run("qemu-img", "convert", "-O", "qcow2", "plain", "disk.qcow2")
        with open("target", "wb") as file:
            file.truncate(32 * MIB)
        self.ok("overlaybd-apply", "--from_qcow2", "--raw", "disk.qcow2", "target")
        self.assertEqual(content_of("target")[:16 * MIB], plain)

    def test_refusals(self):
        self.file_system("plain", 16, b"x")
        run("qemu-img", "convert", "-O", "qcow2", "plain", "base.qcow2")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", "child.qcow2")
        with open("empty.raw", "wb") as file:
            file.truncate(MIB)
        with open("small", "wb") as file:
            file.truncate(8 * MIB)
        with open("damaged.qcow2", "wb") as file:
            file.write(content_of("base.qcow2")[:3000])
        for source, saying in (("child.qcow2", "another file"), ("empty.raw", "no partition"), ("base.qcow2", "do not fit"),
                               ("damaged.qcow2", "damaged.qcow2"), ("missing", "missing")):
            self.fails("overlaybd-apply", "--from_qcow2", "--raw", source, "small", saying=saying)


if __name__ == "__main__":
    unittest.main(verbosity=0)
