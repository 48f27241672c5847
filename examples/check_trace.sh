#!/bin/sh
# check_trace.sh PROGRAM: is the file JSON, with a span for each item, and the crash? Python, if it is there, reads it.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
"$1" own.json >printed
printf 'item 20: POOL_EDIED\nsee ui.perfetto.dev for the rest\n' | cmp - printed
grep -q '"item":20,"died":true' own.json
command -v python3 >/dev/null || exit 0
python3 - <<'END'
import collections, json
events = json.load(open('own.json'))['traceEvents']
items = sum(e['args'].get('items', 0) for e in events if e['ph'] == 'X' and 'args' in e)
assert items == 2 * 40 - 1, items
rows = collections.defaultdict(list)
for e in events:
    if e['ph'] == 'X':
        rows[e['tid']].append((e['ts'], e['ts'] + e['dur']))
assert len(rows) == 5, len(rows)  # four workers, and the caller
for spans in rows.values():
    spans.sort()
    assert all(end < begin for (_, end), (begin, _) in zip(spans, spans[1:])), 'spans overlap'
END
