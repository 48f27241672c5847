/* Where the workers of a pool are: in processes, in threads of the program, or in whoever calls the library. All that
 * differs between the three is what is named here; everything else, from the submission to the outcome, is the same
 * code.
 *
 * Invariant: whatever runs workers counts their lives and tells of their ends as life.h has it.
 * Called by: pool; drive() by every call that may leave work behind. */
#ifndef PP_BACKEND_H
#define PP_BACKEND_H

#include "worker/worker.h"

struct pool;

struct pp_backend {
    /* Starts the workers. 0, or a code; then nothing is left behind. No lock is held. */
    int (*start)(struct pool *pool);
    /* Ends them, and what they run as far as that can be done; when it returns, no worker touches anything any more.
     * Where tasks run in the program's process, what had not started was cancelled, and what runs is to be killed.
     * Under the pool's lock. */
    void (*end)(struct pool *pool);
    /* Runs what waits, in this thread; NULL: workers run by themselves. Called under the pool's lock, which it gives up
     * while it runs something. */
    void (*drive)(struct pool *pool);
    /* Brings the workers to their number, control->wanted; those too many go by themselves when they have finished what
     * they hold. NULL: there is always one. Under the pool's lock. */
    void (*resize)(struct pool *pool);
    /* Waits until all have ended of themselves, their finalizers run; control->wanted is 0, and nothing is open. 0 or
     * POOL_ETIMEDOUT. Under the pool's lock, which it gives up meanwhile. */
    int (*retire)(struct pool *pool, uint64_t deadline);
    bool in_here; /* tasks run in the program's own process */
};

extern const struct pp_backend pp_processes; /* pool.c */
extern const struct pp_backend pp_threads;   /* threads.c */
extern const struct pp_backend pp_inline;    /* inline.c */

/* What the pool's options say to its workers. */
struct pp_worker_options pp_worker_options_of(const struct pool *pool);
/* Lets a pool without supervisor make its own bell. False: no descriptor. */
bool pp_make_bell(struct pool *pool);

#endif
