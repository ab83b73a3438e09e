#!/bin/bash
# write.sh: the kernel's initiator writes through ext4 on an append and on a sparse upper: trim, growing the disk on line,
# the daemon killed and restarted and the network cut under writes; at last both sides die in mid-write, and what was
# answered to fsync is there.
source "$(dirname "$0")/lib.sh"

daemon_start
attach --config "$IMAGE/lz4/config.v1.json" --name append --writable=append
append=$IQN
attach --config "$IMAGE/lz4/config.v1.json" --name sparse --writable=sparse
sparse=$IQN
revivable overlaybd
# remember: the sparse upper's KiB on disk. smaller KIB: it has become smaller by so much.
cat >"$T/host-remember" <<H
#!/bin/bash
du -k --total '$T/overlaybd.state/uppers/sparse' | tail -1 | cut -f1 >'$T/remembered'
H
cat >"$T/host-smaller" <<H
#!/bin/bash
before=\$(cat '$T/remembered')
'$T/host-remember'
echo "the upper had \$before KiB, now \$(cat '$T/remembered')"
[ \$((before - \$(cat '$T/remembered'))) -ge "\$1" ]
H
chmod +x "$T"/host-*
status=0
"$E2E/vm/kernel-vm" --timeout 380 --file "$IMAGE/files.sha256" --hook "$T/hook" --console "$T/console" \
  "$E2E/guest/write.sh" "$PORT" "$append" "$sparse" >"$T/guest.out" || status=$?
grep -v '^acked ' "$T/guest.out"
[ "$status" -eq 0 ] || die "the guest ended with $status"

say "what both left behind: the journal is replayed, the file system is whole, what was synced is there"
"$T/hook" start overlaybd
until_true 30 "the daemon" ctl list
for name in append sparse; do
  attached=$(field "$name" target)
  qemu-img convert -O raw "iscsi://127.0.0.1:$PORT/$attached/0" "$T/$name.disk"
  e2fsck -fp "$T/$name.disk" >"$T/err" 2>&1 || [ $? -eq 1 ] || die "e2fsck of $name"
  e2fsck -fn "$T/$name.disk" >"$T/err" 2>&1 || die "e2fsck of $name is not content"
  mkdir "$T/$name"
  debugfs -R "rdump /last $T/$name" "$T/$name.disk" >"$T/err" 2>&1
  sed -n "s/^acked $name //p" "$T/guest.out" >"$T/$name.acked"
  [ -s "$T/$name.acked" ] || die "nothing was synced on $name"
  (cd "$T/$name/last" && sha256sum -c --quiet "$T/$name.acked") || die "what was synced on $name is not there"
  say "$name: $(wc -l <"$T/$name.acked") synced files are right"
done
say "passed"
