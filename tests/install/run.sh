#!/bin/sh
# Installs the library, then builds and runs a consumer of it in each of the documented ways.
# Usage: run.sh BUILD_DIRECTORY, with the programs CMAKE and CC in the environment
set -eu
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "failed: $*"
    exit 1
}

# consumer LINKAGE PROGRAM: checks that PROGRAM is linked with the library as LINKAGE says, and works.
consumer() {
    echo "consumer: $2 ($1)"
    needed=static
    if readelf -d "$2" | grep -q 'NEEDED.*\[libparpool\.so\.0\.[0-9]*\]'; then needed=shared; fi
    [ $needed = "$1" ] || fail "$2 is $needed"
    sh "$top/examples/expect.sh" "$top/examples/square.expected" "$2"
}

# build DIRECTORY OPTIONS...: builds the consumer with CMake.
build() {
    directory=$1
    shift
    "$CMAKE" -S "$here" -B "$directory" "$@"
    "$CMAKE" --build "$directory"
}

# Installed elsewhere than configured, and moved once more, since nothing may depend on the place.
"$CMAKE" --install "$1" --prefix "$work/first"
prefix=$work/prefix
mv "$work/first" "$prefix"
[ "$(ls "$prefix/include")" = parpool.h ] || fail "other headers than parpool.h"
libdir=$(dirname "$(find "$prefix" -name libparpool.a)")
readelf -d "$libdir/libparpool.so" | grep -q 'SONAME.*\[libparpool\.so\.0\.[0-9]*\]' || fail "SONAME"

build "$work/found" -DCMAKE_PREFIX_PATH="$prefix"
consumer static "$work/found/with_parpool"
consumer static "$work/found/with_parpool_static"
consumer shared "$work/found/with_parpool_shared"

build "$work/added" -DPARPOOL_SOURCES="$top" -DBUILD_SHARED_LIBS=ON
consumer shared "$work/added/with_parpool"
consumer static "$work/added/with_parpool_static"
consumer shared "$work/added/with_parpool_shared"

command -v pkg-config >/dev/null || {
    echo "there is no pkg-config: not tried"
    exit 0
}
export PKG_CONFIG_PATH="$libdir/pkgconfig"
flags() {
    pkg-config --cflags --libs "$@" parpool
}
# Not in quotes: flags are separate words.
# shellcheck disable=SC2046,SC2086
"$CC" ${CFLAGS:-} "$top/examples/square.c" -o "$work/pc_shared" $(flags) -Wl,-rpath,"$libdir"
consumer shared "$work/pc_shared"
# shellcheck disable=SC2046,SC2086
"$CC" ${CFLAGS:-} -static "$top/examples/square.c" -o "$work/pc_static" $(flags --static)
consumer static "$work/pc_static"
