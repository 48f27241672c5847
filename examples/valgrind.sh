#!/bin/sh
# Runs PROGRAM under valgrind: it must have neither an error nor a lost block. Its workers are not checked. Little
# address space makes the arena small: valgrind keeps a record of all of it.
# Usage: valgrind.sh PROGRAM ARGUMENTS...
ulimit -v 1000000 || exit 1
exec valgrind --quiet --trace-children=no --child-silent-after-fork=yes --leak-check=full --show-leak-kinds=all \
    --errors-for-leak-kinds=all --error-exitcode=1 "$@"
