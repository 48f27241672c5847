/* What park.c needs of the system. park_futex.c and park_pipe.c each define it and pp_park(); CMake chooses one of them
 * by PARPOOL_POSIX_ONLY. */
#ifndef PP_PARK_SYSTEM_H
#define PP_PARK_SYSTEM_H

#include "shared/park.h"

/* Gives `count` wake-ups; returns how many of them were given. under_way: earlier wake-ups that are not taken yet; they
 * are for the sleepers with the lowest numbers. */
uint32_t pp_park_give(struct pp_shared *shared, int task_pipe, uint32_t under_way, uint32_t count);
/* Whether only a worker that already sleeps can take a wake-up. Otherwise it waits for the next that will sleep. */
extern const bool pp_park_only_sleepers_take;

/* Defined in park.c. Worker, in pp_park(): counts a wake-up as taken. It clears its bit only after that. */
void pp_park_count_woken(struct pp_shared *shared);

#endif
