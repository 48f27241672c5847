#!/bin/sh
# check_slow_square.sh PROGRAM: do ten calls of one second each take three seconds, not ten?
set -eu
begin=$(date +%s)
"$1"
seconds=$(($(date +%s) - begin))
echo "about $seconds s"
[ "$seconds" -ge 2 ] && [ "$seconds" -le 6 ]
