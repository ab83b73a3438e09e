#!/bin/bash
# kills.sh [ROUNDS [SEED]]: the daemon is killed (SIGKILL) at random moments under eight writes at a time, by default 8 times
# with an append and as often with a sparse upper; what was acknowledged is there, the rest is whole blocks, old or new.
source "$(dirname "$0")/lib.sh"
rounds=${1:-${OBD_KILLS:-8}} seed=${2:-$RANDOM}

daemon_start
attach --config "$IMAGE/lz4/config.v1.json" --name append --writable=append
append=$IQN
attach --config "$IMAGE/lz4/config.v1.json" --name sparse --writable=sparse
sparse=$IQN
revivable overlaybd
for iqn in "$append" "$sparse"; do
  say "$iqn"
  python3 "$E2E/kills.py" "127.0.0.1:$PORT" "$iqn" "$rounds" "$seed" "$T/hook" 2>"$T/err" || die "$iqn, seed $seed: $(cat "$T/err")"
done
say "passed"
