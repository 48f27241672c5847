/* The limits max_load and min_free_memory: while the machine is beyond one of them, no new task or item starts.
 *
 * The supervisor looks, for all workers: those in a sandbox could not. Where there is none, each worker looks for
 * itself. A worker asks before it starts something; a running task is never disturbed. As with the --load of make, a
 * worker may always go on while no other worker is busy, so the pool slows down but never stops.
 *
 * Invariant: without a limit nothing is read; a figure that cannot be read is within its limit.
 * Called by: supervisor (looks); work, where there is none (looks), and for all that asks. */
#ifndef PP_LIMIT_H
#define PP_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "parpool.h"

struct pp_shared;

/* The last look; all zero at first. */
struct pp_limit_watch {
    uint64_t look_again; /* ns */
    bool is_over;
};

static inline bool pp_limit_is_set(const struct pool_options *options) {
    return options->max_load > 0 || options->min_free_memory > 0;
}
/* Returns whether the machine is beyond a limit. Reads the figures at most ten times a second. */
bool pp_limit_is_exceeded(const struct pool_options *options, struct pp_limit_watch *watch);
/* Returns whether `worker` may start something though the machine is beyond a limit. */
bool pp_limit_lets_go_on(const struct pp_shared *shared, uint32_t worker);

#endif
