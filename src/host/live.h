/* The live view: what a pool does at this moment, as text, for the person who has sent SIGUSR1 to the supervisor.
 *
 *     pool of process 18490: 3 workers, 12 tasks sent and not started
 *       job of render: 61 of 200 items done (30.5 %), 0 failed
 *       worker 0, process 18505: 26 done, at item 58 of render for 57.7 ms
 *       worker 1, process 18507: 27 done, idle
 *
 * Invariant: reads only, from shared memory and the staff; no worker is disturbed, and nothing of it is trusted. Waits
 * for a reader for LIVE_NS at most; what does not fit then is dropped.
 * Called by: supervisor. */
#ifndef PP_LIVE_H
#define PP_LIVE_H

#include "host/staff.h"

/* Writes it to the descriptor. caller: the process whose pool this is. pids: the process of each worker that lives. */
void pp_live_write(int fd, pid_t caller, const struct pp_staff *staff, const pid_t *pids);

#endif
