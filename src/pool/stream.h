/* Streams: sets of futures whose outcomes the program takes one at a time.
 *
 * pool_imap() and pool_imap_unordered() (imap.c) make futures of their own, as the input gives items and the window
 * has room for them; future_as_completed() (future_set.c) has futures of the program. Either way each future has an
 * item. The item is in `pending`, in the order of the input, until its future is done. If outcomes are taken in the
 * order in which futures are done, the item is in `ready` from then on. future_wait_many() is such a set for the length
 * of a call.
 *
 * Invariant: an item is in exactly one of pending, ready and spare. `busy` is true while a call on the stream is in
 * progress; that call may have released the lock, and no other touches the stream then. */
#ifndef PP_STREAM_H
#define PP_STREAM_H

#include "pool/observer.h"
#include "pool/pool.h"

struct pp_item {
    struct pp_observer observer;
    struct stream *stream;
    struct future *future;
    struct pp_link link; /* in pending, ready or spare */
    bool is_ready;
};

enum pp_stream_kind { PP_ORDERED, PP_UNORDERED, PP_FUTURES };

struct stream {
    struct pool *pool; /* NULL: a set without futures */
    enum pp_stream_kind kind;
    bool busy;   /* a call is in progress */
    bool doomed; /* stream_free() was called meanwhile: by the input, a callback or another thread */
    bool stirred; /* since the present wait began it was freed, or a future has left it: pp_goal.stop */
    struct pp_list pending, ready, spare; /* struct pp_item */
    size_t failed; /* of PP_FUTURES: futures that failed */

    /* Of PP_ORDERED and PP_UNORDERED. */
    struct pool_stream options;
    struct pool_task task; /* what each item is submitted as */
    bool in_is_shared;     /* the array lies in the arena: nothing is copied */
    bool ended;            /* there is no more input */
    uint64_t pulled;       /* items taken from the input */
    size_t held;           /* items in pending and ready */
    size_t window;         /* at most so many */
    struct pool_failure input; /* why the input has ended; error 0: it was complete, or the program was told */
    struct pool_failure last;  /* why the item failed that was taken last; error 0: it did not */
    size_t size;               /* bytes of its result */
    struct future *shown;      /* of that item, if its result can be read where it lies; else NULL */
    struct pp_context *context; /* of its tasks; NULL: none */

    struct pp_item *futures; /* of PP_FUTURES: all items, in one piece */
};

/* The first item of one of these lists; NULL: there is none. */
static inline struct pp_item *pp_item_first(const struct pp_list *items) {
    return PP_LIST_FIRST(items, struct pp_item, link);
}

/* Has the item, which is in no list, observe the future. It is ready at once if the future is done. */
void pp_item_observe(struct stream *stream, struct pp_item *item, struct future *future);

/* Whether the item that observers this future was the last to do so, and is of this stream. */
bool pp_item_exists(const struct stream *stream, const struct future *future);

/* Of PP_FUTURES: removes all observers, and frees the items. */
void pp_items_forget(struct stream *stream);

/* Waits until the future is done, or with NULL until any future of the pool is, or until the stream is stirred. Returns
 * true if the deadline is past, which may be so although the wait itself has not timed out, if futures become done all
 * the time. */
bool pp_stream_wait(struct stream *stream, struct future *future, uint64_t deadline);

/* Gives back the future whose result the program may read where it lies, if there is one. */
void pp_stream_drop_shown(struct stream *stream);

/* Begins and ends a call on the stream. pp_stream_enter() takes the lock, or returns POOL_EFOREIGN or POOL_EBUSY.
 * pp_stream_leave() releases it and returns `error`; if the stream is doomed it frees it and returns
 * POOL_ECANCELLED. */
int pp_stream_enter(struct stream *stream);
int pp_stream_leave(struct stream *stream, int error);
/* The same, for a guard: an exception passes through the call. */
void pp_stream_abandon(void *stream);

#endif
