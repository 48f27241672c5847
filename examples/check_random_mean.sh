#!/bin/sh
# check_random_mean.sh PROGRAM: is the mean the expected one, to the last bit, for any number of workers?
set -eu
expected=$(cat "$(dirname "$0")/random_mean.expected")
for workers in 0 1 2 3 4 7 16; do
    mean=$("$1" "$workers")
    echo "$workers workers: $mean"
    [ "$mean" = "$expected" ]
done
