#!/usr/bin/env python3
"""kills.py PORTAL TARGET ROUNDS SEED HOOK: writes to a disk and keeps a record of what was acknowledged, while the daemon
is killed (HOOK kill overlaybd) at a random moment; after HOOK start overlaybd every block must hold what was acknowledged
last, or what was being written when the daemon died, whole. ROUNDS times."""

import random
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
from initiator import GOOD, Gone, Initiator  # noqa: E402

BLOCK = 512
BLOCKS = 8192           # of the disk, from its beginning, that are written to
DEPTH = 8
NAME = "iqn.2026-11.io.overlaybd.test:kills"


def login(portal, target):
    """Tries until the daemon serves the disk again."""
    host, port = portal.rsplit(":", 1)
    deadline = time.monotonic() + 60
    while True:
        try:
            one = Initiator((host, int(port)), target, NAME)
            for _ in range(8):
                if one.scsi(0, bytes(6), 0)[0] == GOOD:
                    return one
            one.log_out()
        except Gone:
            pass
        if time.monotonic() > deadline:
            raise SystemExit("the disk is not served again")
        time.sleep(0.02)


class Disk:
    """What every block may hold: the image's bytes, zeros, or the number of the write that it was last written by."""

    def __init__(self, dice):
        self.dice = dice
        self.may_hold = None        # a set for each block
        self.number = 0
        self.acknowledged = 0

    def learn(self, one):
        """Reads the disk: all blocks must be as they may be, and are that from now on."""
        found = []
        for start in range(0, BLOCKS, 512):
            data = one.good(0x40, struct.pack(">BBIBHB", 0x28, 0, start, 0, 512, 0), 512 * BLOCK)
            found += [data[at:at + BLOCK] for at in range(0, len(data), BLOCK)]
        for i, may in enumerate(self.may_hold or []):
            if found[i] not in may:
                raise SystemExit("block %d holds %s… and may hold %s, the last write was %d" % (
                    i, found[i][:16].hex(), [one[:16].hex() for one in may], self.number))
        self.may_hold = [{block} for block in found]

    def write(self, one, busy):
        """Begins a write to blocks that no other write under way touches: tag, blocks, number."""
        while True:
            count = self.dice.choice((1, 1, 3, 8, 8, 8, 16, 128))
            start = self.dice.randrange(BLOCKS - count + 1)
            blocks = range(start, start + count)
            if not any(r.start < blocks.stop and blocks.start < r.stop for r, _ in busy.values()):
                break
        self.number += 1
        zeroing = self.dice.random() < 0.15
        value = struct.pack(">Q", 0 if zeroing else self.number) * 64
        for i in blocks:
            self.may_hold[i] = self.may_hold[i] | {value}
        if zeroing:     # WRITE SAME(16) with UNMAP
            tag = one.begin(0x20, struct.pack(">BBQIBB", 0x93, 8, start, count, 0, 0), BLOCK, bytes(BLOCK))
        else:
            data = value * count
            fua = 8 if self.dice.random() < 0.1 else 0
            tag = one.begin(0x20, struct.pack(">BBIBHB", 0x2A, fua, start, 0, count, 0), len(data), data, count <= 16)
        busy[tag] = blocks, value

    def write_until_gone(self, one):
        busy = {}
        try:
            while True:
                while len(busy) < DEPTH:
                    self.write(one, busy)
                tag, status, _ = one.finish_one()
                blocks, value = busy.pop(tag)
                if status != GOOD:
                    raise SystemExit("a write ended with status %d" % status)
                self.acknowledged += 1
                for i in blocks:
                    self.may_hold[i] = {value}
        except Gone:
            pass


def main():
    portal, target, rounds, seed, hook = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    print("seed", seed, flush=True)
    disk = Disk(random.Random(seed))
    for _ in range(rounds):
        one = login(portal, target)
        disk.learn(one)
        death = threading.Timer(disk.dice.uniform(0.001, 0.15), subprocess.run, [[hook, "kill", "overlaybd"]])
        death.start()
        disk.write_until_gone(one)
        death.join()
        subprocess.run([hook, "start", "overlaybd"], check=True)
    one = login(portal, target)
    disk.learn(one)
    one.log_out()
    print("%d kills, %d writes begun, %d acknowledged: all there" % (rounds, disk.number, disk.acknowledged))


if __name__ == "__main__":
    main()
