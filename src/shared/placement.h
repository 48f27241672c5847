/* Placement: on which CPUs the caller and the workers of a pool run, and that no two of them share a CPU while another
 * is free. The system places them well unless one has just woken another, so this is for a pool that has fewer workers
 * than CPUs, whose caller and workers wait awake.
 *
 * Invariant: each entry of status->cpus is a hint; a wrong one costs time, and nothing else.
 * Called by: lifetime, resize, processes and relief (the number of CPUs), wait (where the caller is), worker (moves
 * apart), worker_life (forgets a dead worker). */
#ifndef PP_PLACEMENT_H
#define PP_PLACEMENT_H

#include "base/backoff.h"
#include "shared/shared.h"

/* Caller: how many CPUs the pool may use. */
void pp_placement_set_cpus(struct pp_shared *shared, int cpus);
int pp_placement_cpus(const struct pp_shared *shared);
/* Whether there are more CPUs than workers: then the caller may wait awake. The carrier, which runs no tasks, is none
 * of them: bench_hosts, "hosts-round". */
bool pp_placement_can_spare(const struct pp_shared *shared);
/* Caller: it waits awake on this CPU; it is about to sleep. */
void pp_placement_tell_looking(struct pp_shared *shared);
void pp_placement_tell_asleep(struct pp_shared *shared);

/* For a worker in a process of its own that looks around. Stores on which CPU it is. If the caller or another worker
 * looks around on the same CPU, and the pool has a CPU to spare, the worker moves to another CPU, unless it has done so
 * a short time before: `moves` grows while moving does not help. All zero at first. */
void pp_placement_apart(struct pp_shared *shared, uint32_t worker, struct pp_backoff *moves, uint64_t now);
/* The worker is about to sleep, and the system chooses where it wakes; or it is dead. */
void pp_placement_forget(struct pp_shared *shared, uint32_t worker);

#endif
