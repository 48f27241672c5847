#!/bin/sh
# check_interrupt.sh PROGRAM: does SIGINT end the map early, with what was done kept?
set -eu
printed=$(mktemp)
bar=$(mktemp)
trap 'rm -f "$printed" "$bar"' EXIT
"$1" >"$printed" 2>"$bar" &
program=$!
tries=0
until [ -s "$bar" ]; do # until a part is done
    tries=$((tries + 1))
    [ $tries -lt 600 ]
    sleep 0.1
done
kill -INT "$program"
wait "$program"
cat "$printed"
grep -q '^POOL_ECANCELLED: [1-9][0-9]* of 1000 squares are done$' "$printed"
