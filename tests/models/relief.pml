/* When thieves may sleep until they are woken: the last worker runs a chunk, the others take over what it or another of them
 * has not begun, and sleep once nobody has anything left.
 *
 *     step                     function (file)
 *     looks                    may_be_needed() (worker/relief.c), pp_stretch_look() (shared/stretch.c)
 *     takes over               pp_work_take_over() (worker/work_jobs.c), pp_stretch_take() (shared/stretch.c)
 *
 * Left out: how a stretch is divided (stretch), and that new work wakes sleepers (park). `left` and `claims` are what a
 * look tells of a worker: what it has not begun, and that its bound is NONE.
 *
 * Property: when a thief decides to sleep, nobody else has anything left, nor has taken it and not said so.
 *
 * Mutants:
 *     BUG_NO_SECOND_LOOK   a thief does not look at `thefts` again after its look at the others
 *     BUG_READ_LATE        a thief reads `thefts` the first time after its look at the others
 *     BUG_COUNT_LATE       a thief counts once it has taken over
 *     BUG_UNSAID           a thief does not say that it is about to claim */
#ifndef W
#define W 3
#endif
#ifndef N
#define N 4 /* what the last worker has left */
#endif
byte left[W], thefts;
bool claims[W];
byte taken[W];   /* ghost: what a thief has taken and its record does not say */

proctype thief(byte me) {
    byte other, seen; bool needed;
end_thief:
    do
    :: atomic { needed = false; other = 0 };
#ifndef BUG_READ_LATE
        seen = thefts;
#endif
        do
        :: atomic { other < W ->
                if
                :: other != me && (left[other] > 0 || claims[other]) -> needed = true
                :: else
                fi;
                other++
            }
        :: atomic { other == W -> break }
        od;
#ifdef BUG_READ_LATE
        seen = thefts;
#endif
        atomic {
#ifndef BUG_NO_SECOND_LOOK
            if :: thefts != seen -> needed = true :: else fi;
#endif
            if
            :: !needed ->
                other = 0;
                do
                :: other < W -> assert(other == me || left[other] + taken[other] == 0); other++
                :: else -> break
                od;
                break
            :: else
            fi
        };
        if :: other = (me + 1) % W :: other = (me + 2) % W fi;
        if
        :: left[other] > 0 ->
#ifndef BUG_UNSAID
            claims[me] = true;
#endif
#ifndef BUG_COUNT_LATE
            thefts++;
#endif
            atomic { taken[me] = (left[other] + 1) / 2; left[other] = left[other] - taken[me] };
#ifdef BUG_COUNT_LATE
            thefts++;
#endif
            /* It begins the first. The bound that it writes says both: what is left, and that it is not NONE. */
            atomic { left[me] = (taken[me] > 0 -> taken[me] - 1 : 0); taken[me] = 0; claims[me] = false };
            do
            :: atomic { left[me] > 0 -> left[me]-- }
            :: atomic { left[me] == 0 -> break }
            od
        :: else
        fi
    od
}
active proctype owner() {
    byte i;
    atomic { left[W - 1] = N; do :: i < W - 1 -> run thief(i); i++ :: else -> break od };
    do :: atomic { left[W - 1] > 0 -> left[W - 1]-- } :: atomic { left[W - 1] == 0 -> break } od
}
