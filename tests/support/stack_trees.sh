#!/bin/bash
# stack_trees.sh DIRECTORY SIZE TREE...: a disk of ext4 as it is after each TREE is put over those before it, as
# DIRECTORY/0.img, 1.img and so on. TREE/path/.wh.NAME deletes path/NAME, as in an OCI layer. No mount, no root:
# mke2fs -d makes the first, debugfs changes it into the next, so that each differs little from the one before.
set -euo pipefail
export PATH=$PATH:/usr/sbin:/sbin E2FSPROGS_FAKE_TIME=1700000000 LC_ALL=C
target=${1:?stack_trees.sh DIRECTORY SIZE TREE...} size=${2:?} first=$(realpath "${3:?}")
shift 3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }; }

mkdir -p "$target"
rm -f "$target"/*.img
run mke2fs -q -t ext4 -b 4096 -U 6f766572-6c61-7962-6464-000000000001 -L overlaybd \
  -E hash_seed=6f766572-6c61-7962-6464-000000000002,root_owner=0:0,lazy_itable_init=0 -d "$first" "$target/0.img" "$size"

# commands IMAGE: debugfs commands that put the current folder over the image.
commands() {
  local name
  exists() { debugfs -R "stat $1" "$image" 2>/dev/null | grep -q Inode:; }
  find . -mindepth 1 | sort | while read -r name; do
    name=${name#.}
    if [[ $name == */.wh.* ]]; then
      echo "rm ${name/.wh./}"
    elif [ -d ".$name" ] && [ ! -L ".$name" ]; then
      exists "$name" || echo "mkdir $name"
    else
      ! exists "$name" || echo "rm $name"
      if [ -L ".$name" ]; then echo "symlink $name $(readlink ".$name")"; else echo "write .$name $name"; fi
      [ ! -x ".$name" ] || [ -L ".$name" ] || echo "sif $name mode 0100755"
    fi
  done
}
number=0
for tree; do
  image=$target/$((number + 1)).img
  cp --sparse=always "$target/$number.img" "$image"
  number=$((number + 1))
  (cd "$tree" && commands >"$work/commands" && debugfs -w -f "$work/commands" "$image") >"$work/log" 2>&1
  # debugfs echoes its commands and says what it allocates; anything else is an error, which it does not exit with.
  if grep -v '^debugfs\|^Allocated inode\|^$' "$work/log" >&2; then exit 1; fi
done
for image in "$target"/*.img; do
  run e2fsck -fn "$image"
done
