/* Streams: sets of futures whose outcomes are taken one at a time.
 *
 * pool_imap() and its kin (stream.c) make futures of their own, as the input gives them and the window allows; only
 * future_as_completed() (futures.c) has those of the program. Either way each future has an item here, which is in
 * `pending`, in the order of the input, until it is done, and where the order is that of the ends, in `ready` from
 * then on. future_wait_many() is such a set for the length of a call.
 *
 * Invariant: an item is in exactly one of pending, ready and spare; `busy` while a call is in progress, which may have
 * released the lock: nobody else touches the stream then.
 * Called by: stream, futures. */
#ifndef PP_STREAM_H
#define PP_STREAM_H

#include "pool/pool.h"
#include "pool/observer.h"

struct pp_item {
    struct pp_observer observer;
    struct stream *stream;
    struct future *future;
    struct pp_link link; /* in pending, ready or spare */
    bool is_ready;
};

enum pp_stream_kind { PP_ORDERED, PP_UNORDERED, PP_FUTURES };

struct stream {
    struct pool *pool; /* NULL: one of no futures */
    enum pp_stream_kind kind;
    bool busy;   /* a call is in progress */
    bool doomed; /* stream_free() came from within it: from the input, or a callback */
    struct pp_list pending, ready, spare; /* struct pp_item */
    size_t failed; /* of PP_FUTURES: those that failed */

    /* Of pool_imap() and its kin. */
    struct pool_stream options;
    struct pool_task task; /* what each item is submitted as */
    bool in_is_shared;     /* the array lies in the arena: nothing is copied */
    bool ended;            /* there is no more input */
    uint64_t pulled;       /* items so far */
    size_t held;           /* items in pending and ready */
    size_t window;         /* most of them */
    struct pool_failure input; /* why the input has ended; error 0: it was complete, or that was told */
    struct pool_failure last;  /* of the item that was taken last; error 0: it succeeded */
    size_t size;               /* bytes of its result */

    struct pp_item *futures; /* of PP_FUTURES: all items in one piece */
};

/* The first item of one of these lists; NULL: there is none. */
static inline struct pp_item *pp_item_first(const struct pp_list *items) {
    return PP_LIST_FIRST(items, struct pp_item, link);
}

/* Has the item, which is in no list, observe the future. It is ready at once if the future is done. */
void pp_item_observe(struct stream *stream, struct pp_item *item, struct future *future);

/* Whether the item that observers this future was the last to do so, and is of this stream. */
bool pp_item_exists(const struct stream *stream, const struct future *future);

/* Of PP_FUTURES: the items observe nothing any more, and their memory is freed. */
void pp_items_forget(struct stream *stream);

/* Waits until the future is done, or with NULL until any of the pool's is. Whether it is the last time: the deadline is
 * past, even if so much is done all the time that the wait itself has not timed out. */
bool pp_stream_wait(struct stream *stream, struct future *future, uint64_t deadline);

/* Begins and ends a call on the stream. pp_stream_enter() takes the lock, unless it refuses: POOL_EFOREIGN, POOL_EBUSY.
 * pp_stream_leave() releases it, with the stream if that is doomed; then it returns POOL_ECANCELLED, else `error`. */
int pp_stream_enter(struct stream *stream);
int pp_stream_leave(struct stream *stream, int error);

#endif
