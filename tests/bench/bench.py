#!/usr/bin/env python3
"""bench.py [options] DATA TARGET...: measures iSCSI targets that serve the same bytes, and prints a Markdown table.

TARGET: tgtd | spdk | NAME=CONFIG.v1.json (overlaybd-iscsid out of $OBD_BIN) | NAME=CONFIG.v1.json:append (or :sparse, with a
new writable layer of that kind) | "NAME=URL-PATH COMMAND..." with {port} and {data}. Rounds alternate between the targets, one target up at a time (SPDK polls a whole core); the medians are
reported, with target CPU in microseconds an operation and the share of a bare TCP ping-pong of the same sizes."""

import argparse
import os
import platform
import re
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
import targets  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def output_of(command, limit):
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    return done.stdout + done.stderr


def perf(depth, blocks, *options):
    """iscsi-perf (libiscsi): random or sequential reads for some seconds."""
    def run(url, seconds):
        text = output_of(["iscsi-perf", "-m", str(depth), "-b", str(blocks), "-t", str(seconds), *options, url], seconds + 30)
        found = re.findall(r"iops average (\d+)", text)
        return (int(found[-1]) * seconds, seconds) if found else None
    return run


def qemu(depth, size, rate, *options):
    """qemu-img bench: sequential requests, a number of them that lasts about as long."""
    def run(url, seconds):
        count = max(200, int(rate * seconds))
        text = output_of(["qemu-img", "bench", "-f", "raw", "-c", str(count), "-d", str(depth), "-s", str(size), *options, url], 120)
        found = re.search(r"Run completed in ([\d.]+) seconds", text)
        return (count, float(found.group(1))) if found else None
    return run


# qemu-img bench steps through the disk modulo its size: a step of an odd number of blocks, far from small, meets every
# block once in an order that no target can merge or foresee from neighbours.
SCATTER = str(4096 * 40_503)

# name: (workload, ping-pong depth and reply bytes with it, unit: operations or bytes an operation)
READS = {
    "4K random read, depth 32 (iscsi-perf)": (perf(32, 8, "-r"), (32, 4144), None),
    "4K random read, depth 1 (iscsi-perf)": (perf(1, 8, "-r"), (1, 4144), None),
    "4K read, depth 32 (qemu-img bench)": (qemu(32, 4096, 60000), (32, 4144), None),
    "4K read, depth 1 (qemu-img bench)": (qemu(1, 4096, 10000), (1, 4144), None),
    "1M sequential read, depth 8 (qemu-img bench)": (qemu(8, 1 << 20, 2000), (8, (1 << 20) + 192), 1 << 20),
}
WRITES = {
    "4K scattered write, depth 32 (qemu-img bench)": (qemu(32, 4096, 40000, "-w", "-S", SCATTER), None, None),
    "4K scattered write, depth 1 (qemu-img bench)": (qemu(1, 4096, 8000, "-w", "-S", SCATTER), None, None),
    "4K sequential write, depth 32 (qemu-img bench)": (qemu(32, 4096, 40000, "-w"), None, None),
    "1M sequential write, depth 8 (qemu-img bench)": (qemu(8, 1 << 20, 1000, "-w"), None, 1 << 20),
}


def warm(url, data):
    """Reads all of the disk once: everything is measured hot."""
    subprocess.run(["qemu-img", "bench", "-f", "raw", "-c", str(max(1, os.path.getsize(data) >> 20)), "-d", "8", "-s", "1M", url],
                   capture_output=True, timeout=120)


def measure(options, workloads):
    results, skipped, broken = {}, {}, {}
    for round_number in range(options.rounds):
        for name in options.targets:
            label = name.partition("=")[0]
            if label in skipped:
                continue
            try:
                target = targets.named(name)(options.data)
            except targets.Missing as why:
                skipped[label] = str(why)
                continue
            try:
                warm(target.url, options.data)
                for workload, (run, _, _) in workloads.items():
                    before = cpu_seconds(target.pid)
                    done = run(target.url, options.seconds)
                    if not done:
                        broken[label] = workload
                        continue
                    count, seconds = done
                    cpu = (cpu_seconds(target.pid) - before) / count * 1e6
                    results.setdefault((workload, label), []).append((count / seconds, cpu))
                    print(f"round {round_number + 1}: {label}: {workload}: {count / seconds:.0f}/s, {cpu:.1f} us", file=sys.stderr)
            finally:
                target.close()
            time.sleep(0.3)
    return results, skipped, broken


def pingpong(options, workloads):
    """The bare TCP rate of each size as medians (sleeping, polling); the better one is what a target is held against."""
    rates = {}
    for shape in {shape for _, shape, _ in workloads.values() if shape}:
        once = lambda *mode: float(output_of([options.pingpong, *map(str, shape), "1", *mode], 20))  # noqa: E731
        runs = [(once(), once("spin")) for _ in range(options.rounds)]
        rates[shape] = [statistics.median(column) for column in zip(*runs)]
    return rates


def amount(rate, unit):
    return f"{rate * unit / 1e6:,.0f} MB/s" if unit else f"{rate:,.0f}/s"


def table(options, workloads, results, rates):
    labels = [label for label in dict.fromkeys(n.partition("=")[0] for n in options.targets) if any(l == label for _, l in results)]
    if not labels:
        return
    base = options.base if options.base in labels else labels[-1]
    print("| workload | " + " | ".join(labels) + " | TCP alone: sleeping, polling |")
    print("|---" * (len(labels) + 2) + "|")
    for workload, (_, shape, unit) in workloads.items():
        row = [workload]
        peer = [r for r, _ in results.get((workload, base), [])]
        for label in labels:
            values = results.get((workload, label))
            if not values:
                row.append("failed")
                continue
            rate, cpu = statistics.median(v[0] for v in values), statistics.median(v[1] for v in values)
            spread = f"{min(v[0] for v in values) / rate:.2f}..{max(v[0] for v in values) / rate:.2f}"
            share = f", {rate / max(rates[shape]):.0%} of TCP" if shape else ""
            ratio = f", {rate / statistics.median(peer):.2f} × {base}" if peer and label != base else ""
            row.append(f"**{amount(rate, unit)}** ({spread}), {cpu:.1f} µs CPU{ratio}{share}")
        row.append(", ".join(amount(r, unit) for r in rates[shape]) if shape else "")
        print("| " + " | ".join(row) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--writes", action="store_true", help="writes instead of reads; every TARGET must be writable, DATA is written to")
    parser.add_argument("--only", default="", help="only the workloads whose name contains this")
    parser.add_argument("--base", default="tgtd", help="whom the others are compared with")
    parser.add_argument("--pingpong", required=True, metavar="PROGRAM")
    parser.add_argument("data", help="a raw image, best on tmpfs")
    parser.add_argument("targets", nargs="+")
    options = parser.parse_args()
    workloads = {n: w for n, w in (WRITES if options.writes else READS).items() if options.only in n}
    rates = pingpong(options, workloads)
    results, skipped, broken = measure(options, workloads)
    processor = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read())
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} × {processor.group(1) if processor else platform.machine()}, "
          f"Linux {platform.release()}, loopback, {os.path.getsize(options.data) >> 20} MiB, hot; "
          f"medians of {options.rounds} alternating rounds of {options.seconds} s (min..max as a share of the median)\n")
    table(options, workloads, results, rates)
    for label, why in skipped.items():
        print(f"\nSkipped {label}: {why}.")
    for label, workload in broken.items():
        print(f"\n{label} failed at: {workload}.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
