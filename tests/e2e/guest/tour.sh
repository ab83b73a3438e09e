#!/bin/sh
# Run in the virtual machine by tour.sh: tour.sh PORT IQN
. /lib/guest.sh
start_iscsid
discover "127.0.0.1:$1" >/dev/null
login "$2"
disk=$(wait_disk "$2" 0) || fail "no disk"
mount "$disk" /mnt || fail "mount"
expect "a program of the fifth layer" '^hello from a layer$' chroot /mnt /usr/local/bin/hello
expect "the third layer's file" '^overlaybd tour$' cat /mnt/etc/issue
[ ! -e /mnt/usr/share/doc/bash ] || fail "what the fourth layer deletes is there"
expect "python3" '' chroot /mnt /usr/bin/python3 -c 'print("written by python3 of the image", file=open("/srv/note", "w"))'
# Frozen, the file system in the snapshot is whole: nothing of it is only in this machine's memory.
fsfreeze --freeze /mnt || fail "no freeze"
host snapshot || fail "no snapshot"
fsfreeze --unfreeze /mnt || fail "no thaw"
echo "after the snapshot" >/mnt/srv/after
sync
umount /mnt || fail "umount"
logout "$2"
say "passed"
