#!/bin/sh
# check_event_loop.sh PROGRAM: are lines answered and the timer served while the map runs, and is the sum right?
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
sum='sum of squares: 568820'

# await LINE: until the program has printed it
await() {
    tries=0
    until grep -qxF "$1" "$dir/printed"; do
        tries=$((tries + 1))
        [ $tries -lt 3000 ] || { echo "not printed: $1"; cat "$dir/printed"; exit 1; }
        sleep 0.01
    done
}

# The second line comes after an answer and a tick: the loop went on.
mkfifo "$dir/input"
: >"$dir/printed"
"$1" <"$dir/input" >"$dir/printed" &
exec 3>"$dir/input"
echo one >&3
await "you said: one"
await .
echo two >&3
await "you said: two"
exec 3>&-
wait $!
cat "$dir/printed"
[ "$(tail -n 1 "$dir/printed")" = "$sum" ]
[ "$(sed -n '/two/,$p' "$dir/printed" | grep -cxF .)" -ge 1 ]
# Without an input it works all the same.
"$1" </dev/null | grep -qxF "$sum"
