#include "pool/call.h"

#include "pool/backend.h"
#include "pool/callback.h"
#include "pool/future_alloc.h"

void pp_drive(struct pool *pool) {
    pool->backend->drive(pool);
}

void pp_unlock_and_call(struct pool *pool) {
    pool->references++; /* a callback may end the pool */
    do {
        pp_callbacks_run(pool);
        if (pool->event_fd >= 0) pp_rearm(pool); /* which may find that more has become done */
    } while (!pp_list_is_empty(&pool->callbacks));
    bool last = --pool->references == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last) pp_pool_free(pool);
}
