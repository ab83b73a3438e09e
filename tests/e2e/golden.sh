#!/bin/bash
# golden.sh [DIRECTORY]: every golden image of the reference's making, attached and read whole by QEMU's initiator.
# DIRECTORY (default $OBD_GOLDEN_DIR, then ../shared/golden beside this tree) holds one folder a case; exit 77 (skipped)
# when it is not there.
source "$(dirname "$0")/lib.sh"
golden=${1:-${OBD_GOLDEN_DIR:-$E2E/../../../shared/golden}}
[ -d "$golden" ] || { echo "skipped: no golden images at $golden"; exit 77; }

daemon_start
right=0 wrong=()
for folder in "$golden"/*/; do
  name=$(basename "$folder")
  [ -f "$folder/config.v1.json" ] && [ -f "$folder/expect.json" ] || continue
  ! grep -q '@PORT@' "$folder/config.v1.json" || continue             # needs the case's own registry
  wanted=$(json 'value.get("sha256") or ""' <"$folder/expect.json")
  [ -n "$wanted" ] || continue
  cp -r --sparse=always "$folder" "$T/case-$name"                      # opening an upper may change it
  chmod -R u+w "$T/case-$name"
  if ! ctl --json attach --config "$T/case-$name/config.v1.json" --name "${name//_/-}" >"$T/reply" 2>"$T/err"; then
    wrong+=("$name (attach: $(tail -n 1 "$T/err"))")
    continue
  fi
  url=iscsi://127.0.0.1:$PORT/$(json 'value["target"] + "/" + str(value["lun"])' <"$T/reply")
  if qemu-img convert -O raw -S 4k "$url" "$T/disk" 2>"$T/err" && [ "$(digest <"$T/disk")" = "$wanted" ]; then
    right=$((right + 1))
  else
    wrong+=("$name ($(tail -n 1 "$T/err"))")
  fi
  rm -f "$T/disk"
done
say "$right right, ${#wrong[@]} wrong"
[ ${#wrong[@]} -eq 0 ] || die "$(printf '%s\n' "${wrong[@]}")"
[ "$right" -gt 0 ] || die "no case in $golden"
daemon_stop
