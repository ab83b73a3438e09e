# shellcheck shell=bash
# Sourced by the end-to-end tests: a scratch folder, a private daemon, a private registry, all ended at exit.
#
# Environment: OBD_BIN (the built programs), OBD_IMAGE (what make-images made; see images.sh). Everything is on
# 127.0.0.1 at ports that the kernel chose; nothing outside $T is touched.
set -euo pipefail
E2E=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BIN=${OBD_BIN:?OBD_BIN is not set: run this through ctest or tests/run.sh}
IMAGE=${OBD_IMAGE:-}
export PATH=$BIN:$PATH:/usr/sbin:/sbin LC_ALL=C
T=$(mktemp -d "${TMPDIR:-/tmp}/obd-e2e.XXXXXX")
pids=() revived=()

say() { printf '%s\n' "-- $*"; }
# die MESSAGE: the test has failed; shows what the daemon said last.
die() {
  echo "FAILED: $*" >&2
  for file in "$T"/daemon*.err "$T/overlaybd.log" "$T/err"; do
    [ ! -s "$file" ] || { echo "-- ${file##*/}:" >&2; tail -n 25 "$file" >&2; }
  done
  exit 1
}
trap 'die "line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND"' ERR
set -E

finish() {
  local status=$? pid name
  trap - ERR
  for name in "${revived[@]:-}"; do
    [ -z "$name" ] || pids+=("$(cat "$T/$name.pid")")
  done
  for pid in "${pids[@]:-}"; do
    [ -z "$pid" ] || kill "$pid" 2>/dev/null || true
  done
  for pid in "${pids[@]:-}"; do
    [ -z "$pid" ] || { timeout 10 tail --pid="$pid" -f /dev/null || kill -KILL "$pid" 2>/dev/null; wait "$pid" 2>/dev/null || true; }
  done
  [ -n "${OBD_KEEP:-}" ] && echo "kept: $T" || rm -rf "$T"
  exit "$status"
}
trap finish EXIT

# same WHAT GOT WANTED
same() { [ "$2" = "$3" ] || die "$1: got $2, wanted $3"; }
# until_true SECONDS WHAT COMMAND...: polls; for events that nobody announces to a shell.
until_true() {
  local deadline=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "waited in vain for $what"
    sleep 0.05
  done
}
has_ipv6() { grep -q ' lo$' /proc/net/if_inet6 2>/dev/null; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
json() { python3 -c 'import json, sys; value = json.load(sys.stdin); print(eval(sys.argv[1], {"value": value}))' "$1"; }
digest() { sha256sum | cut -d' ' -f1; }

# -- the daemon: $PORT, $DAEMON
# daemon_config [NAME]: writes $T/NAME.json (default overlaybd), every path of it under $T; $ISCSI_KEYS is more of `iscsi`,
# $MORE_PORTALS of its portals, where PORT stands for $PORT.
daemon_config() {
  local name=${1:-overlaybd}
  mkdir -p "$T/$name.cache" "$T/$name.state"
  [ -e "$T/cred.json" ] || (umask 077; echo '{"auths": {}}' >"$T/cred.json")
  cat >"$T/$name.json" <<JSON
{"logConfig": {"logLevel": 1, "logPath": "$T/$name.log"},
 "cacheConfig": {"cacheType": "file", "cacheDir": "$T/$name.cache", "cacheSizeGB": 1},
 "credentialConfig": {"mode": "file", "path": "$T/cred.json"},
 "download": {"enable": false}, "enableAudit": true, "auditPath": "$T/$name.audit",
 "iscsi": {"portals": ["127.0.0.1:$PORT"${MORE_PORTALS:+, ${MORE_PORTALS//PORT/$PORT}}]${ISCSI_KEYS:+, $ISCSI_KEYS}},
 "adminSocket": "$T/$name.sock", "stateDir": "$T/$name.state"}
JSON
}
# daemon_start [NAME]: at $PORT (a free one if unset); the port may be taken between choice and use, so try again.
daemon_start() {
  local name=${1:-overlaybd} chosen=${PORT:-} _
  for _ in 1 2 3; do
    PORT=${chosen:-$(free_port)}
    daemon_config "$name"
    overlaybd-iscsid --config "$T/$name.json" >"$T/daemon-$name.out" 2>"$T/daemon-$name.err" &
    DAEMON=$!
    pids+=("$DAEMON")
    echo "$DAEMON" >"$T/$name.pid"
    local deadline=$((SECONDS + 30))
    while kill -0 "$DAEMON" 2>/dev/null && [ $SECONDS -lt $deadline ]; do
      ! ctl list >/dev/null 2>&1 || return 0
      sleep 0.05
    done
    [ -z "$chosen" ] || break
  done
  die "the daemon did not start"
}
ctl() { overlaybdctl --socket "${SOCKET:-$T/overlaybd.sock}" "$@"; }
daemon_stop() {
  kill -TERM "$DAEMON"
  local status=0
  wait "$DAEMON" || status=$?
  same "the daemon's exit status" "$status" 0
}
daemon_kill() {
  kill -KILL "$DAEMON"
  wait "$DAEMON" 2>/dev/null || true
}
# revivable NAME...: makes $T/hook, what a guest's `host kill|start NAME` runs: it kills (SIGKILL) and starts these daemons.
# `host stop NAME` ends one in good order, `host ctl WORD...` is overlaybdctl, `host WORD...` anything else is $T/host-WORD.
revivable() {
  local name
  for name; do
    revived+=("$name")
    disown "$(cat "$T/$name.pid")"       # bash would report the death
  done
  cat >"$T/hook" <<HOOK
#!/bin/bash
case \$1 in
  kill)
    kill -KILL "\$(cat '$T/'\$2.pid)" && timeout 10 tail -s 0.02 --pid="\$(cat '$T/'\$2.pid)" -f /dev/null ;;
  stop)
    kill -TERM "\$(cat '$T/'\$2.pid)" && timeout 10 tail -s 0.02 --pid="\$(cat '$T/'\$2.pid)" -f /dev/null ;;
  start)
    setsid '$BIN/overlaybd-iscsid' --config '$T/'\$2.json >>'$T/daemon-'\$2.out 2>>'$T/daemon-'\$2.err </dev/null &
    echo \$! >'$T/'\$2.pid ;;
  ctl) shift; '$BIN/overlaybdctl' --socket '${SOCKET:-$T/overlaybd.sock}' "\$@" ;;
  *) exec '$T/host-'"\$@" ;;
esac
HOOK
  chmod +x "$T/hook"
}
# attach ARGUMENT...: of overlaybdctl attach. Leaves the reply in $REPLY_JSON, and $IQN, $LUN, $URL.
attach() {
  REPLY_JSON=$(ctl --json attach "$@" 2>"$T/err") || die "attach $*: $(cat "$T/err")"
  IQN=$(json 'value["target"]' <<<"$REPLY_JSON")
  LUN=$(json 'value["lun"]' <<<"$REPLY_JSON")
  URL=iscsi://127.0.0.1:$PORT/$IQN/$LUN
}
field() { ctl --json show "$1" | json "value[\"$2\"]"; }

# -- a registry: $REGISTRY (host:port)
# registry_start [htpasswd]: Debian's docker-registry; with htpasswd only alice:secret may use it.
registry_start() {
  local _ deadline
  for _ in 1 2 3; do
    REGISTRY=127.0.0.1:$(free_port)
    {
      printf 'version: 0.1\nlog: {level: info, accesslog: {disabled: false}}\n'
      printf 'storage: {filesystem: {rootdirectory: %s}, delete: {enabled: true}}\n' "$T/registry"
      printf 'http: {addr: %s}\n' "$REGISTRY"
      if [ "${1:-}" = htpasswd ]; then
        htpasswd -Bbn alice secret >"$T/htpasswd"
        printf 'auth: {htpasswd: {realm: test, path: %s}}\n' "$T/htpasswd"
      fi
    } >"$T/registry.yml"
    docker-registry serve "$T/registry.yml" >"$T/registry.log" 2>&1 &
    pids+=($!)
    deadline=$((SECONDS + 20))
    while kill -0 "${pids[-1]}" 2>/dev/null && [ $SECONDS -lt $deadline ]; do
      [ "$(curl -so /dev/null -w '%{http_code}' "http://$REGISTRY/v2/")" = 000 ] || { REGISTRY_PID=${pids[-1]}; return 0; }
      sleep 0.05
    done
  done
  cat "$T/registry.log" >&2
  die "the registry did not start"
}
# fetched: bytes of blobs that the registry has sent so far, by its own access log.
fetched() {
  awk '/"GET \/v2\/[^ ]*\/blobs\/sha256:/ { for (i = 1; i < NF; i++) if ($i ~ /^HTTP\/1/) total += $(i + 2) } END { print total + 0 }' "$T/registry.log"
}
push() { python3 "$E2E/../support/push_image.py" "$@"; }
# allow_alice: the daemon's credentials for the registry.
allow_alice() {
  (umask 077; printf '{"auths": {"%s": {"username": "alice", "password": "secret"}}}\n' "$REGISTRY" >"$T/cred.json")
}
