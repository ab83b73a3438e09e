#!/bin/bash
# multipath.sh: two daemons serve one image. To the kernel's initiator that is one disk with two paths (dm-multipath, by the
# designators alone); either daemon is killed under reads in turn, nothing is lost, and its path comes back with it. A writable disk is reached over IPv4 and IPv6, and IPv4 is cut under writes.
source "$(dirname "$0")/lib.sh"

! has_ipv6 || MORE_PORTALS='"[::1]:PORT"'
# Each daemon its own name, port, cache and export, one by the tag and one by the digest: only the image is the same.
registry_start
digest=$(push "$REGISTRY" test/root lz4 "$IMAGE"/lz4/layer*)
declare -A reference=([left]=$REGISTRY/test/root:lz4 [right]=$REGISTRY/test/root@$digest)
for side in left right; do
  unset PORT
  SOCKET=$T/$side.sock
  daemon_start $side
  attach "${reference[$side]}" --name "root-$side" --insecure
  paths+=("$PORT" "$IQN")
done
SOCKET=$T/left.sock
attach --config "$IMAGE/lz4/config.v1.json" --name disk --writable
revivable left right
status=0
"$E2E/vm/kernel-vm" --timeout 280 --file "$IMAGE/files.sha256" --hook "$T/hook" --console "$T/console" \
  "$E2E/guest/multipath.sh" "$(cat "$IMAGE/disk.sha256")" "${paths[@]}" "$IQN" "${MORE_PORTALS:+ipv6}" || status=$?
[ "$status" -eq 0 ] || die "the guest ended with $status"
say "passed"
