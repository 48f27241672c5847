#include "pool/interrupt.h"

#include <errno.h>

#include "base/sys.h"
#include "pool/bell.h"
#include "pool/call.h"
#include "pool/cancel.h"
#include "pool/job.h"

void pp_cancel_pending(struct pool *pool) {
    struct future *f;
    /* The youngest first, so that each is cancelled itself, and does not fail because of a dependency. */
    while ((f = PP_LIST_FIRST(&pool->held, struct future, link)) != NULL) pp_task_cancel(pool, f);
    for (uint32_t slot = 0; slot < pool->slots.fresh; slot++)
        if ((f = pool->slots.table[slot].future) && !f->is_job) pp_task_cancel(pool, f);
    while ((f = pp_queue_first(&pool->queue)) != NULL) pp_task_cancel(pool, f);
    while ((f = pp_queue_first(&pool->short_of_room)) != NULL) pp_task_cancel(pool, f);
    pp_jobs_stop(pool, false);
}

void pp_kill_running(struct pool *pool) {
    struct future *f;
    for (uint32_t slot = 0; slot < pool->slots.fresh; slot++)
        if ((f = pool->slots.table[slot].future) && !f->is_job) pp_task_kill(pool, f);
    pp_jobs_kill(pool);
}

void pp_interrupt_now(struct pool *pool) {
    atomic_store_explicit(&pool->interrupted, false, memory_order_relaxed);
    pp_cancel_pending(pool);
    pp_kill_running(pool);
    pp_wake_waiting(pool);
}

/* In a signal handler: no lock, and nothing that is not atomic is written. A thread that sleeps is woken by the bell;
 * one that is about to sleep finds the bell rung. */
int pool_interrupt(struct pool *pool) {
    if (!pool) return POOL_EINVAL;
    if (pp_is_other_process(pool)) return POOL_EFOREIGN; /* the signal may have come in a task of an inline pool */
    int saved = errno;
    atomic_store_explicit(&pool->interrupted, true, memory_order_relaxed);
    pp_bell_ring_own(pool);
    errno = saved;
    return 0;
}
