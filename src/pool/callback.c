#include "base/sys.h"
#include "pool/call.h"
#include "pool/collect.h"
#include "pool/future_alloc.h"
#include "pool/relations.h"
#include "pool/pool.h"
#include "pool/wait.h"

/* The callback waits to be run. */
static void append(struct pool *pool, struct pp_callback *callback) {
    pp_pin(callback->future);
    pp_list_add_back(&pool->callbacks, &callback->link);
}

void pp_callbacks_take(struct pool *pool, struct future *future) {
    struct pp_list *callbacks = &future->relations->callbacks;
    if (pp_list_is_empty(callbacks)) return;
    pool->watched--;
    PP_LIST_EACH(callback, callbacks, struct pp_callback, link) {
        pp_list_remove(callbacks, &callback->link);
        append(pool, callback);
    }
}

void pp_callbacks_run(struct pool *pool) {
    struct pp_callback *first;
    pool->calling = true;
    while ((first = PP_LIST_FIRST(&pool->callbacks, struct pp_callback, link)) != NULL) {
        struct pp_callback callback = *first;
        pp_list_remove(&pool->callbacks, &first->link);
        pp_release(first);
        if (!callback.future->given_up) {
            pthread_mutex_unlock(&pool->lock);
            callback.run(callback.future, callback.arg);
            pthread_mutex_lock(&pool->lock);
        }
        pp_unpin(callback.future);
    }
    pool->calling = false;
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
    struct pp_relations *relations = NULL;
    if (atomic_load_explicit(&future->done, memory_order_relaxed)) {
        append(pool, entry);
    } else if ((relations = pp_relations_of(future)) != NULL) {
        if (pp_list_is_empty(&relations->callbacks)) pool->watched++;
        pp_list_add_back(&relations->callbacks, &entry->link);
        pp_attend_all(pool);
    } else {
        error = POOL_ENOMEM;
        pp_release(entry);
    }
    pp_unlock(pool);
    return error;
}
