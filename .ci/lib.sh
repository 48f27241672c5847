# Sourced by examples/run.sh, tests/run.sh and .ci/run, which set $top, the top of the repository. POSIX shell.

missing=

# need PACKAGES COMMAND...: if COMMAND fails, PACKAGES are among what install_missing will install.
need() {
    (shift && "$@") >/dev/null 2>&1 || missing="$missing $1"
}

# Needs a compiler with the headers of the C library, cmake and make.
need_build_tools() {
    # shellcheck disable=SC2016
    need "gcc libc6-dev" sh -c 'echo "#include <stdio.h>" | ${CC:-cc} -E -'
    need cmake cmake --version
    need make make --version
}

install_missing() {
    [ -n "$missing" ] || return 0
    echo "installing:$missing"
    as_root=
    [ "$(id -u)" = 0 ] || as_root=sudo
    if ! command -v apt-get || ! command -v ${as_root:-true}; then
        echo "That needs apt-get, and root or sudo. Please install it otherwise, and come back." >&2
        return 1
    fi >/dev/null
    # It fails if any package source is out of reach, even one that is not needed: so go on.
    quietly $as_root apt-get update </dev/null || :
    # shellcheck disable=SC2086
    quietly $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 $missing </dev/null
}

# build_all OPTIONS...: configures with OPTIONS and builds, in $build: $BUILD_DIR, or else build/ in the repository.
build_all() {
    build=${BUILD_DIR:-$top/build}
    echo "building in $build"
    quietly cmake -S "$top" -B "$build" "$@"
    quietly cmake --build "$build" --parallel "$(nproc)"
}

# quietly COMMAND...: runs COMMAND and shows its output only if it fails.
quietly() {
    output=$("$@" 2>&1) && return 0
    printf '%s\n' "$output" "failed: $*" >&2
    return 1
}
