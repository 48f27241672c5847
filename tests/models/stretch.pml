/* A worker goes through a stretch of positions, while thieves take its end away, the supervisor kills an item that is
 * overdue, and the worker may die by chance.
 *
 *     step                     function (file)
 *     owner                    run_calls(), and run_items() with one position a call (worker/work_jobs.c), pp_may_begin()
 *                              (worker/claim.h), pp_heed() (worker/claim.c), the last look in run_in_visit()
 *     thief                    pp_stretch_take() (shared/stretch.c), with pp_barrier()
 *     death                    pp_stretch_close() (shared/stretch.c), then pp_record_snapshot()
 *     clock                    how an item that is overdue can be told from the next one
 *
 * The owner's only plain stores are those of its position and of the end of its call (`until`); they wait in its store
 * buffer, which the processor empties at any time. A barrier empties it, and so does a swap of the owner's. The bound is one word: the number of the run,
 * the end, and whether the owner is to look up (HALTED) or must not go on (CLOSED).
 *
 * Properties: no position is run twice, and in the end each has been run once, or is one of those of the call that is
 * the victim; the clock kills the call that it saw, or nothing.
 *
 * Mutants:
 *     BUG_NO_BARRIER    neither thief nor clock lets a barrier pass through the owner
 *     BUG_LOOK_FIRST    the owner reads the bound, then stores its position
 *     BUG_EARLY_LOOK    the thief relies on the position that it read before the barrier
 *     BUG_SAME_NUMBER   an owner that goes on after a halt does so under the same number
 *     BUG_STORE_CUT     the thief stores the new end instead of swapping it
 *     BUG_NO_CLOSE      what the dead worker left is read, but its bound is not closed
 *     BUG_ONE_LOOK      the clock does not look at the position again after the barrier
 *     BUG_NO_UNTIL      a thief takes a call to have one position
 *     BUG_UNTIL_LATE    the owner stores the end of its call after the look at the bound
 *     BUG_NO_LAST_LOOK  the owner does not look at the bound once it has finished the last position
 * FENCED: the owner has a fence between its store and its look, and there are no barriers. */
#ifndef N
#define N 4
#endif
#ifndef THIEVES
#define THIEVES 2
#endif
#ifndef TRIES
#define TRIES 1
#endif
#define OPEN 0
#define HALTED 1
#define CLOSED 2
#define WORD(run, end, state) ((run) * 64 + (end) * 4 + (state))
#define RUN(w) ((w) / 64)
#define END(w) (((w) / 4) % 16)
#define STATE(w) ((w) % 4)

short bound = WORD(0, N, OPEN);
byte position, stored;           /* the owner's position in memory, and as the owner has stored it */
byte until, stored_until;        /* likewise the end of its call */
byte runs[N];
byte body = 255;                 /* ghost: the first position of the call that the owner runs */
bool doomed, dead, settled, owner_done; byte victim = 255, victim_end; byte idle_thieves;

#define EMPTY (position == stored && until == stored_until)
#if defined(BUG_NO_BARRIER) || defined(FENCED)
#define BARRIER true
#else
#define BARRIER EMPTY
#endif
#define S(x) atomic { if :: doomed -> goto died :: else -> x fi }

active proctype buffer() {
end_buffer:
    do
    :: atomic { position < stored -> position++ }
    :: atomic { until < stored_until -> until++ }
    :: atomic { until > stored_until -> until = stored_until } /* the call became shorter */
    od
}

/* The bound as the owner finds it is `w`: what the owner makes of it. */
inline heed() {
    do
    :: w == mine -> break
    :: w != mine && STATE(w) == OPEN -> mine = w; e = END(w); break
    :: w != mine && STATE(w) == HALTED ->
        atomic {
            (doomed || EMPTY);   /* the swap empties the buffer */
            if
            :: doomed -> goto died
            :: !doomed && bound == w ->
#ifdef BUG_SAME_NUMBER
                bound = WORD(RUN(w), END(w), OPEN);
#else
                bound = WORD(RUN(w) + 1, END(w), OPEN);
#endif
                w = bound
            :: else -> w = bound
            fi
        }
    :: w != mine && STATE(w) == CLOSED -> (doomed); goto died
    od
}

active proctype owner() {
    byte p = 0, e = N, q; short mine = WORD(0, N, OPEN), w;
    do
    :: p < e ->
        if :: q = p + 1 :: p + 1 < e -> q = p + 2 fi;
#ifdef BUG_LOOK_FIRST
        S(w = bound);
        S(stored = p);
        S(stored_until = q);
#else
        S(stored = p);
#ifndef BUG_UNTIL_LATE
        S(stored_until = q);
#endif
#ifdef FENCED
        atomic { (doomed || EMPTY); if :: doomed -> goto died :: else fi };
#endif
        S(w = bound);
#endif
        heed();
#ifdef BUG_UNTIL_LATE
        S(stored_until = q);
#endif
        if
        :: q > e -> skip /* a shorter call, or none */
        :: else ->
            S(body = p; do :: p < q -> runs[p]++; assert(runs[p] == 1); p++ :: else -> break od);
            S(body = 255)
        fi
    :: else -> break
    od;
    S(stored = p);
#ifndef BUG_NO_LAST_LOOK
#ifdef FENCED
    atomic { (doomed || EMPTY); if :: doomed -> goto died :: else fi };
#endif
    S(w = bound);
    heed();
#endif
    S(owner_done = true);
    goto out;
died:
    dead = true;
out:
    skip
}

#ifdef BUG_NO_UNTIL
#define LOOK b = position + 1
#else
#define LOOK b = position + 1; if :: until > b -> b = until :: else fi
#endif
/* Takes and runs positions. */
proctype thief() {
    short w; byte b, e, q, tries = 0;
    do
    :: tries < TRIES ->
        tries++;
        w = bound;
        if :: STATE(w) == OPEN -> atomic { if :: bound == w -> w = w + HALTED; bound = w :: else -> w = bound fi } :: else fi;
        if
        :: STATE(w) == HALTED ->
#ifdef BUG_EARLY_LOOK
            LOOK;
#endif
            BARRIER;
#ifndef BUG_EARLY_LOOK
            LOOK;
#endif
            e = END(w);
            if
            :: b < e ->
                q = b;
                do :: q + 1 < e -> q++ :: break od;
                atomic {
                    if
#ifdef BUG_STORE_CUT
                    :: true ->
#else
                    :: bound == w ->
#endif
                        bound = WORD(RUN(w), q, OPEN);
                        do :: q < e -> runs[q]++; assert(runs[q] == 1); q++ :: else -> break od
                    :: else
                    fi
                }
            :: else
            fi
        :: else
        fi
    :: break
    od;
    idle_thieves++
}

/* A death by chance, or the clock; then what the owner left is settled. */
active proctype supervisor() {
    byte p, q, e; short w; byte seen = 255;
    if
    :: doomed = true /* it dies by chance */
    :: true ->
        atomic { p = position; w = bound };
        if :: STATE(w) == OPEN -> atomic { if :: bound == w -> w = w + HALTED; bound = w :: else -> w = bound fi } :: else fi;
        if
        :: STATE(w) == HALTED ->
            BARRIER;
#ifdef BUG_ONE_LOOK
            q = p;
#else
            q = position;
#endif
            atomic {
                if
                :: p == q && p < END(w) && bound == w -> bound = WORD(RUN(w), END(w), CLOSED); seen = p
                :: else
                fi
            };
            if
            :: seen != 255 -> atomic { assert((body == seen || body == 255) && !owner_done); doomed = true }
            :: else
            fi
        :: else
        fi
    fi;
    if
    :: doomed ->
        (dead || owner_done);
        if
        :: dead ->
            EMPTY;
            atomic {
                w = bound;
#ifndef BUG_NO_CLOSE
                if :: STATE(w) != CLOSED -> bound = WORD(RUN(w), END(w), CLOSED) :: else fi;
#endif
            };
            atomic {
                p = position; e = END(w); victim_end = until;
                if :: seen != 255 && p > seen -> victim_end = p; p = seen :: else fi; /* the clock has killed it */
                if :: victim_end > e -> victim_end = e :: else fi;
                victim = p; q = p;
                if :: victim_end > p -> q = victim_end :: else fi;
                do
                :: q < e -> runs[q]++; assert(runs[q] == 1); q++
                :: else -> break
                od
            }
        :: else
        fi
    :: else
    fi;
    settled = true;
    (idle_thieves == THIEVES && (owner_done || dead));
    atomic {
        q = 0;
        do
        :: q < N -> assert(runs[q] == 1 || (q >= victim && q < victim_end)); q++
        :: else -> break
        od
    }
}
init { atomic { byte i = 0; do :: i < THIEVES -> run thief(); i++ :: else -> break od } }
