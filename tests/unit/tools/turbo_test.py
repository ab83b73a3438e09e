#!/usr/bin/env python3
"""TurboOCI layers as accelerated-container-image makes them: the same command lines, read back through our own readers.

    turbo_test.py BIN_DIR
"""
import gzip
import io
import json
import os
import random
import subprocess
import tarfile
import unittest

from tool_case import content_of, sha256, tool_case

NOISE = random.Random(5).randbytes(3 << 20)
GOLDEN = os.environ.get("OBD_GOLDEN_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), *[".."] * 3, "..",
                                                       "shared", "golden"))


def tar_of(*members, form=tarfile.PAX_FORMAT):
    """Members: (name, content), (name, None) for a directory, (name, "->target") hard link by a str."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=form) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.mtime = 1700000000
            if content is None:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.LNKTYPE, content
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return raw.getvalue()


class turbo(tool_case):
    def make_layer(self, name, tar, lowers, create=("-s",), apply=()):
        """create, turboOCI-apply, commit, in a directory `name`. Returns what the next layer's config says of it."""
        os.mkdir(name)
        path = {part: os.path.abspath(os.path.join(name, part))
                for part in ("writable_data", "writable_index", "layer.tar", "config.json", "gzip.meta",
                             "overlaybd.commit", "ext4.fs.meta")}
        with open(path["layer.tar"], "wb") as file:
            file.write(tar)
        mkfs = [] if lowers else ["--mkfs"]
        self.ok("overlaybd-create", path["writable_data"], path["writable_index"], *create, "1", "--turboOCI", *mkfs)
        self.write_config(path["config.json"], repoBlobUrl="", resultFile="", lowers=lowers,
                          upper={"index": path["writable_index"], "data": path["writable_data"],
                                 "target": path["layer.tar"]})
        out, _ = self.ok("turboOCI-apply", path["layer.tar"], path["config.json"], "--gz_index_path", path["gzip.meta"],
                         *apply)
        self.assertEqual(out, "turboOCI-apply done\n")
        self.ok("overlaybd-commit", path["writable_data"], path["writable_index"], path["overlaybd.commit"], "-z",
                "--fastoci")
        os.rename(path["overlaybd.commit"], path["ext4.fs.meta"])
        is_gzip = tar[:2] == b"\x1f\x8b"
        self.assertEqual(os.path.exists(path["gzip.meta"]), is_gzip)
        return {"targetFile": path["layer.tar"], "targetDigest": sha256(tar), "file": path["ext4.fs.meta"],
                "gzipIndex": path["gzip.meta"] if is_gzip else ""}

    first = tar_of(("etc", None), ("etc/a", b"first a"), ("etc/empty", b""), ("big", NOISE), ("odd", NOISE[:4097]),
                   ("l" * 150, b"long"), ("hard", "etc/a"), ("gone", b"x" * 5000), ("text", b"text " * 500_000))
    second = tar_of(("etc/a", b"second a"), (".wh.gone", b""), ("more", NOISE[1:2_000_001]))
    wanted = {"etc/a": b"second a", "etc/empty": b"", "big": NOISE, "odd": NOISE[:4097], "l" * 150: b"long",
              "hard": b"first a", "more": NOISE[1:2_000_001], "text": b"text " * 500_000}

    def check(self, lowers):
        raw = self.disk_of(lowers=lowers)
        self.assert_clean(raw)
        self.assertEqual(self.names_in(raw, "/"), {"etc"} | {name for name in self.wanted if "/" not in name})
        for name, content in self.wanted.items():
            self.assertEqual(self.file_in(raw, "/" + name), content, name)

    def test_plain_tar(self):
        lowers = [self.make_layer("0", self.first, [])]
        lowers.append(self.make_layer("1", self.second, lowers))
        self.check(lowers)
        for lower in lowers:
            self.assertLess(os.path.getsize(lower["file"]), 300_000)  # contents stay in the tar

    def test_gzip(self):
        members = [self.first[:700_416], self.first[700_416:]]
        many = b"".join(gzip.compress(part) for part in members)
        for number, packed in enumerate((gzip.compress(self.first), gzip.compress(self.first, 1), many)):
            lowers = [self.make_layer(f"{number}a", packed, [])]
            lowers.append(self.make_layer(f"{number}b", gzip.compress(self.second), lowers))
            self.check(lowers)

    def test_over_an_ordinary_layer(self):
        self.ok("overlaybd-create", "d", "i", "1", "--mkfs")
        self.ok("overlaybd-commit", "-z", "-t", "d", "i", "base")
        lowers = [{"file": os.path.abspath("base")}]
        lowers.append(self.make_layer("0", self.first, lowers))
        lowers.append(self.make_layer("1", self.second, lowers))
        self.check(lowers)

    def test_tar_meta(self):
        """What the snapshotter does with layers that are there already: --export, then --import."""
        for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
            tar = tar_of(("etc", None), ("etc/a", b"first a"), ("n" * 200, NOISE), ("hard", "etc/a"), ("z", b"z"), form=form)
            direct = self.make_layer(f"direct{form}", tar, [])
            with open("plain.tar", "wb") as file:
                file.write(tar)
            self.ok("turboOCI-apply", "plain.tar", "layer.tar.meta", "--export")
            self.assertLess(os.path.getsize("layer.tar.meta"), 10_000)
            imported = self.make_layer(f"imported{form}", content_of("layer.tar.meta"), [],
                                       apply=("--import", "--fstype", "ext4"))
            self.assertEqual(content_of(imported["file"]), content_of(direct["file"]))
            self.assertEqual(self.parts_of(direct["file"])["lsmt"]["kind"], "committed, TurboOCI")
            imported["targetFile"] = direct["targetFile"]
            raw = self.disk_of(lowers=[imported])
            self.assert_clean(raw)
            self.assertEqual(self.file_in(raw, "/etc/a"), b"first a")
            self.assertEqual(self.file_in(raw, "/" + "n" * 200), NOISE)

    def test_sparse_members_are_kept_here(self):
        with open("holes", "wb") as file:
            file.write(b"begin")
            file.seek(1 << 20)
            file.write(b"end")
        subprocess.run(["tar", "--sparse", "-cf", "sparse.tar", "holes"], check=True)
        lowers = [self.make_layer("0", content_of("sparse.tar"), [])]
        raw = self.disk_of(lowers=lowers)
        self.assert_clean(raw)
        self.assertEqual(self.file_in(raw, "/holes"), content_of("holes"))
        self.fails("turboOCI-apply", "sparse.tar", "meta", "--export", saying="sparse")

    def test_a_replaced_file_and_reused_blocks(self):
        """A tar that brings a name twice: what the first had is free and used again, for metadata too."""
        members = [(f"d{number % 7}/f{number % 40}", NOISE[number * 977:][:number * 911 % 70_000]) for number in range(300)]
        lowers = [self.make_layer("0", tar_of(*members), [])]
        raw = self.disk_of(lowers=lowers)
        self.assert_clean(raw)
        for name, content in dict(members).items():
            self.assertEqual(self.file_in(raw, "/" + name), content, name)

    def test_refusals(self):
        self.make_layer("0", self.second, [])
        self.fails("turboOCI-apply", "0/layer.tar", "0/config.json", "--fstype", "erofs", saying="erofs")
        self.fails("turboOCI-apply", "0/layer.tar", saying="two paths")
        self.fails("overlaybd-commit", "--seal", "--turboOCI", "0/writable_data", "0/writable_index", saying="--turboOCI")
        packed = gzip.compress(self.second)
        layer = self.make_layer("1", packed, [])
        self.write_config("c.json", lowers=[dict(layer, gzipIndex="")])
        self.fails("overlaybd-merge", "c.json", "out", saying="gzipIndex")
        self.write_config("c.json", lowers=[dict(layer, gzipIndex=layer["file"])])
        self.fails("overlaybd-merge", "c.json", "out", saying="gzip index")
        with open("cut.gz", "wb") as file:
            file.write(packed[:-9])
        self.fails("turboOCI-apply", "cut.gz", "0/config.json", saying="")

    def test_golden(self):
        case = os.path.join(GOLDEN, "81_turbooci_tar")
        if not os.path.isdir(case):
            self.skipTest("no golden images")
        config = json.loads(content_of(os.path.join(case, "config.v1.json")))
        lowers = [{key: os.path.join(case, value) if key in ("file", "targetFile") else value
                   for key, value in lower.items()} for lower in config["lowers"]]
        theirs = self.disk_of("theirs.raw", lowers=lowers)
        tar = content_of(os.path.join(case, "layer.tar"))
        ours = self.disk_of("ours.raw", lowers=[self.make_layer("0", tar, [])])
        self.assert_clean(ours)
        for raw in (theirs, ours):
            os.mkdir(raw + ".d")
            subprocess.run(["/sbin/debugfs", "-R", f"rdump / {raw}.d", raw], capture_output=True, check=True)
        done = subprocess.run(["diff", "-r", "--no-dereference", "-x", "lost+found", theirs + ".d", ours + ".d"],
                              capture_output=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, b""))


if __name__ == "__main__":
    unittest.main(verbosity=0)
