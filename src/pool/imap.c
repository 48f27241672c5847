/* pool_imap() and pool_imap_unordered(): an input of any length through a window of tasks.
 *
 * Each call that asks for a result pulls items from the input until a result is there, and at least PULLS of them if
 * the window has room. So the window fills although results are taken, and no result waits for more than PULLS items of
 * a slow input. */
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "pool/alloc.h"
#include "pool/call.h"
#include "pool/future_alloc.h"
#include "pool/hosted.h"
#include "pool/relations.h"
#include "pool/stream.h"
#include "pool/stream_input.h"
#include "pool/wait.h"

#define PULLS 2
/* The default window is large enough that the caller does not wait for each of many short tasks. Large arguments and
 * results take long enough by themselves, and where all that are in the window fit into the caches, each is written
 * where another has just been read. The room for results counts less, since much of it may stay unused. */
#define ITEMS_A_WORKER 64
#define ITEMS_LEAST 256
#define ITEMS_A_WORKER_LEAST 4
#define ARGUMENTS_MOST ((size_t)4 << 20) /* bytes, of all arguments in the window */
#define RESULTS_MOST ((size_t)8 << 20)
#define LARGE 4096 /* larger results are copied without the lock */

/* ---- input */

/* The item whose outcome is next, or NULL if none is there yet. */
static struct pp_item *next_item(const struct stream *s) {
    if (s->kind != PP_ORDERED) return pp_item_first(&s->ready);
    struct pp_item *item = pp_item_first(&s->pending);
    return item && pp_future_is_done(item->future) ? item : NULL;
}

static bool has_room(const struct stream *s) {
    return !s->ended && !s->doomed && s->held < s->window;
}

static void pull_some(struct stream *s) {
    for (int pulled = 0; has_room(s) && (pulled < PULLS || !next_item(s)); pulled++) {
        if (!pp_stream_pull(s)) return;
        pp_advance(s->pool);
    }
}

/* ---- results */

/* Waits until an item is done, or the input has ended and no item is left. Returns 0 or POOL_ETIMEDOUT. */
static int await_item(struct stream *s, uint64_t deadline) {
    for (bool is_late = false;;) {
        pp_advance(s->pool);
        pull_some(s);
        if (s->doomed || next_item(s) || (s->ended && s->held == 0)) return 0;
        if (is_late) return POOL_ETIMEDOUT;
        is_late = pp_stream_wait(s, s->kind == PP_ORDERED ? pp_item_first(&s->pending)->future : NULL, deadline);
    }
}

/* Keeps why the item has failed, for stream_failure(). */
static void keep_last(struct stream *s, const struct future *future) {
    if (s->last.error) memset(&s->last, 0, sizeof s->last);
    if (future->failure) s->last = *future->failure;
    s->last.error = future->outcome;
    s->last.index = (size_t)future->index;
    if (future->outcome && !s->last.message[0])
        snprintf(s->last.message, sizeof s->last.message, "%s", pool_strerror(future->outcome));
}

static int deliver(struct stream *s, struct pp_item *item, void *out) {
    struct future *future = item->future;
    pp_list_remove(s->kind == PP_ORDERED ? &s->pending : &s->ready, &item->link);
    s->held--;
    keep_last(s, future);
    int error = future->outcome;
    s->size = error ? 0 : future->out_size;
    if (s->size && out) {
        if (s->size > LARGE) pp_step_out(s->pool);
        memcpy(out, future->result, s->size);
        if (s->size > LARGE) pp_step_in(s->pool);
    }
    pp_observer_remove(&item->observer);
    if (s->size && !out) s->shown = future;
    else pp_future_recycle(future);
    pp_list_add_back(&s->spare, &item->link);
    return error;
}

/* Returns the failure of the input once, and POOL_END from then on. */
static int deliver_end(struct stream *s) {
    s->last = s->input;
    s->size = 0;
    memset(&s->input, 0, sizeof s->input);
    return s->last.error ? s->last.error : POOL_END;
}

int stream_next(struct stream *s, void *out, int timeout) {
    if (!s || timeout < -1) return POOL_EINVAL;
    if (pp_all_are_foreign()) return POOL_EFOREIGN;
    if (s->kind == PP_FUTURES) return POOL_EINVAL;
    int error = pp_stream_enter(s);
    if (error) return error;
    pp_stream_drop_shown(s);
    PP_GUARD(guard, pp_stream_abandon, s);
    error = await_item(s, pp_deadline(timeout));
    pp_release_guard(&guard);
    struct pp_item *item = error || s->doomed ? NULL : next_item(s);
    if (item) error = deliver(s, item, out);
    else if (!error && !s->doomed) error = deliver_end(s);
    return pp_stream_leave(s, error);
}

int stream_failure(struct stream *s, struct pool_failure *failure) {
    if (!s || !failure) return POOL_EINVAL;
    if (pp_all_are_foreign()) return POOL_EFOREIGN;
    if (s->kind == PP_FUTURES) return POOL_EINVAL;
    int error = pp_stream_enter(s);
    if (error) return error;
    *failure = s->last;
    return pp_stream_leave(s, 0);
}

const void *stream_data(struct stream *s, size_t *size) {
    if (size) *size = 0;
    if (!s || pp_all_are_foreign() || s->kind == PP_FUTURES || pp_stream_enter(s)) return NULL;
    const void *data = s->shown ? s->shown->result : NULL;
    if (data && size) *size = s->size;
    pp_stream_leave(s, 0);
    return data;
}

size_t stream_size(struct stream *s) {
    if (!s || pp_stream_enter(s)) return 0;
    size_t size = s->size;
    pp_stream_leave(s, 0);
    return size;
}

/* ---- making */

static int check_stream(const struct pool_stream *options) {
    if (!options->fn || options->timeout < 0 || options->cpu_timeout < 0) return POOL_EINVAL;
    if (options->context_size && !options->context) return POOL_EINVAL;
    if (options->next && options->next_sized) return POOL_EINVAL;
    if (pp_stream_has_function(options) || !options->in) return 0;
    if (options->in_size == 0 || options->count > SIZE_MAX / options->in_size) return POOL_EINVAL;
    return 0;
}

static size_t default_window(size_t workers, size_t in_size, size_t out_size) {
    size_t items = workers * ITEMS_A_WORKER, least = workers * ITEMS_A_WORKER_LEAST;
    if (items < ITEMS_LEAST) items = ITEMS_LEAST;
    if (in_size && items > ARGUMENTS_MOST / in_size) items = ARGUMENTS_MOST / in_size;
    if (out_size && items > RESULTS_MOST / out_size) items = RESULTS_MOST / out_size;
    return items < least ? least : items;
}

static void set_up_stream(struct stream *s, struct pool *pool, enum pp_stream_kind kind,
                          const struct pool_stream *options) {
    s->pool = pool;
    s->kind = kind;
    s->options = *options;
    s->in_is_shared = !pp_stream_has_function(options) && options->in &&
                      pp_is_in_arena(pool, options->in, options->count * options->in_size);
    bool copied = pp_stream_has_function(options) || (options->in && !s->in_is_shared);
    s->task = (struct pool_task){.fn = options->fn,
                                 .in_size = copied ? options->in_size : 0,
                                 .out_size = options->out_size,
                                 .timeout = options->timeout,
                                 .cpu_timeout = options->cpu_timeout,
                                 .retries = options->retries,
                                 .priority = options->priority,
                                 .seed = options->seed};
    s->window = options->window ? options->window : default_window(pool->workers, s->task.in_size, s->task.out_size);
    if (pool->options.backend == POOL_INLINE)
        s->window = 1; /* a caller that runs the items itself gains nothing by reading ahead */
}

/* Makes the context of all tasks. Returns false if there is no memory. */
static bool make_context(struct stream *s) {
    s->task.context = s->options.context;
    s->task.context_size = s->options.context_size;
    if (!s->options.context) return true;
    s->context = pp_context_new(s->pool, s->options.context, s->options.context_size);
    if (s->context && s->context->copy) s->task.context = s->context->copy;
    return s->context != NULL;
}

static int make_stream(struct pool *pool, const struct pool_stream *options, enum pp_stream_kind kind,
                       struct stream **stream) {
    if (!pool || !options || !stream) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    int error = check_stream(options);
    if (error) return error;
    struct stream *s = pp_zalloc(1, sizeof *s);
    if (!s) return POOL_ENOMEM;
    pp_lock(pool);
    error = pp_refusal(pool);
    if (!error) error = pp_hosted_check(pool, options->context, options->context_size);
    if (!error) {
        set_up_stream(s, pool, kind, options);
        if (!make_context(s)) error = POOL_ENOMEM;
    }
    if (!error) {
        pool->references++;
        *stream = s;
    }
    pp_unlock(pool);
    if (error) pp_release(s);
    return error;
}

int pool_imap(struct pool *pool, const struct pool_stream *options, struct stream **stream) {
    return make_stream(pool, options, PP_ORDERED, stream);
}

int pool_imap_unordered(struct pool *pool, const struct pool_stream *options, struct stream **stream) {
    return make_stream(pool, options, PP_UNORDERED, stream);
}
