#!/bin/bash
# tour.sh: the way of docs/tour.md: a Debian root file system as an OCI image of five layers is converted into a registry and
# attached, and its files are those that umoci unpacks; the kernel mounts it and runs python3 from it; what is written becomes a
# layer of a new image, which a second daemon serves. The packages' files are taken from this machine: no network.
source "$(dirname "$0")/lib.sh"

for program in umoci docker-registry debugfs e2fsck qemu-img; do
  command -v "$program" >/dev/null || { echo "skipped: $program is not installed"; exit 77; }
done

# -- five layers, as tars with fixed times and owners
# package_files PACKAGE...: what dpkg installed of them, without directories that are symbolic links here.
package_files() { dpkg -L "$@" 2>/dev/null | sort -u | while read -r path; do [ -f "$path" ] || [ -L "$path" ] && printf '.%s\n' "$path" || true; done; }
pack() { tar --sort=name --mtime=@1700000000 --owner=0 --group=0 --numeric-owner --xattrs --format=pax --pax-option=delete=atime,delete=ctime -cf "$@"; }
layers=$T/layers
mkdir -p "$layers" "$T"/tree3/{etc,opt} "$T"/tree4/usr/share/doc "$T"/tree4/usr/lib "$T"/tree5/{srv,usr/local/bin}
say "five layers of Debian packages"
package_files base-files libc6 bash coreutils dash debianutils | (cd / && pack "$layers/1.tar" --no-recursion -T -)
package_files python3-minimal python3.11-minimal libpython3.11-minimal libexpat1 zlib1g | (cd / && pack "$layers/2.tar" --no-recursion -T -)
echo "overlaybd tour" >"$T/tree3/etc/issue"
ln -s /etc/issue "$T/tree3/etc/motd"
head -c 5M /dev/zero >"$T/tree3/opt/zeros"
: >"$T/tree4/usr/share/doc/.wh.bash"
: >"$T/tree4/usr/share/doc/.wh.libc6"
mkdir -p "$T/tree4/usr/share/lintian"
: >"$T/tree4/usr/share/lintian/.wh..wh..opq"
printf '#!/usr/bin/python3\nprint("hello from a layer")\n' >"$T/tree5/usr/local/bin/hello"
chmod 0755 "$T/tree5/usr/local/bin/hello"
mkfifo "$T/tree5/srv/fifo"
for n in 3 4 5; do pack "$layers/$n.tar" -C "$T/tree$n" .; done
[ "$(stat -c %s "$layers/2.tar")" -gt 1000000 ] || { echo "skipped: python3-minimal is not installed"; exit 77; }

umoci init --layout "$T/image"
umoci new --image "$T/image:five"
for n in 1 2 3 4 5; do umoci raw add-layer --image "$T/image:five" "$layers/$n.tar"; done

say "convert into a registry"
registry_start
export XDG_CACHE_HOME=$T/cache
convert() { overlaybdctl --json convert --insecure --vsize 1 --work-dir "$T" --cred-file "$T/no-cred.json" "$@"; }
convert "oci:$T/image:five" "$REGISTRY/test/tour:obd" >"$T/first.json"
same "layers built" "$(json 'value["layers_built"]' <"$T/first.json")" 5
convert "oci:$T/image:five" "$REGISTRY/test/tour:again" >"$T/second.json"
same "layers built the second time" "$(json 'value["layers_built"]' <"$T/second.json")" 0
same "the digest" "$(json 'value["digest"]' <"$T/second.json")" "$(json 'value["digest"]' <"$T/first.json")"
convert "oci:$T/image:five" "$REGISTRY/test/other:obd" >"$T/third.json"
same "layers built in another repository" "$(json 'value["layers_built"]' <"$T/third.json")" 0
convert --no-reuse "oci:$T/image:five" "oci:$T/obd:tour" >"$T/fourth.json"
same "the digest in a layout" "$(json 'value["digest"]' <"$T/fourth.json")" "$(json 'value["digest"]' <"$T/first.json")"

say "attach, and compare every file with what umoci unpacks"
daemon_start
attach "$REGISTRY/test/tour:obd" --name tour --insecure
qemu-img convert -O raw "$URL" "$T/disk"
e2fsck -fn "$T/disk" >"$T/err" 2>&1 || die "e2fsck is not content"
# Symbolic links and plain files: name, kind, mode and digest or target.
describe() { (cd "$1" && find . -mindepth 1 \( -type f -printf '%P file %m ' -exec sh -c 'sha256sum <"$1"' _ {} \; \) -o \( -type l -printf '%P link %l\n' \) -o -printf '%P %y %m\n') | grep -v '^lost+found' | LC_ALL=C sort; }
mkdir "$T/dump"
debugfs -R "rdump / $T/dump" "$T/disk" >"$T/rdump" 2>&1
rootless=--rootless
[ "$(id -u)" != 0 ] || rootless=
umoci unpack $rootless --image "$T/image:five" "$T/bundle" >/dev/null 2>&1
describe "$T/bundle/rootfs" | grep -v ' p ' >"$T/wanted"
describe "$T/dump" | grep -v ' p ' >"$T/got"
cmp "$T/wanted" "$T/got" || { diff "$T/wanted" "$T/got" | head -20 >&2; die "the trees differ"; }
say "$(wc -l <"$T/wanted") files and directories are the same"

say "push and pull a finished image"
overlaybdctl push --insecure --work-dir "$T" --cred-file "$T/no-cred.json" "$T/obd:tour" "$REGISTRY/test/pushed:1" >"$T/pushed"
overlaybdctl pull --insecure --work-dir "$T" --cred-file "$T/no-cred.json" "$REGISTRY/test/pushed:1" "$T/pulled:tour" >"$T/pulled.out"
(cd "$T/obd/blobs/sha256" && sha256sum ./*) >"$T/blobs"
(cd "$T/pulled/blobs/sha256" && sha256sum --quiet --ignore-missing -c "$T/blobs")
attach "$REGISTRY/test/pushed:1" --name pushed --insecure
qemu-img convert -O raw "$URL" "$T/disk2"
cmp "$T/disk" "$T/disk2"
rm "$T/disk2"
ctl detach pushed

say "attach writable; the kernel's initiator mounts it, runs python3 from it, writes, and goes on after a snapshot"
attach "$REGISTRY/test/tour:obd" --name writable --insecure --writable --upper "$T/upper"
revivable overlaybd
# snapshot: seals the upper, and keeps the disk as it is at this moment, which is what a commit of it must show.
cat >"$T/host-snapshot" <<H
#!/bin/bash
'$BIN/overlaybdctl' --socket '$T/overlaybd.sock' --json snapshot writable --upper '$T/upper2' >'$T/snapshot.json' &&
  qemu-img convert -O raw '$URL' '$T/changed'
H
chmod +x "$T/host-snapshot"
status=0
"$E2E/vm/kernel-vm" --timeout 200 --hook "$T/hook" --console "$T/console" "$E2E/guest/tour.sh" "$PORT" "$IQN" || status=$?
[ "$status" -eq 0 ] || die "the guest ended with $status"
qemu-img convert -O raw "$URL" "$T/after"
in_disk() { debugfs -R "cat $2" "$1" 2>/dev/null; }
for disk in changed after; do
  e2fsck -fn "$T/$disk" >"$T/err" 2>&1 || die "e2fsck is not content with $disk"
  same "what python wrote" "$(in_disk "$T/$disk" srv/note)" "written by python3 of the image"
done
same "what was written after the snapshot" "$(in_disk "$T/after" srv/after)" "after the snapshot"
ctl detach writable

say "commit what was written, push it as one more layer, attach that in a second daemon"
overlaybd-commit --commit_sealed -z -t "$T/upper/writable_data" "$T/new-layer.tar" >"$T/commit" 2>&1 || die "$(cat "$T/commit")"
mapfile -t below < <(python3 - "$T/obd" <<'PY'
import json, pathlib, sys
blobs = pathlib.Path(sys.argv[1], "blobs", "sha256")
index = json.loads(pathlib.Path(sys.argv[1], "index.json").read_text())
manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
for layer in manifest["layers"]:
    print(blobs / layer["digest"][7:])
PY
)
push "$REGISTRY" test/tour committed "${below[@]}" "$T/new-layer.tar"
daemon_stop
unset PORT
SOCKET=$T/second.sock
daemon_start second
attach "$REGISTRY/test/tour:committed" --name committed --insecure
qemu-img convert -O raw "$URL" "$T/after"
cmp "$T/after" "$T/changed"
e2fsck -fn "$T/after" >"$T/err" 2>&1 || die "e2fsck is not content"
same "the note" "$(in_disk "$T/after" srv/note)" "written by python3 of the image"
same "what is not in it" "$(in_disk "$T/after" srv/after)" ""
daemon_stop
say "passed"
