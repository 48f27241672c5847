#!/bin/sh
# Runs PROGRAM under valgrind: it must have neither an error nor a lost block. Its workers are not checked.
# Usage: valgrind.sh PROGRAM ARGUMENTS...
exec valgrind --quiet --trace-children=no --child-silent-after-fork=yes --leak-check=full --show-leak-kinds=all \
    --errors-for-leak-kinds=all --error-exitcode=1 "$@"
