#!/bin/sh
# check_progress.sh PROGRAM: in a log, is each line of the bar well formed and the last one at 100 %? And does the
# program do its work when the bar is not read, or cannot be written?
set -eu
log=$(mktemp)
trap 'rm -f "$log"' EXIT

[ "$("$1" 2>"$log")" = 19900 ]
cat "$log"
! grep -vE '^ *[0-9]+ %  [0-9]+/200  [0-9.]+/s  (in )?([0-9:]+|\?)( left)?$' "$log"
[ "$(grep -c '^100 %  200/200  [0-9.]*/s  in [0-9:]*$' "$log")" -eq 1 ]
tail -n 1 "$log" | grep -q '^100 %'
[ "$(wc -l <"$log")" -le 11 ]

[ "$("$1" 2>&-)" = 19900 ]
{ "$1" 2>&1 >"$log"; } | true
[ "$(cat "$log")" = 19900 ]
