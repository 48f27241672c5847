/* What a pool is in the process that made it.
 *
 * A task's way: pool_submit() makes a future; dispatch gives it a slot and a ticket in the ring, or lets it wait in the
 * queue; a worker runs it; collect finds it done, moves its result into the future, and frees the slot.
 * A job's way: pool_map_async() makes a future and a struct pp_job; the job gets a slot and an entry in the job table;
 * workers claim its items; when nothing is left to claim and no worker is in it, the round is settled, and the job ends
 * or has another round.
 *
 * Invariant: everything is read and written under the pool's lock, save what is said to be atomic or constant. The lock
 * is never held across a wait or a callback. The pool's own memory is the truth; shared memory is only evidence. */
#ifndef PP_POOL_H
#define PP_POOL_H

#include <pthread.h>

#include "base/backoff.h"
#include "base/list.h"
#include "parpool.h"
#include "pool/future.h"
#include "pool/heap.h"
#include "pool/queue.h"
#include "shared/park.h"
#include "shared/plan.h"
#include "shared/shared.h"
#include "shared/state.h"

struct pp_job;
struct pp_report;
struct pp_withheld;

struct pp_slot {
    struct future *future; /* NULL: free */
    uint32_t generation;
    uint8_t seen; /* the last look that found the slot's ticket; see integrity.c */
};

/* See slots.h. */
struct pp_slots {
    struct pp_slot *table;      /* [PP_SLOTS] */
    uint32_t *free, free_count; /* a stack of slots that were used before */
    uint32_t fresh;             /* the first that was never used */
};

/* Jobs that are not done; see job.h. */
struct pp_jobs {
    struct pp_list active;              /* struct pp_job, in the job table */
    struct pp_list waiting;             /* struct pp_job, for an entry of the job table */
    struct pp_job *table[PP_JOB_TABLE]; /* the job that has the entry, until it ends: between rounds the entry is 0 */
    struct pp_list reports;             /* struct pp_report; see progress.h */
    size_t reports_ended;               /* of those, reports of jobs whose items are all done */
};

/* Looks at shared memory; see integrity.h. */
struct pp_looks {
    uint8_t number;                /* of the last look; never 0 afterwards */
    uint64_t strays_at;            /* when strays were last looked for, ns */
    bool was_over_limit;           /* whether the machine was beyond one of the pool's limits then: limit.h */
    bool over_limit;               /* the same, or at the look before */
    uint64_t completed;            /* the most that was completed at a look */
    uint32_t strays[PP_WORKERS];   /* the trace of each worker that was one then; 0: it was none */
    uint8_t in_vain[PP_WORKERS];   /* looks that have found it one, since something was completed */
    struct pp_ending {
        uint64_t since; /* ns; when the worker's finalizer was first seen to keep work waiting */
        uint32_t life;  /* in this life of it */
    } endings[PP_WORKERS];
    uint64_t due;                  /* ns; when a program that never waits has the next look: wait.c */
    uint64_t pause;                /* ns, before that */
    uint32_t calls_in_vain;        /* since the last look; see vain.h */
    uint32_t sum_in_vain;          /* at looks since something was completed, less some at each */
    uint64_t had;                  /* what was completed at the last look */
    uint64_t news;                 /* futures done and deaths when the first of them came */
};

/* The reset; see reset.h. */
struct pp_reset {
    bool under_way;
    unsigned in_vain;   /* resets since anything was completed */
    uint64_t completed; /* what was completed when the last reset ended */
};

/* Workers that were killed and that the kernel does not end; see corpse.h. */
struct pp_pool_corpses {
    size_t count;
    uint32_t slots; /* that are withheld */
    struct pp_withheld *withheld;
};

struct pp_backend;
struct pp_block;
struct pp_carrier_setup;

/* Heaps in shared memory. All but `work` share arena_left: what does not fit in the arena is refused, wherever it would
 * lie; only a task with generous room for its result waits for it, see dispatch.h. */
struct pp_memory {
    struct pp_heap inputs;  /* arguments and plans of jobs, which workers may only read */
    struct pp_heap results;
    struct pp_heap arena;   /* the program's own data */
    struct pp_heap work;    /* what jobs need to run */
    size_t arena_left;
    bool holds_back; /* some of it that is free; see pp_memory_settle() */
    bool has_generous; /* a task had generous room for its result */
    _Atomic bool no_huge_pages; /* the system has refused one */
};

/* Descriptors; -1: not open. */
struct pp_fds {
    int task_pipe, task_pipe_end; /* write end, read end */
    int bell, bell_end;           /* read end, write end */
    int command_pipe, command_pipe_end; /* write end, read end */
    int lifeline; /* readable once the supervisor has gone: a pidfd, or a pipe whose other end only it should have */
    bool lifeline_is_pipe;
    int event;    /* what pool_fd() returned */
};

/* Futures that are not in use; see future_alloc.h. */
struct pp_future_memory {
    struct future *free;     /* a stack of futures that are no references */
    struct future *reusable; /* a stack of futures that were given back, and still are references */
    /* The stack onto which futures are given back without the lock. The thread that gives one back releases it, the
     * thread that takes all acquires it. */
    struct future *_Atomic freed;
    struct pp_block *blocks; /* all memory of futures */
};

/* What a call has to do before it returns; see call.h. */
enum pp_due {
    PP_DUE_RELATIONS = 1, /* futures are done, and their dependents and callbacks are still to be told */
    PP_DUE_LOOK = 2,      /* a thread sleeps for one outcome, and from now on every outcome matters */
    PP_DUE_CALLBACKS = 4, /* there are callbacks to be run */
    PP_DUE_BELL = 8,      /* always, once pool_fd() was called */
    PP_DUE_DRIVE = 16,    /* always, while tasks run in the program's own calls; while threads are refused */
    PP_DUE_HOSTS = 32     /* always, if the program is to be told of its hosts */
};

/* Threads that wait for outcomes; see wait.h. */
struct pp_waiting {
    struct pp_backoff backoff;
    bool somebody_polls;    /* a thread sleeps in poll(), for all */
    unsigned others_wait;   /* threads that sleep until it comes back */
    uint32_t epoch;         /* of the last wish; see bell.h */
    bool bell_rung;         /* by pp_bell_ring(), and not silenced since */
    _Atomic int32_t own_rings; /* by this process, and not silenced yet; below 0 for one that a full pipe refused */
    uint64_t look_after_at; /* ns; when losses are to be made up for next: wait.c */
};

/* What event loops of the program are told of; see poll.c. */
struct pp_events {
    size_t reported;     /* of the futures that became done, what pool_poll() has returned */
    size_t uncalled;     /* of those that it has not, futures whose callbacks have not all run */
    size_t expected;     /* tasks with `notify` that are not done */
    struct pp_list done; /* struct future: those that are done, in this order; see events.h */
    bool woken;          /* pool_wake() is to end a call */
    size_t wakes;        /* of pool_wake(), ends of a future's callbacks, frees of the last with `notify` */
};

/* Counts for pool_stats(). */
struct pp_totals {
    uint64_t tasks_failed, jobs_finished; /* of the futures that are done */
    uint64_t items_done, items_failed;    /* of jobs that are done */
    uint64_t died, retried;               /* workers; tasks and items */
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a thread has come back from poll(), or, as the pool ends, the last of `outside` */
    unsigned outside;       /* calls that have stepped out; see lock.h */

    unsigned due; /* bits of enum pp_due; 0 for most calls */
    size_t interests; /* in outcomes that no thread may wait for; see interest.h */
    struct pp_list callbacks; /* struct pp_callback, to be run in this order; see callback.h */
    bool calling;             /* a thread runs them */
    struct pp_list held;      /* struct future: tasks that wait for others, the youngest first; see graph.h */
    struct pp_list settling;  /* struct pp_relations of futures that are done, and whose dependents are to be told */
    struct pp_waiting waiting;

    /* Constant. */
    struct pp_shared shared;
    struct pool_options options;
    const struct pp_backend *backend;
    void *backend_state; /* the backend's own */
    bool in_here;        /* tasks run in the program's process: struct pp_backend */
    bool elastic;        /* some workers may not be running: lazy, or with an idle time-out */
    struct pp_carrier_setup *carrier; /* its hosts, and how they are reached; NULL: the pool has none; see hosted.h */
    uint64_t made;       /* ns */
    uint32_t *mark;      /* a page that forks do not inherit; NULL: the system has no such pages */
    pid_t owner;

    struct pp_fds fds;
    struct pp_memory memory;

    /* Workers. */
    pid_t supervisor;                /* 0: it has gone */
    uint32_t workers, wanted;        /* as in struct pp_control: with the carrier, if there is one */
    bool retiring;                   /* all were asked to end */
    uint32_t starts_sent;            /* workers asked for; see resize.h */
    struct pp_wakes wakes;
    int32_t shortest_timeout;        /* see timer.h */
    unsigned untold;                 /* commands that have not reached the supervisor, by bits; see tell.h */
    uint64_t done_heads[PP_WORKERS]; /* entries of each worker's done ring that were read */
    uint32_t ended_lives[PP_WORKERS]; /* the last life of each worker whose notice was read */
    struct pp_looks looks;
    struct pp_reset reset;
    struct pp_pool_corpses corpses;
    uint64_t host_notices; /* that were read */
    bool has_refused;      /* a context, and stderr was told why */
    bool tells_hosts;      /* host_event runs */

    /* Slots and tickets. */
    struct pp_slots slots;
    struct pp_queue queue;
    struct pp_queue short_of_room; /* tasks that were next in turn, and found no room for their results */
    int ring_priority; /* of the last ticket in the ring */
    uint32_t sends;    /* tickets since a thread last waited awake: from the second on they do not come one by one */

    struct pp_jobs jobs;

    /* Futures. */
    struct pp_future_memory futures;
    size_t references;     /* what keeps the struct pool; see future_alloc.h */
    size_t open;           /* futures that are not done */
    size_t open_jobs;      /* of those, jobs */
    size_t finished;       /* futures that became done, ever */
    struct pp_events events;
    _Atomic bool interrupted; /* set by pool_interrupt(), in a signal handler; cleared by a call that obeys it */
    struct pp_totals totals;

    /* The end. */
    bool closed;    /* shut down */
    bool ending;    /* a call ends its workers */
    bool ended;     /* its workers are gone */
    bool destroyed; /* only futures are left, with their results in malloc'ed memory */
    int broken;     /* why it can do no more work, or 0 */
    struct pool_failure broken_failure;
};

#endif
