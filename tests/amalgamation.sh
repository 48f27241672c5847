#!/bin/sh
# The library as two files compiles without a warning with each compiler that there is, with POSIX alone too; examples
# and tests pass with it.
# Usage: amalgamation.sh BUILD_DIRECTORY, with CMAKE, CC, CFLAGS and CMOCKA_FLAGS in the environment
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$CMAKE" --build "$1" --target amalgamation >/dev/null
cp "$1"/amalgamation/parpool.[ch] "$work"
cd "$work"

warnings="-std=c11 -O2 -Wall -Wextra -Werror"
# Not in quotes: options are separate words.
# shellcheck disable=SC2086
for compiler in gcc clang musl-gcc; do
    command -v "$compiler" >/dev/null || continue
    echo "$compiler"
    "$compiler" $warnings -c parpool.c -o other.o
done
# shellcheck disable=SC2086
"$CC" $warnings -DPARPOOL_POSIX_ONLY -c parpool.c -o other.o

# Not in quotes: flags are separate words.
# shellcheck disable=SC2086
"$CC" ${CFLAGS:-} -std=c11 -O2 -c parpool.c
for example in square reduce futures; do
    # shellcheck disable=SC2086
    "$CC" ${CFLAGS:-} -I. "$top/examples/$example.c" parpool.o -pthread -lm -o $example
    sh "$top/examples/expect.sh" "$top/examples/$example.expected" "./$example"
done
export PARPOOL_TEST_BRIEF=1
for name in map stream; do
    # shellcheck disable=SC2086
    "$CC" ${CFLAGS:-} -D_GNU_SOURCE -I. "$top/tests/test_$name.c" "$top/tests/support.c" parpool.o $CMOCKA_FLAGS \
        -pthread -lm -o "test_$name"
    "./test_$name"
done
