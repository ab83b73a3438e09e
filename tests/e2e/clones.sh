#!/bin/bash
# clones.sh: initiators with a writable layer each over one image. What one writes the others do not see; it is found
# again after a logout and after SIGKILL of the daemon, or thrown away after a logout but not when a connection broke;
# a full quota is an error that writing recovers from; a commit is a layer; a moved target is found.
source "$(dirname "$0")/lib.sh"

# The keys end the object "iscsi" and begin another one: the waits of a real daemon would take minutes here.
ISCSI_KEYS='"spinUs": 50}, "writable": {"closeAfterMs": 50, "discardAfterLogoutMs": 100'
daemon_start
initiator() { echo "iqn.2026-11.io.overlaybd.test:$1"; }
# io NAME COMMAND...: qemu-io's commands on that initiator's disk.
io() {
  local who=$1 command words=(); shift
  for command; do words+=(-c "$command"); done
  qemu-io --image-opts "driver=iscsi,transport=tcp,portal=127.0.0.1:$PORT,target=$IQN,lun=0,initiator-name=$(initiator "$who")" "${words[@]}"
}
# reads NAME BYTE OFFSET: that byte's pattern is there.
# hold NAME BYTE: writes that byte's pattern and stays logged in, in the background, until it is killed; $HELD.
hold() {
  rm -f "$T/commands"
  mkfifo "$T/commands"
  qemu-io --image-opts "driver=iscsi,transport=tcp,portal=127.0.0.1:$PORT,target=$IQN,lun=0,initiator-name=$(initiator "$1")" \
    <"$T/commands" >"$T/held" 2>&1 &
  HELD=$!
  pids+=("$HELD")
  exec 7>"$T/commands"
  printf 'write -P %s 0 64k\nflush\n' "$2" >&7
  until_true 30 "the write of $1" grep -q 'wrote 65536' "$T/held"
}
let_go() {
  kill -KILL "$HELD" 2>/dev/null || true
  wait "$HELD" 2>/dev/null || true
  exec 7>&-
}
reads() { io "$1" "read -P $2 $3 64k" >"$T/io" 2>&1 && ! grep -q 'verification failed' "$T/io"; }
serial_of() { iscsi-inq -i "$(initiator "$1")" -e 1 -c 131 "$URL" 2>/dev/null | digest; }
clone_names() { ctl --json clone list "$1" | json '" ".join(sorted(e["initiator"].split(":")[1] for e in value))'; }
has_no_clones() { [ -z "$(clone_names "$1")" ]; }
original=$(head -c 65536 "$IMAGE/disk.img" | digest)
# A pattern that the image does not have at its beginning.
[ "$original" != "$(head -c 65536 /dev/zero | tr '\0' '\252' | digest)" ]

say "each initiator has a disk of its own"
attach --config "$IMAGE/raw/config.v1.json" --name farm --clone-per-initiator
io a 'write -P 0xaa 0 64k' flush >/dev/null
io b 'write -P 0xbb 0 64k' flush >/dev/null
reads a 0xaa 0 || die "a does not read what it wrote: $(cat "$T/io")"
reads b 0xbb 0 || die "b does not read what it wrote: $(cat "$T/io")"
! reads c 0xaa 0 || die "c reads what a wrote"
same "clones" "$(clone_names farm)" "a b c"
serial=$(serial_of a)
[ "$serial" != "$(serial_of b)" ] || die "a and b have one serial number"
same "audit lines" "$(grep -c 'clone-create\[pathname=farm\]' "$T/overlaybd.audit")" 3

say "kept over SIGKILL"
daemon_kill
daemon_start
reads a 0xaa 0 || die "a's data is gone: $(cat "$T/io")"
reads b 0xbb 0 || die "b's data is gone: $(cat "$T/io")"
same "a's serial number" "$(serial_of a)" "$serial"

say "a commit is a layer"
ctl clone commit farm "$(initiator a)" --file "$T/a.obd" >/dev/null
reads a 0xaa 0 || die "a's data is gone after the commit: $(cat "$T/io")"
io a 'write -P 0xac 0 64k' flush >/dev/null
python3 - "$IMAGE/raw/config.v1.json" "$T/a.obd" >"$T/with-a.json" <<'PY'
import json, os, sys
config = json.load(open(sys.argv[1]))
for lower in config["lowers"]:
    lower["file"] = os.path.join(os.path.dirname(sys.argv[1]), lower["file"])
config["lowers"].append({"file": sys.argv[2]})
print(json.dumps(config))
PY
farm=$IQN farm_url=$URL
attach --config "$T/with-a.json" --name with-a
qemu-io -r -c 'read -P 0xaa 0 64k' "$URL" >"$T/io" 2>&1 || die "$(cat "$T/io")"
! grep -q 'verification failed' "$T/io" || die "the committed layer holds something else"
IQN=$farm URL=$farm_url
reads a 0xac 0 || die "a does not read what it wrote after the commit"

say "removed, by force where it is in use"
hold b 0xbc
! ctl clone remove farm "$(initiator b)" 2>"$T/err" || die "a clone in use was removed"
grep -q -- --force "$T/err" || die "the refusal does not say what helps: $(cat "$T/err")"
ctl clone remove farm "$(initiator b)" --force >/dev/null
! ctl --json clone list farm | grep -q test:b || die "b's clone is still there"
let_go

say "discarded after a logout"
attach --config "$IMAGE/raw/config.v1.json" --name guests --clone-per-initiator=discard --quota 1M
io d 'write -P 0xdd 0 64k' flush >/dev/null
until_true 30 "the end of d's clone" has_no_clones guests
! reads d 0xdd 0 || die "d's disk was not thrown away"
until_true 30 "the end of d's second clone" has_no_clones guests

say "but not when the connection breaks"
hold d 0xde
let_go
until_true 30 "the end of d's session" sh -c "! overlaybdctl --socket '$T/overlaybd.sock' --json sessions | grep -q test:d"
daemon_kill
daemon_start
reads d 0xde 0 || die "d's disk did not outlive its connection and the daemon: $(cat "$T/io")"
until_true 30 "the end of d's third clone" has_no_clones guests

say "nor when the daemon itself asks for the logout"
hold d 0xdf
daemon_stop
daemon_start
let_go
reads d 0xdf 0 || die "d's disk did not outlive the daemon's stop: $(cat "$T/io")"

say "thrown away with the export, also in use"
hold d 0xd0
ctl detach guests >/dev/null
let_go
[ ! -e "$T/overlaybd.state/clones/guests" ] || die "clones to be discarded outlive their export"

say "a full quota, and a larger one"
attach --config "$IMAGE/raw/config.v1.json" --name small --clone-per-initiator --quota 1M
io e 'write -P 0xee 0 64k' flush >/dev/null
io e 'write -P 0xef 1M 4M' >"$T/io" 2>&1 || true
grep -qi 'no space left' "$T/io" || die "the quota was not hit: $(cat "$T/io")"
reads e 0xee 0 || die "what was written before is gone: $(cat "$T/io")"
ctl quota small 16M --initiator "$(initiator e)" >/dev/null
io e 'write -P 0xef 1M 4M' flush >"$T/io" 2>&1
reads e 0xef 1M || die "writing did not go on: $(cat "$T/io")"
same "e's quota" "$(ctl --json clone list small | json 'value[0]["quota_bytes"]')" $((16 << 20))
ctl clone keep small "$(initiator e)" >/dev/null

say "a moved target is found where it is"
moved=$IQN
first=$PORT
unset PORT
SOCKET=$T/second.sock
daemon_start second
second=$PORT
ctl attach --config "$IMAGE/raw/config.v1.json" --name small >/dev/null
unset SOCKET
ctl redirect small "127.0.0.1:$second" >/dev/null
iscsi-inq -i "$(initiator e)" "iscsi://127.0.0.1:$first/$moved/0" >/dev/null 2>"$T/err" || die "not redirected: $(cat "$T/err")"
grep -q "login\[pathname=$moved\]" "$T/second.audit" || die "the second daemon saw no login"
ctl redirect small none >/dev/null
PORT=$first
reads e 0xee 0 || die "the first daemon does not serve it again: $(cat "$T/io")"
say "passed"
