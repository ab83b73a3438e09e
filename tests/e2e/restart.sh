#!/bin/bash
# restart.sh: the daemon is killed (SIGKILL) while it is read and started again: exports, LUNs and serials are back,
# also while the registry is down, and QEMU's initiator reconnects and goes on.
source "$(dirname "$0")/lib.sh"

registry_start
push "$REGISTRY" test/root lz4 "$IMAGE"/lz4/layer*
wanted=$(cat "$IMAGE/disk.sha256")
daemon_start
attach "$REGISTRY/test/root:lz4" --name root --insecure
root=$URL
attach --config "$IMAGE/raw/config.v1.json" --name local
iscsi-inq -e 1 -c 131 "$root" >"$T/designators" 2>/dev/null
before=$(ctl --json list | json '[(e["name"], e["target"], e["lun"], e["size_bytes"]) for e in sorted(value, key=lambda e: e["name"])]')

say "killed and restarted three times under one read"
# 8 MiB a second: the disk takes eight seconds, so that every kill hits the reader.
qemu-img convert -r 8M -O raw "$root" "$T/disk" 2>"$T/convert.err" &
reader=$!
pids+=("$reader")
for _ in 1 2 3; do
  until_true 30 "the reader's session" sh -c "overlaybdctl --socket '$T/overlaybd.sock' --json sessions | grep -q iqn"
  kill -0 "$reader" || die "the reader was done before the daemon was killed: $(cat "$T/convert.err")"
  daemon_kill
  daemon_start
done
wait "$reader" || die "the reader failed: $(cat "$T/convert.err")"
same "the disk's digest" "$(digest <"$T/disk")" "$wanted"
same "exports after restart" "$(ctl --json list | json '[(e["name"], e["target"], e["lun"], e["size_bytes"]) for e in sorted(value, key=lambda e: e["name"])]')" "$before"
iscsi-inq -e 1 -c 131 "$root" 2>/dev/null | cmp - "$T/designators" || die "the designators have changed"

say "started while the registry is down: what is cached is served"
daemon_stop
kill "$REGISTRY_PID"
wait "$REGISTRY_PID" 2>/dev/null || true
daemon_start
until_true 60 "the export without its registry" iscsi-inq "$root"
qemu-img convert -O raw "$root" "$T/disk"
same "the disk's digest" "$(digest <"$T/disk")" "$wanted"
daemon_stop
say "passed"
