#!/bin/sh
# Each way of debugging that README.md names, with the tools that there are: gdb, cores, PARPOOL_STOP, valgrind, a
# sanitizer. A way whose tool is missing is named as left out.
# Usage: debugging.sh LIBPARPOOL.A, with CC in the environment
set -eu
top=$(cd "$(dirname "$0")/.." && pwd)
library=$1
case $(uname -sm) in
"Linux x86_64") ;;
*) exit 77 ;;
esac
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
compile() {
    "$CC" -std=gnu11 -g -O1 -I"$top/include" "$@" "$top/tests/crashes.c" "$library" -pthread -lm
}
has() {
    command -v "$1" >/dev/null && return
    echo "left out: $2, since there is no $1"
    return 1
}
# expect WAY TEXT: the text must be in the file `output`.
expect() {
    if grep -q "$2" output; then
        echo "ok: $1"
    else
        echo "FAILED: $1: no \"$2\" in:"
        cat output
        exit 1
    fi
}
compile -o crashes

if has gdb gdb; then
    gdb -q -batch -nx -ex run -ex bt --args ./crashes 0 inline >output 2>&1 </dev/null || true
    expect "inline, gdb stops where a task crashes" '#1 .* decode '
    timeout 60 gdb -q -batch -nx -ex 'set detach-on-fork off' -ex 'set schedule-multiple on' -ex run -ex bt \
        -ex 'kill inferiors 1 2 3' --args ./crashes 0 >output 2>&1 </dev/null || true
    expect "gdb stops where a task crashes in its worker" '#1 .* decode '
fi

# A core of just the worker that crashed, where cores go to the working directory.
if [ "$(cat /proc/sys/kernel/core_pattern)" = core ] && has gdb "cores"; then
    (ulimit -c unlimited && ./crashes 0 >/dev/null)
    [ "$(ls core* | wc -l)" = 1 ]
    gdb -q -batch -nx -ex bt ./crashes core* >output 2>&1 </dev/null
    expect "a crashed worker leaves a core" '#1 .* decode '
    rm -f core*
fi

# A crashed worker stops, says how to get at it, and ends once it is let go on.
PARPOOL_STOP=1 ./crashes 0 >message 2>stopped &
program=$!
tries=0
while ! grep -q 'gdb -p [0-9]' stopped && [ $tries -lt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
cp stopped output
expect "PARPOOL_STOP=1 stops a crashed worker" '^parpool: a worker has crashed and was stopped: gdb -p [0-9]*$'
worker=$(sed -n 's/.*gdb -p //p' stopped)
if has gdb "gdb -p"; then
    timeout 60 gdb -q -batch -nx -p "$worker" -ex bt >output 2>&1 </dev/null || true
    expect "gdb shows where the stopped worker has crashed" ' decode '
fi
kill -CONT "$worker"
wait $program
cp message output
expect "then the worker ends as it would have" 'SIGSEGV (address 0x1010) in decode_header+0x'

if has valgrind valgrind; then
    timeout 120 valgrind --quiet ./crashes 0 >output 2>&1 || true
    expect "valgrind reports the error of a task" 'Invalid read of size 8'
    expect "valgrind names the function" ': decode (crashing.h'
fi

if compile -fsanitize=address -o sanitized 2>/dev/null; then
    ./sanitized 0 >output 2>&1
    expect "AddressSanitizer reports the crash of a task" 'AddressSanitizer: SEGV on unknown address 0x000000001010'
    expect "the failure has it as well" 'exited with status 1, after SIGSEGV (address 0x1010) in decode_header+0x'
fi
