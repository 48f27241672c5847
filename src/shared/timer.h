/* Time-outs of tasks and items. The supervisor enforces them, even while the caller is busy elsewhere.
 *
 * The caller counts the tasks and jobs with a time-out that are not done (control->timed). While there are any, the
 * supervisor wakes at the earliest deadline of what it sees running, or when a task that starts now would be due. When
 * there are none, it clears control->timers_on and sleeps.
 *
 *     caller:      counts up; looks at timers_on; if it is 0, sends the command that starts the clock
 *     supervisor:  clears timers_on; looks at the count
 * One of the two sees the other, so the clock is never off while something has a time-out.
 *
 * What a worker does between two tasks has no word and no time-out of its own, but work may wait for it. So while the
 * clock runs, a worker is also killed that ends by itself and whose finalizer has run for longer than the longest of
 * the time-outs, or whose initializer takes much longer than others have taken. It then has nothing in its hands that
 * it has started, so no task is blamed.
 *
 * Invariant: a worker is killed only after the state word of exactly the overdue task or item was swapped to OVERDUE,
 * or while it runs nothing: before its initializer has returned, or after it has said that it ends by itself.
 * Called by: the caller's layer (begin, end), supervisor (check). */
#ifndef PP_TIMER_H
#define PP_TIMER_H

#include "shared/shared.h"

/* Caller: a task or job with this time-out in ms was submitted; is done. The first returns whether the supervisor must
 * be sent PP_TIMER with the time-out. shortest: the shortest time-out that the supervisor was told; kept between calls,
 * 0 at first. */
bool pp_timer_begin(struct pp_shared *shared, int32_t *shortest, int32_t timeout);
void pp_timer_end(struct pp_shared *shared);

/* Supervisor: swaps the state word of each task or item that is overdue at `now`, and calls `kill` for its worker; also
 * for a worker whose initializer or finalizer is overdue.
 * Returns when to check again; UINT64_MAX: after the next PP_TIMER. shortest: the shortest time-out that was announced,
 * in ms; set to 0 when the clock stops. */
uint64_t pp_timer_check(struct pp_shared *shared, uint64_t now, uint32_t *shortest,
                        void (*kill)(void *context, uint32_t worker), void *context);

#endif
