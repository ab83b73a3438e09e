#!/bin/bash
# install-deps.sh [build|run|test|bench|all]...: installs the Debian 12 packages that are missing. Default: build run.
# Asks dpkg first, so that a second run does nothing and needs neither network nor root.
set -euo pipefail

declare -A packages=(
  # to compile
  [build]="g++ cmake ninja-build pkg-config git ca-certificates libboost1.81-dev libssl-dev libcurl4-openssl-dev
           libspdlog-dev rapidjson-dev libcli11-dev liblz4-dev libzstd-dev zlib1g-dev libarchive-dev libext2fs-dev
           libcom-err2 comerr-dev liburing-dev libaio-dev catch2 python3"
  # tools/quickstart.sh: a registry, an image, an initiator
  [run]="docker-registry curl python3 e2fsprogs busybox-static libiscsi-bin libiscsi-dev qemu-utils qemu-block-extra"
  # tests/run.sh: formatting and lint, clang for fuzzing, the kernel initiator's virtual machine, a PC that boots from a LUN
  [test]="clang-14 clang-format-14 shellcheck apache2-utils openssl kmod cpio procps
          libclang-rt-14-dev tgt umoci python3-minimal qemu-system-x86 ipxe-qemu"
  # tests/bench: a peer and its tools, and what the image tools are measured against
  [bench]="tgt libiscsi-bin qemu-utils qemu-block-extra gcc procps lz4 zstd umoci"
)

groups=("$@")
[ ${#groups[@]} -gt 0 ] || groups=(build run)
[ "${groups[0]}" != all ] || groups=(build run test bench)

wanted=()
for group in "${groups[@]}"; do
  [ -n "${packages[$group]:-}" ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
  read -r -d '' -a some <<<"${packages[$group]}" || true
  wanted+=("${some[@]}")
done

missing=()
for package in "${wanted[@]}"; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "install-deps: need root or sudo for: ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
echo "install-deps: installing ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# RUNLEVEL=1 keeps packages with a service (docker-registry, tgt) from starting it; ours run on free ports anyway.
"${as_root[@]}" apt-get -q update >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
  apt-get -qy -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
