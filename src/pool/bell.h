/* The bell: a pipe that workers write to, to wake the caller, and the wish in shared memory that says for which
 * outcome.
 *
 * The wish is a slot, or any outcome; it has a new epoch each time, and a worker rings once an epoch. While there is no
 * wish, no worker rings. Rings that are not the program's own are counted: a task may ring without end (vain.h). */
#ifndef PP_BELL_H
#define PP_BELL_H

#include "pool/pool.h"

/* For a backend without a supervisor: makes the pipe. Returns false if there is no descriptor. */
bool pp_bell_make(struct pool *pool);
/* Workers are to ring for the outcome in this slot, or for PP_WAITS_ANY. Outcomes must be looked at once more after it:
 * a worker that has announced one before did not ring. */
void pp_bell_expect(struct pool *pool, uint32_t slot);
/* Workers are not to ring any more; the bell is silent again. */
void pp_bell_silence(struct pool *pool);
/* Wakes the thread that sleeps in poll(), if any. May be called in a signal handler, without the lock. */
void pp_bell_ring_own(struct pool *pool);
/* Rings for the program, so that pool_fd() becomes readable, if it does not do so already. */
void pp_bell_ring(struct pool *pool);
/* Wakes threads that wait for something that this call has completed itself: no worker rings for it. */
void pp_wake_waiting(struct pool *pool);

#endif
