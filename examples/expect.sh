#!/bin/sh
# PROGRAM must succeed and print the text in FILE; empty lines at the end do not count.
# Usage: expect.sh FILE PROGRAM ARGUMENTS...
expected=$(cat "$1") || exit 1
shift
printed=$("$@") || {
    echo "$1: exit status $?"
    exit 1
}
[ "$printed" = "$expected" ] && exit 0
printf 'expected:\n%s\nprinted:\n%s\n' "$expected" "$printed"
exit 1
