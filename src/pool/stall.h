/* Stalls: jobs that do not go on, although a limit or a kill should have ended what runs.
 *
 * Where a worker is in a job, and in which phase, it says itself, by words that a task can write. A task that writes
 * them again and again seems to be another item at each look of the supervisor, so no time-out ends it; one that says
 * that its worker runs nothing is not killed. So the caller counts what it can rely on: how many positions of the round
 * are done. The most that was ever done is no more than there are, whatever is written, and honest items, each of which
 * ends within its limit, raise it. If it has not grown, and no worker has died, for twice as long as items may take,
 * every worker that says that it is in the job is killed, whatever else it says. So is one that is still there a second
 * after the job was killed: an honest one leaves, or is killed at once, and has nothing that could be lost.
 *
 * A worker that says that it is not in the job does not hold it up; see integrity.h for what it then is.
 * Called by: integrity. */
#ifndef PP_STALL_H
#define PP_STALL_H

#include "pool/pool.h"

/* Returns whether it has killed any: then the next look should come soon. */
bool pp_stalls_end(struct pool *pool);

#endif
