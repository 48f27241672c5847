#!/bin/sh
# Prints a table of what the message says of each crash and of a hang, in each kind of build; checks that each function
# is named where the program has symbols, and that where it was stripped an offset stands instead.
# Usage: places.sh LIBPARPOOL.A [MUSL_LIBPARPOOL.A], with CC in the environment
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
library=$1 musl=${2:-} bad=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $(uname -sm) in
"Linux x86_64") ;;
*) exit 77 ;;
esac
source=$top/tests/crashes.c

# row KIND: prints the lines of ./crashes.
row() {
    "$work/crashes" 2>/dev/null >"$work/output"
    awk -v kind="$1" '{ print kind "\t" $0 }' "$work/output"
}
# wants FUNCTION HOW: the line of HOW must name the function with an offset.
wants() {
    grep "^$2	" "$work/output" | grep -qE "(in|from) $1[a-z0-9.]*\+0x" && return
    echo "*** $2: $1() is not named"
    bad=1
}
named() {
    row "$1"
    wants decode_header SIGSEGV
    wants divide SIGFPE
    wants trap SIGILL
    wants recurse "stack overflow"
    wants call "jump to NULL"
    wants newton hang
    [ "${2:-}" = "no unwinder" ] && return
    wants decode SIGSEGV
    wants give_up "abort()"
    wants check_block "assert()"
    wants raise_here SIGBUS
    wants raise_here SIGTRAP
    wants raise_here SIGSYS
}
build() {
    "$@" -std=gnu11 -I"$top/include" "$source" "$archive" -pthread -lm -o "$work/crashes"
}

archive=$library
for compiler in "$CC" gcc clang; do
    command -v "$compiler" >/dev/null || continue
    for options in -O0 -O2; do
        build "$compiler" $options && named "$(basename "$compiler") $options"
    done
done
build "$CC" -O2 -no-pie && named "-O2 -no-pie"
build "$CC" -O2 -Wl,--build-id=none && named "-O2 without a build id"
if build "$CC" -O2 -static 2>/dev/null; then named "-O2 -static"; fi
if build "$CC" -O2 -static-pie 2>/dev/null; then named "-O2 -static-pie"; fi
"$CC" -O2 -std=gnu11 -I"$top/include" -shared -fPIC -DNO_MAIN "$source" -o "$work/libcrashes.so"
"$CC" -O2 -std=gnu11 -I"$top/include" -DONLY_MAIN "$source" "$archive" "$work/libcrashes.so" -Wl,-rpath,"$work" \
    -pthread -lm -o "$work/crashes"
named "-O2, in a shared library"
build "$CC" -O2 -s
row "-O2, stripped"
grep -qE '^SIGSEGV.* in crashes\+0x[0-9a-f]+, from crashes\+0x' "$work/output" || bad=1
if [ "$musl" ]; then
    archive=$musl
    build musl-gcc -O2 && named "musl -O2" "no unwinder"
    build musl-gcc -O2 -static && named "musl -O2 -static" "no unwinder"
fi
exit $bad
