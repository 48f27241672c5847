#!/bin/sh
# The top level of the repository stays small, and lines short. Skipped (77) where there is no git checkout to ask.
cd "$(dirname "$0")/.." || exit 1
[ -e .git ] && git ls-files >/dev/null || exit 77
bad=0
git ls-files | sed 's#/.*##' | sort -u |
    grep -vE '^(include|src|tests|examples|bench|CMakeLists\.txt|README\.md|LICENSE|\..*)$' && bad=1
# .clang-format has this limit, but leaves comments and Markdown alone. Rows of Markdown tables cannot be broken.
git ls-files -- '*.[ch]' '*.sh' '*.md' '*CMakeLists.txt' .ci |
    LC_ALL=C.UTF-8 xargs grep -nE '^[^|].{120,}' | grep . && bad=1
exit $bad
