/* Several threads of the program wait: one sleeps in poll() for all, the others on a condition.
 *
 *     step                        function (file)
 *     thread                      pp_wait(), sleep_in_poll(), sleep_on_condition(), wish_for() (pool/wait.c);
 *                                 pp_bell_expect(), pp_bell_silence() (pool/bell.c)
 *     worker                      pp_announce(), pp_would_ring() (worker/claim.h)
 *
 * Thread i waits for task i. With ORDER task 1 ends only once thread 0 is out; with THIRD another thread takes in
 * outcomes now and then.
 *
 * Property: each thread learns of its task (no invalid end state).
 *
 * Mutants:
 *     BUG_NO_EXPECT      a thread that waits on the condition does not widen the wish, which is for one outcome
 *     BUG_NO_BROADCAST   the thread that polls does not tell the others when it comes back */
#define NT 2
#define ANY 9
bool state[NT], fin[NT]; byte waits, epoch; bool bell, polls, lock; byte others; bool gone0, sig[NT], incond[NT];
#define LOCK atomic { !lock -> lock = true }
#define UNLOCK lock = false
#define COLLECT(k) if :: state[k] -> fin[k] = true :: else -> skip fi
inline collect() { COLLECT(0); COLLECT(1) }
inline expect(wish) { atomic { epoch++; waits = wish } }
proctype thread(byte me) {
    LOCK;
again:
    if :: state[me] -> fin[me] = true :: else -> collect() fi;   /* pp_collect_for */
    if :: fin[me] -> goto out :: else -> skip fi;
    if
    :: polls ->
        others++;
#ifndef BUG_NO_EXPECT
        expect(ANY);
#endif
        collect();
        if
        :: !fin[me] -> atomic { incond[me] = true; sig[me] = false; UNLOCK };
            (sig[me]); LOCK; incond[me] = false
        :: else -> skip
        fi;
        others--
    :: else ->
        polls = true;
        if :: others == 0 -> expect(me + 1) :: else -> expect(ANY) fi;
        collect();
        if
        :: !fin[me] -> UNLOCK; (bell); LOCK
        :: else -> skip
        fi;
        waits = 0;
        bell = false;
        polls = false;
#ifndef BUG_NO_BROADCAST
        if :: others > 0 -> atomic { sig[0] = sig[0] || incond[0]; sig[1] = sig[1] || incond[1] } :: else -> skip fi
#else
        skip
#endif
    fi;
    goto again;
out: atomic { UNLOCK; if :: me == 0 -> gone0 = true :: else -> skip fi }
}
proctype worker(byte t) {
    byte w;
#ifdef ORDER   /* task 1 ends only once thread 0 is out, which must not wait for it */
    if :: t == 1 -> gone0 :: else -> skip fi;
#endif
    state[t] = true;
    w = waits;                      /* after the fence */
    if
    :: w == ANY || w == t + 1 -> bell = true
    :: else -> skip
    fi
}
#ifdef THIRD
proctype third() { byte n; do :: n < 2 -> LOCK; collect(); UNLOCK; n++ :: n >= 2 -> break od }
#endif
init { atomic { run thread(0); run thread(1); run worker(0); run worker(1);
#ifdef THIRD
    run third();
#endif
    skip } }
