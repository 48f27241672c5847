/* The end of a pool that a call has made for itself: pool_map() and pool_reduce() without a pool. */
#ifndef PP_LIFETIME_H
#define PP_LIFETIME_H

#include "parpool.h"

/* For a guard: an exception passes through the call. */
static inline void pp_destroy(void *pool) {
    pool_destroy(pool);
}

#endif
