/* Interest in outcomes: whether a thread that sleeps is woken for outcomes that it does not wait for.
 *
 * A thread that sleeps for one future is woken for the outcome of that one alone. Where something must follow at once
 * from an outcome that no thread may wait for, an interest is registered until that outcome was taken in:
 *
 *     a held task               starts when its last dependency is done
 *     a future with callbacks   has them run when it is done
 *
 * Invariant: pool->interests counts them. While there is any, a thread that sleeps is woken for every outcome. */
#ifndef PP_INTEREST_H
#define PP_INTEREST_H

#include "pool/pool.h"

static inline void pp_interest_begin(struct pool *pool) {
    pool->interests++;
    /* The thread that sleeps may have asked to be woken for one outcome only. */
    if (pool->waiting.somebody_polls) pool->due |= PP_DUE_LOOK;
}

static inline void pp_interest_end(struct pool *pool) {
    pool->interests--;
}

#endif
