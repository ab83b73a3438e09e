#!/bin/bash
# kernel.sh: the Linux kernel's initiator in a virtual machine discovers, logs in (with and without digests), mounts
# the ext4 read-only, finds every file's checksum right, and logs out; the daemon is killed and restarted under reads. What
# attach prints is typed as it stands.
source "$(dirname "$0")/lib.sh"

daemon_start
attach --config "$IMAGE/lz4/config.v1.json" --name root
ctl attach --config "$IMAGE/zstd/config.v1.json" --name typed >"$T/attached"
revivable overlaybd
status=0
"$E2E/vm/kernel-vm" --timeout 280 --file "$IMAGE/files.sha256" --file "$T/attached" --hook "$T/hook" --console "$T/console" \
  "$E2E/guest/kernel.sh" "$PORT" "$IQN" "$(cat "$IMAGE/disk.sha256")" || status=$?
[ "$status" -eq 0 ] || die "the guest ended with $status"
same "sessions after logout" "$(ctl --json sessions | json 'len(value)')" 0
say "passed"
