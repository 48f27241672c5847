/* The life of a worker in shared memory: what is written when it begins, and what is told and cleared when it has
 * ended.
 *
 * Invariant: the notice of an end is written before the record is cleared, and that before the next life begins; see
 * notice.h.
 * Called by: whatever starts workers and survives them: supervisor, threads, inline. */
#ifndef PP_WORKER_LIFE_H
#define PP_WORKER_LIFE_H

#include "shared/notice.h"

#define PP_INIT_TRIES 3 /* times in a row that a worker's initializer may fail */

/* Counts a new life, which it returns, and forgets what the last one said of itself. */
uint32_t pp_life_begin(struct pp_shared *shared, uint32_t worker);
/* The notice of the end of a life: what the record says. status: of waitpid(), 0 where there was no process. */
struct pp_notice pp_life_describe(const struct pp_shared *shared, uint32_t worker, pid_t pid, int status);
/* Whether the worker that has ended is to be started once more; not if its initializer keeps failing. failures: the
 * caller's count, 0 at first. */
bool pp_life_deserves_another(const struct pp_shared *shared, uint32_t worker, unsigned *failures);
/* Clears the record. */
void pp_life_end(struct pp_shared *shared, uint32_t worker);

#endif
