#!/bin/sh
# check_kill_worker.sh PROGRAM: kills workers, as a newcomer would; are the answers right all the same?
set -u
program=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0

# run ITEM TIMES: kills the worker that starts ITEM, the first TIMES times; leaves output, log and exit code in $dir.
run() {
    {
        "$program" 1.5 2>&1 >"$dir/output"
        echo $? >"$dir/code"
    } | while read -r line; do
        echo "$line"
        case $line in worker*" $1") ;; *) continue ;; esac
        begun=$((${begun:-0} + 1))
        [ "$begun" -le "$2" ] || continue
        worker=${line#worker }
        worker=${worker%% *}
        kill -9 "$worker" && echo "kill -9 $worker"
    done >"$dir/log"
    cat "$dir/log" "$dir/output"
}

# expect CODE LINE [TEXT]: that exit code and output, and TEXT in the log.
expect() {
    [ "$(cat "$dir/code")" -eq "$1" ] && [ "$(cat "$dir/output")" = "$2" ] && grep -q "${3:-}" "$dir/log" && return
    echo "FAILED, expected $2"
    failed=1
}

run 3 1
expect 0 '0 1 4 9 16 25 36 49 64 81 100 121 144 169 196 225 256 289 324 361' 'kill -9'
[ "$(grep -c 'squares 3$' "$dir/log")" -eq 2 ] || failed=1

run 5 2
expect 1 '0 1 4 9 16 lost 36 49 64 81 100 121 144 169 196 225 256 289 324 361' 'item 5: .*[Kk][Ii][Ll][Ll]'
exit "$failed"
