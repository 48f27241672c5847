/* The live view: what a pool does at this moment, as text, for a person that sends SIGUSR1 to the supervisor.
 *
 *     pool of process 18490: 3 workers, 12 tasks sent and not started
 *       job of render: 61 of 200 items done (30.5 %), 0 failed
 *       worker 0, process 18505: 26 done, at item 58 of render for 57.7 ms
 *       worker 1, process 18507: 27 done, idle
 *       host w2: up, 16 CPUs, 18022 done, at 32 tasks and items
 *
 * Invariant: reads only, from shared memory and the staff; no worker is disturbed, and nothing of it is trusted. Waits
 * for a reader for LIVE_NS at most; what does not fit then is dropped.
 * Called by: supervisor. */
#ifndef PP_LIVE_H
#define PP_LIVE_H

#include "host/staff.h"
#include "host/supervisor.h"

/* Writes it to the descriptor. pids: the process of each worker that lives. */
void pp_live_write(int fd, const struct pp_supervisor_setup *setup, const struct pp_staff *staff, const pid_t *pids);

#endif
