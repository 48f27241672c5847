#!/bin/sh
# check_crash_report.sh PROGRAM: does it find what is wrong with its parser? Which function is named depends on the
# compiler, and sanitizers end workers in their own way, and need more stack. The last input crashes in the program
# itself.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" >"$work/output" 2>"$work/errors"
cat "$work/output"
bad=173
if grep -q 'exited with status' "$work/output"; then
    bad=$(sed -n '1s/.* \([0-9]*\) crashed or hung/\1/p' "$work/output")
fi
[ "$bad" -ge 173 ]
[ "$(head -n 1 "$work/output")" = "5000 inputs: 1249 rejected, $bad crashed or hung" ]
if grep -q '+0x' "$work/output"; then grep -q ' in parse_[a-z]*+0x' "$work/output"; fi
[ "$(awk 'NR > 2 { sum += $1 } END { print sum }' "$work/output")" = "$bad" ]
"$1" 29 >"$work/output" 2>&1 && exit 1
"$1" 0
