#!/bin/sh
# Calls go one way: no file of src/pool or src/host reaches itself again through the functions and the data of others,
# and no circle of files elsewhere has more than four. A pointer to a function, as in struct pp_backend, is no call.
# Usage: circles.sh LIBRARY, a static one. Skipped (77) where nm cannot say which file defines what.
set -eu
cd "$(dirname "$0")/.."
symbols=$(nm -A -P "$1" 2>/dev/null) || exit 77

# Each line: LIBRARY[FILE.c.o]: NAME TYPE …
printf '%s\n' "$symbols" | sed -n 's/^[^[]*\[\([A-Za-z0-9_]*\)\.c\.[a-z]*\]: /\1 /p' | awk '
    $3 ~ /^[TDBRC]$/ { definer[$2] = $1 }
    $3 == "U" { users[$2] = users[$2] " " $1 }
    !($1 in seen) { seen[$1] = 1; names[count++] = $1 }
    END {
        if (count == 0) exit 77
        for (symbol in users) {
            if (!(symbol in definer)) continue
            n = split(users[symbol], user, " ")
            for (i = 1; i <= n; i++) if (user[i] != definer[symbol]) calls[user[i], definer[symbol]] = 1
        }
        # Whether there is a way, by files up to k.
        for (k = 0; k < count; k++)
            for (i = 0; i < count; i++)
                if ((names[i], names[k]) in calls)
                    for (j = 0; j < count; j++)
                        if ((names[k], names[j]) in calls) calls[names[i], names[j]] = 1
        for (i = 0; i < count; i++) {
            if (!((names[i], names[i]) in calls)) continue
            size = 0
            circle = ""
            for (j = 0; j < count; j++)
                if ((names[i], names[j]) in calls && (names[j], names[i]) in calls) {
                    size++
                    circle = circle " " names[j]
                }
            print size, names[i] ":" circle
        }
    }' >"${TMPDIR:-/tmp}/circles.$$" || { status=$?; rm -f "${TMPDIR:-/tmp}/circles.$$"; exit $status; }

bad=0
while read -r size file; do
    most=4
    for folder in src/pool src/host; do [ -e "$folder/${file%%:*}.c" ] && most=1; done
    [ "$size" -le "$most" ] || { echo "$size files in a circle with $file"; bad=1; }
done <"${TMPDIR:-/tmp}/circles.$$"
rm -f "${TMPDIR:-/tmp}/circles.$$"
exit $bad
