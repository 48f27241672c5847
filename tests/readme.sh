#!/bin/sh
# What the Markdown files say of the repository is true, and nothing is left out:
#   - README.md has at most 150 lines;
#   - each C sample is a program of examples/, to the letter, save the comment on top of the program;
#   - each relative link leads to a file; each test, program in build/ and name of the API that is named exists;
#   - examples/README.md lists each example and each function of the header, bench/README.md each benchmark,
#     src/README.md each file of src/.
# Usage: readme.sh [TOP]; TOP is the repository, this one without it.
set -eu
top=$(cd "${1:-$(dirname "$0")/..}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

wrong() {
    echo "$@"
    bad=1
}

# pages: the Markdown files, one a line, without those of builds.
pages() {
    find "$top" -path "$top/build*" -prune -o -name .git -prune -o -name '*.md' -print
}

lines=$(wc -l <"$top/README.md")
[ "$lines" -le 150 ] || wrong "README.md has $lines lines, more than 150"

for page in $(pages); do
    name=${page#"$top"/}

    rm -f "$work"/sample*
    awk -v work="$work" '/^```c$/ { file = work "/sample" ++n; next }
        /^```/ { file = "" }
        file { print > file }' "$page"
    for sample in "$work"/sample*; do
        [ -f "$sample" ] || continue
        found=no
        for program in "$top"/examples/*.c; do
            sed '1,/\*\//d' "$program" | cmp -s - "$sample" && found=yes
        done
        [ $found = yes ] || wrong "this sample of $name is no program of examples/: $(cat "$sample")"
    done

    # Links in the text, and the sources of images. An anchor within the page, or an address, is no file.
    for link in $(grep -o '](\([^)]*\))' "$page" | sed 's/^](//; s/)$//; s/#.*//') \
        $(sed -n 's/.*<img[^>]* src="\([^"]*\)".*/\1/p' "$page"); do
        case $link in *:*) continue ;; esac
        [ -e "$(dirname "$page")/$link" ] || wrong "$name links to $link, which is not there"
    done

    for test in $(grep -o '`test_[a-z_]*: [a-z_0-9]*`' "$page" | tr -d '` '); do
        program=${test%%:*} case=${test#*:}
        grep -qE "^[A-Z_]+\($case[,)]" "$top/tests/$program.c" || wrong "$name names no test: $test"
    done
    # src/README.md has names of files that look like these.
    for function in $(grep -oE '`(pool|future|task|stream)_[a-z_]+(\(\))?`' "$page" | tr -d '`()'); do
        [ "$name" != src/README.md ] || continue
        grep -qw "$function" "$top/include/parpool.h" || wrong "$name names $function, which the header lacks"
    done
    for program in $(grep -oE 'build[-a-z]*/(examples|bench|tests)/[a-z_0-9]+' "$page" | sed 's,[^/]*/,,'); do
        [ -f "$top/$program.c" ] || wrong "$name names no program: $program"
    done
done

for program in "$top"/examples/*.c; do
    grep -q "^| \[.*($(basename "$program"))" "$top/examples/README.md" || wrong "examples/README.md lacks $program"
done
for function in $(sed -n 's/^PARPOOL_API \([^(]*[ *]\)\([a-z_]*\)(.*/\2/p' "$top/include/parpool.h"); do
    grep -q "^| .*\`$function\`" "$top/examples/README.md" || wrong "examples/README.md lacks $function()"
done
for program in "$top"/bench/bench_*.c "$top"/bench/*.py; do
    name=$(basename "$program" .c)
    grep -q "^| .*\`$name\`" "$top/bench/README.md" || wrong "bench/README.md lacks $name"
done
for file in "$top"/src/*/*.[ch]; do
    name=$(basename "$file")
    grep -q "^| .*\`${name%.*}\(\.h\)\{0,1\}\`" "$top/src/README.md" || wrong "src/README.md lacks $name"
done
exit $bad
