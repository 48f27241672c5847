#!/bin/sh
# check_crash_report.sh PROGRAM: does it find what is wrong with its parser? Which function is named, and whether a
# mistake shows, depends on the compiler; sanitizers end workers in their own way. The last input crashes in the program
# itself.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" >"$work/output" 2>"$work/errors"
cat "$work/output"
bad=$(sed -n '1s/^5000 inputs: 1249 rejected, \([0-9]*\) crashed or hung$/\1/p' "$work/output")
[ "$bad" -ge 165 ] && [ "$bad" -le 185 ]
if grep -q '+0x' "$work/output"; then grep -q ' in parse_[a-z]*+0x' "$work/output"; fi
[ "$(awk 'NR > 2 { sum += $1 } END { print sum }' "$work/output")" = "$bad" ]
"$1" 29 >"$work/output" 2>&1 && exit 1
"$1" 0
