/* Ending all that waits and all that runs, at once: for pool_shutdown() and for pool_interrupt(). */
#ifndef PP_INTERRUPT_H
#define PP_INTERRUPT_H

#include "pool/pool.h"

/* Cancels what has not started. */
void pp_cancel_pending(struct pool *pool);
/* Kills what runs, the initializers and finalizers of workers aside. */
void pp_kill_running(struct pool *pool);

void pp_interrupt_now(struct pool *pool);

/* Does what a pool_interrupt() since the last call has asked for. */
static inline void pp_obey_interrupt(struct pool *pool) {
    /* Relaxed: nothing is read that was written before it. */
    if (atomic_load_explicit(&pool->interrupted, memory_order_relaxed)) pp_interrupt_now(pool);
}

#endif
