#include "base/sys.h"
#include "pool/call.h"
#include "pool/collect.h"
#include "pool/future_alloc.h"
#include "pool/graph.h"
#include "pool/pool.h"
#include "pool/wait.h"

static void append(struct pool *pool, struct pp_callback *callback) {
    pp_pin(callback->future);
    callback->next = NULL;
    *pool->callbacks_end = callback;
    pool->callbacks_end = &callback->next;
}

void pp_callbacks_take(struct pool *pool, struct future *future) {
    struct pp_ties *ties = future->ties;
    if (!ties->callbacks) return;
    pool->watched--;
    struct pp_callback *callback = ties->callbacks, *next;
    for (; callback; callback = next) {
        next = callback->next;
        append(pool, callback);
    }
    ties->callbacks = NULL;
}

void pp_callbacks_run(struct pool *pool) {
    pool->calling = true;
    while (pool->callbacks) {
        struct pp_callback callback = *pool->callbacks;
        pp_release(pool->callbacks);
        pool->callbacks = callback.next;
        if (!pool->callbacks) pool->callbacks_end = &pool->callbacks;
        if (!callback.future->given_up) {
            pthread_mutex_unlock(&pool->lock);
            callback.run(callback.future, callback.arg);
            pthread_mutex_lock(&pool->lock);
        }
        pp_unpin(callback.future);
    }
    pool->calling = false;
}

static void add(struct pp_ties *ties, struct pp_callback *callback) {
    *ties->callbacks_end = callback;
    ties->callbacks_end = &callback->next;
}

int future_on_done(struct future *future, void (*callback)(struct future *future, void *arg), void *arg) {
    if (!future || !callback) return POOL_EINVAL;
    struct pool *pool = future->pool;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    struct pp_callback *entry = pp_zalloc(1, sizeof *entry);
    if (!entry) return POOL_ENOMEM;
    *entry = (struct pp_callback){.future = future, .run = callback, .arg = arg};
    int error = 0;
    pp_lock(pool);
    pp_collect(pool);
    struct pp_ties *ties = NULL;
    if (atomic_load_explicit(&future->done, memory_order_relaxed)) {
        append(pool, entry);
    } else if ((ties = pp_ties_of(future)) != NULL) {
        if (!ties->callbacks) pool->watched++;
        add(ties, entry);
        pp_attend_all(pool);
    } else {
        error = POOL_ENOMEM;
        pp_release(entry);
    }
    pp_unlock(pool);
    return error;
}
