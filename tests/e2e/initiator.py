"""An initiator in a few lines: one connection, as many commands under way as the caller likes."""

import socket
import struct

GOOD = 0


class Gone(Exception):
    """The target has closed the connection, or refuses one."""


class Initiator:
    def __init__(self, address, target, name, number=0):
        """`number` makes the ISID."""
        self.name = name
        self.command = 1
        self.under_way = {}         # tag: what is sent when the target asks for it
        self.got = {}               # tag: what came so far
        try:
            self.socket = socket.create_connection(address)
        except OSError as why:
            raise Gone(str(why)) from why
        self.socket.settimeout(120)
        text = "".join(pair + "\0" for pair in (
            "InitiatorName=" + name, "TargetName=" + target, "SessionType=Normal", "AuthMethod=None",
            "HeaderDigest=None", "DataDigest=None", "InitialR2T=No", "ImmediateData=Yes")).encode()
        header = struct.pack(">BBBB4s6sHIHHII16x", 0x43, 0x87, 0, 0, len(text).to_bytes(4, "big"),
                             b"\x80" + number.to_bytes(5, "big"), 0, 1, 1, 0, 1, 0)
        self.send(header, text)
        reply, _ = self.receive()
        if reply[0] != 0x23 or reply[36:38] != b"\0\0":
            raise Gone("login of %s refused: %s" % (name, reply[36:38].hex()))

    def send(self, header, data=b""):
        try:
            self.socket.sendall(header + data + b"\0" * (-len(data) % 4))
        except OSError as why:
            raise Gone(str(why)) from why

    def receive(self):
        header = self.take(48)
        length = int.from_bytes(header[5:8], "big")
        return header, self.take(length + -length % 4)[:length]

    def take(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except OSError as why:
                raise Gone(str(why)) from why
            if not piece:
                raise Gone("the target closed the connection of " + self.name)
            data += piece
        return data

    def begin(self, flags, cdb, length, data=b"", immediate=True):
        """Sends a command (flags: 0x40 reads, 0x20 writes); its tag. Data that is not immediate goes when it is asked for."""
        tag = self.command
        now = data if immediate else b""
        header = struct.pack(">BBHI8sIIII16s", 0x01, 0x80 | flags | 1, 0, len(now), bytes(8), tag, length, tag, 0,
                             cdb.ljust(16, b"\0"))
        self.command += 1
        self.under_way[tag] = data
        self.got[tag] = b""
        self.send(header, now)
        return tag

    def finish_one(self):
        """Waits for the end of any command: its tag, status and data."""
        while True:
            reply, piece = self.receive()
            tag = int.from_bytes(reply[16:20], "big")
            if reply[0] == 0x31:
                self.send_data(tag, reply)
                continue
            if reply[0] == 0x25:
                self.got[tag] += piece
            if reply[0] == 0x21 or (reply[0] == 0x25 and reply[1] & 1):
                del self.under_way[tag]
                return tag, reply[3], self.got.pop(tag)

    def send_data(self, tag, r2t):
        transfer, at, length = r2t[20:24], *struct.unpack(">II", r2t[40:48])
        for number, start in enumerate(range(at, at + length, 8192)):
            piece = self.under_way[tag][start:min(start + 8192, at + length)]
            last = start + len(piece) == at + length
            self.send(struct.pack(">BBHI8sI4s8xIII4x", 0x05, 0x80 if last else 0, 0, len(piece), bytes(8), tag, transfer,
                                  0, number, start), piece)

    def scsi(self, *what):
        """One command alone: its status and data."""
        self.begin(*what)
        return self.finish_one()[1:]

    def good(self, *what):
        for _ in range(8):  # unit attentions of a new nexus
            status, data = self.scsi(*what)
            if status == GOOD:
                return data
        raise SystemExit("status %d for %s" % (status, self.name))

    def log_out(self):
        self.send(struct.pack(">BBHI8xIHHII16x", 0x46, 0x80, 0, 0, self.command, 0, 0, self.command, 0))
        self.receive()
        self.socket.close()
