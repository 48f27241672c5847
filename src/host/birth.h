/* How a child of the supervisor becomes a worker, or the carrier.
 *
 * Invariant: nothing of the supervisor's but what a worker needs is left open, and the half of the shared memory that
 * workers may only read is given up before anything of the program runs. The carrier runs nothing of the program.
 * Called by: workers, in the child. */
#ifndef PP_BIRTH_H
#define PP_BIRTH_H

#include <stdnoreturn.h>

#include "host/signals.h"
#include "host/supervisor.h"
#include "worker/capture.h"

struct pp_birth {
    const struct pp_supervisor_setup *setup;
    struct pp_signals *signals;
    struct pp_capture *capture; /* NULL: output of workers is not caught */
    int caller_pidfd;
    const int *nudge;           /* the carrier's two ends; -1: the pool has none */
    uint32_t number, life;
    bool follows_corpse;
    pid_t supervisor;
};

/* Whether the worker of this number is the carrier. */
bool pp_birth_is_of_carrier(const struct pp_supervisor_setup *setup, uint32_t number);
noreturn void pp_birth(const struct pp_birth *birth);

#endif
