#!/bin/bash
# libiscsi.sh [--newest] FORM: libiscsi's own test suite, which is written to break targets, against the daemon.
#
#   thin       a writable export with an append-only layer and a removable medium
#   read-only  the same without a writable layer
#   portals    as thin, with two portals: the suite is given both paths
#   nodes      two daemons that serve one digest: the suite must take them for two paths to one unit
#
# Every test that does not pass must be in libiscsi.expected with its reason, and everything there must happen. Skipped
# tests, which CUnit takes for passed, count as not passed. --newest: not Debian's iscsi-test-cu but what
# LIBISCSI_TEST_CU names, a program or a source folder of libiscsi (built once under ~/.cache); skipped without it.
# Environment: OBD_BIN, FAMILIES (default: what fits the form), OBD_KEEP=1 keeps logs and results.
source "$(dirname "$0")/../e2e/lib.sh"
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

version=1.19 program=iscsi-test-cu
if [ "$1" = --newest ]; then
  shift
  [ -n "${LIBISCSI_TEST_CU:-}" ] || { echo "LIBISCSI_TEST_CU is not set: skipped"; exit 77; }
  version=newest program=$LIBISCSI_TEST_CU
  [ ! -d "$program" ] || program=$("$HERE/build-libiscsi.sh" "$program")
fi
form=${1:?libiscsi.sh [--newest] FORM}

# A disk of 96 MiB in three layers: no zeros at the ends, holes in the middle.
make_image() {
  python3 - "$T" <<'PY'
import random, sys
dice = random.Random(96)
disk = bytearray(96 << 20)
for step in range(3):
    for _ in range(40):
        at = dice.randrange(0, len(disk) - 65536, 4096)
        disk[at:at + 65536] = dice.randbytes(65536)
    disk[:65536] = disk[-65536:] = dice.randbytes(65536)
    open(f"{sys.argv[1]}/{step}.img", "wb").write(disk)
PY
  make-test-image --lz4 "$T/image" "$T"/{0,1,2}.img >/dev/null
  rm "$T"/{0,1,2}.img
}

# two_portals: daemon_config with a second one.
two_portals() {
  eval "plain_$(declare -f daemon_config)"
  daemon_config() {
    plain_daemon_config "$@"
    SECOND=$(free_port)
    sed -i "s/\(\"portals\": \[\)\(\"127.0.0.1:$PORT\"\)/\1\2, \"127.0.0.1:$SECOND\"/" "$T/${1:-overlaybd}.json"
  }
}

# The export; leaves $URL and, where there are two paths, $URL2.
make_export() {
  URL2='' options=()
  case $form in
    thin) daemon_start; attach --config "$T/image/config.v1.json" --name disk --writable --removable ;;
    read-only) daemon_start; attach --config "$T/image/config.v1.json" --name disk --removable; options=(-v read_only=1) ;;
    portals)
      two_portals
      daemon_start
      attach --config "$T/image/config.v1.json" --name disk --writable --removable
      URL2=${URL/127.0.0.1:$PORT/127.0.0.1:$SECOND} ;;
    nodes)
      SOCKET=$T/first.sock
      daemon_start first
      attach --config "$T/image/config.v1.json" --name disk
      # shellcheck disable=SC2034  # ctl looks at it
      URL2=$URL PORT='' SOCKET=$T/second.sock
      daemon_start second
      attach --config "$T/image/config.v1.json" --name disk
      options=(-v read_only=1) ;;
    *) die "unknown form $form" ;;
  esac
}

# run_tests SELECTION SECONDS: results to $T/results.
run_tests() {
  local log=$T/log.$1
  local urls=("$URL" ${URL2:+"$URL2"})
  case $1 in
    iSCSI.iSCSICHAP.HexName) urls=("$HEX_URL") ;;
    iSCSI.iSCSICHAP.Base64Name) urls=("$BASE64_URL") ;;
    iSCSI.iSCSICHAP.*) urls=("$CHAP_URL") ;;
  esac
  timeout -k 2 "$2" "$program" --dataloss --allow-sanitize -v -t "$1" "${urls[@]}" >"$log" 2>&1 || true
  awk "${options[@]}" -f "$HERE/results.awk" "$log" >>"$T/results.$family"
}

run_family() {
  local family=$1 one
  : >"$T/results.$family"
  if [ "$version $family" = "newest iSCSI" ]; then  # some of them hang for ever, or break the connection for those after
    for one in $("$program" -l | grep '^iSCSI\.[^.]*\.'); do run_tests "$one" 20; done
  else
    run_tests "$family" 150
  fi
  [ -s "$T/results.$family" ] || die "$family: nothing ran: $(tail -3 "$T/log.$family")"
  awk -v what="$version $form $family" '{ count[$1]++ } END { printf "%s: %d run, %d passed, %d skipped, %d failed, %d crashed, %d refused as write protected\n",
    what, NR, count["passed"], count["skipped"], count["failed"], count["crashed"], count["protected"] }' "$T/results.$family"
}

# Compares with the list. Its lines: VERSION FORM RESULT TEST REASON...; * is any; RESULT with a ? may also be "passed".
judge() {
  awk -v version="$version" -v form="$form" '
    FNR == NR {
      if ($0 ~ /^(#|$)/ || ($1 != "*" && $1 != version) || ($2 != "*" && index("," $2 ",", "," form ",") == 0)) next
      wanted[$4] = $3
      next
    }
    $1 == "passed" || $1 == "protected" { ran[$2] = 1; if ($2 in wanted && wanted[$2] !~ /\?$/) { print "passes now: " $2; bad = 1 }; next }
    { ran[$2] = 1; sub(/\?$/, "", wanted[$2]); if (wanted[$2] != $1) { print "not expected: " $0; bad = 1 } }
    END { exit bad }' "$HERE/libiscsi.expected" "$T"/results.*
}

# chap_export USER: another export whose target asks for CHAP, for the tests that are about it; prints the URL.
chap_export() {
  (umask 077; echo "{\"user\": \"$1\", \"secret\": \"twelve-bytes-or-more\"}" >"$T/chap.json")
  attach --config "$T/image/config.v1.json" --name "chap-${#1}" --chap-file "$T/chap.json"
  echo "${URL/iscsi:\/\//iscsi:\/\/$1%twelve-bytes-or-more@}"
}

make_image
make_export
CHAP_URL=$(chap_export tester)
HEX_URL=$(chap_export 0x7465737465)        # names that look like encoded values, and are not
BASE64_URL=$(chap_export 0bdGVzdGVyIQ==)
case $form in
  thin) families=${FAMILIES:-SCSI LINUX iSCSI} ;;
  nodes) families=${FAMILIES:-SCSI.Inquiry SCSI.Read10 SCSI.Read16 SCSI.ReadCapacity16 SCSI.MultipathIO} ;;
  *) families=${FAMILIES:-SCSI iSCSI} ;;
esac
for name in $families; do run_family "$name"; done
kill -0 "$DAEMON" || die "the daemon is gone"
judge || die "results differ from libiscsi.expected"
daemon_stop
say "passed"
