/* What a task leaves behind in its process and the next one must not meet: the floating point environment, timers of
 * alarm() and setitimer(), the signal mask. It is set back to what the initializer has left.
 *
 * A look at the control word of the x87 unit takes less than 1 ns, and tells of fesetround(), fesetenv() and
 * feenableexcept(), which change it together with that of SSE: it is looked at after each task and item. A look at the
 * latter takes 13 ns, and timers and mask a system call each, together 2.2 µs: these are set back between two tasks,
 * items or chunks when LOOK_NS have passed since the last time. So what a task of at least that length leaves, no other
 * meets.
 *
 * Invariant: with threads and inline, only the floating point environment is set back: the rest is the program's.
 * Called by: worker, work_tasks, work_jobs. */
#ifndef PP_LEAVINGS_H
#define PP_LEAVINGS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct pp_leavings {
    uint16_t x87;
    uint32_t sse;
    sigset_t mask;
    bool keeps_real, keeps_virtual, keeps_prof; /* the initializer has set this timer */
    uint64_t next; /* ns; when to look again; UINT64_MAX: never */
};

/* Takes the present floating point environment for the one to be set back. */
void pp_leavings_note_float(struct pp_leavings *leavings);
/* The same for the rest: this thread is that of a process which is a worker, and no task has run in it. Timers are only
 * asked for if an initializer may have set them, since a forked process has none. */
void pp_leavings_begin(struct pp_leavings *leavings, bool initialized, uint64_t now);
void pp_leavings_set_float_back(const struct pp_leavings *leavings);
void pp_leavings_set_back(struct pp_leavings *leavings, uint64_t now);

/* Whether a task has changed the floating point environment by the functions of fenv.h; always 0 on other CPUs than
 * x86. */
static inline int pp_leavings_has_float(uint16_t x87) {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    uint16_t found;
    __asm__ volatile("fnstcw %0" : "=m"(found));
    return found ^ x87;
#else
    (void)x87;
    return 0;
#endif
}

/* Between two tasks, items or chunks. now: ns. */
static inline void pp_leavings_look(struct pp_leavings *leavings, uint64_t now) {
    if (now >= leavings->next) pp_leavings_set_back(leavings, now);
}

#endif
