/* Elastic pools: workers that are started when there is work, and end when there has been none.
 *
 *     step                        function (file)
 *     caller: publish, ask        send_ticket() (pool/dispatch.c), pp_wake() (shared/park.h), pp_ask_for_workers()
 *                                 (pool/demand.c)
 *     supervisor                  obey() for PP_START (host/supervisor.c); tell_death(),
 *                                 pp_workers_start_missing() (host/workers.c); pp_staff_call(), call_for_work(), tell_resting() (host/staff.c);
 *                                 pp_backlog_workers() (shared/backlog.c)
 *     worker                      rest() (worker/worker.c): a worker that has overslept retires without another look
 *
 * W workers, N tasks, one by one or at once. With BARRIER each body lasts until all have begun (N <= W): as many
 * workers must be started as are of use.
 *
 * Property: each task is run (no invalid end state).
 *
 * Mutants:
 *     BUG_NO_LOOK       the supervisor does not look at the work after it has said that a worker rests
 *     BUG_TAKEN_LATE    starts cease to rest, and only then count as taken                      (with BARRIER)
 *     BUG_READ_TAKEN_FIRST   the caller reads the starts that were taken, then `resting`  (with BARRIER) */
#ifndef W
#define W 2
#endif
#ifndef N
#define N 2
#endif
byte ring, begun, done, resting = W, taken, sent, open;
mtype = { RESTING, ALIVE, DEAD };
mtype place[W] = RESTING;
bool asleep[W], queued[W], starts[W];
chan cmd = [4] of { byte };
proctype worker(byte id) {
    bool got;
end_none:
    atomic { starts[id]; starts[id] = false };
    do
    :: atomic { got = (ring > 0); if :: got -> ring--; begun++ :: else -> skip fi };
       if
       :: got ->
#ifdef BARRIER
end_body:   (begun >= N);
#endif
            done++
       :: else ->
            asleep[id] = true;
            if
            :: ring > 0 -> asleep[id] = false
            :: else -> queued[id] = true;   /* the number of wake-ups is unchanged: park.pml */
                if
                :: !queued[id] -> asleep[id] = false
                :: atomic { queued[id] -> queued[id] = false };   /* OVERSLEPT */
                    asleep[id] = false;
                    place[id] = DEAD; goto end_none
                fi
            fi
       fi
    od
}
inline tell() { resting = (place[0] == RESTING -> 1 : 0) + (W > 1 && place[W - 1] == RESTING -> 1 : 0) }
inline call_resting(c) {
    atomic { k = c;
        if :: k > 0 && place[0] == RESTING -> place[0] = ALIVE; starts[0] = true; k-- :: else -> skip fi;
        if :: k > 0 && W > 1 && place[W - 1] == RESTING -> place[W - 1] = ALIVE; starts[W - 1] = true; k-- :: else -> skip fi; k = 0 };
    tell()
}
proctype supervisor() {
    byte v, w, k, waiting;
end_s:
    do
    :: cmd ? v ->
#ifdef BUG_TAKEN_LATE
        call_resting(v); taken = taken + v;
#else
        taken = taken + v; call_resting(v);
#endif
        v = 0
    :: atomic { place[0] == DEAD -> w = 0 } -> goto reap
    :: atomic { W > 1 && place[W - 1] == DEAD -> w = W - 1 } -> goto reap
    od;
reap:
    place[w] = RESTING;
    tell();
#ifndef BUG_NO_LOOK
    waiting = ring;
    call_resting(waiting);
#endif
    atomic { waiting = 0; w = 0; goto end_s }
}
proctype caller() {
    byte i, r, a, live, more;
    do
    :: i < N ->
        open++; ring++;
        /* pp_wake: one sleeper */
        if
        :: asleep[0] && queued[0] -> queued[0] = false
        :: W > 1 && asleep[W - 1] && queued[W - 1] -> queued[W - 1] = false
        :: !(asleep[0] && queued[0]) && !(W > 1 && asleep[W - 1] && queued[W - 1]) -> skip
        fi;
#ifdef BUG_READ_TAKEN_FIRST
        a = sent - taken; r = resting;
#else
        r = resting; a = sent - taken;
#endif
        if
        :: r > a ->
            live = W - r;
            if
            :: open > live + a ->
                more = open - live - a;
                if :: more > r - a -> more = r - a :: else -> skip fi;
                cmd ! more; sent = sent + more
            :: else -> skip
            fi
        :: else -> skip
        fi;
        i++;
        if :: (done == i) -> open = 0 :: i < N || done == N fi   /* one by one, or at once */
    :: i >= N -> break
    od;
    (done == N)
}
init { atomic { run worker(0); if :: W > 1 -> run worker(1) :: else -> skip fi; run supervisor(); run caller() } }
