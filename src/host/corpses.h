/* Corpses: workers that were killed and that the kernel has not ended in time. They count as dead, another process has
 * their number, and the supervisor reaps them when they end at last; see worker_life.h.
 *
 * Invariant: the caller is told of a corpse before it is told that one has gone.
 * Called by: workers. */
#ifndef PP_CORPSES_H
#define PP_CORPSES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shared/shared.h"

struct pp_corpses {
    pid_t pids[PP_WORKERS]; /* 0: none; negative: it has gone, and the caller must still be told */
    uint32_t count;
    bool had[PP_WORKERS];   /* whether a worker of this number was one, ever */
};

/* When a worker that was first sent SIGKILL at `killed` (ns; 0: it was not) is a corpse; UINT64_MAX: it is none, or
 * there is no room for another. */
uint64_t pp_corpses_due(const struct pp_corpses *corpses, uint64_t killed);
void pp_corpses_add(struct pp_corpses *corpses, uint32_t worker, pid_t pid);
bool pp_corpses_has(const struct pp_corpses *corpses, pid_t pid);
/* It was reaped. */
void pp_corpses_gone(struct pp_corpses *corpses, pid_t pid);
/* Writes the notices of those that have gone, as far as there is room. Returns whether the caller must be rung for. */
bool pp_corpses_tell(struct pp_corpses *corpses, struct pp_shared *shared);

#endif
