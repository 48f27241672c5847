/* On which CPUs the caller and its workers are: they tell each other, and keep apart where there is one for each.
 *
 * Invariant: what is told is a hint; a wrong one costs time, and nothing else.
 * Called by: wait (tells where the caller is), pool, resize (the numbers), worker (keeps apart), worker_life (forgets
 * the dead). */
#ifndef PP_PLACEMENT_H
#define PP_PLACEMENT_H

#include "base/backoff.h"
#include "shared/shared.h"

/* Caller: how many CPUs the pool may use. */
void pp_placement_set_cpus(struct pp_shared *shared, int cpus);
int pp_placement_cpus(const struct pp_shared *shared);
/* Whether there are more CPUs than workers: then the caller may wait awake. */
bool pp_placement_can_spare(const struct pp_shared *shared);
/* Caller: it looks around here. */
void pp_placement_tell_looking(struct pp_shared *shared);
/* Caller: it is about to sleep here; it is awake again. */
void pp_placement_tell_asleep(struct pp_shared *shared);
void pp_placement_tell_awake(struct pp_shared *shared);

/* Worker in a process of its own, while it looks around: tells where it is, and goes elsewhere if it shares its CPU
 * with another of this pool who is awake, though there is a CPU for each of them. Not while `moves` puts it off, which
 * is for longer where it does not help. All zero at first. */
void pp_placement_apart(struct pp_shared *shared, uint32_t worker, struct pp_backoff *moves, uint64_t now);
/* Worker: it is about to sleep, and to be woken wherever the system likes. Whoever learns of its death: likewise. */
void pp_placement_forget(struct pp_shared *shared, uint32_t worker);

#endif
