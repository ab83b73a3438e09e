#!/bin/sh
# Run in the virtual machine by kernel.sh: kernel.sh PORT IQN DISK_SHA256
. /lib/guest.sh
port=$1 iqn=$2 disk_digest=$3
start_iscsid
discover "127.0.0.1:$port" | grep -q "$iqn" || fail "discovery does not show $iqn"

for digests in None CRC32C; do
  say "digests $digests"
  set_digests "$iqn" "$digests"
  login "$iqn"
  disk=$(wait_disk "$iqn" 0) || fail "no disk"
  iscsiadm -m session -P 2 | grep -q "DataDigest: $digests" || fail "the digests were not negotiated"
  [ "$(cat "/sys/block/${disk#/dev/}/ro")" = 1 ] || fail "the disk is not write-protected"
  mount -o ro "$disk" /mnt || fail "mount"
  (cd /mnt && sha256sum -c --quiet /t/files.sha256) || fail "a file differs"
  [ "$(find /mnt -type f | wc -l)" = "$(wc -l </t/files.sha256)" ] || fail "files are missing or too many"
  umount /mnt
  logout "$iqn"
  [ -z "$(session_of "$iqn")" ] || fail "still there after logout"
done

say "the daemon dies under reads"
set_digests "$iqn" None
login "$iqn"
disk=$(wait_disk "$iqn" 0) || fail "no disk"
(for _ in 1 2 3 4; do dd if="$disk" bs=256k iflag=direct 2>/dev/null | sha256sum; done) >/run/digests &
reader=$!
host kill overlaybd && host start overlaybd || fail "no restart"
kill -0 $reader || fail "the reads were over before the restart"
wait $reader
[ "$(grep -c "$disk_digest" /run/digests)" = 4 ] || fail "reads across a restart differ: $(cat /run/digests)"
logout "$iqn"

say "what attach has printed, typed"
start_udevd
grep -E '^  (iscsiadm|mount|umount) ' /t/attached >/run/typed
[ "$(wc -l </run/typed)" = 4 ] || fail "not what was expected: $(cat /t/attached)"
while read -r line; do
  case $line in
    mount*) wait_for 20 "the disk's name" test -b "$(echo "$line" | grep -o '/dev/[^ ]*')" ;;
    umount*) (cd /mnt && sha256sum -c --quiet /t/files.sha256) || fail "a file differs" ;;
  esac
  sh -ec "$line" >/run/typed.out 2>&1 </dev/null || fail "$line: $(cat /run/typed.out)"
done </run/typed
[ -z "$(ls /sys/class/iscsi_session)" ] || fail "still logged in"
say "passed"
