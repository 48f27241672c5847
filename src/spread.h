/* On which CPUs the caller and its workers are: they tell each other, and keep apart where there is one for each.
 *
 * Invariant: what is told is a hint; a wrong one costs time, and nothing else.
 * Called by: wait (tells where the caller is), pool, size (the numbers), worker (keeps apart), work_jobs (asks where the
 * caller is). */
#ifndef PP_SPREAD_H
#define PP_SPREAD_H

#include "shared.h"

/* Caller: how many CPUs the pool may use. */
void pp_spread_over(struct pp_shared *shared, int cpus);
/* Caller: it is here, looking around or about to sleep. */
void pp_spread_tell_caller(struct pp_shared *shared);
/* Whether there are more CPUs than workers: then the caller may wait awake. */
bool pp_spread_can_spare(const struct pp_shared *shared);

/* Worker, while it looks around: tells where it is, and goes elsewhere if it shares its CPU with another of this pool who
 * is awake, though there is a CPU for each of them. Not again before *stays, ns of pp_now(), which it sets: 0 at first.
 * Not in threads of the program, which are left where they are. */
void pp_spread_apart(struct pp_shared *shared, uint32_t worker, uint64_t *stays, uint64_t now);
/* Worker: it is about to sleep, and to be woken wherever the system likes. */
void pp_spread_leave(struct pp_shared *shared, uint32_t worker);
/* Worker: whether it is on the CPU where the caller sleeps, and no worker has to share. */
bool pp_spread_is_with_caller(const struct pp_shared *shared);

#endif
