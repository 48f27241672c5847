/* Who wants to know of the end of a future: a list of nodes on it, told by the one function that makes futures done.
 *
 * Telling happens under the pool's lock and, in a collection, between other ends: `tell` only links things together.
 * Whoever wants to do more does it later, in a call of its own.
 *
 * Invariant: a node is on at most one future, which is not free.
 * Called by: collect and future (tell), futures and stream (watch). */
#ifndef PP_OBSERVER_H
#define PP_OBSERVER_H

#include <stddef.h>

struct future;

enum pp_observer_event {
    PP_OBSERVED_DONE, /* it has its outcome; the node stays on it */
    PP_OBSERVED_FREED /* its handle is given up; the node was taken off it */
};

struct pp_observer {
    /* Under the lock; may take this node off its future, but no other. */
    void (*tell)(struct pp_observer *watch, enum pp_observer_event event);
    struct pp_observer *next, **link; /* link: what points at this node; NULL: it is on no future */
};

void pp_observer_add(struct future *future, struct pp_observer *watch);
/* Nothing if it is on no future. */
void pp_observer_remove(struct pp_observer *watch);
void pp_observers_notify(struct future *future, enum pp_observer_event event);

#endif
