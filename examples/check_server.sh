#!/bin/sh
# check_server.sh PROGRAM: is each of several clients at a time answered, also for a crash and a hang?
set -eu
command -v python3 >/dev/null || exit 0
work=$(mktemp -d)
"$1" "$work/socket" &
server=$!
trap 'kill "$server"; rm -rf "$work"' EXIT
timeout 60 python3 - "$work/socket" <<'END'
import socket, sys, time

def ask(request):
    client = socket.socket(socket.AF_UNIX)
    while True:
        try:
            client.connect(sys.argv[1])
            break
        except OSError:
            time.sleep(0.01)
    client.sendall(request.encode() + b"\n")
    return client

def answer(client):
    return client.makefile().read()

requests = ["12", "hang", "crash", "7", "hang", "-3"]
answers = [answer(client) for client in [ask(request) for request in requests]]
print(answers)
assert [answers[i] for i in (0, 3, 5)] == ["144\n", "49\n", "9\n"]
assert all(answers[i].startswith("POOL_EDEADLINE: ") for i in (1, 4))
assert answers[2].startswith("POOL_EDIED: ") and "SIGABRT" in answers[2]
END
