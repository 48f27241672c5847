#!/bin/sh
# check_random_mean.sh PROGRAM: is the mean the same to the last bit for any number of workers?
set -eu
first=$("$1")
for workers in 1 2 3 4 7 16; do
    mean=$("$1" "$workers")
    echo "$workers workers: $mean"
    [ "$mean" = "$first" ]
done
