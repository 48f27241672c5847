/* What park.c needs of the system: park_futex.c and park_pipe.c each have all of it, and pp_park(), in their way.
 *
 * Invariant: a wake-up that is given is taken by a worker that sleeps or is about to.
 * Called by: park.c; pp_park_count_woken() by pp_park(). */
#ifndef PP_PARK_SYSTEM_H
#define PP_PARK_SYSTEM_H

#include "shared/park.h"

/* Gives `count` wake-ups; returns how many were given. `under_way`: wake-ups that were given and are not taken yet, to
 * those who sleep with the lowest numbers. */
uint32_t pp_park_give(struct pp_shared *shared, int task_pipe, uint32_t under_way, uint32_t count);
/* Whether a wake-up is lost that finds nobody asleep. */
extern const bool pp_park_only_sleepers_take;

/* A worker has taken a wake-up. Before it clears its bit. In park.c. */
void pp_park_count_woken(struct pp_shared *shared);

#endif
