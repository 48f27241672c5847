#!/bin/sh
# check_parallel_grep.sh PROGRAM: are its lines those of grep -rn, in the same order, and its exit code that of grep?
set -u
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
LC_ALL=C
export LC_ALL

compare() { # DIR PATTERN
    grep -rn -e "$2" "$1" >"$dir/all" 2>"$dir/expected_errors"
    expected=$?
    # Older ones tell of binary files among the lines.
    sed '/^Binary file .* matches$/d' "$dir/all" >"$dir/expected"
    sed -n 's/^Binary file \(.*\) matches$/grep: \1: binary file matches/p' "$dir/all" >>"$dir/expected_errors"
    "$program" "$1" "$2" >"$dir/output" 2>"$dir/errors"
    code=$?
    for errors in expected_errors errors; do
        sed 's/^[a-z_]*: //' "$dir/$errors" | sort >"$dir/$errors.sorted"
    done
    cmp "$dir/expected" "$dir/output" && cmp "$dir/expected_errors.sorted" "$dir/errors.sorted" &&
        [ "$code" -eq "$expected" ] || {
        printf '%s\n' "parallel_grep $1 $2: exit code $code, grep $expected"
        failed=1
    }
    printf '%s\n' "$1 '$2': $(wc -l <"$dir/output") lines, $(wc -l <"$dir/errors") messages"
}

# A tree with a little of everything.
tree=$dir/tree
mkdir -p "$tree/a b/c/d" "$tree/empty" "$tree/.hidden"
: >"$tree/nothing"
printf 'one\ntwo foo\n\nfoo at the end' >"$tree/a b/c/d/no newline"
printf 'foo\000bar\n' >"$tree/binary"
printf 'bar\000bar\n' >"$tree/other binary"
printf 'foo \377 \303\251 %%s\n' >"$tree/.hidden/bytes"
printf '\n\n\n' >"$tree/a b/empty lines"
printf 'foo' >"$tree/-n"
ln -s "a b/c/d/no newline" "$tree/link"
ln -s .. "$tree/empty/loop"
mkfifo "$tree/fifo"
i=0
while [ "$i" -lt 300 ]; do
    printf 'line\nfoo %d\n' "$i" >"$tree/a b/c/$i"
    i=$((i + 1))
done
head -c 3000000 /dev/zero | tr '\000' 'x' >"$tree/long line"

cd "$dir" || exit 1
for pattern in foo '^foo' '^$' '' 'o*' '\(o\)\1' '[0-9]$' 'x\{100\}' nowhere bar 'fo*' 'foox*' 'l.*ne' 'foo$' '*foo' \
    'a*' '[[:space:]]foo' 'e[[:space:]]*foo' 'foo[[:space:]]*' '[^a]foo' '^[^o]*$' 'two.*$' . 'x*$' \
    'at the end' ne.f; do
    compare tree "$pattern"
done
compare tree/ foo
compare "$tree/a b" foo
ln -s tree root
compare root foo
compare tree/empty foo
"$program" nowhere foo >"$dir/output" 2>"$dir/errors"
[ $? -eq 2 ] && [ -s "$dir/errors" ] || failed=1
"$program" tree '\(' >"$dir/output" 2>"$dir/errors"
[ $? -eq 2 ] && [ -s "$dir/errors" ] || failed=1

# Real input.
if [ -d /usr/include ]; then
    compare /usr/include 'define.*_MAX'
fi
exit "$failed"
