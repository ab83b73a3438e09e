#!/bin/bash
# multipath.sh: two daemons serve one image. To the kernel's initiator that is one disk with two paths (dm-multipath, by the
# designators alone); either daemon is killed under reads in turn, nothing is lost, and its path comes back with it.
source "$(dirname "$0")/lib.sh"

# Each daemon its own name, port and export: only the image is the same.
for side in left right; do
  unset PORT
  SOCKET=$T/$side.sock
  daemon_start $side
  attach --config "$IMAGE/lz4/config.v1.json" --name "root-$side"
  paths+=("$PORT" "$IQN")
done
revivable left right
status=0
"$E2E/vm/kernel-vm" --timeout 280 --file "$IMAGE/files.sha256" --hook "$T/hook" --console "$T/console" \
  "$E2E/guest/multipath.sh" "$(cat "$IMAGE/disk.sha256")" "${paths[@]}" || status=$?
[ "$status" -eq 0 ] || die "the guest ended with $status"
say "passed"
