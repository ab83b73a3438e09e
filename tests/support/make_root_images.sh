#!/bin/bash
# make_root_images.sh DIRECTORY: a root file system as it grows in three steps: DIRECTORY/{0,1,2}.img (64 MiB of ext4
# each, what the image is after that layer) and DIRECTORY/files.sha256 (every file of the last one). No mount, no root.
# 1 adds files and changes one, 2 deletes a file and adds some.
set -euo pipefail
export LC_ALL=C
target=${1:?make_root_images.sh DIRECTORY}
mkdir -p "$target"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python3 - "$work" <<'PY'
import os, random, sys
root = sys.argv[1]
dice = random.Random(20261126)
words = [bytes(dice.choice(b"abcdefghijklmnopqrstuvwxyz") for _ in range(dice.randint(2, 11))) for _ in range(3000)]

def put(layer, path, data):
    name = os.path.join(root, layer, path)
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as file:
        file.write(data)
    os.utime(name, (1700000000, 1700000000))

def text(size):
    out = b" ".join(dice.choices(words, k=size // 7))
    return (out + b"\n" * size)[:size]

put("0", "etc/hostname", b"overlaybd\n")
put("0", "etc/motd", b"A file read through iSCSI from layers in a registry.\n")
for n in range(120):
    put("0", f"usr/share/doc/package-{n}/copyright", text(dice.randint(1, 30000)))
for n in range(20):
    put("0", f"usr/lib/module-{n}.so", dice.randbytes(dice.randint(1000, 300000)) + text(50000))
put("0", "var/lib/large", text(9 << 20))
put("0", "opt/random", dice.randbytes(4 << 20))
put("1", "etc/hostname", b"second-layer\n")
for n in range(40):
    put("1", f"usr/share/python/module_{n}.py", text(dice.randint(1, 60000)))
put("1", "usr/bin/program", dice.randbytes(1 << 20) + text(1 << 20))
put("2", "srv/data/new", text(3 << 20))
put("2", "srv/data/empty", b"")
PY

mkdir -p "$work/2/var/lib" && : >"$work/2/var/lib/.wh.large"
"$(dirname "$0")/stack_trees.sh" "$target" 64M "$work"/{0,1,2}
(cd "$work" && mkdir tree && for n in 0 1 2; do cp -r "$n/." tree/; done && rm tree/var/lib/{large,.wh.large} &&
  cd tree && find . -type f | sort | xargs sha256sum) >"$target/files.sha256"
