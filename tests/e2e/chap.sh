#!/bin/bash
# chap.sh: the kernel's initiator authenticates, and has the target authenticate itself, for discovery and for sessions; with
# every algorithm that both know. Wrong secrets are refused by either side and said so in both logs.
source "$(dirname "$0")/lib.sh"

ISCSI_KEYS='"discoveryAuth": {"user": "finder", "secret": "finder-secret", "mutualUser": "target", "mutualSecret": "target-secret"}'
daemon_start
chap() { (umask 077; printf '%s\n' "$2" >"$T/$1.chap"); }
chap one '{"user": "alice", "secret": "alice-secret-1"}'
chap both '{"user": "alice", "secret": "alice-secret-1", "mutual_user": "target", "mutual_secret": "target-secret-2"}'
attach --config "$IMAGE/lz4/config.v1.json" --name one --chap-file "$T/one.chap"
one=$IQN
attach --config "$IMAGE/lz4/config.v1.json" --name both --chap-file "$T/both.chap"
both=$IQN
attach --config "$IMAGE/lz4/config.v1.json" --name theirs --initiator iqn.2026-11.io.overlaybd.test:somebody-else
theirs=$IQN
status=0
"$E2E/vm/kernel-vm" --timeout 280 --console "$T/console" \
  "$E2E/guest/chap.sh" "$PORT" "$one" "$both" "$theirs" "$(cat "$IMAGE/disk.sha256")" || status=$?
[ "$status" -eq 0 ] || die "the guest ended with $status"
! grep -qE 'alice-secret|target-secret|finder-secret' "$T/overlaybd.log" "$T/overlaybd.audit" || die "a secret is in a log"
refusals() { grep -c "login refused initiator=iqn.2026-11.io.overlaybd.test:kernel-vm .*status=\"$1\"" "$T/overlaybd.log"; }
same "refusals for a wrong name or secret" "$(refusals 'authentication failure')" 6
same "refusals of who may not use the target" "$(refusals 'authorization failure')" 1
say "passed"
