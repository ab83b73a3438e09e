#!/bin/bash
# registry.sh plain|htpasswd: an image in a real registry is attached by reference and read by initiators of others.
source "$(dirname "$0")/lib.sh"

registry_start "${1/plain/}"
user=()
if [ "$1" = htpasswd ]; then
  allow_alice
  user=(--user alice:secret)
fi
wanted=$(cat "$IMAGE/disk.sha256")
size=$(stat -c %s "$IMAGE/disk.img")
push "${user[@]}" "$REGISTRY" test/root lz4 "$IMAGE"/lz4/layer*
push "${user[@]}" --platform-index "$REGISTRY" test/root zstd "$IMAGE"/zstd/layer*
stored=$(cat "$IMAGE"/lz4/layer* | wc -c)
daemon_start

say "attach by reference fetches little"
attach "$REGISTRY/test/root:lz4" --name root --insecure
same "the name" "$(json 'value["name"]' <<<"$REPLY_JSON")" root
same "the size" "$(json 'value["size_bytes"]' <<<"$REPLY_JSON")" "$size"
same "read_only" "$(json 'value["read_only"]' <<<"$REPLY_JSON")" True
same "the number of layers" "$(json 'value["layers"] if isinstance(value["layers"], int) else len(value["layers"])' <<<"$REPLY_JSON")" 3
same "the target" "$IQN" iqn.2026-11.io.overlaybd:root
attached=$(fetched)
{ [ "$attached" -gt 0 ] && [ "$attached" -lt $((stored / 4)) ]; } || die "attach fetched $attached of $stored bytes"

say "libiscsi's tools"
iscsi-ls -s "iscsi://127.0.0.1:$PORT" | tee "$T/ls" >/dev/null
grep -q "Target:$IQN Portal:127.0.0.1:$PORT" "$T/ls" || die "iscsi-ls: $(cat "$T/ls")"
iscsi-inq "$URL" >"$T/inq"
grep -q 'Peripheral Device Type:.*DIRECT_ACCESS' "$T/inq" || die "iscsi-inq: $(cat "$T/inq")"
iscsi-readcapacity16 -s "$URL" >"$T/capacity"
same "READ CAPACITY(16)" "$(cat "$T/capacity")" "$size"

say "one file is read, and little more is fetched than it needs"
same "/etc/hostname" "$(iscsi-cat "$URL" /etc/hostname)" second-layer
before=$(fetched)
same "the program's digest" "$(iscsi-cat "$URL" /usr/bin/program | digest)" "$(sed -n 's, \./usr/bin/program$,,p' "$IMAGE/files.sha256" | tr -d ' ')"
part=$(($(fetched) - before))
# 2 MiB, of which half is text that LZ4 makes smaller.
{ [ "$part" -gt $((1 << 20)) ] && [ "$part" -lt $((stored / 4)) ]; } || die "a file of 2 MiB fetched $part of $stored bytes"
say "attach fetched $attached, a file of 2 MiB $part of $stored stored bytes"
qemu-io -f raw -r -c 'read -v 1k 512' "$URL" >"$T/io"
grep -q 'read 512/512 bytes' "$T/io" || die "qemu-io: $(cat "$T/io")"

say "the whole disk, by QEMU's initiator"
qemu-img convert -O raw "$URL" "$T/disk"
same "the disk's digest" "$(digest <"$T/disk")" "$wanted"
rm "$T/disk"
total=$(fetched)
{ [ "$total" -gt $((stored / 2)) ] && [ "$total" -le $((stored + stored / 10)) ]; } || die "all of it fetched $total of $stored bytes"
same "fetched_bytes" "$(field root fetched_bytes)" "$total"

say "a second read fetches nothing anew"
before=$(fetched)
qemu-img convert -O raw "$URL" "$T/disk"
same "the disk's digest" "$(digest <"$T/disk")" "$wanted"
again=$(($(fetched) - before))
[ "$again" -lt $((stored / 20)) ] || die "a second read fetched $again bytes again"

say "an index with an attestation entry, Zstandard layers"
attach "$REGISTRY/test/root:zstd" --name zstd --insecure
qemu-img convert -O raw "$URL" "$T/disk"
same "the disk's digest" "$(digest <"$T/disk")" "$wanted"

say "list, sessions, detach"
same "list" "$(ctl --json list | json '",".join(sorted(e["name"] for e in value))')" root,zstd
ctl list | grep -q zstd
ctl --json sessions | json 'len(value)' >/dev/null
ctl detach zstd
same "list" "$(ctl --json list | json '",".join(e["name"] for e in value)')" root
if iscsi-inq "$URL" >"$T/inq" 2>&1; then die "a detached export answers"; fi

if [ "$1" = htpasswd ]; then
  say "wrong credentials are refused (by a daemon that has no session with the registry yet)"
  daemon_stop
  printf '{"auths": {"%s": {"username": "alice", "password": "wrong"}}}\n' "$REGISTRY" >"$T/cred.json"
  daemon_start
  if ctl attach "$REGISTRY/test/root:zstd" --name refused --insecure 2>"$T/err"; then die "attached with a wrong password"; fi
  grep -qiE '401|auth|denied|credential|permission' "$T/err" || die "an unclear refusal: $(cat "$T/err")"
fi
if ctl attach "$REGISTRY/test/gone:latest" --name gone --insecure 2>"$T/err"; then die "attached what is not there"; fi
daemon_stop
say "passed"
