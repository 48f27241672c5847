#include "base/sys.h"
#include "base/undo.h"
#include "pool/bell.h"
#include "pool/future_alloc.h"
#include "pool/interest.h"
#include "pool/lock.h"
#include "pool/pool.h"
#include "pool/relations.h"

/* The callback waits to be run. */
static void append(struct pool *pool, struct pp_callback *callback) {
    pp_pin(callback->future);
    pp_list_add_back(&pool->callbacks, &callback->link);
    pool->due |= PP_DUE_CALLBACKS;
}

void pp_callbacks_take(struct pool *pool, struct future *future) {
    struct pp_list *callbacks = &future->relations->callbacks;
    if (pp_list_is_empty(callbacks)) return;
    pp_interest_end(pool);
    PP_LIST_EACH(callback, callbacks, struct pp_callback, link) {
        pp_list_remove(callbacks, &callback->link);
        callback->is_last = pp_list_is_empty(callbacks);
        append(pool, callback);
    }
}

/* A callback has returned. After the last of its future, pool_poll() may count the future. */
static void tell_called(struct pool *pool, const struct pp_callback *callback) {
    if (!callback->is_last) return;
    pool->events.uncalled--;
    pool->events.wakes++;
    pp_wake_waiting(pool);
}

/* A callback has thrown an exception. Those that are left are for the next call, or for a thread that waits. */
static void end_thrown(void *of) {
    const struct pp_callback *callback = of;
    struct pool *pool = callback->future->pool;
    pp_leave_program(pool);
    pool->calling = false;
    tell_called(pool, callback);
    pp_wake_waiting(pool);
    pp_unpin(callback->future);
}

static void run(struct pool *pool, struct pp_callback *callback) {
    if (callback->future->given_up) return;
    PP_GUARD(guard, end_thrown, callback);
    pp_enter_program(pool);
    callback->run(callback->future, callback->arg);
    pp_leave_program(pool);
    pp_release_guard(&guard);
}

void pp_callbacks_run(struct pool *pool) {
    struct pp_callback *first;
    pool->calling = true;
    while ((first = PP_LIST_FIRST(&pool->callbacks, struct pp_callback, link)) != NULL) {
        struct pp_callback callback = *first;
        pp_list_remove(&pool->callbacks, &first->link);
        pp_release(first);
        run(pool, &callback);
        tell_called(pool, &callback);
        pp_unpin(callback.future);
    }
    pool->due &= ~(unsigned)PP_DUE_CALLBACKS;
    pool->calling = false;
}

bool pp_callback_add(struct pool *pool, struct future *future, struct pp_callback *callback) {
    if (pp_future_is_done(future)) {
        append(pool, callback);
        return true;
    }
    struct pp_relations *relations = pp_relations_of(future);
    if (!relations) return false;
    if (pp_list_is_empty(&relations->callbacks)) pp_interest_begin(pool);
    pp_list_add_back(&relations->callbacks, &callback->link);
    return true;
}
