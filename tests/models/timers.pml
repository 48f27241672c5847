/* The supervisor's clock runs only while tasks with a time-out are under way.
 *
 *     step                        function (file)
 *     caller                      pp_timer_begin(), pp_timer_end() (shared/timer.c); pp_tell(), pp_tell_again()
 *                                 (pool/tell.c)
 *     supervisor                  obey() for PP_TIMER (host/supervisor.c), pp_timer_check() (shared/timer.c)
 *
 * The caller begins N tasks with a time-out of 1 or 2, and each ends at once or runs until the clock finds it. LOST of
 * its commands do not reach the supervisor.
 *
 * Property: while such a task is under way the clock runs, with a shortest time-out of no more than the task's (no
 * invalid end state).
 *
 * Mutants:
 *     BUG_NO_RELOOK    the supervisor does not look at the count again after it has said that the clock stands
 *     BUG_LOOK_FIRST   the caller looks whether the clock runs, then counts its task
 *     BUG_NOT_AGAIN    the caller does not tell again what has not reached the supervisor (with LOST) */
#ifndef N
#define N 3
#endif
#ifndef LOST
#define LOST 1
#endif
byte timed, on, cshort, sshort, want, lost;
chan cmd = [4] of { byte };
inline tell(value) {
    if
    :: cmd ! value
    :: atomic { lost < LOST -> lost++; untold = true }
    fi
}
proctype caller() {
    byte i, v; bool runs, untold;
    do
    :: i < N ->
        if :: v = 1 :: v = 2 fi;
#ifdef BUG_LOOK_FIRST
        runs = (on != 0); timed++;
#else
        timed++; runs = (on != 0);
#endif
        if
        :: runs && v >= cshort -> skip
        :: else -> cshort = v; on = 1; tell(v)
        fi;
        if
        :: true -> want = v;                 /* it runs on, until the clock has seen it */
            do
            :: want == 0 -> break
#ifndef BUG_NOT_AGAIN
            :: untold -> untold = false; tell(cshort)
#endif
            od
        :: true -> skip                      /* it ends before */
        fi;
        timed--;
        i++
    :: i >= N -> break
    od
}
proctype supervisor() {
    byte v;
end_s:
    do
    :: atomic { cmd ? v -> if :: sshort == 0 || v < sshort -> sshort = v :: else -> skip fi; v = 0 }
    :: sshort != 0 && want != 0 && sshort <= want && timed > 0 -> want = 0       /* it comes in time */
    :: sshort != 0 && timed == 0 ->
        on = 0;
#ifdef BUG_NO_RELOOK
        sshort = 0
#else
        if :: timed == 0 -> sshort = 0 :: else -> on = 1 fi
#endif
    od
}
init { atomic { run caller(); run supervisor() } }
