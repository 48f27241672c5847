#include "pool/stream_input.h"

#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "pool/call.h"
#include "pool/relations.h"
#include "pool/submit.h"

static struct pp_item *new_item(struct stream *s) {
    struct pp_item *item = pp_item_first(&s->spare);
    if (!item) return pp_zalloc(1, sizeof *item);
    pp_list_remove(&s->spare, &item->link);
    return item;
}

static void end_input(struct stream *s, int error, int code, const char *what) {
    s->ended = true;
    memset(&s->input, 0, sizeof s->input);
    s->input.error = error;
    s->input.index = (size_t)s->pulled;
    s->input.code = code;
    if (code > 0) snprintf(s->input.message, sizeof s->input.message, "%s: it returned %d", what, code);
    else if (error) snprintf(s->input.message, sizeof s->input.message, "%s: %s", what, pool_strerror(error));
}

/* What the next item is to be made of. */
struct offer {
    struct stream *stream;
    struct pp_item *item;
    struct future *future;
};

static void take_back(const struct offer *offer) {
    pp_task_drop(offer->stream->pool, offer->future);
    pp_list_add_back(&offer->stream->spare, &offer->item->link);
}

/* The input has thrown an exception: it has given no item, and may be asked again. */
static void end_thrown(void *offer) {
    pp_step_in(((struct offer *)offer)->stream->pool);
    take_back(offer);
}

/* As read_input(), by the program's function. */
static int call_input(struct offer *offer) {
    struct stream *s = offer->stream;
    const struct pool_stream *options = &s->options;
    void *in = (void *)(uintptr_t)offer->future->task.in;
    size_t size = options->in_size;
    PP_GUARD(guard, end_thrown, offer);
    pp_step_out(s->pool); /* the pool's end waits, since `in` would go with it */
    int code = options->next ? options->next(options->next_arg, in) : options->next_sized(options->next_arg, in, &size);
    pp_step_in(s->pool);
    pp_release_guard(&guard);
    if (code == 0 && size > options->in_size) return POOL_EINVAL; /* it has written beyond its room */
    offer->future->task.in_size = size;
    return code;
}

/* Writes the argument of the next item. Returns 0, POOL_END, or the code with which the input failed. Releases the lock
 * for the program's function. */
static int read_input(struct offer *offer) {
    struct stream *s = offer->stream;
    struct future *future = offer->future;
    const struct pool_stream *options = &s->options;
    if (pp_stream_has_function(options)) return call_input(offer);
    if (s->pulled == options->count) return POOL_END;
    if (!options->in) return 0;
    const char *from = (const char *)options->in + (size_t)s->pulled * options->in_size;
    if (s->in_is_shared) {
        future->task.in = from;
        future->task.in_size = options->in_size;
    } else {
        memcpy((void *)(uintptr_t)future->task.in, from, options->in_size);
    }
    return 0;
}

static void take_input(struct offer *offer) {
    struct stream *s = offer->stream;
    struct future *future = offer->future;
    int code = read_input(offer);
    int error = s->doomed ? POOL_ECANCELLED : 0;
    if (code == POOL_END) end_input(s, 0, 0, "");
    else if (code > 0) end_input(s, POOL_EFAILED, code, "the input failed");
    else if (code < 0) end_input(s, code, code, "the input failed");
    else if (!error && !(error = pp_refusal(s->pool))) error = pp_task_send(s->pool, future);
    if (code == 0 && !error) {
        s->pulled++;
        s->held++;
        offer->item->future = future;
        if (s->kind == PP_ORDERED) pp_list_add_back(&s->pending, &offer->item->link);
        else pp_item_observe(s, offer->item, future);
        return;
    }
    if (code == 0) end_input(s, error, 0, "an item could not be submitted");
    take_back(offer);
}

static void share_context(struct stream *s, struct future *future) {
    future->relations->context = s->context;
    future->relations->extra->context_serial = s->context->serial;
    s->context->uses++;
}

bool pp_stream_pull(struct stream *s) {
    struct pp_item *item = new_item(s);
    struct future *future;
    int error = item ? pp_task_new(s->pool, &s->task, s->pulled, &future) : POOL_ENOMEM;
    if (!error) {
        if (s->context) share_context(s, future);
        take_input(&(struct offer){s, item, future});
        return true;
    }
    if (item) pp_list_add_back(&s->spare, &item->link);
    /* If items are held, their results will make room when they are taken. */
    if (error != POOL_ENOMEM || s->held == 0) end_input(s, error, 0, "an item could not be submitted");
    return false;
}
