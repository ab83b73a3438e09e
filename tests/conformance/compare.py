"""libiscsi's test suite against this target and others, run the same way; prints a table in Markdown.

Every family is run as a whole; where that crashes, hangs or ends the target, by its suites, and those by their tests,
each part against a fresh target. Skipped tests are counted apart from passed ones."""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "bench"))
import targets  # noqa: E402

SECONDS = {0: 150, 1: 25, 2: 15}    # a family, a suite, a test
RESULTS = ("passed", "skipped", "failed", "crashed")


class Istgt(targets.Target):
    """Debian's istgt, which reads all it needs from a file."""

    def start(self):
        program = shutil.which("istgt", path=os.environ["PATH"] + ":/usr/sbin")
        if not program:
            raise targets.Missing("istgt is not installed")
        path = lambda name: os.path.join(self.folder, name)  # noqa: E731
        with open(path("auth.conf"), "w") as auth:
            auth.write("[AuthGroup1]\n")
        with open(path("istgt.conf"), "w") as config:
            config.write(f"""[Global]
NodeBase {targets.IQN}
PidFile {path("pid")}
AuthFile {path("auth.conf")}
MediaDirectory {self.folder}
LogFacility local7
DiscoveryAuthMethod None
MaxSessions 32
MaxConnections 4
MaxR2T 32
MaxOutstandingR2T 16
FirstBurstLength 262144
MaxBurstLength 1048576
MaxRecvDataSegmentLength 262144
[UnitControl]
AuthMethod None
Portal UC1 127.0.0.1:{targets.free_port()}
Netmask 127.0.0.1
[PortalGroup1]
Portal DA1 127.0.0.1:{self.port}
[InitiatorGroup1]
InitiatorName ALL
Netmask 127.0.0.1
[LogicalUnit1]
TargetName disk
Mapping PortalGroup1 InitiatorGroup1
AuthMethod None
UseDigest Auto
UnitType Disk
QueueDepth 64
LUN0 Storage {self.data} Auto
""")
        self.run(program, "-D", "-c", path("istgt.conf"))
        self.wait_for(self.listens)
        return f"iscsi://127.0.0.1:{self.port}/{targets.IQN}:disk/0"


class ThinTgtd(targets.Tgtd):
    """tgt with thin provisioning."""

    def start(self):
        url = super().start()
        admin = shutil.which(self.admin, path=os.environ["PATH"] + ":/usr/sbin")
        subprocess.run([admin, "-C", str(self.port % 32000 + 1), "--lld", "iscsi", "--mode", "logicalunit", "--op", "update",
                        "--tid", "1", "--lun", "1", "--params", "thin_provisioning=1"], check=True)
        return url


def ours(folder):
    """A writable export with a removable medium over a small image."""
    dice = random.Random(96)
    disk = os.path.join(folder, "disk.img")
    with open(disk, "wb") as file:
        file.write(dice.randbytes(1 << 20) + bytes(94 << 20) + dice.randbytes(1 << 20))
    image = os.path.join(folder, "image")
    subprocess.run([os.path.join(os.environ["OBD_BIN"], "make-test-image"), "--lz4", image, disk], check=True, stdout=subprocess.DEVNULL)
    return type("Ours", (targets.Ours,), {"config": os.path.join(image, "config.v1.json"), "writable": "append",
                                          "attach_options": ("--removable",)})


def run_once(program, selection, target, log):
    """The results of a selection by test, or nothing if it did not come to its end."""
    seconds = SECONDS[selection.count(".")]
    with open(log, "wb") as out:
        try:
            subprocess.run([program, "--dataloss", "--allow-sanitize", "-v", "-t", selection, target.url], stdout=out,
                           stderr=out, stdin=subprocess.DEVNULL, timeout=seconds)
        except subprocess.TimeoutExpired:
            pass
    with open(log, errors="replace") as text:
        complete = re.search("^Run Summary", text.read(), re.M) is not None
    lines = subprocess.run(["awk", "-f", os.path.join(HERE, "results.awk"), log], capture_output=True, text=True).stdout.splitlines()
    return complete, {line.split()[1]: line.split()[0] for line in lines}


def run(program, selection, make, known, log):
    """Like run_once, by parts where the whole does not get to its end."""
    target = make()
    try:
        complete, found = run_once(program, selection, target, log)
        alive = target.process.poll() is None
    finally:
        target.close()
    level = selection.count(".")
    if (complete and alive) or level == 2:
        return found or {selection.partition(".")[2]: "crashed"}
    parts = sorted({".".join(test.split(".")[:level + 2]) for test in known if test.startswith(selection + ".")})
    together = {}
    for part in parts:
        together.update(run(program, part, make, known, log))
    return together


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=["ours", "tgtd", "tgtd-thin", "istgt", "spdk"])
    parser.add_argument("--families", default="SCSI,iSCSI,LINUX")
    parser.add_argument("--programs", default="1.19=iscsi-test-cu", help="LABEL=PROGRAM,...")
    parser.add_argument("--results", help="folder for each test's result")
    asked = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="compare.", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    data = os.path.join(folder, "data")
    programs = [one.split("=", 1) for one in asked.programs.split(",")]
    families = asked.families.split(",")
    makers = {"tgtd": targets.Tgtd, "tgtd-thin": ThinTgtd, "istgt": Istgt, "spdk": targets.Spdk}
    try:
        with open(data, "wb") as file:
            dice = random.Random(1)
            for _ in range(256):
                file.write(dice.randbytes(1 << 20))
        print("| target | " + " | ".join(f"{label} {family}" for label, _ in programs for family in families) + " |", flush=True)
        print("|---|" + "---|" * len(programs) * len(families), flush=True)
        for name in asked.targets:
            kind = ours(folder) if name == "ours" else makers[name]
            cells = []
            for label, program in programs:
                known = subprocess.run([program, "-l"], capture_output=True, text=True).stdout.split()
                for family in families:
                    try:
                        found = run(program, family, lambda kind=kind: kind(data), known, os.path.join(folder, "log"))
                    except targets.Missing as why:
                        cells.append(str(why))
                        continue
                    counts = [sum(1 for result in found.values() if result == what) for what in RESULTS]
                    cells.append("/".join(map(str, counts[:3])) + (f" + {counts[3]} crash" if counts[3] else ""))
                    if asked.results:
                        with open(os.path.join(asked.results, f"{name}.{label}.{family}"), "w") as out:
                            out.writelines(f"{result} {test}\n" for test, result in sorted(found.items()))
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
