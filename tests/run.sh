#!/bin/sh
# Builds everything and runs the tests. Like examples/run.sh it installs what is missing, cmocka and pkg-config too.
# Arguments go to ctest: "tests/run.sh -R install" runs just that test.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/.ci/lib.sh"

need_build_tools
need pkg-config pkg-config --version
need libcmocka-dev pkg-config --exists cmocka
install_missing
build_all -DPARPOOL_TESTS=ON -DPARPOOL_EXAMPLES=ON -DPARPOOL_BENCH=ON

cd "$build"
ctest --output-on-failure --parallel "$(nproc)" "$@"
