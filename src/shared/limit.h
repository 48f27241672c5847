/* Limits of load and free memory: while the machine is beyond one of them, no new task or item starts.
 *
 * A worker asks before it starts something; a running task is never disturbed. As with the --load of make, a worker may
 * always go on while no other worker is busy, so the pool slows down but never stops.
 *
 * Invariant: without a limit nothing is read; a figure that cannot be read is within its limit.
 * Called by: worker. */
#ifndef PP_LIMIT_H
#define PP_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pp_shared;

struct pp_limit {
    double load;        /* load average of one minute from which on tasks wait; 0: no limit */
    size_t free_memory; /* bytes below which tasks wait; 0: no limit */
};

/* A worker's last look. */
struct pp_limit_watch {
    uint64_t look_again; /* ns */
    bool is_over;
};

static inline bool pp_limit_is_set(const struct pp_limit *limit) {
    return limit->load > 0 || limit->free_memory > 0;
}
/* Returns whether `worker` may start something now. Reads the figures at most ten times a second. */
bool pp_limit_allows(const struct pp_limit *limit, struct pp_limit_watch *watch, const struct pp_shared *shared,
                     uint32_t worker);

#endif
