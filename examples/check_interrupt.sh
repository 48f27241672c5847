#!/bin/sh
# check_interrupt.sh PROGRAM: does SIGINT end the map early, with what was done kept?
set -eu
printed=$(mktemp)
trap 'rm -f "$printed"' EXIT
"$1" >"$printed" &
program=$!
sleep 1
kill -INT "$program"
wait "$program"
cat "$printed"
grep -q '^POOL_ECANCELLED: [1-9][0-9]* of 1000 squares are done$' "$printed"
