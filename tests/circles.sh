#!/bin/sh
# Calls go one way: no file leads back to itself by files each of which uses a function or data of the next. Excepted
# are a concept's file and that of its platform. A pointer to a function, as in struct pp_backend, is no call.
# Usage: circles.sh LIBRARY, a static one. Skipped (77) where nm does not say which file defines what.
set -eu
excepted='sys sys_linux sys_posix child child_linux child_posix crash park park_futex park_pipe'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
nm -A -P "$1" >"$work/symbols" 2>/dev/null || exit 77

# From lines LIBRARY[FILE.c.o]: NAME TYPE …
sed -n 's/^[^[]*\[\(.*\)\.c\.[a-z]*\]: /\1 /p' "$work/symbols" | awk '
    $3 ~ /^[TDBRC]$/ { definer[$2] = $1 }
    $3 == "U" { users[$2] = users[$2] " " $1 }
    !($1 in seen) { seen[$1] = 1; file[n++] = $1 }
    END {
        for (symbol in users) {
            if (!(symbol in definer)) continue
            m = split(users[symbol], user, " ")
            for (i = 1; i <= m; i++) if (user[i] != definer[symbol]) leads[user[i], definer[symbol]] = 1
        }
        # What is led to over other files, by adding one after the other to those over which a way may lead.
        for (k = 0; k < n; k++)
            for (i = 0; i < n; i++)
                if ((file[i], file[k]) in leads)
                    for (j = 0; j < n; j++) if ((file[k], file[j]) in leads) leads[file[i], file[j]] = 1
        for (i = 0; i < n; i++) {
            size = 0
            circle = ""
            for (j = 0; j < n; j++)
                if ((file[i], file[j]) in leads && (file[j], file[i]) in leads) {
                    size++
                    circle = circle " " file[j]
                }
            print size, circle
        }
    }' | sort -u >"$work/circles"

[ -s "$work/circles" ] || exit 77
awk -v excepted=" $excepted " '
    $1 > 1 {
        for (i = 2; i <= NF; i++)
            if (!index(excepted, " " $i " ")) {
                print "a circle of " $0
                any = 1
                next
            }
    }
    END { exit any }' "$work/circles"
