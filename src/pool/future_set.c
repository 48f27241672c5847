/* future_wait_many() and future_as_completed(): sets of the program's futures.
 *
 * Each future of the set has an observer, so a completion moves one item from pending to ready, whatever the size of
 * the set. */
#include <string.h>

#include "base/sys.h"
#include "pool/call.h"
#include "pool/observer.h"
#include "pool/stream.h"
#include "pool/wait.h"

/* Whether all futures are of one pool, and that is one of this process: 0, POOL_EINVAL or POOL_EFOREIGN. */
static int check_set(struct future *const *futures, size_t count) {
    if (!futures && count > 0) return POOL_EINVAL;
    if (count > 0 && pp_all_are_foreign()) return POOL_EFOREIGN;
    for (size_t i = 0; i < count; i++)
        if (!futures[i] || futures[i]->pool != futures[0]->pool) return POOL_EINVAL;
    return count > 0 && pp_is_foreign(futures[0]->pool) ? POOL_EFOREIGN : 0;
}

/* s->futures has room for them. The lock is held throughout, so no observer of another set comes between ours and
 * pp_item_exists(). */
static void observe_all(struct stream *s, struct future *const *futures, size_t count) {
    pp_advance(s->pool);
    for (size_t i = 0; i < count; i++)
        if (!pp_item_exists(s, futures[i])) pp_item_observe(s, &s->futures[i], futures[i]);
}

static bool is_complete(const struct stream *s, int until) {
    if (!pp_item_first(&s->pending)) return true;
    return (until == POOL_FIRST_COMPLETED && pp_item_first(&s->ready)) || (until == POOL_FIRST_FAILED && s->failed > 0);
}

static int wait_until(struct stream *s, int until, uint64_t deadline) {
    for (bool is_late = false; !is_complete(s, until);) {
        if (is_late) return POOL_ETIMEDOUT;
        /* Waiting for all, the caller sleeps for one that is likely to be the last, and is not woken for each. */
        const struct pp_item *last = PP_LIST_LAST(&s->pending, struct pp_item, link);
        is_late = pp_stream_wait(s, until == POOL_ALL_COMPLETED ? last->future : NULL, deadline);
    }
    return 0;
}

static void end_set(void *of) {
    struct stream *s = of;
    struct pool *pool = s->pool;
    pp_items_forget(s);
    pp_unlock(pool);
}

int future_wait_many(struct future *const *futures, size_t count, int until, int timeout) {
    if (timeout < -1 || until < POOL_ALL_COMPLETED || until > POOL_FIRST_FAILED) return POOL_EINVAL;
    int error = check_set(futures, count);
    if (error || count == 0) return error;
    uint64_t deadline = pp_deadline(timeout);
    struct stream s;
    memset(&s, 0, sizeof s);
    s.kind = PP_FUTURES;
    s.pool = futures[0]->pool;
    s.futures = pp_zalloc(count, sizeof *s.futures);
    if (!s.futures) return POOL_ENOMEM;
    pp_lock(s.pool);
    PP_GUARD(guard, end_set, &s);
    observe_all(&s, futures, count);
    error = wait_until(&s, until, deadline);
    pp_release_guard(&guard);
    end_set(&s);
    return error;
}

int future_as_completed(struct future *const *futures, size_t count, struct stream **stream) {
    int error = stream ? check_set(futures, count) : POOL_EINVAL;
    if (error) return error;
    struct stream *s = pp_zalloc(1, sizeof *s);
    if (!s) return POOL_ENOMEM;
    s->kind = PP_FUTURES;
    if (count > 0) {
        s->futures = pp_zalloc(count, sizeof *s->futures);
        if (!s->futures) {
            pp_release(s);
            return POOL_ENOMEM;
        }
        s->pool = futures[0]->pool;
        pp_lock(s->pool);
        s->pool->references++;
        observe_all(s, futures, count);
    }
    *stream = s;
    if (s->pool) pp_unlock(s->pool);
    return 0;
}

static int await_ready(struct stream *s, uint64_t deadline) {
    if (!s->pool) return 0;
    pp_advance(s->pool);
    for (bool is_late = false; !s->doomed && !pp_item_first(&s->ready) && pp_item_first(&s->pending);) {
        if (is_late) return POOL_ETIMEDOUT;
        is_late = pp_stream_wait(s, NULL, deadline);
    }
    return 0;
}

int stream_next_future(struct stream *s, struct future **future, int timeout) {
    if (!s || !future || timeout < -1) return POOL_EINVAL;
    if (pp_all_are_foreign()) return POOL_EFOREIGN;
    if (s->kind != PP_FUTURES) return POOL_EINVAL;
    int error = pp_stream_enter(s);
    if (error) return error;
    PP_GUARD(guard, pp_stream_abandon, s);
    error = await_ready(s, pp_deadline(timeout));
    pp_release_guard(&guard);
    struct pp_item *item = error || s->doomed ? NULL : pp_item_first(&s->ready);
    if (item) {
        pp_list_remove(&s->ready, &item->link);
        pp_observer_remove(&item->observer);
        *future = item->future;
    } else if (!error) {
        error = POOL_END;
    }
    return pp_stream_leave(s, error);
}
