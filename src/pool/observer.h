/* Observers of a future: nodes that are told when it is done, by the one function that makes futures done.
 *
 * They are told under the pool's lock and, while outcomes are collected, between the ends of other futures: `tell` may
 * only link items together. What takes more is done later, in a call of its own.
 *
 * Invariant: a node observes at most one future, which is not free. */
#ifndef PP_OBSERVER_H
#define PP_OBSERVER_H

#include "base/list.h"

struct future;

enum pp_observer_event {
    PP_OBSERVED_DONE, /* the future has its outcome; the node goes on observing it */
    PP_OBSERVED_FREED /* the program has freed the future; the node was removed */
};

struct pp_observer {
    /* Under the lock; may remove this node, but no other. */
    void (*tell)(struct pp_observer *observer, enum pp_observer_event event);
    struct future *future;
    struct pp_link link; /* among the future's observers */
};

/* observer: its `tell` is set. */
void pp_observer_add(struct future *future, struct pp_observer *observer);
/* Does nothing if it observes no future. */
void pp_observer_remove(struct pp_observer *observer);
void pp_observers_notify(struct future *future, enum pp_observer_event event);

#endif
