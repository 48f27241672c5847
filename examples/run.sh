#!/bin/sh
# Builds everything but the tests, and runs the first two examples. On Debian and Ubuntu a shell is enough: a compiler,
# make and CMake are installed if they are missing.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/.ci/lib.sh"

need_build_tools
install_missing
build_all -DPARPOOL_TESTS=OFF -DPARPOOL_EXAMPLES=ON -DPARPOOL_BENCH=ON

for example in square bbp_pi; do
    printf '\n$ %s\n' "examples/$example"
    "$build/examples/$example"
done
cat <<END

See what it is about: run $build/examples/kill_worker, and kill -9 any of the workers
that it names from another terminal: with retries = 1 the answer is right all the same.

Here they are, below $build:
  libparpool.a, libparpool.so   the library; "cmake --install" installs it
  examples/                     the programs of examples/
  bench/                        the benchmarks; each has --help
END
