/* When new tasks have to wait for the machine: while its load is too high, or its free memory too low.
 *
 * A worker asks before it begins something; what runs is never disturbed. As with the --load of make, a worker may
 * always go on while no other is at work, so a pool is slowed down but never stands still.
 *
 * Invariant: without a limit nothing is read; what cannot be read limits nothing.
 * Called by: worker. */
#ifndef PP_LIMIT_H
#define PP_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pp_shared;

struct pp_limit {
    double load;        /* 1-minute load average from which on tasks wait; 0: no limit */
    size_t free_memory; /* bytes below which tasks wait; 0: no limit */
};

/* What a worker saw when it looked last. */
struct pp_limit_watch {
    uint64_t look_again; /* ns */
    bool is_over;
};

static inline bool pp_limit_is_set(const struct pp_limit *limit) {
    return limit->load > 0 || limit->free_memory > 0;
}
/* Whether `worker` may begin something now. Looks at the machine at most ten times a second. */
bool pp_limit_allows(const struct pp_limit *limit, struct pp_limit_watch *watch, const struct pp_shared *shared,
                     uint32_t worker);

#endif
