#!/usr/bin/env bash
# The library on a kernel of arm64, under qemu-system-aarch64. machines.sh runs the tests there by qemu-user, which has
# no filters of system calls, so that no sandbox can be entered. It takes minutes, so no ctest runs it. Installs what is
# missing, like tests/run.sh, and fetches Debian's kernel and busybox.
# Usage: kernel.sh [NAME[:ARGUMENT,...]]...: programs of tests or examples. CPU=NAME: a CPU of qemu's.
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/.ci/lib.sh"
work=${BUILD_DIR:-$top/build/machines}/arm64
[ $# -gt 0 ] || set -- test_sandbox test_sandbox_pool test_liars safe_decode

# fetch PACKAGE...: unpacks packages of arm64 in $work/fetched. apt's own lists and configuration stay as they are.
fetch() {
    mkdir -p "$work"/apt/{lists,cache/archives}/partial "$work/fetched"
    : >"$work/apt/status"
    local here=(-o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User=root
        -o Dir::State="$work/apt" -o Dir::State::status="$work/apt/status" -o Dir::Cache="$work/apt/cache")
    # It fails if any package source is out of reach, or has nothing for arm64.
    quietly apt-get "${here[@]}" update || :
    local kernel && kernel=$(apt-cache "${here[@]}" depends linux-image-cloud-arm64 | sed -n '/.*Depends: /{s///p;q}')
    (cd "$work/apt" && rm -f ./*.deb && quietly apt-get "${here[@]}" download "$kernel" "$@")
    for package in "$work"/apt/*.deb; do dpkg-deb -x "$package" "$work/fetched"; done
}

# What the kernel starts: runs each of the programs that its argument names. The kernel passes few arguments.
write_init() {
    cat <<'END'
#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/bin TMPDIR=/tmp PARPOOL_TEST_BRIEF=1
for kind in proc:/proc sysfs:/sys devtmpfs:/dev tmpfs:/tmp; do mount -t "${kind%:*}" none "${kind#*:}"; done
chmod 1777 /tmp
mkdir -p /dev/shm && mount -t tmpfs none /dev/shm
ln -s /proc/self/fd /dev/fd
ifconfig lo 127.0.0.1 up
echo "Linux $(uname -r), $(uname -m)"
cd /programs
for word in $(echo "$1" | tr + ' '); do
    name=${word%%:*} arguments=
    [ "$name" = "$word" ] || arguments=$(echo "${word#*:}" | tr , ' ')
    begin=$(cut -d. -f1 /proc/uptime)
    # shellcheck disable=SC2086
    timeout -s KILL 300 setsid "./$name" $arguments </dev/null >/tmp/log 2>&1
    result=$?
    [ ! -f "$name.expected" ] || sed 's/,* in [^ ]*+0x.*//' /tmp/log | cmp -s - "$name.expected" ||
        result="$result, not what is expected"
    echo "$word: result $result, $(grep -c '^\[ *OK' /tmp/log) tests passed, $(($(cut -d. -f1 /proc/uptime) - begin)) s"
    [ "$result" = 0 ] || sed 's/^/    /' /tmp/log
done
poweroff -f
END
}

# The first file system of the kernel, in $work/files.
make_files() {
    local files=$work/root
    rm -rf "$files"
    mkdir -p "$files"/{bin,lib,programs,proc,sys,dev,tmp}
    write_init >"$files/init"
    chmod 755 "$files" "$files/init"
    cp "$work/fetched/bin/busybox" "$files/bin"
    ln -s busybox "$files/bin/sh"
    cp /usr/aarch64-linux-gnu/lib/{ld-*,lib[a-z_+]*}.so.[0-9]* "$work"/cmocka/lib/*.so* "$work"/build/*.so* "$files/lib"
    find "$work/build/tests" "$work/build/examples" -maxdepth 1 -type f -perm -100 -exec cp {} "$files/programs" \;
    cp "$top"/examples/*.expected "$files/programs"
    (cd "$files" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/files"
}

need qemu-system-arm qemu-system-aarch64 --version
need cpio cpio --version
install_missing
BUILD_ONLY=yes bash "$top/tests/machines.sh" arm64
[ -d "$work/fetched/boot" ] || fetch busybox-static
make_files
qemu-system-aarch64 -M virt -cpu "${CPU:-max,pauth-impdef=on}" -smp 2 -m 3G -nographic -no-reboot -nic none \
    -kernel "$work"/fetched/boot/vmlinuz-* -initrd "$work/files" \
    -append "console=ttyAMA0 panic=-1 quiet -- $(echo "$*" | tr ' ' +)" </dev/null | tee "$work/log"
! grep -q 'result [^0]\|result 0, not' "$work/log" && [ "$(grep -c ': result ' "$work/log")" = $# ]
