#!/bin/bash
# many.sh: 64 initiators read 64 exports at once while others are killed in mid-read and throw garbage at the port.
source "$(dirname "$0")/lib.sh"

daemon_start
wanted=$(cat "$IMAGE/disk.sha256")
encodings=(raw lz4 zstd)
for n in $(seq 0 63); do
  attach --config "$IMAGE/${encodings[n % 3]}/config.v1.json" --name "export-$n"
  echo "$URL $wanted"
done >"$T/urls"

mkfifo "$T/go"
iscsi-many "$T/urls" <"$T/go" >"$T/many" &
many=$!
pids+=("$many")
exec 3>"$T/go"
until_true 60 "64 logins" grep -q ready "$T/many"
same "sessions" "$(ctl --json sessions | json 'len(value)')" 64
same "initiators of export-5" "$(field export-5 initiators | json 'len(value) if isinstance(value, list) else value' 2>/dev/null || echo 1)" 1

say "reading, with trouble beside"
echo go >&3
qemu-img bench -f raw -c 1000000 -d 16 -s 64k "$(sed -n 7p "$T/urls" | cut -d' ' -f1)" >/dev/null 2>&1 &
victim=$!
python3 - "$PORT" <<'PY'
import random, socket, sys
dice = random.Random(64)
port = int(sys.argv[1])
def throw(data, half_close=False):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as peer:
        try:
            peer.sendall(data)
            if half_close:
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(65536):
                    pass
        except OSError:
            pass                                   # dropped: its right
held = []
for round in range(40):
    throw(dice.randbytes(dice.randint(1, 4096)), half_close=round % 2 == 0)
    throw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", half_close=True)
    login = bytes([0x43, 0x87, 0, 0, 0, 0, 0, 200]) + bytes(8) + bytes([0, 0, 0, round]) + bytes(28)
    throw(login[:dice.randint(1, 48)])             # half a header
    throw(login + b"InitiatorName=iqn")            # half a data segment
    huge = bytes([0x43, 0x87, 0, 0, 255, 255, 255, 255]) + bytes(40)
    throw(huge, half_close=True)                   # longest AHS and data segment
    held.append(socket.create_connection(("127.0.0.1", port), timeout=10))
    held[-1].sendall(login[:20])                   # held open, half a PDU
print("garbage thrown")
PY
kill -KILL "$victim" 2>/dev/null || die "the victim was gone before it was killed"
wait "$victim" 2>/dev/null || true
wait "$many" || die "$(cat "$T/many")"
grep '64 initiators, 0 wrong' "$T/many"
kill -0 "$DAEMON" || die "the daemon is gone"
until_true 30 "the sessions to end" sh -c "[ \"\$(overlaybdctl --socket '$T/overlaybd.sock' --json sessions | tr -d ' \n')\" = '[]' ]"
daemon_stop
say "passed"
