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
 * CPU time is sampled. At its looks the supervisor notes what each worker runs that has such a limit, and the CPU time
 * that the worker has used by then: at least as much as when the task or item was started. If a later look finds the
 * same task or item, it has itself used what the worker has used since, so it is never killed too early; and since the
 * looks come eight times while the limit passes, or ten times a second, it is killed soon after. The worker pays
 * nothing for that. Workers that are no processes look at their own clocks instead, once a task has returned: see
 * work.h.
 *
 * What a worker does between two tasks has no word and no time-out of its own, but work may wait for it. So while the
 * clock runs, a worker is also killed that ends by itself and whose finalizer has run for longer than the longest of
 * the time-outs, or whose initializer takes much longer than others have taken. It then has nothing in its hands that
 * it has started, so no task is blamed.
 *
 * In a visit to a job with a time-out (record.h) the supervisor sees where the worker is, an eighth of the time-out
 * apart, and counts from when it first saw it there. So an item has its time, and up to an eighth of it more. A call of
 * several items is no item's outcome: it is stopped at three quarters, and each of its items then has all of the time.
 *
 * Invariant: a worker is killed only after the state word of exactly the overdue task or item was swapped to OVERDUE
 * or SPENT, or the bound of its stretch was closed at the item, or while it runs nothing: before its initializer has
 * returned, or after it has said that it ends by itself.
 * Called by: the caller's layer (begin, end), supervisor and workers (check). */
#ifndef PP_TIMER_H
#define PP_TIMER_H

#include "shared/shared.h"

/* Caller: a task or job with these limits in ms, 0: none, was submitted; is done. The first returns whether the
 * supervisor must be sent PP_TIMER with *shortest: how often it must look at the least, as it was told last; kept
 * between calls, 0 at first. */
bool pp_timer_begin(struct pp_shared *shared, int32_t *shortest, int32_t timeout, int32_t cpu_timeout);
void pp_timer_end(struct pp_shared *shared);

/* How often the supervisor must look, in ms, at what has these two limits; 0: it has none. */
int32_t pp_timer_interval(int32_t timeout, int32_t cpu_timeout);

struct pp_notice;

enum { PP_SIGHT_TASK, PP_SIGHT_ITEM, PP_SIGHT_END };

/* The supervisor's own. */
struct pp_timer {
    uint32_t shortest; /* time-out that was announced, ms; set to 0 when the clock stops */
    /* Each worker's last task and item with a limit: its ticket and state word; since when it has been seen, ns; and
     * what the worker had then used of CPU time, 0: not known. Until the word of a task says that it has ended, the
     * worker runs it, whatever its record says. All 0: none was seen. Likewise of the end of its life. */
    struct pp_timer_sight {
        uint64_t ticket, word, since, cpu;
    } sights[PP_WORKERS][3];
    /* Where each worker was in a visit to a job with a time-out, since when it has been seen there (ns), and the
     * position at which it was stopped, in which life. */
    struct pp_timer_stay {
        uint64_t number, since, stopped;
        uint32_t life;
    } stays[PP_WORKERS];
};

/* What the timer can do to workers. cpu_time: ns that the worker has used; 0: not known. */
struct pp_timer_hands {
    void (*kill)(void *context, uint32_t worker);
    uint64_t (*cpu_time)(void *context, uint32_t worker);
    void *context;
};

/* Supervisor: swaps the state word of each task or item that is past one of its limits at `now`, and kills its worker;
 * also a worker whose initializer or finalizer is overdue.
 * Returns when to check again; UINT64_MAX: after the next PP_TIMER. */
uint64_t pp_timer_check(struct pp_shared *shared, uint64_t now, struct pp_timer *timer,
                        const struct pp_timer_hands *hands);

/* A worker has died. If it was stopped at an item, and had finished that meanwhile, the item still is the one that the
 * kill was of: the notice says so. */
void pp_timer_amend(const struct pp_timer *timer, struct pp_notice *death);

#endif
