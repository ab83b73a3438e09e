#!/bin/bash
# run.sh [--bin DIR] [bench.py options]: builds Release, makes a 256 MiB image as raw and as LZ4 layers on tmpfs, and
# measures overlaybd-iscsid with both against tgtd and SPDK. docs/BENCHMARKING.md explains and keeps the figures.
# --writes: 4 KiB and 1 MiB writes to a new append and a new sparse upper instead, and to the peers' raw file.
# --bin DIR: take the programs from there. OBD_SPDK: SPDK's iscsi_tgt, if it is not in /var/tmp/peers.
# OBD_BENCH_TARGETS: others than "raw lz4 tgtd spdk" (with --writes "append sparse tgtd spdk").
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=
if [ "${1:-}" = --bin ]; then bin=$2; shift 2; fi

"$top/tools/install-deps.sh" build run test bench
if [ -z "$bin" ]; then
  (cd "$top" && cmake --preset release >/dev/null && cmake --build --preset release --target bench_programs)
  bin=$top/build/release/bin
fi
scratch=$(mktemp -d /dev/shm/obd-bench.XXXXXX)
trap 'rm -rf "$scratch"' EXIT

# A quarter each of noise, text-like bytes, repeats and zeros, mixed by 64 KiB: compresses to about half.
python3 - "$scratch/disk.img" <<'PY'
import random, sys
dice = random.Random(1)
words = [dice.randbytes(dice.randint(3, 9)) for _ in range(500)]
with open(sys.argv[1], "wb") as disk:
    for n in range(4096):
        kind = n % 4
        disk.write(dice.randbytes(65536) if kind == 0 else
                   b"".join(dice.choices(words, k=30000))[:65536] if kind == 1 else
                   dice.randbytes(256) * 256 if kind == 2 else bytes(65536))
PY
"$bin/make-test-image" --raw "$scratch/raw" "$scratch/disk.img"
"$bin/make-test-image" --lz4 "$scratch/lz4" "$scratch/disk.img"

declare -A known=([raw]="ours-raw=$scratch/raw/config.v1.json" [lz4]="ours-lz4=$scratch/lz4/config.v1.json"
  [append]="ours-append=$scratch/lz4/config.v1.json:append" [sparse]="ours-sparse=$scratch/lz4/config.v1.json:sparse" [tgtd]=tgtd [spdk]=spdk)
names="raw lz4 tgtd spdk"
for option in "$@"; do [ "$option" != --writes ] || names="append sparse tgtd spdk"; done
targets=()
for name in ${OBD_BENCH_TARGETS:-$names}; do targets+=("${known[$name]:-$name}"); done
OBD_BIN=$bin "$top/tests/bench/bench.py" --pingpong "$bin/pingpong" "$@" "$scratch/disk.img" "${targets[@]}"
