#!/bin/sh
# PROGRAM under valgrind: neither an error nor a lost block, in the program itself; its workers are not looked at.
# Little address space means a small arena, all of which valgrind keeps books on.
# Usage: valgrind.sh PROGRAM ARGUMENTS...
ulimit -v 1000000 || exit 1
exec valgrind --quiet --trace-children=no --child-silent-after-fork=yes --leak-check=full --show-leak-kinds=all \
    --errors-for-leak-kinds=all --error-exitcode=1 "$@"
