#!/bin/bash
# run.sh [--preset NAME] [--no-install] [LABEL]...: installs what is missing, builds, runs the suite with ctest.
#
# Labels: unit conformance golden lint (built by --preset, default dev: ASan and UBSan), fuzz (clang, short runs over
# the seeds), e2e (Release: real initiators and a real registry on loopback), vm (Release: the Linux kernel's initiator
# in a virtual machine). Without labels: all of them.
#   tests/run.sh                        the whole suite, as CI runs it
#   tests/run.sh unit lint              minutes
#   tests/run.sh --preset tsan unit     the unit tests under ThreadSanitizer
#   tests/run.sh --preset clang unit    ... compiled by clang, since g++ 12 miscompiles some coroutines
# CTEST_ARGS: further arguments for ctest, e.g. "-R login". JOBS: how many compilers and tests run at once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=dev install=yes labels=()
while [ $# -gt 0 ]; do
  case $1 in
    --preset) preset=${2:?--preset needs a name}; shift ;;
    --no-install) install= ;;
    -h | --help) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 0 ;;
    unit | conformance | golden | lint | fuzz | e2e | vm) labels+=("$1") ;;
    *) echo "run.sh: unknown label $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done
[ ${#labels[@]} -gt 0 ] || labels=(unit conformance golden lint fuzz e2e vm)
jobs=${JOBS:-$(nproc)}

say() { printf '\n== %s  [%dm%02ds]\n' "$*" $((SECONDS / 60)) $((SECONDS % 60)); }
wants() { [[ " ${labels[*]} " =~ \ ($1)\  ]]; }
# build PRESET TARGET...: configures and builds; folders of its tests are added to the suite by the caller.
build() {
  say "building $1 (${*:2})"
  cmake --preset "$1" >"build/$1.configure.log" 2>&1 || { cat "build/$1.configure.log"; exit 1; }
  cmake --build "build/$1" -j "$jobs" --target "${@:2}"
}

if [ -n "$install" ]; then
  say "installing what is missing"
  tools/install-deps.sh build run test
fi
mkdir -p build/suite
folders=()
if wants 'unit|conformance|golden'; then
  build "$preset" all
elif wants lint; then
  cmake --preset "$preset" >"build/$preset.configure.log"
fi
if wants 'unit|conformance|golden|lint'; then
  for kind in unit conformance golden lint; do folders+=("build/$preset/tests/$kind"); done
fi
if wants fuzz; then
  build fuzz fuzzers
  folders+=(build/fuzz/tests/fuzz)
fi
if wants 'e2e|vm'; then
  build release e2e_programs
  folders+=(build/release/tests/e2e)
fi
if wants e2e; then
  say "building a disk to boot from"
  tests/e2e/vm/build-boot-disk >/dev/null
fi
if wants vm; then
  say "building the virtual machine"
  tests/e2e/vm/kernel-vm --build
fi

# One ctest over the test folders of all these builds. A folder's file brings in those below it.
: >build/suite/CTestTestfile.cmake
for folder in "${folders[@]}"; do
  previous=
  while IFS= read -r found; do
    [[ -n $previous && $found == "$previous"/* ]] && continue
    previous=$found
    printf 'subdirs("%s/%s")\n' "$PWD" "$found" >>build/suite/CTestTestfile.cmake
  done < <(find "$folder" -name CTestTestfile.cmake -printf '%h\n' | LC_ALL=C sort)
done
say "running ${labels[*]}"
pattern=$(IFS='|'; echo "${labels[*]}")
# shellcheck disable=SC2086
exec ctest --test-dir build/suite -L "^($pattern)\$" -j "$jobs" --output-on-failure --no-tests=error ${CTEST_ARGS:-}
