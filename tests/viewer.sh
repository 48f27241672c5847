#!/bin/sh
# A trace opens in speedscope, a package of npm: taken from there in CI alone, else from the folder $SPEEDSCOPE.
# Usage: viewer.sh examples/trace. Skipped (77) where node or speedscope is missing.
set -eu
version=1.25.0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skip() {
    echo "skipped: $1"
    exit 77
}

command -v node >/dev/null || skip "no node"
speedscope=${SPEEDSCOPE:-$work/package}
if [ ! -d "$speedscope" ]; then
    [ -n "${CI:-}" ] && command -v npm >/dev/null || skip "no speedscope"
    (cd "$work" && timeout 60 npm pack --silent "speedscope@$version" && tar xzf speedscope-*.tgz) >/dev/null 2>&1 ||
        skip "speedscope cannot be had"
fi
"$1" "$work/trace.json"
node "$(dirname "$0")/viewer.mjs" "$speedscope" "$work/trace.json"
