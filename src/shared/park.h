/* How idle workers sleep, and how the caller wakes them.
 *
 * A worker sets its bit, looks for work once more, and sleeps. The caller publishes work, then wakes: as many as there
 * is work for, but no more than there are bits beyond the wake-ups still under way (given, less what workers say they
 * have taken). One too many wakes somebody for nothing; one too few cannot be: bits are set before the last look, and
 * one of the two sides sees the other. Who is about to sleep, and finds no time to, is not given one after another:
 * once a wake-up has found nobody asleep, there are none until somebody else is about to.
 *
 * On Linux they sleep on a futex, and those of the lowest numbers are woken first: always the same few, who find their
 * memory in the CPU's caches. (A futex knows 32 classes of sleepers: whose numbers are alike modulo 32 take turns.)
 * Elsewhere they sleep in a read of the task pipe. A write to a pipe tells the scheduler that the
 * writer is about to sleep, so Linux puts all whom one caller wakes on the caller's CPU: a job of 1 ms in two workers
 * then took 1.01 ms instead of 0.5 (bench_limits, pi-1ms-asleep).
 *
 * Invariant: who sleeps has its bit set; the supervisor clears the bits of the dead.
 * Called by: worker (sleep), submit, map, collect and audit (wake). */
#ifndef PP_PARK_H
#define PP_PARK_H

#include "shared/shared.h"

/* Worker: from now on the caller knows that it sleeps. The count of wake-ups so far, for pp_park(). */
uint32_t pp_park_begin(struct pp_shared *shared, uint32_t worker);
enum pp_parked { PP_WOKEN, PP_OVERSLEPT, PP_ORPHANED, PP_SLEEPLESS };
/* The worker sleeps unless a wake-up was given since, or until `deadline` (OVERSLEPT; ns of pp_now(), UINT64_MAX:
 * none). ORPHANED: the caller has gone. SLEEPLESS: the system does not let it: a task may have given up rights. With a
 * deadline the pipe's read end must not block. */
enum pp_parked pp_park(struct pp_shared *shared, uint32_t worker, int task_pipe, uint32_t seen, uint64_t deadline);
/* Worker. */
void pp_park_end(struct pp_shared *shared, uint32_t worker);
/* Supervisor, for one that died: a wake-up that it may have been given and did not take counts as taken, or another
 * would not be woken in its stead until the caller learns of the death. */
void pp_park_died(struct pp_shared *shared, uint32_t worker);

/* The caller's own. All zero at first. */
struct pp_wakes {
    uint64_t given; /* wake-ups, ever */
    uint64_t spent; /* status->parkings when one was given last that found no sleeper */
};
/* Caller: gives wake-ups to who sleeps. `work`: how many workers could be of use. */
void pp_wake_some(struct pp_shared *shared, int task_pipe, struct pp_wakes *wakes, uint32_t work);
/* The same, after it has published work. */
static inline void pp_wake(struct pp_shared *shared, int task_pipe, struct pp_wakes *wakes, uint32_t work) {
    /* Orders ring or board before the look at the bits; pairs with the fence in pp_park_begin(). */
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed), i = 0;
    do {
        if (atomic_load_explicit(&shared->status->asleep[i], memory_order_relaxed) == 0) continue;
        pp_wake_some(shared, task_pipe, wakes, work);
        return;
    } while (++i * 64 < workers);
}
/* Caller, after a death: the dead may have been woken and not have said so. Wakes one who sleeps. */
void pp_wake_another(struct pp_shared *shared, int task_pipe, struct pp_wakes *wakes);
/* Caller: wakes everybody, whatever the bits say. */
void pp_wake_all(struct pp_shared *shared, int task_pipe);

#endif
