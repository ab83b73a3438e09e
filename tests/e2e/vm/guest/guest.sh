# shellcheck shell=sh
# What guest scripts share: . /lib/guest.sh
# busybox's shell would take its own applets, which are slower and know less.
sha256sum() { /usr/bin/sha256sum "$@"; }
dd() { /usr/bin/dd "$@"; }

now() { cut -d' ' -f1 /proc/uptime; }
say() { echo "[$(now)] $*"; }
fail() {
  say "FAILED: $*"
  dmesg | tail -30
  tail -20 /run/iscsid.log 2>/dev/null
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: polls until the command succeeds; for what nobody announces to a shell.
wait_for() {
  end=$(($(now | cut -d. -f1) + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$(now | cut -d. -f1)" -lt "$end" ] || fail "waited in vain for $what"
    usleep 50000
  done
}
# expect WHAT PATTERN COMMAND...: the command succeeds and its output has the pattern (grep -E; '' asks for nothing).
expect() {
  what=$1 pattern=$2
  shift 2
  "$@" >/run/expect 2>&1 || fail "$what: $* ended with $?: $(cat /run/expect)"
  [ -z "$pattern" ] || grep -Eq -e "$pattern" /run/expect || fail "$what: no '$pattern' in the output of $*: $(cat /run/expect)"
}

# start_udevd: for names under /dev/disk, and for multipathd.
start_udevd() {
  systemd-udevd --daemon >/run/udevd.log 2>&1 || fail "udevd did not start: $(cat /run/udevd.log)"
  udevadm trigger --subsystem-match=block
  udevadm settle --timeout=60 || fail "udevd does not settle"
}

# start_iscsid [ARGUMENT...]: returns when it listens.
start_iscsid() {
  iscsid -f "$@" >>/run/iscsid.log 2>&1 &
  tries=0
  until grep -q ISCSIADM_ABSTRACT_NAMESPACE /proc/net/unix; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || fail "iscsid did not start"
    usleep 50000
  done
}

# discover HOST:PORT. login IQN. logout IQN. session_of IQN: its name in sysfs.
discover() { iscsiadm -m discovery -t sendtargets -p "$1" || fail "discovery at $1"; }
login() { iscsiadm -m node -T "$1" --login >/dev/null || fail "login to $1"; }
logout() { iscsiadm -m node -T "$1" --logout >/dev/null || fail "logout of $1"; }
session_of() { grep -lx "$1" /sys/class/iscsi_session/session*/targetname 2>/dev/null | head -1 | cut -d/ -f5; }

# set_node IQN NAME VALUE: a setting of the node's record, for the next login. set_digests IQN CRC32C|None
set_node() { iscsiadm -m node -T "$1" -o update -n "$2" -v "$3" || fail "setting $2"; }
set_digests() {
  set_node "$1" "node.conn[0].iscsi.HeaderDigest" "$2"
  set_node "$1" "node.conn[0].iscsi.DataDigest" "$2"
}

# disk_of IQN LUN: its device. wait_disk IQN LUN: the same; a login returns before the disks are there.
disk_of() {
  for block in /sys/class/iscsi_session/"$(session_of "$1")"/device/target*/*:"$2"/block/*; do
    [ -b "/dev/${block##*/}" ] && echo "/dev/${block##*/}" && return
  done
  return 1
}
wait_disk() {
  tries=0
  until disk_of "$1" "$2"; do
    tries=$((tries + 1))
    [ $tries -lt 200 ] || return 1
    usleep 100000
  done
}
