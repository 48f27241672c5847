#!/bin/sh
# check_failures.sh PROGRAM: does it print what is expected? Where the crash and the hang were differs by the compiler.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$1" >"$work/output"
sed 's/,* in [^ ]*+0x.*//' "$work/output" >"$work/printed"
diff "$(dirname "$0")/failures.expected" "$work/printed"
