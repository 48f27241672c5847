/* The carrier: the worker that has tasks and items run on other hosts.
 *
 * A process of the pool, a child of the supervisor as any worker. It starts the launchers of the hosts (launch.h),
 * speaks to the node behind each (wire.h), claims tasks and chunks of jobs as other workers do (worker/claim.h), sends
 * them, and publishes what comes back. It runs no code of the program, and what it reads from a node it checks.
 *
 *     carrier            the process: its loop, its sleep, its end
 *     carrier_functions  which functions of the program, and which jobs, hosts know
 *     carrier_hosts      the hosts: launched, greeted, up, lost, refused
 *     carrier_say        what hosts are told, and what the caller and stderr are told of hosts
 *     carrier_answers    what hosts say
 *     carrier_errands    what a host has, how much it may have, and leave to begin it
 *     carrier_overdue    hosts that keep what must have ended
 *     carrier_tasks      tasks from the ring to hosts, and their outcomes back
 *     baggage            what of a task travels
 *     carrier_jobs       the same of chunks of jobs
 *     carrier_folds      the same of the tasks of reductions
 *     carrier_output     what tasks print over there
 *
 * It takes only what can travel, and only what workers of this host will not take soon. A host gets leave to begin as
 * much as it has CPUs, and more of what is short; the loss of a host costs what it had leave to begin, nothing else.
 *
 * Invariant: a task that the carrier has taken is in carried->holders (shared/carried.h), and PENDING until a host has
 * leave to begin it. Chunks are in no record: if the carrier dies, their blocks have no mark.
 * Called by: birth, in the process that becomes the carrier. */
#ifndef PP_CARRIER_H
#define PP_CARRIER_H

#include <stdnoreturn.h>

#include "remote/hosts.h"
#include "remote/launch.h"
#include "worker/worker.h"

struct pp_carrier_setup {
    struct pp_hosts hosts;
    struct pp_launch_setup launch;
    uint64_t start, silence; /* ms */
    bool is_told;            /* the program has host_event; else stderr gets a line */
};

/* Becomes the carrier. nudge: read end of a pipe to which a byte is written to have it look for what was killed. All
 * signals are blocked. */
noreturn void pp_carrier_run(const struct pp_worker_setup *setup, const struct pp_carrier_setup *hosts,
                             int nudge);

#endif
