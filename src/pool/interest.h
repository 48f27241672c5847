/* Interest in outcomes: which of them are taken in before a call asks for them.
 *
 * A call that waits for one future takes in the outcome of that one, and of those near it; a thread that sleeps for one
 * is woken for that one alone. Others stay where they are until they are asked for. Where something depends on an
 * outcome that no call may ask for, it registers an interest, and ends it when the outcome was taken in:
 *
 *     interest          a future that was given up, a job, a task with a time-out: the next call takes in everything,
 *                       so that what the future holds is freed, the job goes on, and the supervisor's clock stops
 *     urgent interest   a held task, a future with callbacks: besides, a thread that sleeps is woken for every outcome,
 *                       so that the task starts, and the callbacks run, when the outcome is there
 *
 * Invariant: pool->interest.all counts interests of both kinds, pool->interest.urgent those of the second. */
#ifndef PP_INTEREST_H
#define PP_INTEREST_H

#include "pool/pool.h"

static inline void pp_interest_begin(struct pool *pool) {
    pool->interest.all++;
}

static inline void pp_interest_end(struct pool *pool) {
    pool->interest.all--;
}

static inline void pp_interest_begin_urgent(struct pool *pool) {
    pool->interest.all++;
    pool->interest.urgent++;
    /* The thread that sleeps may have asked to be woken for one outcome only. */
    if (pool->waiting.somebody_polls) pool->due |= PP_DUE_LOOK;
}

static inline void pp_interest_end_urgent(struct pool *pool) {
    pool->interest.all--;
    pool->interest.urgent--;
}

#endif
