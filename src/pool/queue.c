#include "pool/queue.h"

#include <string.h>

#include "base/sys.h"
#include "pool/pool.h"

/* Where the bucket of this priority is, or would be. */
static size_t find(const struct pp_queue *queue, int priority) {
    size_t low = 0, high = queue->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (queue->buckets[middle].priority < priority) low = middle + 1;
        else high = middle;
    }
    return low;
}

static struct pp_bucket *bucket_for(struct pp_queue *queue, int priority) {
    size_t at = find(queue, priority);
    if (at < queue->count && queue->buckets[at].priority == priority) return &queue->buckets[at];
    if (queue->count == queue->room) {
        size_t room = queue->room ? 2 * queue->room : 8;
        struct pp_bucket *buckets = pp_realloc(queue->buckets, room * sizeof *buckets);
        if (!buckets) return NULL;
        queue->buckets = buckets;
        queue->room = room;
    }
    struct pp_bucket *bucket = &queue->buckets[at];
    memmove(bucket + 1, bucket, (queue->count++ - at) * sizeof *bucket);
    *bucket = (struct pp_bucket){.priority = priority};
    return bucket;
}

bool pp_queue_add(struct pp_queue *queue, struct future *future, bool in_front) {
    struct pp_bucket *bucket = bucket_for(queue, future->task.priority);
    if (!bucket) return false;
    future->queued = true;
    future->prev = in_front ? NULL : bucket->last;
    future->next = in_front ? bucket->first : NULL;
    if (future->prev) future->prev->next = future;
    else bucket->first = future;
    if (future->next) future->next->prev = future;
    else bucket->last = future;
    return true;
}

void pp_queue_remove(struct pp_queue *queue, struct future *future) {
    size_t at = find(queue, future->task.priority);
    struct pp_bucket *bucket = &queue->buckets[at];
    if (future->prev) future->prev->next = future->next;
    else bucket->first = future->next;
    if (future->next) future->next->prev = future->prev;
    else bucket->last = future->prev;
    future->queued = false;
    if (!bucket->first) memmove(bucket, bucket + 1, (--queue->count - at) * sizeof *bucket);
}

struct future *pp_queue_first(const struct pp_queue *queue) {
    return queue->count ? queue->buckets[queue->count - 1].first : NULL;
}

void pp_queue_end(struct pp_queue *queue) {
    pp_release(queue->buckets);
    memset(queue, 0, sizeof *queue);
}
