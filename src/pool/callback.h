/* Callbacks: functions of the program that are called when a future is done.
 *
 * A future that becomes done hands its callbacks to a list of the pool. Each call, before it returns and while it
 * waits, runs what is on the list, one at a time and without the lock; a call that is made by a callback leaves them to
 * the call that runs it. So callbacks run in order, never within each other, and never deep. */
#ifndef PP_CALLBACK_H
#define PP_CALLBACK_H

#include "pool/relations.h"

/* Adds a callback to the future; it waits to be run at once if the future is done. Returns false if there is no
 * memory. */
bool pp_callback_add(struct pool *pool, struct future *future, struct pp_callback *callback);
/* Runs the callbacks that wait; unlocks meanwhile. */
void pp_callbacks_run(struct pool *pool);
/* The future is done: its callbacks wait to be run. */
void pp_callbacks_take(struct pool *pool, struct future *future);

#endif
