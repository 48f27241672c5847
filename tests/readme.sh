#!/bin/sh
# Every C sample of README.md is a program of examples/, to the letter, save the comment on top of the program; and every
# test that README.md names exists.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk -v work="$work" '/^```c$/ { file = work "/sample" ++n; next } /^```/ { file = "" } file { print > file }' "$top/README.md"
bad=0
for sample in "$work"/sample*; do
    found=no
    for program in "$top"/examples/*.c; do
        sed '1,/\*\//d' "$program" | cmp -s - "$sample" && found=yes
    done
    [ $found = yes ] || { echo "this sample of README.md is no program of examples/:"; cat "$sample"; bad=1; }
done
for test in $(sed -n 's/.*| *`test_\([a-z_]*\): \([a-z_0-9]*\)` *|.*/\1:\2/p' "$top/README.md"); do
    grep -q "^static void ${test#*:}(" "$top/tests/test_${test%%:*}.c" || { echo "README.md names no test: $test"; bad=1; }
done
exit $bad
