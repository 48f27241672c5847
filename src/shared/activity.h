/* What a worker is at, as others see it: which function, for which item, since when.
 *
 * Invariant: reads only, and disturbs no worker. The record is untrusted: what it names must be in the caller's tables,
 * and what these say is returned. A worker that lives may be at something else by then.
 * Called by: stats (caller), live and workers (supervisor). */
#ifndef PP_ACTIVITY_H
#define PP_ACTIVITY_H

#include "shared/shared.h"

struct pp_activity {
    pool_fn *fn;    /* NULL: it is at no task or item */
    bool is_item;   /* an item of a job; else a task */
    uint64_t item;  /* task_index() there */
    uint64_t since; /* ns of pp_now(): when it began it, or the chunk or the take of tasks that it belongs to; 0: not
                       known */
};
struct pp_activity pp_activity_of(const struct pp_shared *shared, uint32_t worker);

#endif
