/* A worker goes through a stretch of positions, while thieves take its end away, the supervisor kills an item that is
 * overdue, and the worker may die by chance.
 *
 *     step                     function (file)
 *     owner                    run_items() (worker/work_jobs.c), pp_may_begin() (worker/claim.h), pp_heed() (worker/claim.c)
 *     thief                    pp_stretch_take() (shared/stretch.c), with pp_barrier()
 *     death                    pp_stretch_close() (shared/stretch.c), then pp_record_snapshot()
 *     clock                    how an item that is overdue can be told from the next one
 *
 * The owner's only plain stores are those of its position; they wait in its store buffer, which the processor empties
 * at any time. A barrier empties it, and so does a swap of the owner's. The bound is one word: the number of the run,
 * the end, and whether the owner is to look up (HALTED) or must not go on (CLOSED).
 *
 * Properties: no position is run twice, and in the end each has been run once, or is the victim; the clock kills the
 * position that it saw, or nothing.
 *
 * Mutants:
 *     BUG_NO_BARRIER    neither thief nor clock lets a barrier pass through the owner
 *     BUG_LOOK_FIRST    the owner reads the bound, then stores its position
 *     BUG_EARLY_LOOK    the thief relies on the position that it read before the barrier
 *     BUG_SAME_NUMBER   an owner that goes on after a halt does so under the same number
 *     BUG_STORE_CUT     the thief stores the new end instead of swapping it
 *     BUG_NO_CLOSE      what the dead worker left is read, but its bound is not closed
 *     BUG_ONE_LOOK      the clock does not look at the position again after the barrier
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
byte runs[N];
byte body = 255;                 /* ghost: the position that the owner runs */
bool doomed, dead, settled, owner_done; byte victim = 255; byte idle_thieves;

#if defined(BUG_NO_BARRIER) || defined(FENCED)
#define BARRIER true
#else
#define BARRIER position == stored
#endif
#define S(x) atomic { if :: doomed -> goto died :: else -> x fi }

active proctype buffer() {
end_buffer:
    do :: atomic { position < stored -> position++ } od
}

active proctype owner() {
    byte p = 0, e = N; short mine = WORD(0, N, OPEN), w;
    do
    :: p < e ->
#ifdef BUG_LOOK_FIRST
        S(w = bound);
        S(stored = p);
#else
        S(stored = p);
#ifdef FENCED
        atomic { (doomed || position == stored); if :: doomed -> goto died :: else fi };
#endif
        S(w = bound);
#endif
        do
        :: w == mine -> break
        :: w != mine && STATE(w) == OPEN -> mine = w; e = END(w); break
        :: w != mine && STATE(w) == HALTED ->
            atomic {
                (doomed || position == stored);   /* the swap empties the buffer */
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
        od;
        if
        :: p >= e -> break
        :: else
        fi;
        S(body = p; runs[p]++; assert(runs[p] == 1));
        S(body = 255);
        p++
    :: else -> break
    od;
    S(stored = p; owner_done = true);
    goto out;
died:
    dead = true;
out:
    skip
}

/* Takes and runs positions. */
proctype thief() {
    short w; byte p, e, q, tries = 0;
    do
    :: tries < TRIES ->
        tries++;
        w = bound;
        if :: STATE(w) == OPEN -> atomic { if :: bound == w -> w = w + HALTED; bound = w :: else -> w = bound fi } :: else fi;
        if
        :: STATE(w) == HALTED ->
#ifdef BUG_EARLY_LOOK
            p = position;
#endif
            BARRIER;
#ifndef BUG_EARLY_LOOK
            p = position;
#endif
            e = END(w);
            if
            :: p + 1 < e ->
                q = p + 1;
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
                :: p == q && bound == w -> bound = WORD(RUN(w), END(w), CLOSED); seen = p
                :: else
                fi
            };
            if
            :: seen != 255 -> atomic { assert(body == seen || body == 255); doomed = true }
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
            (position == stored);
            atomic {
                w = bound;
#ifndef BUG_NO_CLOSE
                if :: STATE(w) != CLOSED -> bound = WORD(RUN(w), END(w), CLOSED) :: else fi;
#endif
            };
            atomic {
                p = position; e = END(w); q = 0;
                if :: seen != 255 && p == seen + 1 -> p = seen :: else fi; /* what the clock has killed counts as run */
                if :: seen != 255 -> victim = p :: else -> if :: p < N && p < e && runs[p] > 0 -> victim = p :: else fi fi;
                q = p;
                do
                :: q < e -> if :: q == victim :: else -> runs[q]++; assert(runs[q] == 1) fi; q++
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
        :: q < N -> assert(runs[q] == 1 || q == victim); q++
        :: else -> break
        od
    }
}
init { atomic { byte i = 0; do :: i < THIEVES -> run thief(); i++ :: else -> break od } }
