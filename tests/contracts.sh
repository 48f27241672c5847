#!/bin/sh
# Every function of the header has a contract whose parts stand in the same order: what the function does, its
# parameters, "Returns:", "Blocks:", "Callable:", "Ownership:". Each parameter is named, a time-out has its unit, each
# code exists. Part 1 of the header stays short. At the end the check itself is tried on headers with one mistake each.
# Usage: contracts.sh HEADER
set -eu
header=$1 bad=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# check FILE: prints each mistake; false if there is one.
check() {
    LC_ALL=C awk '
        function wrong(what) { print FILENAME ":" FNR ": " name "(): " what; bad = 1 }

        # Names of the parameters, in names[1 … count].
        function find_parameters(prototype,    i) {
            sub(/\) PARPOOL_PRINTF.*/, ")", prototype)
            while (match(prototype, /\(\*[a-z_]+\)\([^()]*\)/)) { # a pointer to a function
                i = substr(prototype, RSTART + 2, RLENGTH)
                sub(/\).*/, "", i)
                prototype = substr(prototype, 1, RSTART - 1) i substr(prototype, RSTART + RLENGTH)
            }
            sub(/^[^(]*\(/, "", prototype)
            sub(/\).*/, "", prototype)
            if (prototype == "void") return 0
            count = split(prototype, names, ",")
            for (i = 1; i <= count; i++) sub(/.*[ *]/, "", names[i])
            return names[count] == "..." ? count - 1 : count
        }

        function is_word(text, word) { return text ~ ("(^|[^a-z_])" word "([^a-z_]|$)") }

        function check_parameters(text, count,    i, j, line, lines, labels, n) {
            for (i = 1; i <= count; i++)
                if (!is_word(text, names[i])) wrong("does not name the parameter " names[i])
                else if (names[i] == "timeout" && text !~ /timeout: ms/) wrong("has a timeout without its unit")
            n = split(text, lines, "\n")
            for (line = 2; line <= n; line++) {
                if (lines[line] !~ /^[a-z_]+(, [a-z_]+)*: /) continue
                sub(/: .*/, "", lines[line])
                for (i = split(lines[line], labels, ", "); i > 0; i--) {
                    for (j = 1; j <= count && names[j] != labels[i]; j++) continue
                    if (j > count) wrong("describes " labels[i] ", which is no parameter")
                }
            }
        }

        function check_contract(prototype,    i, at, last, part, parts, text, words) {
            name = prototype
            sub(/\(.*/, "", name)
            sub(/.*[ *]/, "", name)
            if (comment_end != FNR - 1) { wrong("has no comment"); return }
            split("Returns Blocks Callable Ownership", parts, " ")
            for (i = 1; i <= 4; i++) {
                part = parts[i] ": "
                at = index(comment, part)
                if (!at) { wrong("has no part \"" part "\""); return }
                if (at < last) wrong("has its part \"" part "\" too early")
                if (index(substr(comment, at + 1), part)) wrong("has two parts \"" part "\"")
                last = at
            }
            text = substr(comment, 1, index(comment, "Returns: ") - 1)
            check_parameters(text, find_parameters(prototype))
            sub(/\n[a-z_]+(, [a-z_]+)*: .*/, "", text) # from the first parameter on
            if (split(text, words, " ") < 4) wrong("does not say what the function does")
            if (prototype ~ /^void [a-z]/ && comment !~ /Returns: nothing\./) wrong("says that it returns something")
            if (prototype ~ /int timeout\)/ && comment !~ /Blocks: yes\./) wrong("has a timeout but does not block")
        }

        FNR == NR { # the codes, in a first pass
            if ($1 ~ /^POOL_E[A-Z]+$/ && $2 == "=") exists[$1] = 1
            next
        }
        /^\/\*/ { comment = ""; inside = 1 }
        inside {
            line = $0
            sub(/^(\/\*| \*) ?/, "", line)
            comment = comment line "\n"
            if (/\*\/$/) { inside = 0; comment_end = FNR }
        }
        {
            line = $0
            gsub(/PARPOOL_[A-Z]+/, "", line) # a variable of the environment
            while (match(line, /POOL_E[A-Z]+/)) {
                code = substr(line, RSTART, RLENGTH)
                name = ""
                if (!(code in exists)) wrong("there is no code " code)
                line = substr(line, RSTART + RLENGTH)
            }
        }
        /^PARPOOL_API / { functions++; check_contract(substr($0, 13)) }
        /^\/\* ==== Part 2 / { part_2 = FNR }
        END {
            if (functions < 42) { print FILENAME ": only " functions " functions were found"; bad = 1 }
            if (!part_2 || part_2 > 221) { print FILENAME ": part 1 is no part of at most 220 lines"; bad = 1 }
            exit bad
        }' "$1" "$1"
}

check "$header" || bad=1

# refuses MISTAKE SED_SCRIPT: with this mistake in it the header is refused.
refuses() {
    sed "$2" "$header" >"$work/header.h"
    if cmp -s "$header" "$work/header.h"; then
        echo "$1: the header has no place for this mistake"
        bad=1
    elif check "$work/header.h" >"$work/found"; then
        echo "$1: was not found"
        bad=1
    fi
}

refuses "a part is missing" '/^\/\* The index of the item/,/^PARPOOL_API/ s/Returns: //'
refuses "two parts are exchanged" \
    '/^\/\* Waits until the future is done\./,/^PARPOOL_API/ s/\(Blocks: yes\.\) \(Callable: any thread\.\)/\2 \1/'
refuses "a part stands there twice" '/^\/\* Waits until the future is done\./,/^PARPOOL_API/ s/Callable: /&any. &/'
refuses "a parameter is not named" '/^\/\* Submits one task/,/^PARPOOL_API/ s/ future: receives the future\.//'
refuses "a parameter has another name" 's/^ \* flags: / * flag: /'
refuses "a pointer to a function is not named" '/^\/\* Has callback/,/\*\/$/ s/callback/function/g'
refuses "a timeout has no unit" '/^\/\* Waits until the future is done\./,/^PARPOOL_API/ s/timeout: ms/timeout: it/'
refuses "a wait does not block" '/^\/\* Waits until the future is done\./,/^PARPOOL_API/ s/Blocks: yes/Blocks: no/'
refuses "a code does not exist" 's/^ \*     POOL_EBUSY: it was done/ *     POOL_EBUSYBODY: it was done/'
refuses "a code was removed" '/^    POOL_EDEADLINE = /d'
refuses "a comment is missing" '/^\/\* Counts the CPUs/,/\*\/$/d'
refuses "something stands between" 's/^PARPOOL_API void pool_free/struct x;\
&/'
refuses "nothing says what it does" 's/^\/\* Ends the stream and its work: .*/\/* Ends./'
refuses "a function returns nothing, they say" '/^\/\* Gives back/,/^PARPOOL_API/ s/Returns: nothing/Returns: 0/'
refuses "part 1 is too long" '/^\/\* ==== Part 2/i\
\
\
\
\
\
\
\
\
'
exit $bad
