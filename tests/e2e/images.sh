#!/bin/bash
# images.sh DIRECTORY: what the tests export. DIRECTORY/{raw,lz4,zstd}/ hold layer0, layer1, layer2 and config.v1.json
# of one disk in three encodings, DIRECTORY/disk.img its bytes, disk.sha256 their digest, files.sha256 its files.
set -euo pipefail
target=${1:?images.sh DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$target"
mkdir -p "$target/steps"
"$here/../support/make_root_images.sh" "$target/steps"
for encoding in raw lz4 zstd; do
  "${OBD_BIN:?}/make-test-image" --$encoding "$target/$encoding" "$target"/steps/{0,1,2}.img
done
mv "$target/steps/2.img" "$target/disk.img"
mv "$target/steps/files.sha256" "$target/files.sha256"
rm -r "$target/steps"
sha256sum "$target/disk.img" | cut -d' ' -f1 >"$target/disk.sha256"
ls -l "$target"/*/
