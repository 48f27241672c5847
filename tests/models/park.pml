/* Parking: how workers sleep and are woken, and the caller's bell.
 *
 *     step                        function (file)
 *     worker: take                pp_ring_take() (shared/ring.c), here a count; `held` is what a dead worker had
 *     worker: rest                rest() (worker/worker.c); pp_park_begin(), pp_park(), pp_park_count_woken(),
 *                                 pp_park_end() (shared/park.c, shared/park_futex.c)
 *     worker: announce            pp_announce(), pp_would_ring() (worker/claim.h)
 *     caller: submit, wake        send_ticket() (pool/dispatch.c); pp_wake() (shared/park.h); pp_wake_some()
 *                                 (shared/park.c); pp_park_give() (shared/park_futex.c)
 *     caller: a death             worker_died() (pool/collect.c); pp_wake_another() (shared/park.c)
 *     caller: sleep               sleep_in_poll() (pool/wait.c); pp_bell_expect(), pp_bell_silence() (pool/bell.c)
 *     supervisor                  tell_death() (host/workers.c); pp_park_died() (shared/park.c)
 *
 * W workers, N tasks, up to MAXD deaths. The caller submits and is then elsewhere (it does not enter the library until
 * the ring is empty), or goes on at once; in the end it sleeps until the bell rings. The futex: queued[w]; a wake-up
 * takes any of the queued, also one that is dying; a worker whose number of wake-ups has changed is not queued. With
 * BARRIER each body lasts until all have begun: no worker may sleep beside a ticket.
 *
 * Property: no wake-up is lost (no invalid end state).
 *
 * Mutants:
 *     BUG_SEEN_LATE           the worker counts itself, then reads the number of wake-ups
 *     BUG_LOOK_BEFORE_BIT     the worker looks for work, then sets its bit
 *     BUG_SPENT_LATE          the caller reads for `spent` a count that workers have raised since its look
 *     BUG_LOOK_BEFORE_WAITS   the caller looks at outcomes, then says that it waits */
#ifndef W
#define W 2
#endif
#ifndef N
#define N 3
#endif
#ifndef MAXD
#define MAXD 1
#endif
byte work, done, held[W];
byte wakes, parkings, woken; bool asleep[W], queued[W];
bool doomed[W], dead[W], started[W];
byte given, spent;   /* struct pp_wakes */
bool waits, bell, rung[W];   /* waits: an epoch each; rung[w]: for this epoch (w->rung == waits) */
bool noted; byte note_w, note_hold;
byte nd, begun; bool over;

#define S(x) atomic { if :: doomed[id] -> goto died :: else -> x fi }

proctype worker(byte id) {
    byte seen; bool got;
begin:
    do
    :: /* a step: looks, takes what is there */
       atomic { if :: doomed[id] -> goto died :: else -> if :: work > 0 -> work--; begun++; held[id] = 1; got = true :: else -> got = false fi fi };
       if
       :: got ->
#ifdef BARRIER      /* the body lasts until all have begun */
end_body:   atomic { (doomed[id] || begun >= N); if :: doomed[id] -> goto died :: else -> skip fi };
#else
            S(skip);
#endif
            S(done++; held[id] = 0);                /* DONE: from here on nothing is lost with the worker */
            atomic { if :: doomed[id] -> goto died :: else -> got = (waits && !rung[id]); if :: got -> rung[id] = true :: else -> skip fi fi }; /* after the fence */
            if
            :: got -> S(bell = 1)
            :: else
            fi;
            got = false
       :: else ->
#ifdef BUG_SEEN_LATE
            S(parkings++); S(seen = wakes);
#else
            S(seen = wakes); S(parkings++);
#endif
#ifdef BUG_LOOK_BEFORE_BIT
            S(got = (work > 0)); S(asleep[id] = true);
#else
            S(asleep[id] = true); S(got = (work > 0));
#endif
            if
            :: !got ->
                atomic { if :: doomed[id] -> goto died :: else ->
                    if :: wakes == seen -> queued[id] = true :: else -> got = true fi fi };
                if
                :: !got ->
end_asleep:         atomic { (doomed[id] || !queued[id]) -> if :: doomed[id] -> goto died :: else fi };
                    S(woken++)
                :: else
                fi
            :: else
            fi;
            S(asleep[id] = false);
            atomic { got = false; seen = 0 }
       fi
    od;
died:
    atomic { dead[id] = true; got = false; seen = 0; rung[id] = false };
end_dead:
    atomic { started[id]; started[id] = false; goto begin }
}

proctype supervisor() {
    byte w;
end_s:
    do
    :: atomic { (dead[0] && !noted) -> w = 0 } -> goto reap
    :: atomic { (W > 1 && dead[1] && !noted) -> w = 1 } -> goto reap
    :: atomic { (W > 2 && dead[W - 1] && !noted) -> w = W - 1 } -> goto reap
    od;
reap:
    atomic { queued[w] = false; note_w = w; note_hold = held[w]; noted = true };
    if :: asleep[w] -> woken++ :: else fi;
    asleep[w] = false;
    held[w] = 0;
    atomic { dead[w] = false; doomed[w] = false; started[w] = true };
    atomic { bell = 1; w = 0; goto end_s }
}

/* futex wake of up to k: any of the queued */
inline futex_wake(k) {
    atomic {
        g = 0;
        do
        :: g < k && queued[0] -> queued[0] = false; g++
        :: g < k && W > 1 && queued[1] -> queued[1] = false; g++
        :: g < k && W > 2 && queued[W - 1] -> queued[W - 1] = false; g++
        :: g >= k || !(queued[0] || (W > 1 && queued[1]) || (W > 2 && queued[W - 1])) -> break
        od
    }
}

#ifdef BUG_SPENT_LATE
#define SPENT_OFF (parkings != spent)
#else
#define SPENT_OFF false
#endif

inline pp_wake(much) {
    /* fence; then the bits, words of 64: here one */
    atomic { a = (asleep[0] || (W > 1 && asleep[1]) || (W > 2 && asleep[W - 1]) -> 1 : 0) };
    if
    :: a > 0 ->
        atomic { a = 0; if :: asleep[0] -> a++ :: else fi; if :: W > 1 && asleep[1] -> a++ :: else fi; if :: W > 2 && asleep[W - 1] -> a++ :: else fi };
        if
        :: a > 0 ->
            t = woken;
            atomic { if :: t > given || given - t > W -> given = t :: else fi; u = given - t };
            if
            :: a > u ->
#ifdef BUG_SPENT_LATE
                d = spent;
#else
                d = parkings;
#endif
                if
                :: d != spent || SPENT_OFF ->
                    k = (much < a - u -> much : a - u);
                    wakes++;
                    futex_wake(k);
#ifdef BUG_SPENT_LATE
                    d = parkings;
#endif
                    atomic { given = given + g; if :: g < k -> spent = d :: else fi }
                :: else
                fi
            :: else
            fi
        :: else
        fi
    :: else
    fi;
    atomic { a = 0; t = 0; u = 0; d = 0; k = 0; g = 0 }
}

inline notice() {
    if
    :: note_hold > 0 -> atomic { work = work + note_hold; begun = begun - note_hold; note_hold = 0 }; pp_wake(1)
    :: else
    fi;
    given = woken; wakes++; futex_wake(1);
    atomic { g = 0; noted = false }
}


proctype caller() {
    byte sub, a, t, u, d, k, g; bool one;
    do
    :: sub < N ->
        work++;
        sub++;
        pp_wake(1);
        if
        :: sub < N
        :: work == 0                                /* elsewhere until the ring is empty */
        fi
    :: noted -> notice()
    :: sub == N && !noted -> /* sleep_in_poll */
#ifdef BUG_LOOK_BEFORE_WAITS
        one = (done == N); atomic { waits = true; rung[0] = false; rung[1] = false; rung[W - 1] = false };
#else
        atomic { waits = true; rung[0] = false; rung[1] = false; rung[W - 1] = false }; one = (done == N);
#endif
        if
        :: one -> break
        :: else ->
            if
            :: noted -> skip
            :: else -> (bell > 0)
            fi
        fi;
        waits = false;
        bell = 0
    od;
    atomic { waits = false; over = true; one = false }
}
proctype chance() {
end_chance:
    do
    :: atomic { nd < MAXD && !doomed[0] && !over -> nd++; doomed[0] = true }
    :: atomic { nd < MAXD && W > 1 && !doomed[1] && !over -> nd++; doomed[1] = true }
    od
}
init { byte w0; atomic { for (w0 : 0 .. W - 1) { run worker(w0) } run supervisor(); run caller(); run chance() } }
