#!/bin/bash
# build-libiscsi.sh SOURCE: builds libiscsi's test program from its source folder, once for each state of it, and
# prints where the program is. Needs autoconf, automake, libtool and libcunit1-dev.
set -euo pipefail
source=$(cd "${1:?build-libiscsi.sh SOURCE}" && pwd)
state=$(git -C "$source" rev-parse HEAD 2>/dev/null || find "$source" -name '*.[ch]' -print0 | sort -z | xargs -0 sha256sum | sha256sum)
target=${XDG_CACHE_HOME:-$HOME/.cache}/overlaybd-libiscsi/${state:0:12}
if [ ! -x "$target/bin/iscsi-test-cu" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  cp -a "$source/." "$work/"
  (cd "$work" && ./autogen.sh && ./configure --prefix="$target" && make -j2 install) >"$work/build.log" 2>&1 ||
    { tail -n 20 "$work/build.log" >&2; exit 1; }
fi
echo "$target/bin/iscsi-test-cu"
