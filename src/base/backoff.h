/* Back-off: for how long a thread refrains from what has just proved harmful. Each time that it proves harmful again
 * soon afterwards the time doubles, from 1 ms up to 128 ms.
 *
 * Its main use is waiting awake. A thread that waits awake looks for its work some times, then offers its CPU to others
 * by sched_yield(), and so on. If the yield returns at once, no other thread wanted the CPU. If it takes more than
 * 300 us, another process ran in between, longer than a worker of the pool that soon sleeps. Then one of two things is
 * true:
 *   - The interruption is rare: before it the CPU was undisturbed for more than four times its length. A daemon does
 *     that, or the host of a virtual machine. Waiting awake goes on, since sleeping would cost more.
 *   - It is not rare: other threads need this CPU. Waiting awake is put off, and the thread sleeps instead.
 * Beside a daemon that runs for 0.3 ms in each 3 ms a round trip so takes 1.1 us instead of 13.6.
 *
 * Invariant: `until` is when the last back-off ends or has ended, or when the last rare interruption did.
 * Called by: whatever waits awake (wait, worker, work_jobs, carrier), placement (moves to
 * other CPUs). */
#ifndef PP_BACKOFF_H
#define PP_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

/* All zero at first. */
struct pp_backoff {
    uint64_t until; /* ns of pp_now(): before it, the thread must not try again */
    uint64_t last;  /* ns: the length of the last back-off, or less since it proved harmless for a while */
};

/* How often a thread that waits awake looks between two yields, with pp_look_again() after each look. A yield takes
 * longer than a round trip, and still longer in a sandbox, where the kernel looks at every system call. A thread that
 * spends most of its wait in yields sees the outcome late: bench_limits, "round-awake". */
enum { PP_LOOKS = 32 };

/* Between two looks: for a moment the line is left to the CPU that is about to write it. */
static inline void pp_look_again(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Backs off from `now` on: what the thread did was harmful, as it saw at `since`. */
void pp_backoff_again(struct pp_backoff *backoff, uint64_t since, uint64_t now);
/* Offers the CPU to others, and backs off if they took it for long and not rarely: then backoff->until is in the
 * future. Returns pp_now(). */
uint64_t pp_backoff_yield(struct pp_backoff *backoff);
/* The decision of pp_backoff_yield(): others had the CPU from `since` until `now`. */
void pp_backoff_was_preempted(struct pp_backoff *backoff, uint64_t since, uint64_t now);

#endif
