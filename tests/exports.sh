#!/bin/sh
# The shared library defines the functions that the header declares, and nothing else.
# Usage: exports.sh HEADER LIBRARY
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n 's/^PARPOOL_API \([^(]*[ *]\)\([a-z_]*\)(.*/\2/p' "$1" | sort >"$work/declared"
# Names with an underscore in front belong to the compiler and the C library; "A" is the name of the symbols' version.
nm -D --defined-only "$2" | awk '$NF !~ /^_/ && $2 != "A" { sub(/@.*/, "", $NF); print $NF }' | sort >"$work/defined"

diff "$work/declared" "$work/defined"
# The prefixes are part of the contract.
! grep -vE '^(pool|future|task|stream)_' "$work/defined"
