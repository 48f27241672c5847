/* Parking: how workers without work sleep, and how the caller wakes them.
 *
 *     worker:  reads `wakes`; counts in `parkings`, sets its bit in `asleep`; fence; looks for work; sleeps
 *     caller:  publishes work; fence; sees the bits; gives wake-ups
 * One of the two sees the other, so no wake-up is lost.
 *
 * The caller gives as many wake-ups as there is work for, but no more than there are bits, less the wake-ups that are
 * under way: those it has given (`given`) and no worker has counted as taken (`woken`). One too many wakes a worker for
 * nothing.
 *
 * A worker may set its bit and then be descheduled before it sleeps. The system wakes no process then, and each attempt
 * would cost the caller more than most tasks. After one wake-up has found no sleeper, the caller therefore notes the
 * value of `parkings` (`spent`) and gives none until it changes, that is, until another worker is about to sleep. The
 * descheduled worker is safe: the wake-up has changed `wakes`, so it will not fall asleep.
 *
 * On Linux workers sleep on a futex, and those with the lowest numbers are woken first: always the same few, which find
 * their memory in the CPU's caches. A futex tells 32 classes of sleepers apart, so workers whose numbers are alike
 * modulo 32 take turns. The carrier, which waits for its hosts as well, sleeps on the task pipe, where only it reads
 * then, and is woken last. Elsewhere workers sleep in a read of the task pipe. A write to a pipe tells Linux's
 * scheduler that the writer is about to sleep, so it puts all workers that one caller wakes on the caller's CPU: a job
 * of 1 ms in two workers then took 1.01 ms instead of 0.5 (bench_limits, "pi-1ms-asleep").
 *
 * Invariant: the bit of a worker that sleeps is set. The supervisor clears the bits of dead workers.
 * Called by: worker and carrier (park), worker_life (died); demand, collect, integrity, resize, processes, threads and
 * carrier_tasks (wake). */
#ifndef PP_PARK_H
#define PP_PARK_H

#include "shared/shared.h"

/* Worker: announces that it will sleep. It must then look for work once more before pp_park(). Returns the number of
 * wake-ups so far, for pp_park(). */
uint32_t pp_park_begin(struct pp_shared *shared, uint32_t worker);
enum pp_parked {
    PP_WOKEN,
    PP_OVERSLEPT, /* the deadline has passed */
    PP_ORPHANED,  /* the caller has gone */
    PP_SLEEPLESS  /* the system refuses the call: a task may have given up the right to it */
};
/* Worker: sleeps until it is woken, or until `deadline` (ns of pp_now(); UINT64_MAX: none). Does not sleep if wake-ups
 * were given since pp_park_begin() returned `seen`. With a deadline, the pipe's read end must not block. */
enum pp_parked pp_park(struct pp_shared *shared, uint32_t worker, int task_pipe, uint32_t seen, uint64_t deadline);
/* Worker: announces that it is awake. */
void pp_park_end(struct pp_shared *shared, uint32_t worker);
/* Supervisor, for a worker that has died. A wake-up that was under way to it counts as taken: otherwise no other worker
 * would be woken in its place until the caller learns of the death. */
void pp_park_died(struct pp_shared *shared, uint32_t worker);

/* The caller's own counts. All zero at first. */
struct pp_wakes {
    uint64_t given; /* wake-ups, ever */
    uint64_t spent; /* status->parkings when a wake-up last found no sleeper */
};
/* Caller: wakes workers that sleep. work: how many workers could be of use. */
void pp_wake_some(struct pp_shared *shared, int task_pipe, struct pp_wakes *wakes, uint32_t work);
/* Caller: the same, after it has published work. Costs little where no worker sleeps. */
static inline void pp_wake(struct pp_shared *shared, int task_pipe, struct pp_wakes *wakes, uint32_t work) {
    /* Orders the published work before the look at the bits; pairs with the fence in pp_park_begin(). */
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed), i = 0;
    do {
        if (atomic_load_explicit(&shared->status->asleep[i], memory_order_relaxed) == 0) continue;
        pp_wake_some(shared, task_pipe, wakes, work);
        return;
    } while (++i * 64 < workers);
}
/* Caller, after a death: wakes one more worker, since the dead one may have taken a wake-up without counting it. */
void pp_wake_another(struct pp_shared *shared, int task_pipe, struct pp_wakes *wakes);
/* Caller: has all workers that sleep set their bits anew, whatever they say. */
void pp_ask_who_sleeps(struct pp_shared *shared, int task_pipe);
/* Wakes all workers, whatever the bits say. */
void pp_wake_all(struct pp_shared *shared, int task_pipe);

#endif
