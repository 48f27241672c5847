#include "pool/queue.h"

#include <string.h>

#include "base/sys.h"
#include "pool/pool.h"

/* The index at which the bucket of this priority is, or would be. */
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
    if (in_front) pp_list_add_front(&bucket->futures, &future->link);
    else pp_list_add_back(&bucket->futures, &future->link);
    return true;
}

void pp_queue_remove(struct pp_queue *queue, struct future *future) {
    size_t at = find(queue, future->task.priority);
    struct pp_bucket *bucket = &queue->buckets[at];
    pp_list_remove(&bucket->futures, &future->link);
    future->queued = future->short_of_room = false;
    if (pp_list_is_empty(&bucket->futures)) memmove(bucket, bucket + 1, (--queue->count - at) * sizeof *bucket);
}

struct future *pp_queue_first(const struct pp_queue *queue) {
    return queue->count ? PP_LIST_FIRST(&queue->buckets[queue->count - 1].futures, struct future, link) : NULL;
}

void pp_queue_end(struct pp_queue *queue) {
    pp_release(queue->buckets);
    memset(queue, 0, sizeof *queue);
}
