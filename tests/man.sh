#!/bin/sh
# Each man page is read without a warning, and each function of the header has one. Skipped (77) without man.
# Usage: man.sh HEADER MAN_DIRECTORY
set -eu
command -v man >/dev/null || exit 77
bad=0
cd "$2"
for page in man?/*.gz; do
    # Not every system has man's own warnings in English.
    warnings=$(LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings -l "$page" 2>&1 >/dev/null)
    [ -z "$warnings" ] || { echo "$page: $warnings"; bad=1; }
done
for name in $(sed -n 's/^PARPOOL_API [^(]*[ *]\([a-z_]*\)(.*/\1/p' "$1") parpool; do
    # As a reader finds it: by its name, through the link if its page has another name.
    LC_ALL=C.UTF-8 man -M "$2" "$name" 2>/dev/null | grep -q "$name" || { echo "no page tells of $name()"; bad=1; }
done
exit $bad
