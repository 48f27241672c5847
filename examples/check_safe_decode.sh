#!/bin/sh
# check_safe_decode.sh PROGRAM: is each hostile picture refused what it wants, or does the system have no sandboxes?
set -eu
got=$("$1")
echo "$got"
case $got in
POOL_ENOTSUP*) ;;
*) [ "$got" = "$(cat "$(dirname "$0")/safe_decode.expected")" ] ;;
esac
