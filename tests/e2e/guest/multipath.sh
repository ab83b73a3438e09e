#!/bin/sh
# Run in the virtual machine by multipath.sh: multipath.sh DISK_SHA256 (PORT IQN)x2 IQN_WRITABLE [ipv6], the daemons left and
# right, a second target of left's, and whether they listen on [::1], too.
. /lib/guest.sh
disk_digest=$1 left_port=$2 left=$3 right_port=$4 right=$5 writable=$6 ipv6=$7
start_iscsid
discover "127.0.0.1:$left_port" >/dev/null
discover "127.0.0.1:$right_port" >/dev/null
# The other [::1] is this machine's own here; the router has another name for it.
[ -z "$ipv6" ] || for port in "$left_port" "$right_port"; do
  iscsiadm -m node -p "[::1]:$port" -o delete || fail "no IPv6 portal was found"
done
for iqn in "$left" "$right"; do
  set_node "$iqn" node.session.timeo.replacement_timeout 1     # a path that is gone says so soon: the other takes over
  login "$iqn"
done
left_disk=$(wait_disk "$left" 0) || fail "no disk on the left"
right_disk=$(wait_disk "$right" 0) || fail "no disk on the right"

say "one identity: the same serial number and designators of the unit, whoever serves it"
# The designators of the port differ, as they should.
for disk in "$left_disk" "$right_disk"; do
  sg_vpd -p sn "$disk" && sg_vpd -p di_lu "$disk"
done >/run/identity
[ "$(sort /run/identity | uniq -u)" = "" ] || fail "two identities: $(cat /run/identity)"
grep -q . /run/identity || fail "no identity"

cat >/etc/multipath.conf <<'C'
defaults {
  find_multipaths off
  path_grouping_policy multibus
  path_selector "round-robin 0"
  polling_interval 1
  max_polling_interval 1
  no_path_retry queue
}
C
start_udevd
modprobe -a dm-multipath dm-round-robin || fail "no dm-multipath"
multipathd -d -s >/run/multipathd.log 2>&1 &
paths() { multipathd show paths raw format '%d %t %T'; }      # sda active|failed ready|faulty|…
path_is() { paths | grep -q "^${1#/dev/} $2 "; }
wait_for 30 "the left path" path_is "$left_disk" active
wait_for 30 "the right path" path_is "$right_disk" active
wait_for 30 "the map" sh -c '[ -b /dev/mapper/[!c]* ]'
map=$(echo /dev/mapper/[!c]*)
[ "$(echo "$map" | wc -w)" = 1 ] || fail "not one map: $map"
[ "$(cat "/sys/block/$(basename "$(readlink -f "$map")")/ro")" = 1 ] || fail "the map is not write-protected"
multipath -ll
mount -o ro "$map" /mnt || fail "mount"
(cd /mnt && sha256sum -c --quiet /t/files.sha256) || fail "a file differs"

# Reads go on, alternating over both paths, while a daemon dies and comes back: all bytes are right, no read fails.
[ "$(dd if="$map" bs=256k iflag=direct 2>/dev/null | sha256sum)" = "$disk_digest  -" ] || fail "the disk differs"
read_part() { dd if="$map" bs=256k count=64 iflag=direct 2>>/run/errors | sha256sum; }
part_digest=$(read_part)
reads() { until [ -e /run/enough ]; do read_part; done >>/run/digests; }
full_reads() { wc -l </run/digests; }
for side in left right; do
  [ $side = left ] && disk=$left_disk || disk=$right_disk
  say "the $side daemon dies under reads"
  rm -f /run/enough
  : >/run/digests
  reads &
  reader=$!
  wait_for 60 "a first read" grep -q . /run/digests
  host kill $side || fail "no kill"
  wait_for 60 "the path's failure" path_is "$disk" failed
  seen=$(full_reads)
  wait_for 60 "reads over the other path" sh -c "[ \$(wc -l </run/digests) -gt $((seen + 1)) ]"
  host start $side || fail "no start"
  wait_for 60 "the path's return" path_is "$disk" active
  : >/run/enough
  wait $reader
  [ "$(sort -u /run/digests)" = "$part_digest" ] || fail "reads differ: $(sort /run/digests | uniq -c) $(tail -3 /run/errors)"
  say "$(full_reads) reads of 16 MiB are right"
done
umount /mnt

# Of the writable disk, whose first path is $disk.
wwid() { multipathd show paths raw format '%d %w' | sed -n "s/^${disk#/dev/} //p"; }
# writable_paths N: so many paths of the writable disk work.
writable_paths() { [ "$(multipathd show paths raw format '%w %t' | grep -c "^$(wwid) active")" = "$1" ]; }
written() { wait_for 60 "writes" sh -c "[ \$(wc -l </run/sums) -ge $(($(wc -l </run/sums) + $1)) ]"; }
two_ways() {
  iscsiadm -m node -T "$writable" -p "[fec0::2]:$left_port" -o new >/dev/null || fail "no record for IPv6"
  set_node "$writable" node.session.timeo.replacement_timeout 1
  set_node "$writable" 'node.conn[0].timeo.noop_out_interval' 1
  set_node "$writable" 'node.conn[0].timeo.noop_out_timeout' 2
  login "$writable"
  disk=$(wait_disk "$writable" 0) || fail "no writable disk"
  wait_for 30 "the map of the writable disk" writable_paths 2
  map=/dev/mapper/$(wwid)
  wait_for 10 "the map's name" test -b "$map"
  mkfs.ext4 -q "$map" && mount "$map" /mnt || fail "mkfs and mount"
  rm -f /run/enough
  : >/run/sums
  (
    n=0
    until [ -e /run/enough ]; do
      n=$((n + 1))
      dd if=/dev/urandom of=/mnt/f$n bs=64k count=4 conv=fsync 2>>/run/errors || echo "write $n failed" >>/run/failed
      (cd /mnt && sha256sum f$n) >>/run/sums
    done
  ) &
  writer=$!
  written 3
  ip route replace blackhole 127.0.0.1/32
  wait_for 60 "the IPv4 path's failure" writable_paths 1
  written 3
  ip route del blackhole 127.0.0.1/32
  ip route replace 127.0.0.1/32 via 10.0.2.2 dev vec0 src 10.0.2.15
  wait_for 60 "the IPv4 path's return" writable_paths 2
  written 3
  : >/run/enough
  wait $writer
  [ ! -e /run/failed ] || fail "writes failed: $(tail -3 /run/errors)"
  umount /mnt && mount "$map" /mnt || fail "mounting again"
  (cd /mnt && sha256sum -c --quiet /run/sums) || fail "files differ"
  umount /mnt
  expect "the file system" 'Pass 5' e2fsck -fn "$map"
}
if [ -n "$ipv6" ]; then
  say "a writable disk over IPv4 and IPv6; IPv4 is cut under writes"
  two_ways
  say "$(wc -l </run/sums) synced files are right"
fi
multipathd shutdown >/dev/null
wait_for 20 "multipathd's end" sh -c '! pidof multipathd'
multipath -F
iscsiadm -m node --logout >/dev/null || fail "logout"
say "passed"
