#!/bin/sh
# check_event_loop.sh PROGRAM: are lines answered and the timer served while the map runs, and is the sum right?
set -eu
printed=$({ echo one; sleep 0.3; echo two; } | "$1")
echo "$printed"
[ "$(echo "$printed" | sed -n '1p')" = "you said: one" ]
[ "$(echo "$printed" | tail -n 1)" = "sum of squares: 20540" ]
# The second line came after ticks and before others: the loop went on.
[ "$(echo "$printed" | sed -n '/one/,/two/p' | grep -c '^\.$')" -ge 1 ]
[ "$(echo "$printed" | sed -n '/two/,$p' | grep -c '^\.$')" -ge 1 ]
# Without an input it works all the same.
"$1" </dev/null | grep -q '^sum of squares: 20540$'
