#!/usr/bin/env python3
"""many_clones.py PORTAL TARGET COUNT: COUNT initiators log in to one target, each writes a block of its own and reads
it back; "ready" is printed; at the end of stdin all read once more and log out. A connection each, in one thread."""

import struct
import sys

sys.dont_write_bytecode = True
from initiator import Gone, Initiator  # noqa: E402


def block(number):
    return struct.pack(">Q", number + 1) * 512


def write(one, number):
    one.good(0x20, struct.pack(">BBIBHB", 0x2A, 0, 8, 0, 8, 0), 4096, block(number))


def check(one, number):
    if one.good(0x40, struct.pack(">BBIBHB", 0x28, 0, 8, 0, 8, 0), 4096) != block(number):
        raise SystemExit("%s reads what it did not write" % one.name)


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    everyone = []
    for number in range(int(sys.argv[3])):
        name = "iqn.2026-11.io.overlaybd.test:many-%d" % number
        everyone.append(Initiator((host, int(port)), sys.argv[2], name, number))
        write(everyone[-1], number)
    for number, one in enumerate(everyone):
        check(one, number)
    print("ready", flush=True)
    sys.stdin.read()
    for number, one in enumerate(everyone):
        check(one, number)
        one.log_out()


if __name__ == "__main__":
    try:
        main()
    except Gone as why:
        raise SystemExit(str(why)) from why
