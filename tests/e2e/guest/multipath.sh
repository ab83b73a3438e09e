#!/bin/sh
# Run in the virtual machine by multipath.sh: multipath.sh DISK_SHA256 (PORT IQN)x2, of the daemons left and right
. /lib/guest.sh
disk_digest=$1 left_port=$2 left=$3 right_port=$4 right=$5
start_iscsid
discover "127.0.0.1:$left_port" >/dev/null
discover "127.0.0.1:$right_port" >/dev/null
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

# Reads go on, alternating over both paths, while a daemon dies and comes back: all bytes are right, no read fails.
reads() {
  until [ -e /run/enough ]; do
    dd if="$map" bs=256k iflag=direct 2>>/run/errors | sha256sum
  done >>/run/digests
}
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
  [ "$(sort -u /run/digests)" = "$disk_digest  -" ] || fail "reads differ: $(sort /run/digests | uniq -c) $(tail -3 /run/errors)"
  say "$(full_reads) reads of the whole disk are right"
done
echo 3 >/proc/sys/vm/drop_caches
(cd /mnt && sha256sum -c --quiet /t/files.sha256) || fail "a file differs"
umount /mnt
multipathd shutdown >/dev/null
wait_for 20 "multipathd's end" sh -c '! pidof multipathd'
multipath -F
logout "$left"
logout "$right"
say "passed"
