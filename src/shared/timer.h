/* Time-outs of tasks and items, enforced by the supervisor even while the caller is busy elsewhere.
 *
 * The caller counts what has a time-out and is not done (control->timed). While there is any, the supervisor wakes when
 * the earliest deadline of what it sees running is due, or else when something that began just now would be; with none
 * left it clears control->timers_on and sleeps. Caller: count up, then look at timers_on; supervisor: clear timers_on,
 * then look at the count: one of the two sees the other, so the command that starts the clock is never lost.
 *
 * Invariant: a worker is killed only after the state of exactly the task or item that was overdue has been swapped.
 * Called by: submit and map (begin), submit, job and collect (end), collect (whether it runs), supervisor (check). */
#ifndef PP_TIMER_H
#define PP_TIMER_H

#include "shared/shared.h"

/* Caller. `shortest` is its note of the shortest time-out that the supervisor knows of, 0 at first. */
void pp_timer_begin(struct pp_shared *shared, int command_socket, int32_t *shortest, int32_t timeout);
void pp_timer_end(struct pp_shared *shared);
/* Whether anything has a time-out and is not done. */
static inline bool pp_timer_runs(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->control->timed, memory_order_relaxed) > 0;
}

/* Supervisor. Swaps what is overdue at `now` and calls `kill` for its worker. Returns when to check again, UINT64_MAX:
 * when told. `shortest`: of the time-outs that were announced, in ms; set to 0 when the clock stops. */
uint64_t pp_timer_check(struct pp_shared *shared, uint64_t now, uint32_t *shortest,
                        void (*kill)(void *context, uint32_t worker), void *context);

#endif
