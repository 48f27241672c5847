#!/bin/sh
# Makes the packages. A program is built and run with what the two Debian packages hold, lintian finds no error in them,
# and what `uninstall` leaves of an installation is nothing. Skipped (77) without cpack or dpkg.
# Usage: package.sh BUILD_DIRECTORY, with the programs CMAKE and CC in the environment
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
build=$1
command -v cpack >/dev/null && command -v dpkg-deb >/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
    echo "failed: $*"
    exit 1
}

pack() {
    cpack -G "$1" --config "$build/CPackConfig.cmake" -B "$work" -D CPACK_PACKAGING_INSTALL_PREFIX=/usr
}
pack DEB
pack TGZ
tar -tzf "$work"/parpool-*.tar.gz | grep -q 'include/parpool.h$' || fail "no header in the .tar.gz"
if command -v rpmbuild >/dev/null; then
    pack RPM
    for package in "$work"/*.rpm; do rpm -qpl "$package"; done >"$work/files"
    grep -q 'include/parpool.h$' "$work/files" || fail "no header in the .rpm"
fi

root=$work/root
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$root"
done
libdir=$(dirname "$(find "$root" -name libparpool.a)")
"$CC" -I"$root/usr/include" "$top/examples/square.c" -o "$work/square" -L"$libdir" -lparpool -Wl,-rpath,"$libdir"
sh "$top/examples/expect.sh" "$top/examples/square.expected" "$work/square"
if command -v lintian >/dev/null; then
    lintian --fail-on error "$work"/*.deb || fail "lintian found an error"
fi

# The manifest is the build directory's: an installation by hand may have left one.
cp "$build/install_manifest.txt" "$work/manifest" 2>/dev/null || :
DESTDIR=$work/installed "$CMAKE" --install "$build" >/dev/null
[ -n "$(find "$work/installed" -type f)" ] || fail "nothing was installed"
DESTDIR=$work/installed "$CMAKE" --build "$build" --target uninstall >/dev/null
rm "$build/install_manifest.txt"
[ ! -e "$work/manifest" ] || cp "$work/manifest" "$build/install_manifest.txt"
[ -z "$(find "$work/installed" ! -type d)" ] || fail "uninstall leaves $(find "$work/installed" ! -type d)"
