#!/usr/bin/env python3
"""Writes the seeds of the fuzzers of what writes, into the folder seeds/ beside it. They are kept in the tree; this says
what they are."""
import gzip
import io
import os
import struct
import tarfile
import zlib

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "seeds")


def write(parser, name, data):
    os.makedirs(os.path.join(HERE, parser), exist_ok=True)
    with open(os.path.join(HERE, parser, name), "wb") as file:
        file.write(data)


def tar_of(form, members):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as tar:
        for name, kind, content, pax in members:
            member = tarfile.TarInfo(name)
            member.type, member.pax_headers = kind, pax
            if isinstance(content, str):
                member.linkname = content
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return raw.getvalue().rstrip(b"\0") + bytes(1024)


REG, DIR, SYM, LNK, CHR = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
TARS = {
    "plain": [("etc", DIR, b"", {}), ("etc/a", REG, b"new", {}), ("new", REG, b"x" * 700, {}), ("l", SYM, "etc/a", {})],
    "whiteouts": [("etc/.wh.a", REG, b"", {}), (".wh.b", REG, b"", {}), ("etc/.wh..wh..opq", REG, b"", {})],
    "links": [("h", LNK, "etc/a", {}), ("link/x", REG, b"1", {}), ("../../y", REG, b"2", {}), ("c", CHR, b"", {})],
    "replace": [("etc", REG, b"a file now", {}), ("b", DIR, b"", {}), ("b/c/d", REG, b"", {})],
    "pax": [("c", REG, b"cap", {"SCHILY.xattr.security.capability": "\x01", "mtime": "5.5", "uid": "70000"}),
            ("a", REG, b"", {"SCHILY.acl.access": "user::rw-,user:a:r--:5,group::r--,mask::r--,other::r--"})],
    "long": [("n" * 120 + "/" + "m" * 120, REG, b"x", {}), ("k", SYM, "t" * 150, {})],
}


def tars():
    for name, members in TARS.items():
        for form, suffix in ((tarfile.PAX_FORMAT, ""), (tarfile.GNU_FORMAT, "-gnu")):
            tar = tar_of(form, members)
            write("apply", name + suffix, tar + b"\0")
            write("apply", name + suffix + "-turbo", tar + b"\1")
            write("tools", "tar-" + name + suffix, b"\1" + tar)


def gzips():
    text = b"some words, again and again " * 400 + bytes(range(256)) * 8
    for level in (0, 1, 9):
        write("gzip", f"level{level}", b"\x10" + gzip.compress(text, level, mtime=0))
    write("gzip", "members", b"\2" + gzip.compress(text, mtime=0) + gzip.compress(b"second", mtime=0) + bytes(100))
    window = zlib.compress(bytes(32768))
    entries = zlib.compress(struct.pack("<QQQBI", 0, 10, 333, 0, len(window)) + struct.pack("<QQQBI", 40, 30, 333, 3, len(window)))
    head = b"ddgzidx\0" + struct.pack("<BBBbBiiiQQQQ256sQQ", 1, 0, 1, 6, 0, 1 << 20, 32768, 29, 2, 4096, 0, 100, b"",
                                     333 + len(window), len(entries))
    write("gzip", "index", b"\1" + head + bytes(4) + window + entries)


def uppers():
    def entry(start, length, place, zeroed=0):
        return struct.pack("<QQ", start | length << 50, place | zeroed << 55)

    journal = entry(0, 8, 8) + entry(4, 2, 16) + entry(64, 32, 8, 1) + struct.pack("<QQ", (1 << 50) - 1, 0)
    write("upper", "append", bytes([0, len(journal), 0, 16]) + journal)
    write("upper", "torn", bytes([0, len(journal) - 5, 0, 9]) + journal[:-5])
    write("upper", "sparse", bytes([1, 0, 2, 0]) + b"\xaa" * 512)
    for kind in (4, 5):
        write("upper", f"damaged{kind}", bytes([kind, 0, 0, 0]) + b"".join(bytes([file, 40, 0, 9]) for file in range(4)))


def rest():
    write("tools", "trace", b"\0" + struct.pack("<IIQII", 0xC2EF1820, 0, 24, 0, 0) + b"R" + bytes(23))
    write("tools", "text", b"\0nothing known")
    mbr = bytearray(512 * 40)
    mbr[446 + 4] = 0x83
    mbr[446 + 8:446 + 16] = struct.pack("<II", 2, 30)
    mbr[510:512] = b"\x55\xaa"
    write("tools", "mbr", b"\3" + bytes(mbr))
    gpt = bytearray(mbr)
    gpt[446 + 4] = 0xEE
    gpt[512:512 + 92] = b"EFI PART" + struct.pack("<IIII4Q16sQIII", 1 << 16, 92, 0, 0, 1, 39, 6, 38, b"", 2, 4, 128, 0)
    gpt[1024:1024 + 48] = b"\1" * 16 + b"\2" * 16 + struct.pack("<QQ", 6, 20)
    write("tools", "gpt", b"\3" + bytes(gpt))
    for number in range(8):
        write("zfile_writer", f"options{number}", bytes([number, number + 2, number, number]) + b"content " * (number * 40 + 1))


tars()
gzips()
uppers()
rest()
