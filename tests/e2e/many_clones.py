#!/usr/bin/env python3
"""many_clones.py PORTAL TARGET COUNT: COUNT initiators log in to one target, each writes a block of its own and reads
it back; "ready" is printed; at the end of stdin all read once more and log out. A connection each, in one thread."""

import socket
import struct
import sys

NAME = "iqn.2026-11.io.overlaybd.test:many-%d"


class Initiator:
    def __init__(self, address, target, number):
        self.number = number
        self.socket = socket.create_connection(address)
        self.socket.settimeout(120)
        self.command = 1
        text = "".join(pair + "\0" for pair in (
            "InitiatorName=" + NAME % number, "TargetName=" + target, "SessionType=Normal", "AuthMethod=None",
            "HeaderDigest=None", "DataDigest=None", "InitialR2T=No", "ImmediateData=Yes")).encode()
        header = struct.pack(">BBBB4s6sHIHHII16x", 0x43, 0x87, 0, 0, len(text).to_bytes(4, "big"),
                             b"\x80" + number.to_bytes(5, "big"), 0, 1, 1, 0, 1, 0)
        self.send(header, text)
        reply, _ = self.receive()
        if reply[0] != 0x23 or reply[36:38] != b"\0\0":
            raise SystemExit("login of %d refused: %s" % (number, reply[36:38].hex()))

    def send(self, header, data=b""):
        self.socket.sendall(header + data + b"\0" * (-len(data) % 4))

    def receive(self):
        header = self.take(48)
        length = int.from_bytes(header[5:8], "big")
        return header, self.take(length + -length % 4)[:length]

    def take(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise SystemExit("the target closed the connection of %d" % self.number)
            data += piece
        return data

    def scsi(self, flags, cdb, length, data=b""):
        """Gives the data that came, or raises with the status."""
        header = struct.pack(">BBHI8sIIII16s", 0x01, 0x80 | flags | 1, 0, len(data), bytes(8), self.command, length,
                             self.command, 0, cdb.ljust(16, b"\0"))
        self.command += 1
        self.send(header, data)
        got = b""
        while True:
            reply, piece = self.receive()
            if reply[0] == 0x25:
                got += piece
                if reply[1] & 1:
                    return reply[3], got
            elif reply[0] == 0x21:
                return reply[3], got

    def good(self, *what):
        for _ in range(8):  # unit attentions of a new nexus
            status, data = self.scsi(*what)
            if status == 0:
                return data
        raise SystemExit("status %d for initiator %d" % (status, self.number))

    def block(self):
        return struct.pack(">Q", self.number + 1) * 512

    def write(self):
        self.good(0x20, struct.pack(">BBIBHB", 0x2A, 0, 8, 0, 8, 0), 4096, self.block())

    def check(self):
        if self.good(0x40, struct.pack(">BBIBHB", 0x28, 0, 8, 0, 8, 0), 4096) != self.block():
            raise SystemExit("initiator %d reads what it did not write" % self.number)

    def log_out(self):
        self.send(struct.pack(">BBHI8xIHHII16x", 0x46, 0x80, 0, 0, self.command, 0, 0, self.command, 0))
        self.receive()
        self.socket.close()


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    count = int(sys.argv[3])
    everyone = []
    for number in range(count):
        everyone.append(Initiator((host, int(port)), sys.argv[2], number))
        everyone[-1].write()
    for one in everyone:
        one.check()
    print("ready", flush=True)
    sys.stdin.read()
    for one in everyone:
        one.check()
        one.log_out()


if __name__ == "__main__":
    main()
