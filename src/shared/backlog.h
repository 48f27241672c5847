/* The backlog: published work that no worker has claimed yet, as the supervisor sees it.
 *
 * Invariant: reads only, and trusts nothing: neither what workers may write, nor that the caller leaves a job's memory
 * in place meanwhile.
 * Called by: staff, to decide how many resting workers to start; wait and integrity, about lost work. */
#ifndef PP_BACKLOG_H
#define PP_BACKLOG_H

#include "shared/shared.h"

/* Returns how many workers could be of use to the backlog, PP_WORKERS at most. */
uint32_t pp_backlog_workers(const struct pp_shared *shared);

#endif
