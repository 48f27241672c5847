/* What a future is in the process that made it: a task or a job, and what came of it.
 *
 * A future lives through these steps: pp_future_new() makes it; submit or map fills it in and sends it on its way;
 * pp_future_finish() makes it done; the program's future_free(), or whatever still needs it then, gives it back.
 *
 * Invariant: everything is read and written under the pool's lock, save what is said to be atomic or constant. */
#ifndef PP_FUTURE_H
#define PP_FUTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "parpool.h"
#include "shared/shared.h"

#define PP_NO_SLOT UINT32_MAX

struct pp_job;
struct pp_relations;

/* What is kept of a struct pool_task; what few tasks have is in `relations`. */
struct pp_task {
    const void *in; /* the argument: in the future's `small`, or in the inputs heap */
    size_t in_size;
    pool_fn *fn;
    int timeout, priority;
    uint32_t cpu_timeout : 31;
    uint32_t tried : 1; /* it was started and lost */
    unsigned retries;   /* that are left */
    uint64_t seed;
};

/* Whether the supervisor's clock counts it: see timer.h. */
static inline bool pp_is_timed(const struct pp_task *task) {
    return task->timeout || task->cpu_timeout;
}

/* How far a future is. DETACHED: it is done, and nothing but the program's handle leads to it; see future_alloc.h. */
enum pp_done { PP_OPEN, PP_ENDED, PP_DETACHED };

/* Whether pool_next_done() is to hand the task out: it will; it can, the future is in the pool's `done`. */
enum pp_notify { PP_NOT_NOTIFIED, PP_NOTIFIED, PP_IN_DONE };

struct future {
    struct pool *pool; /* constant */
    /* enum pp_done. If not OPEN, the outcome is there and constant. Stored (release) by pp_future_finish(), pp_detach()
     * and pp_attach(); loaded (acquire) by every call that looks without the lock. */
    _Atomic unsigned char done;
    bool is_job;
    bool given_up; /* the program has freed it, and it is not done or is pinned */
    bool queued;
    bool short_of_room; /* in which of the two queues; see pool.h */
    unsigned char notify; /* enum pp_notify */
    uint8_t losses; /* times that the task was lost before it was started; see pp_task_lost() */
    int8_t outcome; /* 0 or POOL_E… */
    uint32_t slot;        /* PP_NO_SLOT: none */
    uint32_t pins;        /* what needs it even if it is given up: calls that wait, callbacks, tasks that take its
                             result */
    struct pp_relations *relations; /* callbacks, and what it comes after or before; NULL: none, or done and told */
    size_t out_size;      /* bytes of the result, or of the room for it; POOL_ANY_SIZE until the result is there */
    void *result;         /* where it lies: `small`, the results heap, or after the pool's end malloc'ed memory; of a
                             task that is not sent, NULL if it takes its room then */
    struct pp_task task;
    uint64_t index; /* what task_index() is in the task */
    union {
        struct pp_job *job;
        void *arg; /* of a task: the program's */
    };
    struct pool_failure *failure;  /* NULL: none, or there was no memory for it */
    struct pp_list observers;      /* struct pp_observer */
    union {
        struct pp_link link; /* in the queue, among those held, or in the pool's `done` */
        struct future *next; /* on the free list, or on the stack of those freed, which needs no lock */
    };
    _Alignas(16) unsigned char small[PP_INLINE_OUT]; /* a small argument while it waits; a small result when it is
                                                        done */
};

/* Of a task that is not done: whether it says by task_result() how large its result is. */
static inline bool pp_has_any_size(const struct future *future) {
    return future->out_size == POOL_ANY_SIZE;
}

/* For calls that have the lock; without it, the load must be an acquire. */
static inline bool pp_future_is_done(const struct future *future) {
    return atomic_load_explicit(&future->done, memory_order_relaxed) != PP_OPEN;
}

#endif
