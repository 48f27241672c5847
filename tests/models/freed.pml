/* Futures as memory: the stack of those that were given back without the lock, and the pool's end.
 *
 *     step                        function (file)
 *     user                        pp_future_new(), pp_future_reuse() (pool/future_alloc.h); future_done() without the
 *                                 lock, future_free() (pool/future.c); pp_future_give_back() (pool/future_alloc.c)
 *     collector                   pp_future_finish() (pool/finish.c), by any thread in a call, with the lock; pp_detach():
 *                                 that the future is detached is the last touch
 *     closer                      pp_futures_close() (pool/future_alloc.c)
 *
 * Two users with ROUNDS futures each. With WATCHED a future may stay ended and not detached.
 *
 * Properties: a future that is given anew belongs to no thread, and no thread that finishes it still touches it; none
 * is lost (in the end all are on the free list); after the pool's end none is given back without the lock.
 *
 * Mutants:
 *     BUG_TOUCH       the future is detached while the collector, without the lock, still touches it
 *     BUG_NOT_CLOSED  the pool's end takes the stack and leaves it open */
#define NF 3
#define NIL 0
#define CLOSED 9
#ifndef ROUNDS
#define ROUNDS 2
#endif
mtype = { NEW, OPEN, ENDED, DETACHED };
byte freed, reusable, freelist = 1; byte next[NF + 1]; mtype st[NF + 1] = NEW;
bool owned[NF + 1], touched[NF + 1]; bool lock, closed; byte users = 2;
#define LOCK atomic { !lock -> lock = true }
#define UNLOCK lock = false
inline new(f) {
    f = 0;
    if
    :: reusable == NIL && freelist == NIL -> atomic { if :: freed != CLOSED -> reusable = freed; freed = NIL :: else -> skip fi }
    :: else -> skip
    fi;
    if
    :: reusable != NIL -> f = reusable; reusable = next[f]
    :: reusable == NIL && freelist != NIL -> f = freelist; freelist = next[f]
    :: else -> skip
    fi;
    if :: f != NIL -> assert(!owned[f] && !touched[f]); owned[f] = true; st[f] = OPEN :: else -> skip fi
}
proctype user() {
    byte f, top, n; bool ok;
    do
    :: n < ROUNDS && !closed ->
        LOCK; if :: !closed -> new(f) :: else -> f = 0 fi; UNLOCK;
        n++;
        if
        :: f != NIL ->
            (st[f] == ENDED || st[f] == DETACHED);
            if
            :: st[f] == DETACHED ->
                /* give back */
                top = freed;
                ok = false;
                do
                :: ok -> break
                :: !ok && top == CLOSED -> break
                :: !ok && top != CLOSED ->
                    next[f] = top;
                    atomic { if :: freed == top -> owned[f] = false; st[f] = NEW; freed = f; ok = true :: else -> top = freed fi }
                od;
                if :: !ok -> LOCK; owned[f] = false; st[f] = NEW; next[f] = freelist; freelist = f; UNLOCK :: else -> skip fi
            :: else -> LOCK; owned[f] = false; st[f] = NEW; assert(!touched[f]); next[f] = freelist; freelist = f; UNLOCK
            fi
        :: else -> skip
        fi;
        atomic { f = 0; top = 0; ok = false }
    :: else -> break
    od;
    users--
}
proctype collector() {
    byte f;
end_c:
    do
    :: atomic { !lock && (st[1] == OPEN || st[2] == OPEN || st[3] == OPEN) -> lock = true;
                if :: st[1] == OPEN -> f = 1 :: st[2] == OPEN -> f = 2 :: st[3] == OPEN -> f = 3 fi };
       touched[f] = true;
       st[f] = ENDED;                       /* pp_future_finish */
       skip;                                /* watches, ties, pins, result */
       if
#ifdef BUG_TOUCH
       :: st[f] = DETACHED; UNLOCK; touched[f] = false; goto end_c
#else
       :: atomic { touched[f] = false; st[f] = DETACHED }
#endif
#ifdef WATCHED
       :: touched[f] = false
#endif
       fi;
       UNLOCK
    od
}
proctype closer() {
    byte f, g;
    if :: true -> skip :: (users == 0) fi;
    LOCK;
    closed = true;
    do :: reusable != NIL -> f = reusable; reusable = next[f]; next[f] = freelist; freelist = f :: else -> break od;
    #ifdef BUG_NOT_CLOSED
    atomic { f = freed; freed = NIL };
#else
    atomic { f = freed; freed = CLOSED };
#endif
    do :: f != NIL -> g = next[f]; assert(!owned[f]); next[f] = freelist; freelist = f; f = g :: else -> break od;
    UNLOCK;
    (users == 0);
    f = freelist; g = 0;
    do :: f != NIL -> g++; f = next[f]; assert(g <= NF) :: else -> break od;
    assert(g == NF && freed == CLOSED)
}
init { atomic { next[1] = 2; next[2] = 3; next[3] = 0; run user(); run user(); run collector(); run closer() } }
