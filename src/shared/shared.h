/* The memory that caller, supervisor and workers share: one mapping, made before the first fork, at the same address in
 * all of them, with no name anywhere.
 *
 *     control  job_table  tickets  notices  descs  inputs  starts    workers may only read
 *     status  records  done  outcomes  messages  work  results  arena  everybody may write
 *
 * Invariant: what tells a worker what to do lies in the first half, which a worker that scribbles cannot reach; what
 * lies in the second half is untrusted, and caller and supervisor check every value that they read from it.
 * Called by: every file that touches shared memory; pp_shared_make() by the pool, pp_shared_protect() by workers. */
#ifndef PP_SHARED_H
#define PP_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cacheline.h"
#include "parpool.h"

#define PP_WORKERS 1024          /* most workers of a pool; a state word has room for 4096 */
#define PP_SLOTS 131072U         /* tasks in the workers' reach at a time; more wait in the caller's memory */
#define PP_TICKETS (2 * PP_SLOTS) /* ring entries: each slot once, and room for tickets sent again after a death */
#define PP_NOTICES 256U          /* deaths the supervisor may be ahead of the caller */
#define PP_JOB_TABLE 256U            /* jobs in the workers' reach at a time */
#define PP_DONE_RING 8192U       /* outcomes a worker may be ahead of the caller before the caller must search for
                                    them */
#define PP_INLINE_IN 16
#define PP_INLINE_OUT 48
#define PP_MESSAGE 256
#define PP_IS_JOB (-1)
#define PP_SIZE_ASIDE (UINT32_MAX >> 1)

#define PP_WAITS_ANY 0xffffffffU

/* Scalars that workers may only read. Writer: the caller, where not said otherwise. */
struct pp_control {
    /* Ring entries written so far. After the entry. For the supervisor; workers see by the entries. */
    _Alignas(PP_LINE) _Atomic uint64_t tail;
    uint64_t head_seen; /* the caller's own: a head that the ring has had, perhaps not the last; see ring.h */
    /* Whom the caller sleeps for: epoch << 32 | slot or PP_WAITS_ANY; 0: it does not. A worker rings the bell once an
     * epoch. */
    _Alignas(PP_LINE) _Atomic uint64_t waits;
    _Atomic uint32_t job_table_end;  /* entries of the board from here on are empty */
    _Atomic uint32_t workers;    /* one more than the highest number that a worker has had; see size.h */
    _Atomic uint32_t wanted;     /* how many the pool is to have: those of higher numbers retire; 0: all */
    _Atomic uint32_t wakes;      /* changed with each wake-up: what sleeping workers watch; see doze.h */
    _Atomic uint32_t ending;     /* workers that nobody can kill end once they find no work */
    _Atomic uint32_t caller_sleeps; /* 1 + the CPU where it went to sleep; 0: it does not, or not known; see spread.h */
    _Atomic uint32_t one_by_one; /* whether the caller waits for a task before it sends the next: then there is nothing
                                    to gather; see work_tasks.c */
    _Atomic uint32_t cpus;       /* that the pool may use, when its size was last set */
    /* Tasks and jobs with a time-out that are not done. Partner: timers_on, which the supervisor clears; see timer.h */
    _Alignas(PP_LINE) _Atomic uint64_t timed;
    _Atomic uint32_t timers_on;
    /* Notices written (supervisor) and read (caller); and whether the supervisor waits for room (both). */
    _Alignas(PP_LINE) _Atomic uint64_t notices_tail;
    _Atomic uint64_t notices_head;
    _Atomic uint32_t notices_full;
    /* Supervisor: places whose worker is started when there is work; workers asked for by PP_START and seen to. See
     * size.h */
    _Atomic uint32_t resting, starts_taken;
    _Atomic uint32_t readable;          /* supervisor: the caller's process, if its memory can be read from here; see
                                           fetch.h */
    _Atomic uint32_t pids[PP_WORKERS];  /* whoever starts workers, and each before it runs anything: its process; 0:
                                           none */
    _Atomic uint32_t lives[PP_WORKERS]; /* supervisor: how often it was started */
};

/* What one use of a slot is to do. Caller, before the slot's state says PENDING; stable until the use has ended. */
struct pp_desc {
    pool_fn *fn;
    const void *in; /* where the argument lies: `argument` below, the inputs heap, or the arena; a job: struct
                       pp_job_plan */
    void *out;      /* where the result goes: the outcome's `out`, the work heap; NULL: none */
    uint64_t seed;
    uint64_t index;
    int32_t timeout;   /* ms; 0: none; PP_IS_JOB: this is no task */
    struct pp_shape {           /* written as one: to change a part is to read the line, which is another CPU's */
        uint32_t has_extra : 1; /* `in` is a struct pp_extra, which has the argument */
        uint32_t out_size : 31; /* bytes; PP_SIZE_ASIDE: the size did not fit, and lies in `argument` */
    } shape;
    _Alignas(16) unsigned char argument[PP_INLINE_IN];
};
_Static_assert(sizeof(struct pp_desc) == PP_LINE, "a description is one line: it is what a worker fetches for a task");

/* What few tasks have beside their argument: a context, and the results of the tasks that they come after. In the
 * inputs heap; the caller writes it before the slot's state says PENDING. The results may lie where workers can
 * write. */
struct pp_extra {
    const void *in, *context;
    size_t count;
    struct pp_input {
        const void *data; /* NULL: it has none */
        size_t size;
    } inputs[];
};

/* What came of it. state: see state.h. The rest: the worker that runs it, before DONE. */
struct pp_outcome {
    _Atomic uint64_t state;
    int32_t code;
    union {
        int32_t pid;     /* code is not 0 */
        int32_t resized; /* code is 0: whether the slot's message begins with the result's size, a uint64_t */
    };
    _Alignas(16) unsigned char out[PP_INLINE_OUT];
};
_Static_assert(sizeof(struct pp_outcome) == PP_LINE,
               "an outcome is one line: it is what the caller fetches for a task");

/* How the life of a worker began. Writer: that worker, which may only read it once its initializer has succeeded:
 * whether a worker is to be started again must not be for tasks to say. Cleared for each life; see life.h */
struct pp_start {
    _Atomic uint32_t ready;    /* its initializer has succeeded */
    _Atomic int32_t init_code; /* what its initializer returned */
};

/* Scalars that workers write. */
struct pp_status {
    /* Ring entries taken so far. A worker's compare-and-swap takes; the caller's takes entries back. */
    _Alignas(PP_LINE) _Atomic uint64_t head;
    /* One bit a worker: it sleeps, or is about to. Set and cleared by the worker, cleared by the supervisor after its
     * death; see doze.h */
    _Alignas(PP_LINE) _Atomic uint64_t asleep[PP_WORKERS / 64];
    _Atomic uint64_t woken; /* workers: wake-ups taken, ever; the supervisor for those that died asleep */
    _Atomic uint64_t parkings; /* workers: how often one was about to sleep, ever */
    /* 1 + the CPU where the caller, and each worker, last looked around; 0: it sleeps, or not known. Writer: each its
     * own, and of the dead whoever learns of it; see spread.h */
    _Atomic uint32_t cpus[1 + PP_WORKERS];
};

struct pp_notice;
struct pp_record;

/* Where the parts are. Private to each process, all alike. */
struct pp_shared {
    char *base;
    size_t size, writable; /* bytes of all, and where what workers may write begins */
    struct pp_control *control;
    _Atomic uint64_t *job_table; /* tickets of jobs */
    _Atomic uint64_t *tickets; /* entries of the ring: see ring.h */
    struct pp_notice *notices; /* see notice.h */
    struct pp_desc *descs;
    char *inputs;
    size_t inputs_size;
    struct pp_start *starts;
    struct pp_status *status;
    struct pp_record *records; /* one a worker: see record.h */
    /* Tickets of what a worker has announced, its last PP_DONE_RING. Writer: that worker. Apart from the records, which
     * all workers read, so that those share few pages. */
    _Atomic uint64_t (*done)[PP_DONE_RING];
    struct pp_outcome *outcomes;
    char (*messages)[PP_MESSAGE];
    char *work;
    size_t work_size;
    char *results, *arena;
    size_t arena_size; /* of each of the two, and of inputs */
};

/* arena_size: bytes, 0 for a default. Returns 0, POOL_EINVAL (out of range), POOL_ENOMEM or POOL_EAGAIN. */
int pp_shared_make(struct pp_shared *shared, size_t arena_size);
void pp_shared_unmake(struct pp_shared *shared);
/* Takes away the right to write the first half but for `starts`; and to write those. In a worker. */
void pp_shared_protect(const struct pp_shared *shared);
void pp_shared_protect_starts(const struct pp_shared *shared);

#endif
