/* The caller's side: what a pool and its futures are in the process that made them.
 *
 * A task's way: pool_submit() makes a future; dispatch gives it a slot and a ticket in the ring, or lets it wait in the
 * queue; a worker runs it; collect finds it done, moves its result into the future, and frees the slot.
 * A job's way: pool_map_async() makes a future and a struct pp_job; it gets a slot and a place on the board; workers
 * claim its items; when nothing is left and nobody is in it, its pass is looked over, and it ends or has another pass.
 *
 * Invariant: everything here is read and written under the pool's lock, save what is said to be atomic or constant. The
 * lock is never held across a wait or a callback. What is here is the truth; shared memory is only evidence of it.
 * Called by: the files of the caller's layer: pool, submit, queue, collect, map, future, wait. */
#ifndef PP_POOL_H
#define PP_POOL_H

#include <pthread.h>
#include <unistd.h>

#include "base/backoff.h"
#include "shared/park.h"
#include "pool/heap.h"
#include "parpool.h"
#include "shared/plan.h"
#include "pool/queue.h"
#include "shared/shared.h"
#include "shared/state.h"
#include "worker/task.h"
#include "pool/dependencies.h"

#define PP_NO_SLOT UINT32_MAX

struct pp_job;
struct pp_report;

/* What is kept of a struct pool_task; what few tasks have is in `ties`. */
struct pp_task {
    const void *in; /* in `small` or the inputs heap */
    size_t in_size;
    pool_fn *fn;
    int timeout, priority;
    unsigned retries;
    uint32_t tries; /* times it was begun and lost */
    uint64_t seed;
};

/* How far a future is. AT_REST: nothing but the program's handle leads to it any more. */
enum pp_done { PP_OPEN, PP_ENDED, PP_DETACHED };

struct future {
    struct pool *pool; /* constant */
    /* enum pp_done. Not OPEN: it has its outcome, which then is constant. Release by pp_future_finish(), pp_detach()
     * and pp_attach(); acquire by whoever asks. */
    _Atomic unsigned char done;
    bool is_job;
    bool given_up; /* its handle is gone, and it is not done or is pinned */
    bool queued;
    int outcome;
    uint32_t slot;       /* PP_NO_SLOT: none */
    uint32_t pins;       /* who needs it even if it is given up: calls that wait, callbacks, tasks that take its
                            result */
    struct pp_ties *ties; /* callbacks, and what it comes after or before; NULL: none, or done and told */
    size_t out_size;     /* bytes of the result, or of the room for it */
    void *result;        /* where it lies: `small`, the work heap, or after the pool's end malloc'ed memory */
    struct pp_task task;
    uint64_t index; /* what task_index() is in the task */
    struct pp_job *job;
    struct pool_failure *failure; /* NULL: none, or there was no memory for it */
    struct pp_observer *observers;     /* who wants to know of its end; see watch.h */
    /* In the queue; among those held; the free list; on the stack of those freed, which needs no lock. */
    struct future *next, *prev;
    _Alignas(16) unsigned char small[PP_INLINE_OUT]; /* a small argument while it waits; a small result when it is
                                                        done */
};

struct pp_slot {
    struct future *future; /* NULL: free */
    uint32_t generation;
    bool doubted;      /* pp_state_doubt() */
    uint8_t suspected; /* the audit that first found what is to be found twice; 0: none did */
    uint16_t losses;   /* times that the task was lost; see audit.c */
};

struct pp_block; /* of futures */
struct pp_backend;
struct crew; /* the backend's own, where it needs one */

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* somebody who waited in poll() has come back; at the pool's end, the last of `outside` */

    /* Constant. */
    struct pp_shared shared;
    struct pool_options options;
    const struct pp_backend *backend;
    struct crew *crew;
    bool in_here, driven; /* tasks run in the program's process; by its own calls: struct pp_backend */
    uint64_t made; /* ns */
    bool elastic; /* some of its workers may not be running: lazy, or with an idle time-out */
    uint32_t *mark; /* a page that forks do not inherit; NULL: the system has no such pages */
    pid_t owner;
    pid_t supervisor; /* 0: there is none any more */

    int task_pipe, task_pipe_end; /* write end, read end */
    int bell, bell_end; /* read end, write end */
    int command_socket;
    int lifeline;   /* readable once the supervisor has gone; `command_socket`, where the system has nothing better */
    int event_fd;   /* what pool_fd() returned; -1: nobody asked */
    bool bell_rung; /* by pp_rearm(), and not read since */

    struct pp_callback *callbacks, **callbacks_end; /* to be run, in this order; see ties.h */
    bool calling;                                   /* some thread runs them */
    size_t watched;                                 /* futures with callbacks that are not done */
    struct future *held;                            /* tasks that wait for others, the youngest first; see ties.h */
    struct future *settled, **settled_end;          /* done, and their dependents not told yet */
    bool settling;

    /* Arguments and job plans, which workers may only read; results; the program's own data; and what jobs need to run.
     * All but the last share arena_left: what does not fit in the arena is refused, wherever it would lie. */
    struct pp_heap inputs, results, arena, work;
    size_t arena_left;
    _Atomic bool no_huge_pages; /* the system has refused one */
    bool no_fetching;           /* workers have ended of it; see fetch.h */
    unsigned lost_fetching;     /* that died while they fetched, ever */
    struct pp_slot *slots; /* [PP_SLOTS] */
    uint32_t *free_slots, free_slot_count; /* a stack; slots never used yet are not on it */
    uint32_t fresh_slot;                   /* the first that was never used */
    struct pp_queue queue;
    int ring_priority;  /* of the last ticket in the ring */
    uint64_t done_heads[PP_WORKERS]; /* entries of each worker's done ring that were read */
    uint32_t workers, wanted; /* as in struct pp_control */
    bool retiring;            /* its workers were asked to end */
    uint32_t starts_sent;     /* workers asked for; see size.h */
    struct pp_wakes wakes;
    int32_t shortest_timeout; /* see timer.h */

    struct pp_report *reports;   /* jobs with a callback that are not done; see progress.h */
    size_t reports_ended;        /* of those, all of whose items are done */
    struct pp_job *jobs;         /* on the board */
    struct pp_job *placed[PP_JOB_TABLE]; /* whose place on the board it is, until it ends: between passes it is empty */
    struct pp_job *waiting_jobs, **waiting_jobs_end; /* for a place on it */

    /* See handles.h. Futures that are no handles; those that are counted still, though given back; and of these the
     * stack onto which they are given back without the lock: release by who does so, acquire by who takes all. */
    struct future *free_futures, *reusable;
    struct future *_Atomic freed;
    struct pp_block *blocks;
    size_t open;      /* futures that are not done */
    size_t open_jobs; /* of those, jobs */
    size_t given_up;  /* futures that are not done and have no handle */
    size_t references; /* see handles.h */
    size_t finished;  /* futures that became done, ever */
    size_t reported;  /* of those, what pool_poll() has told */
    uint64_t tasks_failed, jobs_finished;  /* for pool_stats(): of `finished` */
    uint64_t items_done, items_failed;     /* of jobs that are done */
    uint64_t died, retried;                /* workers; tasks and items */
    uint8_t audit; /* the number of the last; none has 0 */

    size_t streams_doomed; /* times stream_free() came while a call on the stream was in progress */

    bool closed;        /* shut down */
    bool ended;         /* its processes are gone */
    bool destroyed;     /* only futures are left, with their results in malloc'ed memory */
    int broken;         /* why it can do no more work, or 0 */
    struct pool_failure broken_failure;

    struct pp_backoff backoff;
    uint32_t sends; /* tickets since somebody last waited awake: at the second they come no longer one by one */
    bool somebody_polls; /* a thread waits in poll() for all */
    unsigned others_wait;
    unsigned outside; /* calls that are under way without the lock, and come back to use the pool */
    uint32_t wait_epoch;
};

static inline void pp_lock(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
}
/* A call goes on without the lock for a while: the pool's end waits for it to come back. */
static inline void pp_step_out(struct pool *pool) {
    pool->outside++;
    pthread_mutex_unlock(&pool->lock);
}
/* The lock is held again. */
static inline void pp_stepped_in(struct pool *pool) {
    if (--pool->outside == 0 && pool->ended) pthread_cond_broadcast(&pool->changed);
}
static inline void pp_step_in(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pp_stepped_in(pool);
}
/* Keeps the promise of pool_fd(), where it was made; in wait.c. */
void pp_rearm(struct pool *pool);
/* Runs what waits, where nobody else does; in pool.c. */
void pp_drive(struct pool *pool);
/* Runs the callbacks that wait, then unlocks; in handles.c. */
void pp_unlock_and_call(struct pool *pool);
/* Whether there are callbacks for this call to run. */
static inline bool pp_callbacks_wait(const struct pool *pool) {
    return pool->callbacks && !pool->calling;
}
/* The end of every call. Callbacks may end the pool: nothing of it may be touched afterwards but by who has a
 * handle. */
static inline void pp_unlock(struct pool *pool) {
    if (pool->driven) pp_drive(pool);
    if (pool->event_fd >= 0) pp_rearm(pool);
    if (pp_callbacks_wait(pool)) pp_unlock_and_call(pool);
    else pthread_mutex_unlock(&pool->lock);
}

/* ---- pool.c */

/* Whether this is another process than the pool's. Needs no lock. */
static inline bool pp_is_foreign(const struct pool *pool) {
    if (pool->mark ? *pool->mark == 0 : getpid() != pool->owner) return true;
    /* A task is a foreigner wherever it runs: what it waited for might never be begun. */
    return pool->in_here && pp_call_is_within(&pool->shared);
}
/* How many workers `workers` of the options means, or POOL_EINVAL. */
int pp_worker_count(int workers);
/* Cancels what has not begun and kills what runs. */
void pp_stop_all(struct pool *pool);
/* Why nothing can be submitted, or 0. */
static inline int pp_refusal(const struct pool *pool) {
    return pool->closed ? POOL_ECLOSED : pool->broken;
}
/* As pp_heap_alloc(), for what will all be used: large blocks, and small ones once they are many, are taken in huge
 * pages where there are such. */
void *pp_alloc_whole(struct pool *pool, struct pp_heap *heap, size_t size);

/* ---- callback.c */

/* Runs what waits; unlocks meanwhile. */
void pp_callbacks_run(struct pool *pool);
/* A future is done: its callbacks are to be run. */
void pp_callbacks_take(struct pool *pool, struct future *future);

/* ---- submit.c */

/* Makes a future for the task, with room for its result and for in_size bytes of argument at task.in, which the caller
 * fills in before it sends; the lock may be released meanwhile. 0, POOL_ENOMEM or why the pool refuses. */
int pp_task_new(struct pool *pool, const struct pool_task *task, uint64_t index, struct future **future);
int pp_task_send(struct pool *pool, struct future *future); /* 0 or POOL_ENOMEM: it was not sent */
/* Undoes pp_task_new() for what was not sent. */
void pp_task_drop(struct pool *pool, struct future *future);

/* Sends what waits as far as there is room: see queue.h. */
void pp_dispatch(struct pool *pool);
/* Sends a task on its way for the first time. 0 or POOL_ENOMEM. */
int pp_dispatch_new(struct pool *pool, struct future *future);
/* Queues a task whose worker died once more. */
void pp_submit_again(struct pool *pool, struct future *future);
/* Sends the ticket of a slot again, for one that may have been lost. */
void pp_ticket_again(struct pool *pool, uint32_t slot);

/* ---- wait.c */

/* What changes with all that somebody may wait for. */
static inline size_t pp_news(const struct pool *pool) {
    return pool->finished + pool->streams_doomed;
}
/* Until the future is done; with NULL until pp_news() is no longer `baseline`, or nothing is open. 0 or POOL_ETIMEDOUT.
 * Unlocks while it sleeps. deadline: ns of pp_now(); 0: only looks; UINT64_MAX: for ever. */
int pp_wait(struct pool *pool, struct future *future, size_t baseline, uint64_t deadline);
uint64_t pp_deadline(int timeout);
/* What was done is not a worker's doing, who would have rung the bell: other threads may sleep for it. */
void pp_wake_waiting(struct pool *pool);
/* The pool has ended: until calls of other threads that are in the middle of something have come back. */
void pp_await_others(struct pool *pool);
/* Something new is to be seen to when anything is done: whoever sleeps for one future is now woken for all. */
void pp_attend_all(struct pool *pool);
/* Whether the supervisor has gone by the deadline. Needs no lock. In pool.c. */
bool pp_supervisor_has_gone(const struct pool *pool, uint64_t deadline);
/* Without its supervisor no worker has anybody to end it but us, where the system does not. To be called as soon as the
 * supervisor is known to have gone: the numbers may soon be those of other processes. In pool.c. */
void pp_kill_orphans(struct pool *pool);
/* Breaks the pool if its supervisor has gone. */
void pp_check_supervisor(struct pool *pool);

#endif
