/* Whether two processes still run on which others rely: the carrier, and the caller if it is a node. Each beats twice a
 * second or more often, whatever its hosts or its head do. One that a signal has stopped is let go on, and if that does
 * not help, killed: others then run what it has.
 *
 * Invariant: a time in which the supervisor itself was stopped does not count. A caller that is no node is never killed
 * or let go on: it may be stopped for as long as its user likes.
 * Called by: supervisor; node, which says that it is one. */
#ifndef PP_PULSE_H
#define PP_PULSE_H

#include <stdint.h>
#include <sys/types.h>

#include "shared/shared.h"

#define PP_PULSE_NS 1000000000U   /* between two looks */
#define PP_PULSE_MOST 10000000000U /* ns without a beat after which letting it go on has not helped */

struct pp_pulse {
    uint64_t beat, beat_at; /* the last beat, and when it was first seen, ns */
    uint64_t looked;        /* when it was last looked for, ns */
};

enum pp_pulse_found { PP_PULSE_GOOD, PP_PULSE_STOPPED, PP_PULSE_NONE };

/* beat: as it is now. started: when the process was; before that it had none. most: ns without a beat. */
enum pp_pulse_found pp_pulse_look(struct pp_pulse *pulse, uint64_t beat, uint64_t started, uint64_t now,
                                  uint64_t most);

/* This process is a node, whose supervisors watch it: pp_pulse_beat() is called twice a second from its first call on.
 * most: ns without a beat. */
void pp_pulse_promise(uint64_t most);
static inline void pp_pulse_beat(const struct pp_shared *shared) {
    atomic_fetch_add_explicit(&shared->control->caller_beat, 1, memory_order_relaxed);
}
/* In a supervisor: lets a caller that has promised to beat go on, or kills it. Returns when to look again; UINT64_MAX:
 * it has promised nothing. */
uint64_t pp_pulse_watch_caller(struct pp_pulse *pulse, const struct pp_shared *shared, pid_t caller);

#endif
