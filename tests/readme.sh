#!/bin/sh
# Every C sample of README.md is a program of examples/, to the letter, except for the comment on top of the program.
# Every test that README.md names exists. README.md names each example and each function of the header, src/README.md
# each file of src/.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
readme=$top/README.md header=$top/include/parpool.h bad=0

wrong() {
    echo "$@"
    bad=1
}

awk -v work="$work" '/^```c$/ { file = work "/sample" ++n; next } /^```/ { file = "" } file { print > file }' "$readme"
for sample in "$work"/sample*; do
    found=no
    for program in "$top"/examples/*.c; do
        sed '1,/\*\//d' "$program" | cmp -s - "$sample" && found=yes
    done
    [ $found = yes ] || wrong "this sample of README.md is no program of examples/: $(cat "$sample")"
done

for test in $(sed -n 's/.*| *`test_\([a-z_]*\): \([a-z_0-9]*\)` *|.*/\1:\2/p' "$readme"); do
    grep -q "^TEST_CASE(${test#*:})" "$top/tests/test_${test%%:*}.c" || wrong "README.md names no test: $test"
done

for program in "$top"/examples/*.c; do
    grep -q "^| \[.*(examples/$(basename "$program"))" "$readme" || wrong "README.md does not list $program"
done
for function in $(sed -n 's/^PARPOOL_API \([^(]*[ *]\)\([a-z_]*\)(.*/\2/p' "$header"); do
    grep -q "^| .*\`$function\`" "$readme" || wrong "README.md does not list $function()"
done

for file in "$top"/src/*/*.[ch]; do
    name=$(basename "$file")
    grep -q "^| .*\`${name%.*}\(\.h\)\{0,1\}\`" "$top/src/README.md" || wrong "src/README.md does not list $name"
done
exit $bad
