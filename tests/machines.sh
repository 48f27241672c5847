#!/usr/bin/env bash
# The library on other machines: 32 bits (-m32), s390x, whose bytes are the other way round, and arm64, these two by
# qemu-user. Builds library, tests and examples for each, and runs them. It takes some 10 minutes a machine, so no ctest
# runs it. Installs what is missing, like tests/run.sh.
# Usage: machines.sh [m32|s390x|arm64]... With BUILD_ONLY=yes it runs nothing: see kernel.sh.
set -u
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/.ci/lib.sh"
work=${BUILD_DIR:-$top/build/machines}
export PARPOOL_TEST_BRIEF=1
# So a default pool maps little, of which qemu keeps a record for each page; m32 does not notice.
MOST_KIB=6000000

# What they print is compared. Not among them are those that time themselves, or compute for long.
examples="square bbp_pi futures failures backends reduce context any_size callback task_graph priority"

# use MACHINE: sets compiler, emulator and options for it, and installs what is missing.
use() {
    emulator=() options=()
    case $1 in
    m32)
        # Not gcc-multilib, which excludes compilers of other machines. All that it adds is a directory of headers.
        flags="-m32 -isystem /usr/include/$(gcc -print-multiarch)"
        need "gcc-$(gcc -dumpversion)-multilib" \
            sh -c "echo 'int main(void) { return 0; }' | gcc $flags -x c - -o /dev/null"
        options=(-DCMAKE_C_COMPILER=gcc "-DCMAKE_C_FLAGS=$flags" "-DCMAKE_CXX_FLAGS=$flags") ;;
    s390x | arm64)
        name=$1
        [ "$name" = arm64 ] && name=aarch64
        need "gcc-$name-linux-gnu libc6-dev-$1-cross" "$name-linux-gnu-gcc" --version
        need qemu-user "qemu-$name" --version
        emulator=("qemu-$name" -L "/usr/$name-linux-gnu")
        options=(-DCMAKE_SYSTEM_NAME=Linux "-DCMAKE_SYSTEM_PROCESSOR=$name" "-DCMAKE_C_COMPILER=$name-linux-gnu-gcc") ;;
    *) echo "there is no machine $1" >&2; return 1 ;;
    esac
    install_missing
}

# run NAME COMMAND...: tells whether the command succeeds.
run() {
    name=$1
    shift
    if (ulimit -v $MOST_KIB; timeout 300 "$@") >"$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed="$failed $name"
        grep -E 'FAILED|ERROR|Failure|left behind|rror' "$log" | head -5 | sed "s/^/$name: /"
    fi
}

try() {
    machine=$1 passed=0 failed= log=$work/$1/log
    use "$machine" || return 1
    mkdir -p "$work/$machine"
    [ -d "$work/$machine/cmocka" ] ||
        quietly bash "$top/.ci/build-cmocka" "$work/$machine/cmocka" "${options[@]}" || return 1
    BUILD_DIR=$work/$machine/build build_all "${options[@]}" -DPARPOOL_TESTS=ON -DPARPOOL_EXAMPLES=ON \
        -DPARPOOL_BENCH=OFF -DPARPOOL_WERROR=ON -DCMOCKA_ROOT="$work/$machine/cmocka" -DCMAKE_BUILD_TYPE=Release ||
        return 1
    [ "${BUILD_ONLY:-no}" = no ] || return 0
    for example in $examples; do
        # Without the places of crashes, which differ by compiler.
        # shellcheck disable=SC2016
        run "$example" sh "$top/examples/expect.sh" "$top/examples/$example.expected" \
            sh -c '"$@" | sed "s/,* in [^ ]*+0x.*//"' - "${emulator[@]}" "$work/$machine/build/examples/$example"
    done
    for test in "$work/$machine"/build/tests/test_*; do
        [ -x "$test" ] && [ -f "$test" ] && run "$(basename "$test")" "${emulator[@]}" "$test"
    done
    echo "$machine: $passed passed, failed:${failed:- none}"
    [ -z "$failed" ]
}

bad=0
for machine in "${@:-m32}"; do try "$machine" || bad=1; done
exit $bad
