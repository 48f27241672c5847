#!/bin/sh
# check_slow_square.sh PROGRAM: are the squares right, and do ten calls of one second each take three seconds, not ten?
set -eu
begin=$(date +%s)
squares=$("$1")
seconds=$(($(date +%s) - begin))
echo "$squares"
echo "about $seconds s"
[ "$squares" = "$(cat "$(dirname "$0")/slow_square.expected")" ]
[ "$seconds" -ge 2 ] && [ "$seconds" -le 9 ] # on a busy machine more than three
