/* The items of a stream, and the calls on it: one at a time, of which each may find at its end that the stream is to be
 * freed. */
#include "pool/stream.h"

#include "base/sys.h"
#include "pool/alloc.h"
#include "pool/bell.h"
#include "pool/call.h"
#include "pool/cancel.h"
#include "pool/future_alloc.h"
#include "pool/relations.h"
#include "pool/wait.h"

/* ---- items */

static void tell_item(struct pp_observer *observer, enum pp_observer_event event) {
    struct pp_item *item = (struct pp_item *)(void *)observer; /* its first member */
    struct stream *s = item->stream;
    if (item->is_ready && event == PP_OBSERVED_DONE) return;
    pp_list_remove(item->is_ready ? &s->ready : &s->pending, &item->link);
    if (event == PP_OBSERVED_FREED) {
        s->stirred = true;
        return;
    }
    item->is_ready = true;
    pp_list_add_back(&s->ready, &item->link);
    if (item->future->outcome != 0) s->failed++;
}

void pp_item_observe(struct stream *s, struct pp_item *item, struct future *future) {
    item->stream = s;
    item->future = future;
    item->is_ready = false;
    item->observer.tell = tell_item;
    pp_list_add_back(&s->pending, &item->link);
    pp_observer_add(future, &item->observer);
    if (pp_future_is_done(future)) tell_item(&item->observer, PP_OBSERVED_DONE);
}

bool pp_item_exists(const struct stream *s, const struct future *future) {
    const struct pp_observer *observer = PP_LIST_FIRST(&future->observers, const struct pp_observer, link);
    return observer && observer->tell == tell_item && ((const struct pp_item *)(const void *)observer)->stream == s;
}

static void forget(struct pp_list *items) {
    PP_LIST_EACH(item, items, struct pp_item, link) pp_observer_remove(&item->observer);
}

void pp_items_forget(struct stream *s) {
    forget(&s->pending);
    forget(&s->ready);
    pp_release(s->futures);
}

/* ---- calls */

int pp_stream_enter(struct stream *s) {
    if (pp_all_are_foreign()) return POOL_EFOREIGN;
    if (!s->pool) return 0;
    if (pp_is_foreign(s->pool)) return POOL_EFOREIGN;
    pp_lock(s->pool);
    if (s->busy) {
        pp_unlock(s->pool);
        return POOL_EBUSY;
    }
    s->busy = true;
    return 0;
}

/* The program will not ask for this task's result. */
static void abandon(struct pool *pool, struct future *future) {
    if (pp_future_is_done(future)) {
        pp_future_recycle(future);
        return;
    }
    future->given_up = true;
    pp_task_stop(pool, future);
}

static void stop_items(struct stream *s) {
    PP_LIST_EACH(item, &s->pending, struct pp_item, link) /* an item that ends moves no other */
        if (!pp_future_is_done(item->future)) pp_task_stop(s->pool, item->future);
}

static void end_items(struct stream *s, struct pp_list *items) {
    PP_LIST_EACH(item, items, struct pp_item, link) {
        pp_observer_remove(&item->observer);
        if (items != &s->spare) abandon(s->pool, item->future);
        pp_release(item);
    }
}

void pp_stream_drop_shown(struct stream *s) {
    if (s->shown) pp_future_recycle(s->shown);
    s->shown = NULL;
}

/* Releases the lock. */
static void end_stream(struct stream *s) {
    struct pool *pool = s->pool;
    if (pool) pp_advance(pool);
    if (s->kind == PP_FUTURES) {
        pp_items_forget(s);
    } else {
        end_items(s, &s->pending);
        end_items(s, &s->ready);
        end_items(s, &s->spare);
        pp_stream_drop_shown(s);
        pp_context_drop(pool, s->context);
    }
    pp_release(s);
    if (!pool) return;
    pool->references--;
    pp_unlock_last(pool);
}

int pp_stream_leave(struct stream *s, int error) {
    if (!s->pool) return error;
    s->busy = false;
    if (s->doomed) {
        end_stream(s);
        return POOL_ECANCELLED;
    }
    pp_unlock(s->pool);
    return error;
}

void pp_stream_abandon(void *stream) {
    pp_stream_leave(stream, 0);
}

void stream_free(struct stream *s) {
    if (!s || pp_all_are_foreign() || (s->pool && pp_is_foreign(s->pool))) return;
    if (s->pool) pp_lock(s->pool);
    if (!s->busy) {
        end_stream(s);
        return;
    }
    /* This is the stream's own `next`, a callback that runs while the stream waits, or another thread. */
    s->doomed = s->stirred = true;
    if (s->kind != PP_FUTURES) stop_items(s);
    pp_wake_waiting(s->pool);
    pp_unlock(s->pool);
}

bool pp_stream_wait(struct stream *s, struct future *future, uint64_t deadline) {
    s->stirred = false;
    const struct pp_goal goal = {future, pp_news(s->pool), &s->stirred};
    if (pp_wait(s->pool, &goal, deadline)) return true;
    return deadline != UINT64_MAX && pp_now() >= deadline;
}
