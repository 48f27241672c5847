#!/bin/sh
# The top level of the repository stays small. Skipped (77) where there is no git checkout to ask.
cd "$(dirname "$0")/.." || exit 1
[ -e .git ] && git ls-files >/dev/null || exit 77
! git ls-files | sed 's#/.*##' | sort -u |
    grep -vE '^(include|src|tests|examples|bench|CMakeLists\.txt|README\.md|LICENSE|\..*)$'
