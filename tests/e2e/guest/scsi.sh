#!/bin/sh
# Run in the virtual machine by scsi.sh: scsi.sh PORT IQN
# sg3_utils' exit status: 0 good, 5 illegal request, 6 unit attention, 14 miscompare, 22 out of range, 24 reservation conflict.
. /lib/guest.sh
port=$1 iqn=$2
start_iscsid
discover "127.0.0.1:$port" >/dev/null
login "$iqn"
disk=$(wait_disk "$iqn" 0) || fail "no disk"
# refused STATUS WHAT PATTERN COMMAND...: the command ends with that status and says so.
refused() {
  status=$1 what=$2 pattern=$3
  shift 3
  "$@" >/run/expect 2>&1
  got=$?
  [ $got = "$status" ] || fail "$what: $* ended with $got, not $status: $(cat /run/expect)"
  grep -Eq -e "$pattern" /run/expect || fail "$what: no '$pattern' in the output of $*: $(cat /run/expect)"
}
# block LBA: the block of 4 KiB there. same_bytes WHAT A B
block() { dd if="${2:-$disk}" bs=4096 count=1 skip=$(($1 / 8)) iflag=direct 2>/dev/null; }
same_bytes() { cmp -s "$2" "$3" || fail "$1: the bytes differ"; }

say "what the unit says of itself"
expect "INQUIRY" 'SPC-[45]|version=0x0[67]' sg_inq "$disk"
grep -q 'Vendor identification: OVERLAYB' /run/expect && grep -q '3PC=1' /run/expect || fail "INQUIRY: $(cat /run/expect)"
expect "VPD pages" 'Logical block provisioning' sg_vpd "$disk"
for page in sv sn di ei mpp sp tpc bl bdc lbpv; do expect "VPD page $page" ':' sg_vpd -p $page "$disk"; done
expect "all VPD pages" 'Block limits' sg_vpd --all "$disk"
expect "thin provisioning" 'UNMAP|LBPU\): 1' sg_vpd -p lbpv "$disk"
expect "the name" 'naa\.' sg_vpd -p di "$disk"
expect "REPORT LUNS" '1 lun entry' sg_luns "$disk"
expect "READ CAPACITY(10)" '0x20000 0x200' sg_readcap --brief "$disk"
expect "READ CAPACITY(16)" 'lbpme=1, lbprz=1' sg_readcap --long "$disk"
expect "REPORT SUPPORTED OPERATION CODES" 'Compare and write' sg_opcodes --rctd "$disk"
[ "$(grep -Ec '^ [0-9a-f]{2} ' /run/expect)" -ge 60 ] || fail "few commands: $(cat /run/expect)"
expect "one operation code" 'recommended timeout: [1-9]' sg_opcodes --rctd --opcode=0x93 "$disk"
expect "task management functions" 'Abort task' sg_opcodes --tmf "$disk"
expect "log pages" 'Supported log pages' sg_logs "$disk"
expect "all log pages" 'Informational' sg_logs --all "$disk"
expect "the log page of thin provisioning" 'rovisioning' sg_logs --page=0xc "$disk"
expect "mode pages" 'Caching' sg_modes "$disk"
expect "all mode pages" 'Control' sg_modes --all "$disk"
expect "REPORT TARGET PORT GROUPS" 'target port group id' sg_rtpg "$disk"
expect "REQUEST SENSE" 'No Sense' sg_requests "$disk"
expect "TEST UNIT READY" '' sg_turs --verbose "$disk"
refused 5 "an unknown log page" 'illegal' sg_logs --page=0x3e "$disk"

say "commands on the medium"
for name in a b zero; do dd if=/dev/urandom of=/run/$name bs=4096 count=1 2>/dev/null; done
dd if=/dev/zero of=/run/zero bs=4096 count=1 2>/dev/null
cat /run/a /run/b >/run/ab
dd if=/run/a of="$disk" bs=4096 oflag=direct 2>/dev/null || fail "a write"
expect "COMPARE AND WRITE" '' sg_compare_and_write --in=/run/ab --lba=0 --num=8 --xferlen=8192 "$disk"
block 0 >/run/got
same_bytes "COMPARE AND WRITE" /run/got /run/b
refused 14 "COMPARE AND WRITE again" 'Miscompare' sg_compare_and_write --in=/run/ab --lba=0 --num=8 --xferlen=8192 "$disk"
head -c 512 /run/a >/run/sector
for i in 1 2 3 4 5 6 7 8; do cat /run/sector; done >/run/sectors
expect "WRITE SAME(16)" '' sg_write_same --16 --lba=64 --num=64 --in=/run/sector --xferlen=512 "$disk"
block 120 >/run/got
same_bytes "WRITE SAME" /run/got /run/sectors
expect "blocks are mapped" '^0x0*40  0x40  0 ' sg_get_lba_status --brief --lba=64 "$disk"
expect "WRITE SAME(16) with UNMAP" '' sg_write_same --16 --unmap --lba=64 --num=32 --in=/dev/zero --xferlen=512 "$disk"
expect "WRITE SAME(10) with UNMAP" '' sg_write_same --10 --unmap --lba=96 --num=16 --in=/dev/zero --xferlen=512 "$disk"
expect "UNMAP" '' sg_unmap --force --lba=112 --num=16 "$disk"
expect "blocks are not mapped any more" '^0x0*40  0x[0-9a-f]+  1 ' sg_get_lba_status --brief --lba=64 "$disk"
block 112 >/run/got
same_bytes "UNMAP" /run/got /run/zero
expect "WRITE AND VERIFY" '' sg_write_verify --in=/run/a --lba=256 --num=8 --ilen=4096 "$disk"
block 256 >/run/got
same_bytes "WRITE AND VERIFY" /run/got /run/a
expect "VERIFY" '' sg_verify --lba=0 --count=2048 "$disk"
expect "VERIFY with data" '' sg_verify --ndo=4096 --in=/run/a --lba=256 --count=8 "$disk"
refused 14 "VERIFY with other data" 'Miscompare|miscompare' sg_verify --ndo=4096 --in=/run/b --lba=256 --count=8 "$disk"
expect "SYNCHRONIZE CACHE" '' sg_sync "$disk"
sg=/dev/$(ls "/sys/block/${disk#/dev/}/device/scsi_generic")
expect "EXTENDED COPY" '8 blocks, 1 command' sg_xcopy if="$sg" of="$sg" bs=512 count=8 skip=256 seek=2048
block 2048 >/run/got
same_bytes "EXTENDED COPY" /run/got /run/a
refused 22 "a block past the end" 'out of range|Illegal' sg_verify --lba=0x20000 --count=1 "$disk"

say "a second initiator"
second() { iscsiadm -m iface -I second "$@" >/dev/null || fail "iface $*"; }
second --op=new
second --op=update -n iface.initiatorname -v iqn.2026-11.io.overlaybd.test:second
iscsiadm -m node -T "$iqn" -p "127.0.0.1:$port" -I second --op=new >/dev/null || fail "a second node"
iscsiadm -m node -T "$iqn" -I second --login >/dev/null || fail "a second login"
other_disk() {
  for block in /sys/class/iscsi_session/session*/device/target*/*:0/block/*; do
    block=/dev/${block##*/}
    [ ! -b "$block" ] || [ "$block" = "$disk" ] || { echo "$block"; return; }
  done
  return 1
}
wait_for 20 "the second disk" other_disk
other=$(other_disk)
write_by() { sg_write_same --16 --lba=4096 --num=8 --in=/run/sector --xferlen=512 "$1"; }
persist() { unit=$1; shift; sg_persist "$@" "$unit"; }
say "mode parameters of one are news for the other"
sg_turs "$other" >/dev/null 2>&1 || true
expect "clearing WCE" '' sdparm --clear=WCE "$disk"
expect "WCE is clear" 'WCE +0' sdparm --get=WCE "$disk"
refused 6 "the other's unit attention" 'Mode parameters changed' sg_raw "$other" 00 00 00 00 00 00
expect "setting WCE" '' sdparm --set=WCE "$disk"

say "persistent reservations"
sg_turs "$other" >/dev/null 2>&1 || true
expect "registration" '' persist "$disk" --out --register --param-sark=0xa
expect "registration of the other" '' persist "$other" --out --register --param-sark=0xb
expect "the keys" '2 registered' persist "$disk" --in --read-keys
expect "a reservation" '' persist "$disk" --out --reserve --param-rk=0xa --prout-type=1
expect "the reservation" 'Write Exclusive' persist "$other" --in --read-reservation
expect "the holder writes" '' write_by "$disk"
refused 24 "the other writes" 'Reservation conflict|reservation conflict' write_by "$other"
block 0 "$other" | cmp -s - /run/b || fail "the other cannot read"
expect "preempting" '' persist "$other" --out --preempt --param-rk=0xb --param-sark=0xa --prout-type=3
refused 6 "the preempted one's unit attention" 'Registrations preempted|Reservations preempted' sg_raw "$disk" 00 00 00 00 00 00
refused 24 "the preempted one writes" 'eservation conflict' write_by "$disk"
dd if="$disk" of=/dev/null bs=4096 count=1 iflag=direct 2>/dev/null && fail "the preempted one reads under Exclusive Access"
expect "the new holder writes" '' write_by "$other"
expect "a release" '' persist "$other" --out --release --param-rk=0xb --prout-type=3
expect "a free unit" '' write_by "$disk"
say "a reservation with APTPL outlives the daemon"
expect "registration" '' persist "$other" --out --register --param-rk=0xb --param-sark=0xb --param-aptpl
expect "a reservation" '' persist "$other" --out --reserve --param-rk=0xb --prout-type=1
host kill overlaybd && host start overlaybd || fail "no restart"
for unit in "$disk" "$other"; do block 0 $unit >/dev/null || fail "no reads after the restart"; done
expect "the reservation" 'Key=0xb' persist "$disk" --in --read-reservation
refused 24 "a stranger writes" 'eservation conflict' write_by "$disk"
expect "the holder writes" '' write_by "$other"
expect "clearing" '' persist "$other" --out --clear --param-rk=0xb
expect "no keys" 'there are NO registered|0 registered' persist "$disk" --in --read-keys

say "a LUN comes and goes"
host more || fail "no second LUN"
refused 6 "the unit attention" 'Reported luns data has changed' sg_raw "$disk" 00 00 00 00 00 00
iscsiadm -m node -T "$iqn" -I default --rescan >/dev/null || fail "rescan"
more=$(wait_disk "$iqn" 5) || fail "no disk for LUN 5"
expect "REPORT LUNS" '2 lun entries' sg_luns "$disk"
dd if="$more" of=/dev/null bs=1M iflag=direct 2>/dev/null || fail "the second LUN cannot be read"
host ctl detach more || fail "no detach"
refused 6 "the unit attention" 'Reported luns data has changed' sg_raw "$disk" 00 00 00 00 00 00
expect "REPORT LUNS" '1 lun entry' sg_luns "$disk"
refused 5 "a unit that has gone" 'Logical unit not supported' sg_raw --readonly "$more" 00 00 00 00 00 00
echo 1 >"/sys/block/${more#/dev/}/device/delete"
block 0 >/run/got
same_bytes "the first LUN" /run/got /run/b

say "resets, and commands that are aborted"
for kind in --device --target; do
  expect "sg_reset $kind" '' sg_reset --no-esc $kind "$disk"
  refused 6 "the other's unit attention" 'reset' sg_raw "$other" 00 00 00 00 00 00
  block 0 >/run/got
  same_bytes "a read after a reset" /run/got /run/b
done
tmf_requests() { iscsiadm -m session -s | awk '/tmfcmd_pdus/ { sum += $2 } END { print sum + 0 }'; }
more_tmf_requests() { [ "$(tmf_requests)" -gt "$before" ]; }
before=$(tmf_requests)
echo 2 >"/sys/block/${disk#/dev/}/device/timeout"
host STOP || fail "no stop"
block 256 >/run/got &
reader=$!
wait_for 30 "the kernel's ABORT TASK" more_tmf_requests
host CONT || fail "no continuation"
wait $reader || fail "the read that was aborted, and sent again, failed"
same_bytes "the read that was aborted" /run/got /run/a

say "SANITIZE"
expect "BLOCK ERASE" '' sg_sanitize --block --quick --wait "$disk"
block 0 >/run/got
same_bytes "an erased block" /run/got /run/zero
expect "all is erased" '^0x0+  0x20000  1 ' sg_get_lba_status --brief --lba=0 "$disk"

say "detached under reads: they fail, nothing hangs"
for session in /sys/class/iscsi_session/session*; do echo 1 >"$session/recovery_tmo"; done
(while dd if="$disk" of=/dev/null bs=64k iflag=direct 2>/dev/null; do :; done) &
reader=$!
host ctl detach disk || fail "no detach"
wait $reader
iscsiadm -m node -T "$iqn" --logout >/dev/null || fail "logout"
[ -z "$(ls /sys/class/iscsi_session)" ] || fail "still logged in"
say "passed"
