#!/usr/bin/env python3
"""The memory orders of the pairs in which two processes must see each other, tried under the model of C11.

The models beside this file take every step to be seen by all processes at once. What that rests on is tried here: a few
accesses of a few threads, as the source has them, and all executions of these that C11 allows. The axioms are those of
RC11 (Lahav, Vafeiadis, Kang, Hur, Dreyer: Repairing sequential consistency in C/C++11), which also excludes values out of
thin air.

An access is (kind, location, order, value). Kinds: R reads, W writes, U reads and writes at once (its value is what it
adds, or a pair (expected, new) for a compare-and-swap, which is a read if it fails), F is a fence. Orders: na, rlx, acq,
rel, ar (both), sc. A test has a name, its threads, the outcome that must not be (a function of the values that were read:
r[thread][n] is the n-th), and whether C11 must forbid it. A test with "BUG" in its name is a mutant: a fence or an order
is taken away, and then C11 must allow the outcome, or the fence is of no use.

Usage: python3 orders.py. Prints a line a test; fails if one is not as it must be."""
import itertools
import sys


def closure(n, rel):
    m = [0] * n
    for a, b in rel: m[a] |= 1 << b
    for k in range(n):
        for i in range(n):
            if m[i] >> k & 1: m[i] |= m[k]
    return {(i, j) for i in range(n) for j in range(n) if m[i] >> j & 1}
def seq(a, b):
    by = {}
    for x, y in b: by.setdefault(x, []).append(y)
    return {(x, z) for x, y in a for z in by.get(y, ())}
def acyclic(n, rel):
    return all(a != b for a, b in closure(n, rel))

REL, ACQ, SC = {'rel', 'ar', 'sc'}, {'acq', 'ar', 'sc'}, {'sc'}

def executions(threads, init=None):
    base = []
    for t, th in enumerate(threads):
        for e in th: base.append((t,) + e)
    cas = [i for i, e in enumerate(base) if e[1] == 'U' and isinstance(e[4], tuple)]
    for fails in itertools.product([0, 1], repeat=len(cas)):
        ev = [(-1, 'W', l, 'na', (init or {}).get(l, 0)) for l in sorted({e[2] for e in base if e[2]})]
        k = len(ev)
        failed = {cas[i] for i, f in enumerate(fails) if f}
        for i, e in enumerate(base): ev.append((e[0], 'R' if i in failed else e[1], e[2], ('acq' if e[3] in ('ar', 'acq') else e[3]) if i in failed else e[3], e[4]))
        n = len(ev)
        sb = {(i, j) for i in range(n) for j in range(n) if i < j and (ev[i][0] == ev[j][0] != -1 or (ev[i][0] == -1 and ev[j][0] != -1))}
        reads = [i for i in range(n) if ev[i][1] in 'RU']
        writes = [i for i in range(n) if ev[i][1] in 'WU']
        locs = sorted({ev[i][2] for i in writes})
        orders = []
        for l in locs:
            ws = [i for i in writes if ev[i][2] == l]
            first = [i for i in ws if ev[i][0] == -1]
            orders.append([first + list(p) for p in itertools.permutations([i for i in ws if ev[i][0] != -1])])
        for rfs in itertools.product(*[[w for w in writes if ev[w][2] == ev[r][2] and w != r] for r in reads]):
            rf = set(zip(rfs, reads)); src = dict(zip(reads, rfs))
            if not acyclic(n, sb | rf): continue
            def new(i, seen=()):
                v = ev[i][4]
                if ev[i][1] == 'U':
                    if isinstance(v, tuple): return v[1]
                    return new(src[i]) + v      # fetch_add
                return v
            ok = True
            for i, e in enumerate(base):
                j = k + i
                if i in cas:
                    got = new(src[j])
                    if (got == e[4][0]) == (i in failed): ok = False
            if not ok: continue
            for mos in itertools.product(*orders):
                mo = set(); pos = {}
                for o in mos:
                    for a in range(len(o)):
                        pos[o[a]] = a
                        for b in range(a + 1, len(o)): mo.add((o[a], o[b]))
                if any(ev[r][1] == 'U' and pos[src[r]] + 1 != pos[r] for r in reads): continue
                rb = {(r, w) for r in reads for w in writes if ev[w][2] == ev[r][2] and w != r and pos[w] > pos[src[r]]}
                eco = closure(n, rf | mo | rb)
                # release sequences and synchronizes-with
                rs = {(w, w) for w in writes}
                step = {(w, r) for w, r in rf if ev[r][1] == 'U'}
                cl = closure(n, step)
                rs |= {(w, r) for w, r in cl if w in writes}
                sw = set()
                for w, x in rs:
                    for x2, r in rf:
                        if x2 != x: continue
                        heads = [w] if ev[w][3] in REL else []
                        heads += [f for f in range(n) if ev[f][1] == 'F' and ev[f][3] in REL and (f, w) in sb]
                        tails = [r] if ev[r][3] in ACQ else []
                        tails += [f for f in range(n) if ev[f][1] == 'F' and ev[f][3] in ACQ and (r, f) in sb]
                        sw |= {(h, t) for h in heads for t in tails}
                hb = closure(n, sb | sw)
                if any(a == b for a, b in hb): continue
                if any((b, a) in eco for a, b in hb): continue
                same = lambda rel: {(a, b) for a, b in rel if ev[a][2] and ev[a][2] == ev[b][2]}
                sbn = {(a, b) for a, b in sb if not ev[a][2] or ev[a][2] != ev[b][2]}
                scb = sb | seq(seq(sbn, hb), sbn) | same(hb) | mo | rb
                S = {i for i in range(n) if ev[i][3] == 'sc'}; FS = {i for i in S if ev[i][1] == 'F'}
                left = {(i, i) for i in S} | {(a, b) for a, b in hb if a in FS}
                right = {(i, i) for i in S} | {(a, b) for a, b in hb if b in FS}
                psc = seq(seq(left, scb), right)
                psc |= {(a, b) for a, b in hb | seq(seq(hb, eco), hb) if a in FS and b in FS}
                if not acyclic(n, psc): continue
                r = {}
                for i in range(n):
                    if ev[i][0] >= 0 and i in src: r.setdefault(ev[i][0], []).append(new(src[i]))
                yield r

R = lambda l, o: ('R', l, o, None)
W = lambda l, v, o: ('W', l, o, v)
U = lambda l, v, o: ('U', l, o, v)
F = ('F', None, 'sc', None)
tests = []
def t(name, threads, bad, forbidden=True, init=None): tests.append((name, threads, bad, forbidden, init))
both0 = lambda i, j: lambda r: r[0][i] == 0 and r[1][j] == 0


def R(location, order):
    return ('R', location, order, None)


def W(location, value, order):
    return ('W', location, order, value)


def U(location, value, order):
    return ('U', location, order, value)


F = ('F', None, 'sc', None)
tests = []


def t(name, threads, bad, init=None):
    tests.append((name, threads, bad, 'BUG' not in name, init))


def both_miss(i, j):
    return lambda r: r[0][i] == 0 and r[1][j] == 0


# The caller in pp_bell_expect() and collect_worker(); the worker in pp_announce().
c, w = [W('waits', 1, 'rlx'), F, R('done_tail', 'acq')], [W('done_tail', 1, 'rel'), F, R('waits', 'rlx')]
t('waits, outcome', [c, w], both_miss(0, 0))
t('waits, outcome: BUG no fence in pp_bell_expect()', [[c[0], c[2]], w], both_miss(0, 0))
t('waits, outcome: BUG no fence in pp_announce()', [c, [w[0], w[2]]], both_miss(0, 0))
t('waits, state word', [[W('waits', 1, 'rlx'), F, R('state', 'acq')],
                        [U('state', (0, 1), 'ar'), W('done_tail', 1, 'rel'), F, R('waits', 'rlx')]], both_miss(0, 1))

# The caller in pp_wake(); the worker in pp_park_begin() and its last look.
c = [W('entry', 1, 'rel'), F, R('asleep', 'rlx')]
w = [R('wakes', 'acq'), U('parkings', 1, 'rel'), U('asleep', 1, 'rel'), F, R('entry', 'acq')]
t('ticket, asleep', [c, w], both_miss(0, 3))
t('ticket, asleep: BUG no fence in pp_wake()', [[c[0], c[2]], w], both_miss(0, 3))
t('ticket, asleep: BUG no fence in pp_park_begin()', [c, w[:3] + w[4:]], both_miss(0, 3))
t('job table, asleep', [[W('end', 1, 'rel'), W('entry', 1, 'rel'), F, R('asleep', 'rlx')],
                        [U('asleep', 1, 'rel'), F, R('end', 'acq'), R('entry', 'acq')]],
  lambda r: r[0][0] == 0 and (r[1][1] == 0 or r[1][2] == 0))
# A worker that is not counted in `parkings` sees the work; one whose bit is seen is counted.
t('ticket, parkings', [[W('entry', 1, 'rel'), F, R('parkings', 'acq')], [U('parkings', 1, 'rel'), F, R('entry', 'acq')]],
  both_miss(0, 1))
t('asleep, then parkings', [[R('asleep', 'acq'), R('parkings', 'acq')],
                            [U('parkings', 1, 'rel'), U('asleep', 1, 'rel')]], lambda r: r[0] == [1, 0])
t('asleep, then parkings: BUG the bit is relaxed', [[R('asleep', 'acq'), R('parkings', 'acq')],
                                                   [U('parkings', 1, 'rel'), U('asleep', 1, 'rlx')]],
  lambda r: r[0] == [1, 0])
# A caller that sees the bit cleared sees the wake-up taken.
t('bit cleared, then woken', [[R('asleep', 'acq'), R('woken', 'rlx')], [U('woken', 1, 'rlx'), U('asleep', -1, 'rel')]],
  lambda r: r[0] == [0, 0], {'asleep': 1})
t('bit cleared, then woken: BUG pp_park_end() is relaxed',
  [[R('asleep', 'acq'), R('woken', 'rlx')], [U('woken', 1, 'rlx'), U('asleep', -1, 'rlx')]],
  lambda r: r[0] == [0, 0], {'asleep': 1})
t('parkings, then wakes', [[R('parkings', 'acq'), U('wakes', 1, 'rel')], [R('wakes', 'acq'), U('parkings', 1, 'rel')]],
  lambda r: r[0][0] == 1 and r[1][0] == 1)

# The caller in pp_timer_begin(); the supervisor in pp_timer_check().
bad, init = (lambda r: r[0][1] == 1 and r[1][0] == 0), {'timers_on': 1}
t('timed, timers_on', [[U('timed', 1, 'sc'), R('timers_on', 'sc')], [W('timers_on', 0, 'sc'), R('timed', 'sc')]], bad, init)
t('timed, timers_on: BUG acquire and release', [[U('timed', 1, 'ar'), R('timers_on', 'acq')],
                                                [W('timers_on', 0, 'rel'), R('timed', 'acq')]], bad, init)

# The supervisor in call_for_work(); the caller in pp_wake() and pp_ask_for_workers().
s = [W('resting', 1, 'rel'), F, R('tail', 'rlx')]
c = [W('entry', 1, 'rel'), W('tail', 1, 'rel'), F, R('asleep', 'rlx'), R('resting', 'acq')]
t('resting, ticket', [s, c], both_miss(0, 1))
t('resting, ticket: BUG no fence in call_for_work()', [[s[0], s[2]], c], both_miss(0, 1))
t('resting, ticket: BUG no fence in pp_wake()', [s, c[:2] + c[3:]], both_miss(0, 1))
# The supervisor in obey(), PP_START; the caller in pp_ask_for_workers(): no start is counted twice.
bad, init = (lambda r: r[1] == [0, 0]), {'resting': 1}
t('starts taken, then resting', [[W('taken', 1, 'rel'), W('resting', 0, 'rel')], [R('resting', 'acq'), R('taken', 'acq')]],
  bad, init)
t('starts taken, then resting: BUG the opposite order',
  [[W('resting', 0, 'rel'), W('taken', 1, 'rel')], [R('resting', 'acq'), R('taken', 'acq')]], bad, init)

# The worker in pp_claim_job(); the caller in close_round() and pp_record_anybody_in(). State 1 is RUNNING, 2 is DONE.
w = [W('job', 1, 'sc'), U('state', (0, 1), 'ar'), R('state', 'sc')]
c = [R('state', 'sc'), U('state', (1, 2), 'sc'), R('state', 'sc'), R('job', 'sc')]
bad, init = (lambda r: r[0][1] == 1 and r[1][1] == 1 and r[1][3] == 0), {'state': 1}
t('job, state word', [w, c], bad, init)
t('job, state word: BUG pp_state_close() acquires and releases', [w, [c[0], U('state', (1, 2), 'ar'), c[2], c[3]]], bad, init)
t('job, state word: BUG the job is stored with release', [[W('job', 1, 'rel')] + w[1:], c], bad, init)
t('job, state word that is pending', [w, [U('state', (0, 3), 'ar'), R('state', 'sc'), R('job', 'sc')]],
  lambda r: r[0][1] == 1 and r[1][0] == 0 and r[1][2] == 0)

# The worker in pp_begin_item() and pp_job_must_stop(); the caller in pp_job_stop() and pp_record_kill().
t('item, stop', [[W('item', 1, 'sc'), R('stop', 'sc')], [W('stop', 1, 'sc'), R('item', 'sc')]], both_miss(0, 0))
t('item, stop: BUG the item is stored with release', [[W('item', 1, 'rel'), R('stop', 'sc')],
                                                      [W('stop', 1, 'sc'), R('item', 'sc')]], both_miss(0, 0))

# Two workers in pp_leave_job(): one of them sees the other out. One whose turn was over then looks at the cursor.
t('leave, leave', [[W('out0', 1, 'sc'), R('out1', 'sc')], [W('out1', 1, 'sc'), R('out0', 'sc')]], both_miss(0, 0))
t('leave, leave: BUG release and acquire', [[W('out0', 1, 'rel'), R('out1', 'acq')],
                                            [W('out1', 1, 'rel'), R('out0', 'acq')]], both_miss(0, 0))
b = [U('cursor', 1, 'ar'), W('out1', 1, 'sc'), R('out0', 'sc')]
t('turn over, claim', [[W('out0', 1, 'sc'), R('out1', 'sc'), R('cursor', 'acq')], b],
  lambda r: r[1][1] == 0 and (r[0][0] == 0 or r[0][1] == 0))
t('turn over, claim: BUG the cursor is looked at first', [[W('out0', 1, 'sc'), R('cursor', 'acq'), R('out1', 'sc')], b],
  lambda r: r[1][1] == 0 and (r[0][1] == 0 or r[0][0] == 0))

# Notices.
t('notices full', [[W('full', 1, 'sc'), R('head', 'sc')], [W('head', 1, 'sc'), R('full', 'sc')]], both_miss(0, 0))
t('notices full: BUG release and acquire', [[W('full', 1, 'rel'), R('head', 'acq')], [W('head', 1, 'rel'), R('full', 'acq')]],
  both_miss(0, 0))
bad = lambda r: r[0] == [1, 0]
t('record cleared, then announced', [[R('cleared', 'sc'), R('announced', 'rlx')],
                                     [W('announced', 1, 'rlx'), W('cleared', 1, 'sc')]], bad)
t('record cleared, then announced: BUG the record is cleared relaxed',
  [[R('cleared', 'sc'), R('announced', 'rlx')], [W('announced', 1, 'rlx'), W('cleared', 1, 'rlx')]], bad)
t('notice read, then cleared', [[R('tail', 'acq'), R('cleared', 'sc')], [W('cleared', 1, 'sc'), W('tail', 1, 'rel')]], bad)
t('notice read, then cleared: BUG the tail is relaxed',
  [[R('tail', 'acq'), R('cleared', 'sc')], [W('cleared', 1, 'sc'), W('tail', 1, 'rlx')]], bad)
t('next life, then notice', [[R('lives', 'acq'), R('tail', 'acq')], [W('tail', 1, 'rel'), W('lives', 1, 'rel')]], bad)

# A process that sees the ring's head moved sees the tickets in the record of the worker that took them.
t('head, then claimed', [[R('head', 'acq'), R('claimed', 'acq')], [W('claimed', 1, 'rlx'), U('head', (0, 1), 'ar')]], bad)
t('head, then claimed: BUG the swap is relaxed',
  [[R('head', 'acq'), R('claimed', 'acq')], [W('claimed', 1, 'rlx'), U('head', (0, 1), 'rlx')]], bad)

# Futures that are given back without the lock: two pushes, and a submit that takes the stack.
t('freed, taken', [[W('f', 1, 'na'), U('freed', 1, 'rel')], [W('g', 1, 'na'), U('freed', 1, 'rel')],
                   [R('freed', 'acq'), R('f', 'na'), R('g', 'na')]],
  lambda r: r[2][0] == 2 and (r[2][1] == 0 or r[2][2] == 0))
bad = lambda r: r[1] == [1, 0]
t('freed, taken: BUG the push is relaxed', [[W('f', 1, 'na'), U('freed', 1, 'rlx')], [R('freed', 'acq'), R('f', 'na')]], bad)
t('detached', [[W('outcome', 1, 'na'), W('done', 1, 'rel')], [R('done', 'acq'), R('outcome', 'na')]], bad)
t('detached: BUG pp_detach() is relaxed', [[W('outcome', 1, 'na'), W('done', 1, 'rlx')], [R('done', 'acq'), R('outcome', 'na')]],
  bad)

wrong = 0
for name, threads, bad, must_forbid, init in tests:
    count = seen = 0
    for r in executions(threads, init):
        count += 1
        seen += bool(bad(r))
    right = must_forbid == (not seen)
    wrong += not right
    print(f"{'ok   ' if right else 'WRONG'} {'allowed  ' if seen else 'forbidden'} {count:3} executions  {name}")
print(f'{len(tests)} tests, {wrong} wrong')
sys.exit(wrong != 0)
