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
# says TEXT HOW: the line of HOW must have the text.
says() {
    grep "^$2	" "$work/output" | grep -qF "$1" && return
    echo "*** $2: \"$1\" is missing"
    bad=1
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
    wants give_up "abort()"
    wants check_block "assert()"
    wants raise_here SIGBUS
    wants raise_here SIGTRAP
    wants raise_here SIGSYS
    [ "${2:-}" = musl ] && return
    wants decode SIGSEGV
    says "Assertion \`size > 0' failed" "assert()"
    says "double free detected" "double free"
}
build() {
    "$@" -std=gnu11 -I"$top/include" "$source" "$archive" -pthread -lm -o "$work/crashes"
}
# in_library COMPILER OPTION...: the functions are in a shared library.
in_library() {
    "$@" -std=gnu11 -I"$top/include" -shared -fPIC -DNO_MAIN "$source" -o "$work/libcrashes.so"
    "$@" -std=gnu11 -I"$top/include" -DONLY_MAIN "$source" "$archive" "$work/libcrashes.so" -Wl,-rpath,"$work" \
        -pthread -lm -o "$work/crashes"
}
# kinds COMPILER OPTION: each kind of program that it links.
kinds() {
    name="$(basename "$1") $2"
    build "$@" -fPIE -pie && named "$name, PIE"
    build "$@" -fno-pie -no-pie && named "$name, no-pie"
    build "$@" -Wl,--build-id=none && named "$name, no build id"
    build "$@" -static 2>/dev/null && named "$name, static"
    build "$@" -static-pie 2>/dev/null && named "$name, static-pie"
    in_library "$@" && named "$name, shared"
    build "$@" -s
    row "$name, stripped"
    grep -qE '^SIGSEGV.* in crashes\+0x[0-9a-f]+, from crashes\+0x' "$work/output" || bad=1
    says "Assertion \`size > 0' failed" "assert()"
}

archive=$library compilers=
for compiler in gcc clang; do
    command -v $compiler >/dev/null && compilers="$compilers $compiler"
done
for compiler in ${compilers:-"$CC"}; do
    for option in -O0 -O2; do
        kinds "$compiler" $option
    done
done
archive=$musl
for option in -O0 -O2; do
    [ "$musl" ] || break
    build musl-gcc $option && named "musl $option" musl
    build musl-gcc $option -static && named "musl $option, static" musl
    in_library musl-gcc $option && named "musl $option, shared" musl
done
exit $bad
