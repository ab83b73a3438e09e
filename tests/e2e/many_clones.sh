#!/bin/bash
# many_clones.sh [COUNT]: that many initiators (default 100) boot one image through clones. Reports what the daemon
# needs for them; a clone costs no thread, and a bounded number of file descriptors and pages.
source "$(dirname "$0")/lib.sh"
count=${1:-${OBD_CLONES:-100}}

ulimit -n "$(ulimit -H -n)"
daemon_start
attach --config "$IMAGE/lz4/config.v1.json" --name farm --clone-per-initiator
status() { awk -v key="$1:" '$1 == key { print $2 }' "/proc/$DAEMON/status"; }
descriptors() { find "/proc/$DAEMON/fd" -mindepth 1 | wc -l; }
before="$(status VmRSS) $(descriptors) $(status Threads)"
mkfifo "$T/go"
python3 "$E2E/many_clones.py" "127.0.0.1:$PORT" "$IQN" "$count" <"$T/go" >"$T/many" 2>"$T/err" &
crowd=$!
pids+=("$crowd")
exec 7>"$T/go"
begin=$(date +%s%N)
until_true 300 "$count initiators" sh -c "grep -q ready '$T/many' || ! kill -0 $crowd"
grep -q ready "$T/many" || die "$(cat "$T/err")"
took=$((($(date +%s%N) - begin) / 1000000))
after="$(status VmRSS) $(descriptors) $(status Threads)"
read -r rss0 fds0 threads0 <<<"$before"
read -r rss1 fds1 threads1 <<<"$after"
say "$count initiators logged in, wrote and read in $took ms"
say "RSS $rss0 -> $rss1 KiB: $(((rss1 - rss0) / count)) KiB an initiator; descriptors $fds0 -> $fds1; threads $threads0 -> $threads1"
same "threads" "$threads1" "$threads0"
[ $((fds1 - fds0)) -le $((count * 4 + 16)) ] || die "more than four descriptors a clone"
[ $(((rss1 - rss0) / count)) -le 256 ] || die "more than 256 KiB an initiator"
same "clones" "$(ctl --json clone list farm | json 'len([e for e in value if e["sessions"] == 1])')" "$count"

say "SIGKILL, and all of them once more"
exec 7>&-
wait "$crowd" || die "$(cat "$T/err")"
daemon_kill
daemon_start
same "clones" "$(ctl --json clone list farm | json 'len(value)')" "$count"
python3 "$E2E/many_clones.py" "127.0.0.1:$PORT" "$IQN" "$count" </dev/null >"$T/many" 2>"$T/err" || die "$(cat "$T/err")"
daemon_stop
say "passed"
