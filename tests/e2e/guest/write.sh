#!/bin/sh
# Run in the virtual machine by write.sh: write.sh PORT IQN_APPEND IQN_SPARSE
. /lib/guest.sh
port=$1 append=$2 sparse=$3
start_iscsid
discover "127.0.0.1:$port" >/dev/null
# One writes with digests and as much unsolicited data as there may be, the other only what is asked for.
set_digests "$append" CRC32C
set_node "$append" node.session.iscsi.InitialR2T No
set_node "$append" node.session.iscsi.ImmediateData Yes
set_node "$sparse" node.session.iscsi.InitialR2T Yes
set_node "$sparse" node.session.iscsi.ImmediateData No
for iqn in "$append" "$sparse"; do
  # A dead network is noticed within 4 s instead of 10.
  set_node "$iqn" 'node.conn[0].timeo.noop_out_interval' 2
  set_node "$iqn" 'node.conn[0].timeo.noop_out_timeout' 2
  login "$iqn"
done
iscsiadm -m session -P 2 >/run/negotiated
grep -q 'InitialR2T: Yes' /run/negotiated && grep -q 'InitialR2T: No' /run/negotiated || fail "InitialR2T: $(cat /run/negotiated)"
grep -q 'ImmediateData: No' /run/negotiated && grep -q 'DataDigest: CRC32C' /run/negotiated || fail "$(cat /run/negotiated)"
append_disk=$(wait_disk "$append" 0) || fail "no disk"
sparse_disk=$(wait_disk "$sparse" 0) || fail "no disk"
sessions_fail() { wait_for 60 "the sessions' failure" sh -c '! grep -q LOGGED_IN /sys/class/iscsi_session/session*/state'; }

# writer NAME FOLDER FILES: files of 256 KiB, each synced, until /run/enough; after so many the oldest is written anew. Sums
# go to /run/NAME.
writer() {
  n=0
  until [ -e /run/enough ]; do
    n=$((n % $3 + 1))
    dd if=/dev/urandom of="/$1/$2/f$n" bs=128k count=2 conv=fsync 2>>/run/errors || echo "a write failed" >>/run/failed
    (cd "/$1/$2" && sha256sum "f$n") >>"/run/$1"
  done
}
# progress N: N more files on each.
progress() {
  for name in append sparse; do
    want=$(($(wc -l <"/run/$name") + $1))
    wait_for 100 "writes on $name" sh -c "[ \$(wc -l </run/$name) -ge $want ]"
  done
}
# last_sums NAME: the last sum of each file.
last_sums() { awk '{ sum[$2] = $1 } END { for (name in sum) print sum[name] "  " name }' "/run/$1"; }
check() {
  [ ! -e /run/failed ] || fail "writes failed: $(tail -3 /run/errors)"
  echo 3 >/proc/sys/vm/drop_caches
  last_sums "$1" >"/run/$1.last"
  (cd "/$1/$2" && sha256sum -c --quiet "/run/$1.last") || fail "$1: files differ"
}
# start_writers FOLDER FILES: on both disks.
start_writers() {
  rm -f /run/enough
  writers=
  for name in append sparse; do
    : >"/run/$name"
    mkdir -p "/$name/$1"
    sync -f "/$name/$1"
    writer $name "$1" "$2" &
    writers="$writers $!"
  done
}
stop_writers() {
  : >/run/enough
  # shellcheck disable=SC2086
  wait $writers
}

say "trim: GET LBA STATUS shows it, the sparse upper shrinks, and a restart does not bring it back"
for disk in "$append_disk" "$sparse_disk"; do
  dd if=/dev/urandom of="$disk" bs=1M count=8 seek=40 oflag=direct 2>/dev/null || fail "raw write"
  expect "written blocks" '^0x0*14000  0x4000  0 ' sg_get_lba_status --brief --lba=81920 "$disk"
done
host remember
for disk in "$append_disk" "$sparse_disk"; do blkdiscard -o 41943040 -l 8388608 "$disk" || fail "blkdiscard"; done
host smaller 8000 || fail "the sparse upper has not shrunk"
host kill overlaybd && host start overlaybd || fail "no restart"
for disk in "$append_disk" "$sparse_disk"; do
  [ "$(dd if="$disk" bs=1M count=8 skip=40 iflag=direct 2>/dev/null | tr -d '\000' | wc -c)" = 0 ] || fail "trimmed blocks are not zeros"
  expect "trimmed blocks" '^0x0*14000  0x[0-9a-f]+  1 ' sg_get_lba_status --brief --lba=81920 "$disk"
done

say "the image's own file system, written to; and a new one over it"
mkdir /append /sparse
mount "$append_disk" /append || fail "mount"
mkfs.ext4 -q "$sparse_disk" && mount "$sparse_disk" /sparse || fail "mkfs"
(cd /append && sha256sum -c --quiet /t/files.sha256) || fail "a file of the image differs"
start_writers first 24
progress 3
say "snapshots under writes"
for name in append sparse; do host ctl snapshot $name || fail "snapshot of $name"; done
progress 2
for _ in 1 2; do
  say "the daemon dies under writes"
  host kill overlaybd || fail "no kill"
  sessions_fail
  host start overlaybd || fail "no start"
  progress 2
done
say "the daemon is restarted in good order under writes"
host stop overlaybd && host start overlaybd || fail "no restart"
progress 2
say "the network is cut under writes"
ip route replace blackhole 127.0.0.1/32
sessions_fail
ip route del blackhole 127.0.0.1/32
ip route replace 127.0.0.1/32 via 10.0.2.2 dev vec0 src 10.0.2.15
progress 2
stop_writers
check append first
check sparse first
(cd /append && sha256sum -c --quiet /t/files.sha256) || fail "a file of the image differs"

say "fstrim"
dd if=/dev/urandom of=/sparse/large bs=1M count=12 conv=fsync 2>/dev/null || fail "a large file"
rm /sparse/large
sync -f /sparse
host remember
for name in append sparse; do fstrim -v /$name || fail "fstrim of $name"; done
host smaller 12000 || fail "the sparse upper has not shrunk"
umount /append /sparse
for disk in "$append_disk" "$sparse_disk"; do
  expect "the file system" 'Pass 5' e2fsck -fn "$disk"
done

say "the disk grows on line"
mount "$append_disk" /append && mount "$sparse_disk" /sparse || fail "mount"
for name in append sparse; do host ctl resize $name 96M || fail "resize of $name"; done
dd if="$append_disk" of=/dev/null bs=4k count=1 iflag=direct 2>/dev/null
dmesg | grep -q 'Capacity data has changed' || fail "no unit attention"
iscsiadm -m session -R >/dev/null || fail "rescan"
for name in append sparse; do
  eval "disk=\$${name}_disk"
  [ "$(cat "/sys/block/${disk#/dev/}/size")" = $((96 << 11)) ] || fail "the kernel does not see $name's new size"
  expect "resize2fs" 'is now' resize2fs "$disk"
  [ "$(($(stat -f -c '%b * %S' /$name)))" -gt $((70 << 20)) ] || fail "$name's file system has not grown"
  check $name first
done

say "both sides die under writes"
start_writers last 150         # more than there will be: a file that is being written anew has lost its old bytes
progress 20
host kill overlaybd || fail "no kill"
for name in append sparse; do last_sums $name | sed "s/^/acked $name /"; done
