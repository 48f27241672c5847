/* Tasks that wait in the caller's memory, by priority, and first come first served among equals.
 *
 * Invariant: a future is in at most one bucket, and `queued` then. */
#ifndef PP_QUEUE_H
#define PP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct future;

struct pp_bucket {
    int priority;
    struct pp_list futures;
};

struct pp_queue {
    struct pp_bucket *buckets; /* ascending; none is empty */
    size_t count, room;
};

/* Returns false if there is no memory. */
bool pp_queue_add(struct pp_queue *queue, struct future *future, bool in_front);
void pp_queue_remove(struct pp_queue *queue, struct future *future);
/* The next in turn, or NULL. */
struct future *pp_queue_first(const struct pp_queue *queue);
void pp_queue_end(struct pp_queue *queue);

#endif
