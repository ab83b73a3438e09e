#!/bin/sh
# Run in the virtual machine by chap.sh: chap.sh PORT IQN_ONE_WAY IQN_MUTUAL IQN_OF_OTHERS DISK_SHA256
. /lib/guest.sh
portal=127.0.0.1:$1 one=$2 both=$3 theirs=$4 disk_digest=$5
start_iscsid

# refused WHAT COMMAND...: by the target or by ourselves, with the message of an authentication failure.
refused() {
  what=$1
  shift
  seen=$(wc -l </run/iscsid.log)
  "$@" >/run/refused 2>&1 && fail "$what was accepted"
  tail -n +$((seen + 1)) /run/iscsid.log >>/run/refused
  grep -Eiq 'authori[sz]ation|authenticat' /run/refused || fail "$what: $(cat /run/refused)"
}
set_discovery() { iscsiadm -m discoverydb -t sendtargets -p "$portal" -o update -n "discovery.sendtargets.auth.$1" -v "$2" || fail "setting $1"; }
find_targets() { iscsiadm -m discoverydb -t sendtargets -p "$portal" --discover; }

say "discovery"
iscsiadm -m discoverydb -t sendtargets -p "$portal" -o new >/dev/null || fail "no discovery record"
refused "discovery by a stranger" find_targets
set_discovery authmethod CHAP
set_discovery username finder
set_discovery password wrong-secret-here
refused "discovery with a wrong secret" find_targets
set_discovery password finder-secret
set_discovery username_in target
set_discovery password_in wrong-secret-here
refused "a target with a wrong secret" find_targets
set_discovery password_in target-secret
find_targets >/run/found || fail "discovery with both secrets"
grep -q "$one" /run/found && grep -q "$both" /run/found || fail "discovery shows $(cat /run/found)"
grep -q "$theirs" /run/found && fail "discovery shows a target of others"

# auth IQN USER SECRET [TARGET_USER TARGET_SECRET]
auth() {
  set_node "$1" node.session.auth.authmethod CHAP
  set_node "$1" node.session.auth.username "$2"
  set_node "$1" node.session.auth.password "$3"
  [ $# -lt 5 ] || set_node "$1" node.session.auth.username_in "$4"
  [ $# -lt 5 ] || set_node "$1" node.session.auth.password_in "$5"
}
try() { iscsiadm -m node -T "$1" --login; }
for iqn in "$one" "$both"; do set_node "$iqn" node.session.initial_login_retry_max 1; done
say "one way"
refused "a login without a secret" try "$one"
auth "$one" alice wrong-secret-here
refused "a login with a wrong secret" try "$one"
auth "$one" bob alice-secret-1
refused "a login with a wrong name" try "$one"
auth "$one" alice alice-secret-1
for algorithm in MD5 SHA1 SHA256 SHA3-256; do
  set_node "$one" node.session.auth.chap_algs $algorithm
  login "$one"
  disk=$(wait_disk "$one" 0) || fail "no disk"
  dd if="$disk" bs=4k count=1 iflag=direct 2>/dev/null >/run/block || fail "no read with $algorithm"
  say "$algorithm"
  [ $algorithm = SHA3-256 ] || logout "$one"
done
[ "$(dd if="$disk" bs=256k iflag=direct 2>/dev/null | sha256sum)" = "$disk_digest  -" ] || fail "the disk differs"
logout "$one"

say "both ways"
auth "$both" alice alice-secret-1 target wrong-secret-here
refused "a target with a wrong secret" try "$both"
auth "$both" alice wrong-secret-here target target-secret-2
refused "a login with a wrong secret" try "$both"
auth "$both" alice alice-secret-1 target target-secret-2
login "$both"
disk=$(wait_disk "$both" 0) || fail "no disk"
[ "$(dd if="$disk" bs=256k iflag=direct 2>/dev/null | sha256sum)" = "$disk_digest  -" ] || fail "the disk differs"
logout "$both"

say "a target of others"
iscsiadm -m node -T "$theirs" -p "$portal" -o new >/dev/null || fail "no record"
set_node "$theirs" node.session.initial_login_retry_max 1
refused "a login to a target of others" try "$theirs"
say "passed"
