#!/bin/sh
# check_cksum_tree.sh PROGRAM: is cksum_tree the same to the letter as find, cksum and sort?
set -u
program=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
    echo "cksum_tree $*"
    failed=1
}

# compare TREE: the lines, the exit code and the files named in complaints must be the same.
compare() {
    find "$1" -type f -exec cksum {} + >"$dir/unsorted" 2>"$dir/expected_errors"
    found=$?
    sort "$dir/unsorted" >"$dir/expected"
    "$program" "$1" >"$dir/output" 2>"$dir/errors"
    code=$?
    [ "$code" -eq $((found != 0)) ] || fail "$1: exit code $code, find $found"
    cmp "$dir/expected" "$dir/output" || fail "$1: other lines than find, cksum and sort"
    for errors in "$dir/expected_errors" "$dir/errors"; do
        sed 's/^[a-z_]*: //; s/: [^:]*$//' "$errors" | sort >"$errors.names"
    done
    cmp "$dir/expected_errors.names" "$dir/errors.names" || fail "$1: complains of other files than cksum"
    echo "$1: $(wc -l <"$dir/output") lines, $(wc -l <"$dir/errors") errors"
}

# A tree with a little of everything.
tree=$dir/tree
mkdir -p "$tree/a b/c" "$tree/empty" "$tree/.hidden" "$tree/-dash"
: >"$tree/empty file"
for size in 1 7 8 9 255 256 65535 65536 131071 131072 131073 1000000; do
    head -c "$size" "$program" >"$tree/a b/$size"
done
head -c 16777216 /dev/zero >"$tree/a b/c/zeros"
for name in A B a b '~' '#1' 'two  spaces' ' leading' 'trailing ' 'back\slash' "quote'" '"' '*' '%s' 'é' '日本' '-n' \
    'new
line' '
' 'x

y'; do
    printf '%s' "$name" >"$tree/$name"
    printf '%s' "$name" >"$tree/.hidden/$name"
done
printf x >"$tree/$(printf 'not \377\376 UTF-8')"
ln -s "$tree/A" "$tree/link"
ln -s .. "$tree/empty/loop"
ln "$tree/B" "$tree/-dash/hard link"
mkfifo "$tree/fifo"

cd "$dir" || exit 1
for locale in C "${LANG:-C}" en_US.UTF-8 de_DE.UTF-8; do
    LC_ALL=$locale
    export LC_ALL
    compare tree
done 2>"$dir/locale" # sh warns of locales that are not there
cat "$dir/locale"
LC_ALL=C
compare tree/
compare tree//
cd "$tree/a b" && compare . && compare ./c/../
cd "$dir" || exit 1
compare "$tree"
compare tree/empty
compare tree/B
compare tree/fifo
ln -s tree root
compare root  # a symbolic link, not followed
compare root/ # followed

# Files that cannot be read: by name too long, which stops root as well, and by permission, which does not.
deep=$tree/deep
while [ ${#deep} -lt 3900 ]; do
    deep=$deep/$(printf '%0100d' 0)
done
mkdir -p "$deep"
long=$(printf '%0250d' 0)
(cd "$deep" && : >"$long.1" && : >"$long.2")
compare tree
[ "$code" -eq 1 ] || fail "says nothing of a name too long"
[ "$(wc -l <"$dir/errors")" -eq 2 ] || fail "did not name both files"
if [ "$(id -u)" -ne 0 ]; then
    chmod 000 "$tree/A"
    compare tree
    chmod 000 "$tree/a b"
    "$program" tree >"$dir/output" 2>"$dir/errors" && fail "says nothing of a directory that cannot be read"
    chmod 700 "$tree/a b"
    grep -q 'tree/a b: Permission denied' "$dir/errors" || fail "does not name a directory that cannot be read"
fi
"$program" nowhere >"$dir/output" 2>"$dir/errors" && fail "nowhere: exit code 0"
[ -s "$dir/output" ] && fail "nowhere: printed something"
"$program" 2>/dev/null && fail "without a directory: exit code 0"

# Real input.
if [ -d /usr/include ]; then
    compare /usr/include
fi
exit "$failed"
