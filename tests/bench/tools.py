#!/usr/bin/env python3
"""tools.py [--bin DIR] [--rounds N] [--size MIB] [compress] [convert]: the image tools against other programs.

compress: overlaybd-zfile and overlaybd-commit on a file of executables and libraries of this machine, against `lz4 -1` and
`zstd -3` on the same bytes; MiB a second of CPU time, one thread each.
convert: `overlaybdctl convert` of a 5-layer image of Debian packages into an OCI layout, against `umoci unpack` of it: time,
peak memory, size on disk.

Everything is on tmpfs; rounds alternate between the programs, so that drift of the machine hits all. Prints Markdown tables.
Nothing is asserted. docs/BENCHMARKING.md keeps figures.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
HERE = os.path.dirname(os.path.abspath(__file__))


class outcome:
    """One run of a program: wall seconds, CPU seconds of all its threads, peak memory in MiB."""

    def __init__(self, words, **more):
        begin = time.monotonic()
        child = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                 stdin=subprocess.DEVNULL, **more)
        said = child.stderr.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        self.wall = time.monotonic() - begin
        self.cpu = used.ru_utime + used.ru_stime
        self.peak_mib = used.ru_maxrss / 1024
        if child.returncode != 0:
            sys.exit(f"{words}: exit status {child.returncode}: {said.decode()}")


def spread(values):
    middle = statistics.median(values)
    return f"({min(values) / middle:.2f}..{max(values) / middle:.2f})"


def program_bytes(path, wanted):
    """Executables and libraries, one behind the other, as an image's layers hold them."""
    with open(path, "wb") as to:
        for folder in ("/usr/lib/x86_64-linux-gnu", "/usr/bin", "/usr/lib", "/usr/share"):
            for name in sorted(os.listdir(folder)):
                full = os.path.join(folder, name)
                if os.path.islink(full) or not os.path.isfile(full) or to.tell() >= wanted:
                    continue
                # In small pieces: a child's peak memory begins with that of this process.
                with open(full, "rb") as file:
                    while piece := file.read(min(MIB, wanted - to.tell())):
                        to.write(piece)
    os.truncate(path, os.path.getsize(path) // 4096 * 4096)
    return os.path.getsize(path)


def make_upper(binaries, folder, source):
    """A sparse writable layer with the bytes in it."""
    data, index = os.path.join(folder, "data"), os.path.join(folder, "index")
    subprocess.run([f"{binaries}/overlaybd-create", "-s", data, index, "4"], check=True, stdout=subprocess.DEVNULL)
    with open(source, "rb") as file, open(data, "r+b") as to:
        to.seek(4096 + MIB)
        shutil.copyfileobj(file, to, MIB)
    return data, index


def compress(options, folder):
    source, out = os.path.join(folder, "source"), os.path.join(folder, "out")
    size = program_bytes(source, options.size * MIB)
    data, index = make_upper(options.bin, folder, source)
    zfile = [f"{options.bin}/overlaybd-zfile", "-f", source, out]
    commit = [f"{options.bin}/overlaybd-commit", "-f", data, index, out]
    runs = {
        "`lz4 -1`": ["lz4", "-1", "-f", "-q", source, out],
        "`lz4 -1 -B4` (64 KiB blocks)": ["lz4", "-1", "-B4", "-f", "-q", source, out],
        "zfile, LZ4, 4 KiB": [*zfile, "--bs", "4"],
        "zfile, LZ4, 64 KiB": [*zfile, "--bs", "64"],
        "`zstd -3`": ["zstd", "-3", "--single-thread", "-f", "-q", source, "-o", out],
        "zfile, ZSTD, 4 KiB": [*zfile, "--algorithm", "zstd", "--bs", "4"],
        "zfile, ZSTD, 64 KiB": [*zfile, "--algorithm", "zstd", "--bs", "64"],
        "commit": commit,
        "commit -z -t (LZ4, 4 KiB)": [*commit, "-z", "-t"],
        "commit -z -t, ZSTD 4 KiB": [*commit, "-z", "-t", "--algorithm", "zstd"],
    }
    found = {name: [] for name in runs}
    ratio = {}
    for _ in range(options.rounds):
        for name, words in runs.items():
            found[name].append(outcome(words))
            ratio[name] = size / os.path.getsize(out)
            os.remove(out)
    peers = {"LZ4": "`lz4 -1`", "ZSTD": "`zstd -3`"}
    speeds = {name: [size / MIB / run.cpu for run in all_] for name, all_ in found.items()}
    print(f"\n{size // MIB} MiB, {options.rounds} rounds\n\n| program | MiB/s of CPU | of its peer | of the size |\n|---|---|---|---|")
    for name, values in speeds.items():
        peer = next((peers[word] for word in peers if word in name), None)
        share = f"{statistics.median(values) / statistics.median(speeds[peer]):.2f} × {peer}" if peer else ""
        print(f"| {name} | **{statistics.median(values):,.0f}** {spread(values)} | {share} | 1/{ratio[name]:.2f} |")


def size_of(path):
    """Bytes of storage under a folder, each file once."""
    seen, total = set(), 0
    for folder, _, names in os.walk(path):
        for name in names:
            status = os.lstat(os.path.join(folder, name))
            if status.st_ino not in seen:
                seen.add(status.st_ino)
                total += status.st_blocks * 512
    return total


def convert(options, folder):
    image = os.path.join(folder, "image")
    subprocess.run([os.path.join(HERE, "five_layers.sh"), image], check=True, stdout=subprocess.DEVNULL)
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    runs = {
        "`umoci unpack`": ["umoci", "unpack", *rootless, "--image", f"{image}:five", f"{folder}/result"],
        "convert (LZ4, 4 KiB)": [f"{options.bin}/overlaybdctl", "convert", "--no-reuse", "--quiet", "--work-dir", folder,
                                 f"oci:{image}:five", f"oci:{folder}/result:new"],
    }
    runs["convert, ZSTD"] = [*runs["convert (LZ4, 4 KiB)"], "--algorithm", "zstd"]
    runs["convert, 1 thread"] = [*runs["convert (LZ4, 4 KiB)"], "--threads", "1"]
    found = {name: [] for name in runs}
    sizes = {}
    for _ in range(options.rounds):
        for name, words in runs.items():
            found[name].append(outcome(words))
            sizes[name] = size_of(f"{folder}/result")
            subprocess.run(["chmod", "-R", "u+rwX", f"{folder}/result"], check=True)
            shutil.rmtree(f"{folder}/result")
    print(f"\n5 layers, {size_of(image) / MIB:.0f} MiB of gzip, {options.rounds} rounds\n\n"
          "| program | seconds | CPU seconds | peak memory | size |\n|---|---|---|---|---|")
    for name, all_ in found.items():
        wall = [run.wall for run in all_]
        print(f"| {name} | **{statistics.median(wall):.2f}** {spread(wall)} | "
              f"{statistics.median(run.cpu for run in all_):.2f} | {max(run.peak_mib for run in all_):.0f} MiB | "
              f"{sizes[name] / MIB:.0f} MiB |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default=os.path.join(HERE, "../../build/release/bin"), help="the programs (Release)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=256, help="MiB to compress")
    parser.add_argument("what", nargs="*", choices=["compress", "convert", []], default=[])
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    for name, measure in (("compress", compress), ("convert", convert)):
        if not options.what or name in options.what:
            with tempfile.TemporaryDirectory(prefix="obd-bench.", dir="/dev/shm") as folder:
                measure(options, folder)


if __name__ == "__main__":
    main()
