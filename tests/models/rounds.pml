/* A round of a job: workers enter it, claim blocks, mark them and leave; the caller finds the round over, or begins
 * another for what deaths have left.
 *
 *     step                        function (file)
 *     worker: find, enter         find_job() (worker/work_jobs.c), pp_claim_job() (worker/claim.c)
 *     worker: claim, record       pp_plan_claim() (shared/plan.c), pp_claim_chunk() (worker/claim.h)
 *     worker: run, mark           run_items() (worker/work_jobs.c), pp_plan_mark() (shared/plan.c)
 *     worker: turn over, leave    turn_is_over() (worker/work_jobs.c), pp_leave_job() (worker/claim.c)
 *     worker: announce            pp_announce() (worker/claim.h)
 *     worker: away                a task that lasts until there is more of the job to do: pp_work_on_tickets()
 *     supervisor                  tell_death() (host/workers.c), pp_life_end() (shared/worker_life.c)
 *     caller: begin, look, end    pp_round_begin(), pp_round_is_over(), close_round(), pp_round_settle() (pool/round.c)
 *     caller: a death             worker_died() (pool/collect.c), pp_round_died(), settle_chunk() (pool/round.c)
 *     caller: sleep               sleep_in_poll() (pool/wait.c), pp_bell_expect(), pp_bell_silence()
 *
 * Two workers, K items, blocks and chunks of one item. A worker may die at any step, D times in all; with REPLACED=0
 * no worker takes its place, as after pool_resize(). Steps are sequentially consistent: orders.py has the memory
 * orders. Left out: kills (kills.pml), how workers sleep (park.pml), audits. What only an audit would mend is an error
 * here.
 *
 * Properties: no process waits for ever while another does not owe it anything (no invalid end state); no worker
 * touches the plan of a round that is over; no item is run twice; each ends once.
 *
 * Mutants:
 *     BUG_TURN             a worker whose turn was over does not look again when it is the last one out
 *     BUG_UNSAID           a worker that has found nothing left does not say so before it is out
 *     BUG_SAID_LATE        it says so once it is out
 *     BUG_READABLE_FIRST   the notice can be read before the record is cleared                  (with REPLACED=0)
 *     BUG_CLEARED_FIRST    the record is cleared before the notice is announced
 *     BUG_NO_NOTICE_LOOK   a round is over though a notice is due
 *     BUG_NO_SECOND_LOOK   the caller does not look at the records again after it has closed the round
 *     BUG_NO_CLOSE         the caller does not end the state word
 *     BUG_ENTER_LATE       a worker looks at the state word, then stores that it is in the job
 *     BUG_LEAVE_SILENT     the last worker out says nothing
 *     BUG_NO_LAST_LOOK     the caller does not look at outcomes between its wish and its sleep */
#ifndef K
#define K 2
#endif
#ifndef D
#define D 1
#endif
#ifndef REPLACED
#define REPLACED 1
#endif
#define W 2

mtype = { PENDING, RUNNING, ENDED };
byte table;                                  /* the job table's entry: the round's number as a ticket; 0: none */
mtype state = ENDED; byte generation;        /* the state word */
byte next, last, cursor_of;                  /* the cursor, one word: what is left, and of which round */
byte index[K]; bool mark[K];                 /* the plan */
byte in_place;                               /* ghost: the round whose plan is in place */
/* records: the job, the block + 1 of the chunk, whether it runs */
byte job[W], chunk[W]; bool runs[W];
bool doomed[W], dead[W], gone[W], starts[W], asleep[W];
byte said;                                   /* the round of which a worker has found nothing left */
bool announced, waits, bell, over;
bool due, readable; byte n_job, n_chunk; bool n_runs; /* the notice */
byte deaths, begun[K], ended[K]; bool left[K];

#define OTHER (1 - id)
#define USED_UP(p) (cursor_of != (p) || next >= last)
/* A step of a worker that lives. */
#define S(x) atomic { if :: doomed[id] -> goto died :: else -> x fi }
#define TOUCH(p) assert(in_place == (p))

proctype worker(byte id) {
    byte p, used_up, b; bool ok, entered, unfinished, last_out;
begin:
    do
    :: S(p = table);
       if
       :: p == 0 || p == used_up ->
            /* The bit, the last look and the sleep are one step here. */
            S(asleep[id] = (table == 0 || table == used_up); p = 0);
end_asleep: atomic { (doomed[id] || !asleep[id]); if :: doomed[id] -> goto died :: else -> used_up = 0 fi }
       :: else ->
#ifdef BUG_ENTER_LATE
            S(if :: state == PENDING && generation == p -> state = RUNNING :: else -> skip fi);
            S(ok = (state == RUNNING && generation == p));
            S(job[id] = p);
#else
            S(chunk[id] = 0; job[id] = p);
            S(if :: state == PENDING && generation == p -> state = RUNNING :: else -> skip fi);
            S(ok = (state == RUNNING && generation == p));
#endif
            unfinished = false;
            entered = ok;
            do
            :: ok ->
                S(TOUCH(p); if :: USED_UP(p) -> ok = false :: else -> b = next; next++ fi);
                if
                :: ok ->
                    S(chunk[id] = b + 1);
                    S(TOUCH(p); runs[id] = true);
                    S(begun[index[b]]++; assert(begun[index[b]] == 1));
                    S(runs[id] = false; chunk[id] = b + 1 + K);   /* `progress` is past it: finished */
                    S(TOUCH(p); mark[b] = true);
                    if
                    :: true -> skip
                    :: true -> S(TOUCH(p); unfinished = !USED_UP(p)); break   /* the turn is over */
                    fi
                :: else -> skip
                fi
            :: !ok -> break
            od;
            if :: !unfinished -> used_up = p :: else -> skip fi;
#if !defined(BUG_UNSAID) && !defined(BUG_SAID_LATE)
            S(if :: entered && !unfinished -> said = p :: else -> skip fi);
#endif
            S(job[id] = 0);
            S(last_out = (job[OTHER] != p));
#ifndef BUG_TURN
            if :: last_out && unfinished -> S(unfinished = (said != p)) :: else -> skip fi;
#endif
#ifdef BUG_SAID_LATE
            S(if :: entered && !unfinished -> said = p :: else -> skip fi);
#endif
#ifndef BUG_LEAVE_SILENT
            if
            :: last_out && !unfinished -> S(announced = true); S(ok = waits); if :: ok -> S(bell = true) :: else -> skip fi
            :: else -> skip
            fi;
#endif
            atomic { p = 0; b = 0; ok = false; entered = false; unfinished = false; last_out = false };
            if
            :: true -> skip
            :: atomic { next >= last -> skip };      /* for as long as nothing is left to claim */
end_away:      atomic { (over || doomed[id] || next < last); if :: doomed[id] -> goto died :: else -> skip fi }
            fi
       fi
    od;
died:
    atomic { dead[id] = true; asleep[id] = false; p = 0; used_up = 0; b = 0; ok = false; entered = false; unfinished = false; last_out = false };
end_dead:
    atomic { starts[id] -> starts[id] = false; goto begin }
}

proctype supervisor() {
    byte w;
end_s:
    do
    :: atomic { (dead[0] && !gone[0] && !due) -> w = 0 }; goto reap
    :: atomic { (dead[1] && !gone[1] && !due) -> w = 1 }; goto reap
    od;
reap:
    atomic { n_job = job[w]; n_chunk = chunk[w]; n_runs = runs[w] };
#ifdef BUG_CLEARED_FIRST
    atomic { chunk[w] = 0; runs[w] = false }; job[w] = 0;
#endif
    due = true;
#ifdef BUG_READABLE_FIRST
    readable = true;
#endif
    atomic { chunk[w] = 0; runs[w] = false };
    job[w] = 0;
#ifndef BUG_READABLE_FIRST
    readable = true;
#endif
    atomic { dead[w] = false; if :: REPLACED -> doomed[w] = false; starts[w] = true :: else -> gone[w] = true fi };
    atomic { bell = true; w = 0; goto end_s }
}

inline finish(i) { ended[i]++; assert(ended[i] == 1) }
/* pp_round_begin(), for the items that are left; wakes all workers. */
inline begin_round() {
    atomic {
        round++; last = 0; i = 0;
        do :: i < K -> if :: left[i] -> left[i] = false; index[last] = i; mark[last] = false; last++ :: else -> skip fi; i++
           :: else -> break od;
        i = 0; next = 0; cursor_of = round; in_place = round; generation = round; state = PENDING };
    table = round;
    atomic { asleep[0] = false; asleep[1] = false }
}
/* pp_round_is_over() and what follows. */
inline look() {
    any = (next < last);
    if :: !any -> any = (job[0] == round) :: else -> skip fi;
    if :: !any -> any = (job[1] == round) :: else -> skip fi;
    if
    :: !any ->
        table = 0;
#ifndef BUG_NO_CLOSE
        state = ENDED;
#endif
#ifndef BUG_NO_SECOND_LOOK
        any = (job[0] == round); if :: !any -> any = (job[1] == round) :: else -> skip fi;
#endif
#ifndef BUG_NO_NOTICE_LOOK
        if :: !any -> any = due :: else -> skip fi;
#endif
        if
        :: !any ->
            atomic {
                in_place = 0; i = 0; over = true;
                do
                :: i < last ->
                    if :: mark[i] -> if :: !left[index[i]] && ended[index[i]] == 0 -> finish(index[i]) :: else -> skip fi
                       :: else -> assert(deaths > 0); left[index[i]] = true fi;
                    if :: left[index[i]] -> over = false :: else -> skip fi;
                    i++
                :: else -> break
                od; i = 0 };
            if :: !over -> begin_round() :: else -> skip fi
        :: else -> skip
        fi
    :: else -> skip
    fi;
    any = false
}
proctype caller() {
    byte round, i; bool any;
    atomic { i = 0; do :: i < K -> left[i] = true; i++ :: else -> break od };
    begin_round();
    do
    :: over -> break
    :: !over && announced -> announced = false; look()
    :: !over && readable ->
        atomic {
            /* settle_chunk(): what the dead worker had finished counts, what it ran is the victim, the rest is left */
            if
            :: n_job == round && n_chunk > 0 ->
                i = (n_chunk - 1) % K; mark[i] = true; i = index[i];
                if :: n_runs || n_chunk > K -> finish(i) :: else -> left[i] = true fi
            :: else -> skip
            fi;
            i = 0; n_job = 0; n_chunk = 0; n_runs = false;
            readable = false; due = false;
            if :: asleep[0] -> asleep[0] = false :: asleep[1] -> asleep[1] = false :: else -> skip fi };
        look()
    :: !over && !announced && !readable ->
        waits = true;
        if
#ifndef BUG_NO_LAST_LOOK
        :: announced || readable -> skip
#endif
        :: else -> (bell)
        fi;
        waits = false;
        bell = false
    od;
    atomic { i = 0; do :: i < K -> assert(ended[i] == 1); i++ :: else -> break od }
}
proctype chance() {
end_chance:
    do
    :: atomic { deaths < D && !doomed[0] && !over -> deaths++; doomed[0] = true }
    :: atomic { deaths < D && !doomed[1] && !over -> deaths++; doomed[1] = true }
    od
}
init { atomic { run worker(0); run worker(1); run supervisor(); run caller(); if :: D > 0 -> run chance() :: else -> skip fi } }
