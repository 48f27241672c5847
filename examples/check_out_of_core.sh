#!/bin/sh
# check_out_of_core.sh PROGRAM: are the statistics of a file larger than its address space those of a sequential pass?
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
file=$dir/doubles
failed=0

# compare MOST: with so many KiB of address space.
compare() {
    "$1" sequential <"$file" >"$dir/expected"
    (ulimit -v "$2" && exec "$1" <"$file") >"$dir/output" || failed=1
    cmp "$dir/expected" "$dir/output" || failed=1
}

: >"$file"
compare "$1" unlimited
for count in 1 2 32767 32768 32769 1000000; do
    "$1" make "$count" >"$file"
    compare "$1" unlimited
    grep -qx "count $count" "$dir/output"
done
cat "$dir/output"

# 1.5 GiB, most of it holes, in two thirds of that; a program with a sanitizer cannot bear a limit.
for gap in 0 300 700 1100 1535; do
    "$1" make 100000 | dd of="$file" bs=1048576 seek="$gap" conv=notrunc 2>/dev/null
done
most=1048576
(ulimit -v "$most" && "$1" make 0) 2>/dev/null || most=unlimited
echo "$(($(wc -c <"$file") / 1024)) KiB in an address space of $most"
compare "$1" "$most"
cat "$dir/output"
exit "$failed"
