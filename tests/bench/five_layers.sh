#!/bin/bash
# five_layers.sh LAYOUT: an OCI image LAYOUT:five of Debian packages that this machine has, python3 in one layer, a layer
# that deletes, as gzip layers. Needs umoci; no network, no root.
set -euo pipefail
layout=$1
scratch=$(mktemp -d "${TMPDIR:-/tmp}/five-layers.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
pack() { tar --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner --format=pax --pax-option=delete=atime,delete=ctime -cf "$@"; }
# package_files PACKAGE...: what dpkg installed of them, without directories that are symbolic links here.
package_files() { { dpkg -L "$@" 2>/dev/null || true; } | sort -u | while read -r path; do if [ -f "$path" ] || [ -L "$path" ]; then printf '.%s\n' "$path"; fi; done; }
mkdir -p "$scratch"/{3,5}/usr/local "$scratch/4/usr/share/doc"
package_files base-files libc6 bash coreutils dash debianutils perl-base git | (cd / && pack "$scratch/1.tar" --no-recursion -T -)
package_files python3-minimal python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 zlib1g libssl3 | (cd / && pack "$scratch/2.tar" --no-recursion -T -)
head -c 5M /dev/zero >"$scratch/3/usr/local/zeros"
for package in bash libc6 git; do : >"$scratch/4/usr/share/doc/.wh.$package"; done
printf '#!/usr/bin/python3\nprint("hello")\n' >"$scratch/5/usr/local/hello"
for n in 3 4 5; do pack "$scratch/$n.tar" -C "$scratch/$n" .; done
umoci init --layout "$layout"
umoci new --image "$layout:five"
for n in 1 2 3 4 5; do umoci raw add-layer --image "$layout:five" "$scratch/$n.tar"; done
