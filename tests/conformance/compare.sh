#!/bin/bash
# compare.sh [TARGET]... [--families F,...] [--results DIR]: libiscsi's test suite against this daemon and against tgt,
# istgt and SPDK, all run the same way; passed/skipped/failed as the table of docs/conformance.md.
#
# Targets: ours tgtd tgtd-thin istgt spdk (default: all; what is not installed is said). Environment: OBD_BIN (our
# programs), LIBISCSI_TEST_CU (a newer iscsi-test-cu, or a source folder of libiscsi, to run beside Debian's 1.19),
# OBD_SPDK (SPDK's iscsi_tgt).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
programs=1.19=iscsi-test-cu
if [ -n "${LIBISCSI_TEST_CU:-}" ]; then
  newest=$LIBISCSI_TEST_CU
  [ ! -d "$newest" ] || newest=$("$here/build-libiscsi.sh" "$newest")
  programs+=,newest=$newest
fi
: "${OBD_BIN:?OBD_BIN is not set: the folder of the built programs}"
exec python3 "$here/compare.py" --programs "$programs" "$@"
