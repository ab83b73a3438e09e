#!/bin/bash
# quickstart.sh [--keep]: from a bare Debian 12 to a file read out of a container image over iSCSI.
#
# Installs what is missing, builds Release, makes a small root file system as an overlaybd image of three layers, puts
# it into a registry on loopback, starts overlaybd-iscsid, attaches the image by reference and reads it as an initiator.
# Everything is on 127.0.0.1 at free ports and lies in build/quickstart. At the end all that was started is stopped;
# --keep leaves it running and says how to stop it. The second run takes seconds.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$top"
keep=
case ${1:-} in
  '') ;;
  --keep) keep=yes ;;
  -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
  *) echo "quickstart: unknown argument $1 (see --help)" >&2; exit 2 ;;
esac

bold="" plain=""
[ ! -t 1 ] || { bold=$(tput bold 2>/dev/null || true); plain=$(tput sgr0 2>/dev/null || true); }
say() { printf '%s\n' "$bold==> $*$plain"; }
shown() { printf '%s\n' "$bold\$ $*$plain"; "$@"; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

say "Installing what is missing (asks dpkg first; nothing to do on a second run)"
tools/install-deps.sh build run
export PATH=$PATH:/usr/sbin:/sbin

say "Building Release into build/release (several minutes the first time, a second later)"
mkdir -p build
cmake --preset release >build/release.configure.log || { cat build/release.configure.log; exit 1; }
cmake --build --preset release --target overlaybd-iscsid overlaybdctl make-test-image iscsi-cat
bin=$top/build/release/bin

home=$top/build/quickstart
mkdir -p "$home"
run=$(mktemp -d "$home/run.XXXXXX")      # config, sockets, logs and cache of this run
pids=()
stop() {
  local status=$? pid
  [ -z "$keep" ] || [ "$status" -ne 0 ] || return 0
  for pid in "${pids[@]:-}"; do [ -z "$pid" ] || kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]:-}"; do [ -z "$pid" ] || timeout 10 tail --pid="$pid" -f /dev/null || kill -KILL "$pid"; done
  if [ "$status" -ne 0 ]; then
    echo "quickstart failed; the logs are in $run" >&2
    tail -n 5 "$run"/*.log >&2 2>/dev/null || true
  else
    rm -rf "$run"
  fi
}
trap stop EXIT
trap "exit 130" INT TERM

if [ ! -e "$home/image/done" ]; then
  say "Making an image: a root file system of busybox in three layers"
  rm -rf "$home/image" "$home/tree"
  mkdir -p "$home/tree"/0/{bin,etc,proc,sys,dev,tmp,root} "$home/tree"/1/{etc,usr/share/doc} "$home/tree"/2/{etc,srv}
  cp "$(command -v busybox)" "$home/tree/0/bin/busybox"
  for name in sh ls cat mount ps vi wget; do ln -s busybox "$home/tree/0/bin/$name"; done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$home/tree/0/etc/passwd"
  echo 'to be deleted by the third layer' >"$home/tree/0/etc/obsolete"
  cp -r docs "$home/tree/1/usr/share/doc/overlaybd-iscsi"
  echo 'Hello from a container image, read block by block over iSCSI.' >"$home/tree/1/etc/motd"
  head -c 4M /dev/urandom >"$home/tree/2/srv/data"
  : >"$home/tree/2/etc/.wh.obsolete"
  tests/support/stack_trees.sh "$home/image/disks" 64M "$home"/tree/{0,1,2}
  "$bin/make-test-image" --lz4 "$home/image/layers" "$home"/image/disks/{0,1,2}.img
  rm -rf "$home/image/disks" "$home/tree"
  touch "$home/image/done"
fi

say "Starting a registry (docker-registry) and pushing the image"
registry=127.0.0.1:$(free_port)
printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "%s"}\n' "$home/registry" "$registry" >"$run/registry.yml"
docker-registry serve "$run/registry.yml" >"$run/registry.log" 2>&1 &
pids+=($!)
until curl -s -o /dev/null "http://$registry/v2/"; do
  kill -0 "${pids[-1]}" || exit 1
  sleep 0.1
done
shown python3 tests/support/push_image.py "$registry" demo/busybox latest "$home"/image/layers/layer*

say "Starting overlaybd-iscsid (as $(id -un), in the background)"
port=$(free_port)
mkdir -p "$run/cache" "$run/state"
(umask 077; echo '{"auths": {}}' >"$run/cred.json")
cat >"$run/overlaybd.json" <<JSON
{
  "logConfig": {"logLevel": 1, "logPath": "$run/overlaybd.log"},
  "cacheConfig": {"cacheType": "file", "cacheDir": "$run/cache", "cacheSizeGB": 1},
  "credentialConfig": {"mode": "file", "path": "$run/cred.json"},
  "download": {"enable": false},
  "enableAudit": true, "auditPath": "$run/audit.log",
  "iscsi": {"portals": ["127.0.0.1:$port"]},
  "adminSocket": "$run/admin.sock",
  "stateDir": "$run/state"
}
JSON
"$bin/overlaybd-iscsid" --config "$run/overlaybd.json" >"$run/daemon.log" 2>&1 &
pids+=($!)
ctl() { "$bin/overlaybdctl" --socket "$run/admin.sock" "$@"; }
until ctl list >/dev/null 2>&1; do
  kill -0 "${pids[-1]}" || exit 1
  sleep 0.1
done
echo "configuration: $run/overlaybd.json"

say "Attaching the image by its reference, and listing the exports"
shown "$bin/overlaybdctl" --socket "$run/admin.sock" attach "$registry/demo/busybox:latest" --name busybox --insecure
shown "$bin/overlaybdctl" --socket "$run/admin.sock" list
target=$(ctl --json show busybox | python3 -c 'import json, sys; print(json.load(sys.stdin)["target"])')
lun=$(ctl --json show busybox | python3 -c 'import json, sys; print(json.load(sys.stdin)["lun"])')
url=iscsi://127.0.0.1:$port/$target/$lun

say "Discovering and reading it as an initiator (libiscsi, QEMU)"
shown iscsi-ls -s "iscsi://127.0.0.1:$port"
shown "$bin/iscsi-cat" "$url" /etc/motd
shown qemu-img info "$url"
qemu-io -f raw -r -c 'aio_read -q 0 1M' -c 'sleep 1500' "$url" >/dev/null 2>&1 &
reader=$!
until [ "$(ctl --json sessions | tr -d ' \n')" != '[]' ] || ! kill -0 $reader 2>/dev/null; do sleep 0.1; done
shown "$bin/overlaybdctl" --socket "$run/admin.sock" sessions
wait $reader || true
stored=$(cat "$home"/image/layers/layer* | wc -c)
fetched=$(ctl --json show busybox | python3 -c 'import json, sys; print(json.load(sys.stdin)["fetched_bytes"])')
echo "The image has $((stored >> 10)) KiB in the registry; $((fetched >> 10)) KiB of it were fetched so far."

login="sudo iscsiadm -m discovery -t sendtargets -p 127.0.0.1:$port
sudo iscsiadm -m node -T $target -p 127.0.0.1:$port --login
sudo mount -o ro /dev/disk/by-path/ip-127.0.0.1:$port-iscsi-$target-lun-$lun /mnt
ls /mnt
sudo umount /mnt
sudo iscsiadm -m node -T $target -p 127.0.0.1:$port --logout"

# The kernel's own initiator, where this machine has it.
kernel_initiator() {
  [ "$(id -u)" -eq 0 ] && command -v iscsiadm >/dev/null && { [ -e /sys/module/iscsi_tcp ] || modprobe iscsi_tcp 2>/dev/null; }
}
mount_it() {
  local device=/dev/disk/by-path/ip-127.0.0.1:$port-iscsi-$target-lun-$lun mounted=$run/mnt
  shown iscsiadm -m discovery -t sendtargets -p "127.0.0.1:$port" || return
  shown iscsiadm -m node -T "$target" -p "127.0.0.1:$port" --login || return
  for _ in $(seq 100); do [ -e "$device" ] && break; sleep 0.1; done
  mkdir -p "$mounted"
  shown mount -o ro "$device" "$mounted" && { shown ls -l "$mounted"; shown umount "$mounted"; }
  shown iscsiadm -m node -T "$target" -p "127.0.0.1:$port" --logout
}
if kernel_initiator; then
  say "Logging in with the kernel's initiator and mounting"
  mount_it || echo "the kernel's initiator did not get through; it is optional here"
else
  say "This machine has no open-iscsi with iscsi_tcp (or this is not root); with it one would type:"
  printf '%s\n' "$login"
fi

if [ -n "$keep" ]; then
  say "Left running: overlaybd-iscsid is process ${pids[1]}, the registry ${pids[0]}"
  printf '%s\n' "$login" "" "$bin/overlaybdctl --socket $run/admin.sock list" "kill ${pids[*]}     # stops both"
  disown -a
else
  say "Done. All that was started is being stopped (--keep leaves it running)."
fi
