#!/usr/bin/env python3
"""overlaybd-apply on tars that are damaged in places that matter: it unpacks or refuses, never dies, and what it unpacked
is a file system that e2fsck finds nothing wrong with. OBD_MUTATIONS: how many (40); OBD_SEED: of the choice.

    apply_mutation_test.py BIN_DIR
"""
import io
import os
import random
import tarfile
import unittest

from tool_case import tool_case

DISK = 16 << 20
SEED = int(os.environ.get("OBD_SEED", random.randrange(1 << 32)))
COUNT = int(os.environ.get("OBD_MUTATIONS", 40))


def member(name, kind=tarfile.REGTYPE, content=b"", link="", **pax):
    made = tarfile.TarInfo(name)
    made.type, made.size, made.linkname, made.pax_headers = kind, len(content), link, pax
    made.mode, made.devmajor, made.devminor = 0o755, 5, 1
    return made, content


def seeds():
    """Tars that use everything."""
    everything = [member("d", tarfile.DIRTYPE), member("d/f", content=b"x" * 5000), member("d/g", content=b"y" * 70_000),
                  member("d/l", tarfile.SYMTYPE, link="../d/f"), member("h", tarfile.LNKTYPE, link="d/f"),
                  member("dev", tarfile.CHRTYPE), member("blk", tarfile.BLKTYPE), member("fifo", tarfile.FIFOTYPE),
                  member("c", content=b"cap", **{"SCHILY.xattr.security.capability": "\x01\x02", "mtime": "1.5"}),
                  member("a", content=b"acl", **{"SCHILY.acl.access": "user::rw-,user:a:r--:5,group::r--,mask::r--,other::r--"}),
                  member("n" * 200 + "/" + "m" * 200, content=b"long"), member("d/.wh.g"), member("e/.wh..wh..opq"),
                  member("d", content=b"no directory any more"), member("x/../../y", content=b"out")]
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w", format=form) as tar:
            for made, content in everything:
                tar.addfile(made, io.BytesIO(content))
        yield raw.getvalue()


def mended(tar):
    """Check sums made right again, so that the damage gets behind them."""
    for at in range(0, len(tar) - 511, 512):
        if tar[at + 257:at + 262] != b"ustar":
            continue
        total = sum(tar[at:at + 148]) + 8 * 32 + sum(tar[at + 156:at + 512])
        tar[at + 148:at + 156] = b"%06o\0 " % total
    return tar


def mutated(tar, chance):
    tar = bytearray(tar)
    headers = [at for at in range(0, len(tar) - 511, 512) if tar[at + 257:at + 262] == b"ustar"]
    for _ in range(chance.randint(1, 6)):
        at, what = chance.choice(headers), chance.randrange(7)
        if what == 0:
            tar[at + 156] = chance.choice(b"0123456789xgLKSVDM\0")
        elif what == 1:
            tar[at + 124:at + 136] = b"%011o\0" % chance.choice([0, 1, 511, 513, 99999, 8 ** 11 - 1])
        elif what == 2:
            other = chance.choice(headers)
            tar[at:at + 100] = tar[other + 157:other + 257] if chance.random() < 0.3 else tar[other:other + 100]
        elif what == 3:
            tar[at + 157:at + 257] = chance.choice([b"/", b"..", b"d", b"h", b"d/l/l", b"l" * 99, b""]).ljust(100, b"\0")
        elif what == 4:
            tar[at + chance.randrange(500)] = chance.randrange(256)
        elif what == 5:
            begin = chance.randrange(len(tar) // 512) * 512
            tar[begin + chance.randrange(512)] ^= 1 << chance.randrange(8)
        else:
            del tar[chance.randrange(len(tar) // 512) * 512:][:512 * chance.randrange(1, 4)]
            start = chance.randrange(len(tar) // 512) * 512
            del tar[start:start + 512 * chance.randrange(1, 4)]
            break
    return bytes(mended(tar) if chance.random() < 0.9 else tar)


class apply_mutation(tool_case):
    def test_mutations(self):
        print("seed", SEED)
        chance = random.Random(SEED)
        originals = list(seeds())
        unpacked = 0
        for number in range(COUNT):
            tar = mutated(chance.choice(originals), chance) if number >= len(originals) else originals[number]
            with open("layer.tar", "wb") as file:
                file.write(tar)
            with open("disk", "wb") as disk:
                disk.truncate(DISK)
            code, _, err = self.run_tool("overlaybd-apply", "--raw", "--mkfs", "layer.tar", "disk")
            with self.subTest(number=number, seed=SEED, said=err):
                self.assertIn(code, (0, 255))
                self.assertNotIn("Sanitizer", err)
                if code == 0:
                    unpacked += 1
                    self.assert_clean("disk")
        self.assertGreater(unpacked, COUNT // 20)


if __name__ == "__main__":
    unittest.main(verbosity=0)
