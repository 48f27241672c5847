/* Retries run in fresh workers only: one that has run something leaves the ticket to the next life of its number.
 *
 *     step                     function (file)
 *     worker                   run_task() (worker/work_tasks.c), pp_work_passes_on_task() (worker/bequest.c),
 *                              pp_bequeath() (worker/claim.h), run_bequest() (worker/worker.c), pp_work_retire()
 *                              (worker/work.c), also of a worker that the pool has become too small for
 *     supervisor               tell_death(), pp_workers_start_missing() (host/workers.c); pp_life_end()
 *                              (shared/worker_life.c), which clears the record but for the bequest
 *     caller, a notice         pp_claims_died() (pool/death.c)
 *     caller, fewer workers    pool_resize(), pp_bequests_release() (pool/death.c)
 *
 * There is one retry, with one ticket; OTHERS tasks make workers spoilt. Worker 0 stays, worker 1 may have to go, and
 * may be given up once it has died. The supervisor learns of the new size later than workers do. Left out: how workers
 * sleep and are woken (park), kills (kills), a death in the claim itself or after it (tasks).
 *
 * Properties: no worker that has run something runs the retry; it is run once; and it is run in the end (no invalid end
 * state).
 *
 * Mutants:
 *     BUG_NOT_FRESH      a worker runs the retry whatever it has run
 *     BUG_DROP_FIRST     a worker drops the ticket from its record, and only then leaves it to its successor
 *     BUG_DROP_EARLY     the successor drops the bequest before it has tried it
 *     BUG_CLEARED        the bequest is cleared with the record of the dead worker
 *     BUG_NO_SEND        a worker that has died before it has tried its bequest is taken to have a successor
 *     BUG_WANTED_UNSEEN  likewise one that the pool has become too small for
 *     BUG_NO_RELEASE     as the pool becomes smaller, the caller does not look at what is left to successors */
#ifndef MAXD
#define MAXD 1 /* deaths by chance */
#endif
#ifndef OTHERS
#define OTHERS 2
#endif

byte ring = 1;                       /* tickets of the retry */
byte others = OTHERS;
byte runs, deaths;
bool claimed[2], bequest[2], retired[2];   /* the records */
bool has_run[2], starts[2] = true, ended[2];
bool notice[2], left_claimed[2], left_bequest[2], left_retired[2];
bool small, small_seen;              /* as the caller and the workers know it, and the supervisor */

/* A step of a worker, or its death. */
#define S(x) atomic { if :: true -> x :: deaths < MAXD -> deaths++; goto died fi }
#define TRY if :: runs == 0 -> assert(!has_run[me]); runs++; has_run[me] = true :: else fi

proctype worker(byte me) {
end_none:
    atomic { starts[me] -> starts[me] = false; has_run[me] = false };
    if
    :: bequest[me] ->
#ifdef BUG_DROP_EARLY
        S(bequest[me] = false);
#endif
        S(TRY);
        S(bequest[me] = false)
    :: else
    fi;
end_idle:
    do
    :: atomic { others > 0 -> others--; has_run[me] = true }
    :: atomic { ring > 0 -> ring--; claimed[me] = true };
        if
#ifndef BUG_NOT_FRESH
        :: has_run[me] && runs == 0 ->
#ifdef BUG_DROP_FIRST
            S(claimed[me] = false);
#endif
            S(bequest[me] = true);
            S(claimed[me] = false);
            S(retired[me] = true);
            goto died
        :: !(has_run[me] && runs == 0) ->
#else
        :: true ->
#endif
            S(TRY);
            S(claimed[me] = false)
        fi
    :: atomic { me == 1 && small -> retired[me] = true; goto died }
    :: atomic { deaths < MAXD -> deaths++; goto died }
    od;
died:
    ended[me] = true;
    goto end_none
}

inline reap(w) {
    ended[w] = false;
    left_claimed[w] = claimed[w]; left_bequest[w] = bequest[w]; left_retired[w] = retired[w];
    claimed[w] = false; retired[w] = false;
#ifdef BUG_CLEARED
    bequest[w] = false;
#endif
    notice[w] = true
}
active proctype supervisor() {
    bool waits, given_up;
end_s:
    do
    :: atomic { ended[0] && !notice[0] -> reap(0); starts[0] = true }
    :: atomic { ended[1] && !notice[1] -> reap(1); waits = true }
    :: atomic { waits && !small_seen && !given_up -> waits = false; starts[1] = true }
    :: atomic { waits && !left_retired[1] && !given_up -> given_up = true }
    :: atomic { small && !small_seen -> small_seen = true }
    od
}

inline send_again() { if :: runs == 0 -> ring++ :: else fi }
inline read(w) {
#ifdef BUG_WANTED_UNSEEN
    successor = left_retired[w];
#elif defined(BUG_NO_SEND)
    successor = w == 0 || !small;
#else
    successor = left_retired[w] && (w == 0 || !small);
#endif
    if :: left_claimed[w] && !left_bequest[w] -> send_again() :: else fi;
    if :: left_bequest[w] && !successor -> send_again() :: else fi;
    notice[w] = false
}
active proctype caller() {
    bool successor, shrinks;
    atomic { run worker(0); run worker(1) };
    if :: shrinks = true :: true fi;
    do
    :: atomic { notice[0] -> read(0) }
    :: atomic { notice[1] -> read(1) }
    :: shrinks && !small -> small = true;
#ifndef BUG_NO_RELEASE
        atomic { if :: bequest[1] -> send_again() :: else fi }
#endif
    :: runs > 0 -> break
    od
}
