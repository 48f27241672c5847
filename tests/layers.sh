#!/bin/sh
# The folders of src/ are layers, each header is complete, and only the build knows the platform:
#   - a file includes files of its own folder and of folders below it;
#   - each header compiles alone, in both configurations;
#   - the supervisor, which knows the caller only by shared memory and commands, includes nothing of src/pool, not even
#     through other headers;
#   - no file asks for the platform by #if: what differs is in files of its own.
# The compiler is $CC.
set -u
cd "$(dirname "$0")/../src" || exit 1
layers='base shared worker remote pool host' # from below
bad=0

wrong() {
    echo "$@"
    bad=1
}

# compile OPTION...: with what all files of src/ are compiled with
compile() {
    ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -I. -I../include "$@"
}

below='' # the layers up to this one
for layer in $layers; do
    below="$below $layer"
    for file in "$layer"/*.[ch]; do
        # No name has a space.
        # shellcheck disable=SC2013
        for included in $(sed -n 's/^ *# *include *"\(.*\)".*/\1/p' "$file"); do
            case " $below parpool.h " in
            *" ${included%%/*} "*) ;;
            *) wrong "src/$file includes $included, which is in no layer below it" ;;
            esac
        done
    done
done
for folder in */; do
    case "$below " in
    *" ${folder%/} "*) ;;
    *) wrong "src/$folder is no layer" ;;
    esac
done

# compiles_alone CONFIGURATION OPTION...: its headers; and what the supervisor includes
compiles_alone() {
    configuration=$1
    shift
    for header in */*.h; do
        # Included by a file, since compilers warn of functions that the file itself does not use.
        echo "#include \"$header\"" | compile "$@" -fsyntax-only -x c - ||
            wrong "src/$header does not compile alone ($configuration)"
    done
    seen=$(compile "$@" -MM host/supervisor.c) || wrong "src/host/supervisor.c does not compile ($configuration)"
    case $seen in
    *" pool/"*) wrong "the supervisor sees files of src/pool: $seen" ;;
    *host/supervisor.h*) ;;
    *) wrong "it is not known what src/host/supervisor.c includes: $seen" ;;
    esac
}

# The options are those of CMakeLists.txt.
compiles_alone posix -DPARPOOL_POSIX_ONLY -D_POSIX_C_SOURCE=200809L -D_XOPEN_SOURCE=700
[ "$(uname)" != Linux ] || compiles_alone linux -D_GNU_SOURCE

grep -nE '^ *# *(el)?if.*(__linux__|PARPOOL_POSIX_ONLY)' ./*/*.[ch] && wrong "these files of src/ ask for the platform"
exit $bad
