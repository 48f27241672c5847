/* What a task may ask and say about itself: task_index(), task_seed(), task_seed_item(), task_fail(), task_fail_item(),
 * task_resize(), task_context(), task_input(), task_in_size(), task_out_size(), task_result().
 *
 * Invariant: a thread is in one call at a time, which its struct pp_call describes; outside of calls `running` is
 * false.
 * Called by: work_tasks, work_jobs, fold and inline, which fill the struct; tasks, through the public functions. */
#ifndef PP_TASK_H
#define PP_TASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pp_extra;
struct pp_desc;
struct pp_shared;

struct pp_call {
    const struct pp_shared *shared; /* of the pool whose worker this thread is at the moment; NULL: of none */
    const struct pp_call *outer;    /* the call that this one was made in: a task uses an inline pool */
    bool running;
    bool has_message;
    size_t message_index; /* of the item that has left the message */
    size_t index;         /* of a task; that of an item follows from: */
    const _Atomic uint64_t *position; /* where the position of the running item is; NULL: this is a task */
    const uint64_t *items;            /* the item at each position; NULL: the position is the item */
    const uint64_t *names;            /* what task_index() is in each item; NULL: the item plus: */
    uint64_t first_name;
    uint64_t seed;
    const void *context;
    const struct pp_extra *extra; /* NULL: none */
    const struct pp_desc *desc; /* of a task */
    size_t in_size, out_size;   /* of an item: bytes of its argument, and of its result or the room for that */
    size_t *sizes;              /* of a job: struct pp_job_plan; NULL: task_resize() is refused */
    bool resized;               /* to `size` */
    uint64_t size;
    uint64_t ticket;            /* of a task of POOL_ANY_SIZE */
    char *extent;               /* what that has of extents.h; NULL: nothing */
    size_t extent_size;
    size_t count;               /* of a block function: the items of its call; else 0 */
    void (*fail_item)(void *owner, size_t i, int code, const char *message); /* notes that one of them has failed */
    void *owner;
    char message[256];
};

/* The call of this thread. Its address stays the same, so that a loop may take it once. */
struct pp_call *pp_call_here(void);
/* Gives back what the task has of extents.h but the first `keep` bytes. */
void pp_call_drop_extent(size_t keep);
/* Whether this thread is in a task, or an initializer, of the pool with this memory. */
bool pp_call_is_within(const struct pp_shared *shared);

#endif
