#!/bin/bash
# libiscsi.sh: libiscsi's own tools, and QEMU, which is built on it: CHAP one way and both ways in discovery and sessions, IPv6,
# every page of vital product data, software write protect, and iscsi-perf at depth 32.
source "$(dirname "$0")/lib.sh"

ISCSI_KEYS='"discoveryAuth": {"user": "finder", "secret": "finder-secret"}'
! has_ipv6 || MORE_PORTALS='"[::1]:0"'
daemon_start
chap() { (umask 077; printf '%s\n' "$2" >"$T/$1.chap"); }
chap one '{"user": "alice", "secret": "alice-secret-1"}'
chap both '{"user": "alice", "secret": "alice-secret-1", "mutual_user": "target", "mutual_secret": "target-secret-2"}'
config=$IMAGE/lz4/config.v1.json
wanted=$(cat "$IMAGE/disk.sha256")
# refused WHAT PATTERN COMMAND...
refused() {
  local what=$1 pattern=$2; shift 2
  ! "$@" >"$T/refused" 2>&1 || die "$what was accepted"
  grep -Eiq "$pattern" "$T/refused" || die "$what: $(cat "$T/refused")"
}

say "CHAP"
attach --config "$config" --name one --chap-file "$T/one.chap"
one=$IQN
attach --config "$config" --name both --chap-file "$T/both.chap"
both=$IQN
refused "discovery without a secret" 'authenticat|authori[sz]' iscsi-ls "iscsi://127.0.0.1:$PORT"
refused "discovery with a wrong secret" 'authenticat|authori[sz]' iscsi-ls "iscsi://finder%wrong-secret-1@127.0.0.1:$PORT"
iscsi-ls "iscsi://finder%finder-secret@127.0.0.1:$PORT" >"$T/ls"
grep -q "Target:$one " "$T/ls" && grep -q "Target:$both " "$T/ls" || die "iscsi-ls: $(cat "$T/ls")"
refused "a login without a secret" 'authenticat|authori[sz]' iscsi-inq "iscsi://127.0.0.1:$PORT/$one/0"
refused "a login with a wrong secret" 'authenticat|authori[sz]' iscsi-inq "iscsi://alice%wrong-secret-1@127.0.0.1:$PORT/$one/0"
iscsi-inq "iscsi://alice%alice-secret-1@127.0.0.1:$PORT/$one/0" >"$T/inq"
mutual() { echo "iscsi://alice%alice-secret-1@127.0.0.1:$PORT/$both/0?target_user=target&target_password=$1"; }
refused "a target with another secret" 'authenticat|secret|CHAP|login' iscsi-inq "$(mutual wrong-secret-22)"
iscsi-inq "$(mutual target-secret-2)" >"$T/inq"
qemu-img convert -O raw "iscsi://alice%alice-secret-1@127.0.0.1:$PORT/$one/0" "$T/disk"
same "the disk, by QEMU with CHAP" "$(digest <"$T/disk")" "$wanted"

say "pages, write protect, load"
attach --config "$config" --name open --writable
for page in 0x00 0x80 0x83 0x86 0xb0 0xb1 0xb2; do
  iscsi-inq -e 1 -c $page "$URL" >"$T/page" || die "VPD page $page"
  [ -s "$T/page" ] || die "VPD page $page is empty"
done
iscsi-swp -s on "$URL" >"$T/swp"
grep -q 'SWP:1' <(iscsi-swp "$URL") || die "software write protect is not on"
refused "a write to a protected unit" 'write protect' qemu-io -f raw -c 'write -P 7 0 4k' "$URL"
iscsi-swp -s off "$URL" >"$T/swp"
qemu-io -f raw -c 'write -P 7 0 4k' -c flush -c 'read -P 7 0 4k' "$URL" >"$T/io"
! grep -qi 'failed' "$T/io" || die "qemu-io: $(cat "$T/io")"
# It runs until it is stopped.
timeout 2 iscsi-perf -m 32 -b 8 -r "$URL" >"$T/perf" 2>&1 || [ $? -eq 124 ] || die "iscsi-perf: $(tail -n 3 "$T/perf")"
grep -q 'iops average [1-9]' "$T/perf" || die "iscsi-perf: $(tail -n 3 "$T/perf")"
! grep -qiE 'fail|error' "$T/perf" || die "iscsi-perf: $(cat "$T/perf")"

if [ -n "${MORE_PORTALS:-}" ]; then
  say "IPv6"
  port6=$(sed -n 's/.*listening on \[::1\]:\([0-9]*\).*/\1/p' "$T/daemon-overlaybd.err")
  iscsi-ls "iscsi://finder%finder-secret@[::1]:$port6" >"$T/ls"
  grep -qF "Portal:[::1]:$port6" "$T/ls" || die "iscsi-ls: $(cat "$T/ls")"
  qemu-img convert -O raw "iscsi://alice%alice-secret-1@[::1]:$port6/$one/0" "$T/disk"
  same "the disk, over IPv6" "$(digest <"$T/disk")" "$wanted"
fi
daemon_stop
say "passed"
