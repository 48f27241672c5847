/* A backend runs the workers of a pool: in processes, in threads of the program, or in the program's own calls. The
 * differences between the three are the functions below. All else, from submission to outcome, is the same code.
 *
 * Invariant: a backend begins, describes and ends each life of a worker as worker_life.h says.
 * Called by: the caller's layer, through pool->backend; drive() by every call that may leave work behind. */
#ifndef PP_BACKEND_H
#define PP_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

struct pool;

struct pp_backend {
    /* Starts the workers. Returns 0 or a code; then it leaves nothing behind but descriptors in pool->fds. No lock
     * is held. */
    int (*start)(struct pool *pool);
    /* Ends the workers and, as far as possible, what they run. After it no worker touches anything. Where tasks run in
     * the program's process, the pool has cancelled what has not started and marked what runs as killed. Under the
     * pool's lock, which it releases while it waits for a task. Called once. */
    void (*end)(struct pool *pool);
    /* Does what is to be done in calls: runs the work that waits, in this thread, or asks again for threads that the
     * system has refused. Called while the backend has set PP_DUE_DRIVE in pool->due, under the pool's lock, which it
     * releases while it runs a task. NULL if it never sets that. */
    void (*drive)(struct pool *pool);
    /* Brings the number of workers to control->wanted; surplus ones retire when they have finished what they hold. NULL
     * if there is always one. Under the pool's lock. */
    void (*resize)(struct pool *pool);
    /* Waits until all workers have retired and their finalizers have run; control->wanted is 0 and nothing is open.
     * Returns 0 or POOL_ETIMEDOUT. Called under the pool's lock, which it releases meanwhile. */
    int (*retire)(struct pool *pool, uint64_t deadline);
    /* Returns whether the process that starts and ends the workers has gone. NULL, as the next two, if there is none.
     * Under the pool's lock. */
    bool (*is_lost)(const struct pool *pool);
    /* Lets that process go on if a signal has stopped it. Under the pool's lock. */
    void (*go_on)(const struct pool *pool);
    /* Once it is lost: kills the workers that are left. Must be called at once: later their numbers may be those of
     * other processes. Under the pool's lock. */
    void (*kill_orphans)(struct pool *pool);
    bool in_here; /* tasks run in the program's own process */
};

/* Returns the backend of POOL_PROCESSES, POOL_THREADS or POOL_INLINE; NULL for any other number. Defined in
 * host/backends.c, so that the pool is compiled without any of them. */
const struct pp_backend *pp_backend_of(int kind);

#endif
