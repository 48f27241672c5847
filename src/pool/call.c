#include "pool/call.h"

#include "pool/bell.h"
#include "pool/callback.h"
#include "pool/events.h"
#include "pool/graph.h"
#include "pool/hosted.h"

/* A thread sleeps for one outcome: from now on it is woken for each, and what was announced before is taken in. */
static void look_for_all(struct pool *pool) {
    pool->due &= ~(unsigned)PP_DUE_LOOK;
    if (!pool->waiting.somebody_polls) return;
    pp_bell_expect(pool, PP_WAITS_ANY);
    pp_collect(pool);
}

void pp_settle(struct pool *pool) {
    while (pool->due & PP_DUE_NOW) {
        if (pool->due & PP_DUE_LOOK) look_for_all(pool);
        pp_graph_settle(pool);
    }
}

void pp_advance(struct pool *pool) {
    pp_collect(pool);
    if (pool->due & PP_DUE_NOW) pp_settle(pool);
}

/* Keeps the promise of pool_fd(): it is readable whenever pool_poll() would do something. */
static void keep_bell_armed(struct pool *pool) {
    if (!(pool->due & PP_DUE_BELL) || pool->ended || pool->broken) return;
    if (pool->finished == pool->events.reported &&
        atomic_load_explicit(&pool->shared.control->waits, memory_order_relaxed) == 0) {
        pp_bell_expect(pool, PP_WAITS_ANY);
        pp_advance(pool);
    }
    if (pp_events_wait(pool)) pp_bell_ring(pool);
}

static void unlock_and_let_go(void *of) {
    struct pool *pool = of;
    bool last = --pool->references == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last) pp_pool_free(pool);
}

void pp_unlock_due(struct pool *pool) {
    pool->references++; /* a callback may end the pool */
    PP_GUARD(guard, unlock_and_let_go, pool);
    pp_settle(pool);
    pp_drive(pool);
    if (pool->due & PP_DUE_HOSTS) pp_hosted_tell(pool);
    keep_bell_armed(pool);
    while (pp_callbacks_wait(pool)) {
        pp_callbacks_run(pool);
        keep_bell_armed(pool); /* which may find that more has become done */
    }
    pp_release_guard(&guard);
    unlock_and_let_go(pool);
}
