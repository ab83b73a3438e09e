#!/bin/bash
# scsi.sh: sg3_utils and sdparm over the kernel's initiator: every page and command they know, reservations between two
# initiators and over a restart, LUNs that come and go, resets, and commands aborted while the daemon is stopped.
source "$(dirname "$0")/lib.sh"

daemon_start
attach --config "$IMAGE/lz4/config.v1.json" --name disk --writable
revivable overlaybd
# more: a second LUN of the target.
printf '#!/bin/bash\nexec "%s/overlaybdctl" --socket "%s" attach --config "%s" --name more --target disk --lun 5 >/dev/null\n' \
  "$BIN" "$T/overlaybd.sock" "$IMAGE/raw/config.v1.json" >"$T/host-more"
chmod +x "$T/host-more"
for signal in STOP CONT; do
  printf '#!/bin/bash\nkill -%s "$(cat "%s")"\n' $signal "$T/overlaybd.pid" >"$T/host-$signal"
  chmod +x "$T/host-$signal"
done
status=0
"$E2E/vm/kernel-vm" --timeout 280 --hook "$T/hook" --console "$T/console" "$E2E/guest/scsi.sh" "$PORT" "$IQN" || status=$?
[ "$status" -eq 0 ] || die "the guest ended with $status"
say "passed"
