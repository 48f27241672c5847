/* What a task may ask about itself: task_index(), task_seed(), task_fail().
 *
 * Invariant: one call at a time in each thread; `pp_call` describes it, and says nothing outside of calls.
 * Called by: worker (fills it), tasks (through the public functions). */
#ifndef PP_TASK_H
#define PP_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pp_call {
    bool running;
    bool has_message;
    size_t index;
    uint64_t seed;
    char message[256];
};

/* This thread's. The address stays the same: a loop takes it once. */
struct pp_call *pp_call_here(void);

#endif
