#!/bin/bash
# boot.sh: a PC (QEMU) boots from a LUN of an image in a registry, twice: SeaBIOS, GRUB and Linux read it by QEMU's initiator,
# root is written to; then by iPXE's initiator, which has the network card only, up to Linux.
source "$(dirname "$0")/lib.sh"

for program in qemu-system-x86_64 docker-registry debugfs; do
  command -v $program >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done
disk=$("$E2E/vm/build-boot-disk") || { echo "skipped: no disk to boot from"; exit 77; }
# Emulated: needs neither /dev/kvm nor root.
machine() { timeout 150 qemu-system-x86_64 -M pc -accel tcg -cpu Nehalem,+rdrand -m 256 -nodefaults -display none -no-reboot -serial "file:$T/serial" "$@"; }

say "an image of the disk, in a registry"
registry_start
make-test-image --lz4 "$T/image" "$disk"
push "$REGISTRY" test/boot latest "$T"/image/layer*
daemon_start
attach "$REGISTRY/test/boot:latest" --name boot --insecure --writable

say "QEMU's initiator"
machine -drive "file=$URL,format=raw,if=virtio" || die "QEMU ended with $?: $(tail -3 "$T/serial")"
grep -q "$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release)" "$T/serial" || die "no os-release on the console: $(tail -5 "$T/serial")"
grep -q 'root: /dev/vda1 / ext4 rw' "$T/serial" || die "another root: $(tail -5 "$T/serial")"
qemu-img convert -O raw "$URL" "$T/disk"
dd if="$T/disk" of="$T/root" bs=1M skip=1 status=none
e2fsck -fn "$T/root" >"$T/err" 2>&1 || die "e2fsck is not content"
same "boots that the disk remembers" "$(debugfs -R 'cat var/boots' "$T/root" 2>/dev/null | wc -l)" 1

say "iPXE's initiator"
[ -f /usr/lib/ipxe/qemu/efi-virtio.rom ] || { echo "skipped: ipxe-qemu is not installed"; exit 77; }
mkdir "$T/tftp"
printf '#!ipxe\nsanboot iscsi:10.0.2.2::%s:%s:%s\n' "$PORT" "$LUN" "$IQN" >"$T/tftp/boot.ipxe"
machine -boot n -netdev "user,id=net,tftp=$T/tftp,bootfile=boot.ipxe" -device virtio-net-pci,netdev=net || die "QEMU ended with $?"
grep -q "no disk of Linux's own" "$T/serial" || die "Linux was not reached: $(tail -5 "$T/serial")"
grep -q 'org.ipxe' "$T/overlaybd.audit" || die "iPXE did not log in"
daemon_stop
say "passed"
