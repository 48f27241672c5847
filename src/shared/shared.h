/* The memory that caller, supervisor and workers share: without a name, made before the first fork, at the same address
 * in all processes.
 *
 *     first half, which workers may only read:  control  job_table  tickets  notices  descs  limits  inputs
 *                                               starts
 *     second half, which all may write:         status  records  last_words  done  outcomes  messages  carried  work
 *                                               results  arena  owners  extents
 *
 * Invariant: orders to workers lie in the first half, so a worker that scribbles cannot change them. Nothing in the
 * second half is trusted: caller and supervisor check every value that they read there. */
#ifndef PP_SHARED_H
#define PP_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/cacheline.h"
#include "parpool.h"
#include "shared/trace.h"

#define PP_WORKERS 1024           /* workers of a pool at most; a state word has room for 4096 */
#define PP_SLOTS 131072U          /* tasks that workers can reach at a time; more wait in the caller's memory */
#define PP_TICKETS (2 * PP_SLOTS) /* ring entries: one a slot, and room for tickets that are sent again after a death */
#define PP_NOTICES 256U           /* deaths that the supervisor may be ahead of the caller */
#define PP_JOB_TABLE 256U         /* jobs that workers can reach at a time */
/* Outcomes that a worker may be ahead of the caller, as a power of two; then the caller must search. FEW: where address
 * space is scarce. */
#define PP_DONE_BITS 13U
#define PP_DONE_BITS_FEW 10U
#define PP_INLINE_IN 16           /* bytes of an argument that fits in the description */
#define PP_INLINE_OUT 48          /* bytes of a result that fits in the outcome */
#define PP_RESULT_PAGE 4096       /* bytes of a result's room that is not generous: it will all be used */
#define PP_MESSAGE 256            /* bytes of a slot's message */
/* Bytes at most of a result in generous room that its worker puts into the slot's message, behind its size: so it
 * touches no page of its own. */
#define PP_SHORT_RESULT (PP_MESSAGE - sizeof(uint64_t))
#define PP_IS_JOB (-1)            /* as the time-out of a description: it is a job's */
#define PP_HAS_LIMITS (-2)        /* likewise: the task has a limit of CPU time, and `limits` has both */
#define PP_SIZE_ASIDE (UINT32_MAX >> 2) /* as the out_size of a description: see there */
#define PP_EXTENT_PAGE ((size_t)4096)   /* see extents.h */
#define PP_IN_SIZE_BITS 16              /* of a description's `item` */
#define PP_IN_SIZE_ASIDE 0xffffU        /* as the in_size of a description: see there */

#define PP_WAITS_ANY 0xffffffffU

/* Scalars that workers may only read. The caller writes a field where no other writer is named. */
struct pp_control {
    /* Number of ring entries ever written; written after the entry. For the supervisor: workers look at the entries. */
    _Alignas(PP_LINE) _Atomic uint64_t tail;
    uint64_t head_seen; /* the caller's own: the ring's head when it was last read; see ring.h */
    /* The slot whose outcome the caller sleeps for: epoch << 32 | slot or PP_WAITS_ANY; 0: it does not sleep. A worker
     * rings the bell once an epoch. */
    _Alignas(PP_LINE) _Atomic uint64_t waits;
    _Atomic uint32_t job_table_end; /* entries of the job table from here on are empty */
    _Atomic uint32_t workers;       /* one more than the highest number that a worker has had; see resize.h */
    _Atomic uint32_t wanted;        /* workers that the pool must have; those of this number and higher ones retire */
    _Atomic uint32_t wakes;         /* changes with each wake-up; sleeping workers watch it; see park.h */
    _Atomic uint32_t ending;        /* threads: workers end when they find no work */
    _Atomic uint32_t one_by_one;    /* whether the caller waits for a task before it sends the next, so that there is
                                       nothing to gather; see work_tasks.c */
    _Atomic uint32_t cpus;          /* CPUs that the pool may use, as of when its size was last set */
    /* Number of tasks and jobs with a time-out that are not done. Its partner is timers_on, which the caller sets and
     * the supervisor clears; see timer.h. */
    _Alignas(PP_LINE) _Atomic uint64_t timed;
    _Atomic uint32_t timers_on;
    _Atomic uint32_t longest; /* the longest of their time-outs, ms, since the clock last started */
    /* Number of notices ever announced and written (by the supervisor) and read (by the caller). notices_full: the
     * supervisor waits for room; it sets the field, the caller clears it. See notice.h. */
    _Alignas(PP_LINE) _Atomic uint64_t notices_announced;
    _Atomic uint64_t notices_tail;
    _Atomic uint64_t notices_head;
    _Atomic uint32_t notices_full;
    /* Written by the supervisor: worker numbers that rest, workers ever asked for by PP_START, and numbers that get no
     * worker any more; see resize.h. */
    _Atomic uint32_t resting, starts_taken, given_up;
    /* Written by the supervisor: whether `pids` are of another pid namespace than the caller's. */
    _Atomic uint32_t elsewhere;
    /* Written by the supervisor: why workers are missing; 0: none is. See pp_shortage(). */
    _Atomic uint64_t shortage;
    /* Written by the supervisor: whether the machine is beyond a limit of the pool; see limit.h. */
    _Atomic uint32_t over_limit;
    _Atomic uint32_t closing; /* the pool is being shut down: what waits for a process must end */
    /* The process of each worker; 0: none. Written by the process that starts the worker, and by the worker before it
     * runs anything. */
    _Atomic uint32_t pids[PP_WORKERS];
    _Atomic uint32_t lives[PP_WORKERS]; /* number of lives begun, modulo 65536; see worker_life.h */
    _Atomic uint64_t caller_beat; /* grows while the caller is a node that runs; 0: it is none; see pulse.h */
};

/* A description: what to do for one use of a slot. The caller writes it before the slot's state says PENDING; it stays
 * as it is until the use has ended. */
struct pp_desc {
    pool_fn *fn;
    const void *in; /* the argument, in `argument` below, in the inputs heap or in the arena; of a job its struct
                       pp_job_plan */
    void *out;      /* room for the result, in the outcome's `out` or in the work heap; NULL: no result */
    uint64_t seed;
    /* index << PP_IN_SIZE_BITS | bytes of the argument. PP_IN_SIZE_ASIDE: the size does not fit here, and is the second
     * uint64_t of `argument`. */
    uint64_t item;
    int32_t timeout;            /* ms; 0: none; PP_IS_JOB: the slot is a job's; PP_HAS_LIMITS */
    union {
        struct pp_shape { /* written as one: to change one part would be to read the line, which a worker had */
            uint32_t has_extra : 1; /* `in` is a struct pp_extra, which has the argument */
            uint32_t fresh : 1;     /* a retry: only a worker that has run nothing yet may run it; see bequest.c */
            uint32_t out_size : 30; /* bytes; PP_SIZE_ASIDE: the size does not fit here, and is the first uint64_t
                                       of `argument` */
        } shape;
        /* The same. The caller writes it, and a worker that has not claimed the task reads it: its ticket may be stale,
         * and the caller may be describing the next use of the slot. */
        _Atomic uint32_t shape_word;
    };
    _Alignas(16) unsigned char argument[PP_INLINE_IN];
};
_Static_assert(sizeof(struct pp_shape) == sizeof(uint32_t), "a shape is stored as one word");
_Static_assert(sizeof(struct pp_desc) == PP_LINE, "a description is one line: it is what a worker fetches for a task");

static inline void pp_desc_set_shape(struct pp_desc *desc, struct pp_shape shape) {
    uint32_t word;
    memcpy(&word, &shape, sizeof word);
    atomic_store_explicit(&desc->shape_word, word, memory_order_relaxed); /* the state publishes it */
}

static inline uint64_t pp_desc_out_size(const struct pp_desc *desc) {
    uint64_t size = desc->shape.out_size;
    if (size == PP_SIZE_ASIDE) memcpy(&size, desc->argument, sizeof size);
    return size;
}

static inline bool pp_desc_has_any_size(const struct pp_desc *desc) {
    return desc->shape.out_size == PP_SIZE_ASIDE && pp_desc_out_size(desc) == POOL_ANY_SIZE;
}

/* By a worker that has not claimed the task: what it returns of a stale ticket means nothing. */
static inline bool pp_desc_is_fresh(const struct pp_desc *desc) {
    uint32_t word = atomic_load_explicit(&desc->shape_word, memory_order_relaxed);
    struct pp_shape shape;
    memcpy(&shape, &word, sizeof shape);
    return shape.fresh;
}

/* What few tasks have in addition to their argument: a context, and the results of the tasks that they come after. It
 * lies in the inputs heap; the caller writes it before the slot's state says PENDING. The results may lie where workers
 * can write. */
struct pp_extra {
    const void *in, *context;
    size_t context_size; /* 0: an address that is good in this program's processes alone */
    uint64_t context_serial; /* of a context that other tasks have, too; 0: it is the task's own */
    size_t count;
    struct pp_input {
        const void *data; /* NULL: that task has no result */
        size_t size;
    } inputs[];
};

/* The outcome of one use of a slot. The worker that runs the task writes all but `state` before the state says DONE. */
struct pp_outcome {
    _Atomic uint64_t state; /* see state.h, also for its writers */
    int32_t code;           /* what the task returned */
    union {
        int32_t pid;     /* if code is not 0: the worker's process */
        int32_t resized; /* if code is 0: whether the slot's message begins with the result's size, a uint64_t, and
                            goes on with the result if its room is generous and it fits */
    };
    _Alignas(16) unsigned char out[PP_INLINE_OUT];
};
_Static_assert(sizeof(struct pp_outcome) == PP_LINE,
               "an outcome is one line: it is what the caller fetches for a task");

/* How the life of a worker began. Only that worker writes it, and only until its initializer has succeeded: a task must
 * not decide whether a worker is started again. Cleared when a life begins; see worker_life.h. */
struct pp_start {
    _Atomic uint32_t ready;    /* its initializer has succeeded */
    _Atomic uint64_t began;    /* ns when that was started; 0: it was not, or there is none */
    _Atomic uint64_t took;     /* ns that it took when it last succeeded in this number; it stays for the next life */
    _Atomic int32_t init_code; /* what its initializer returned */
    _Atomic int32_t sandbox_code; /* errno: why the worker could not enter its sandbox; 0: it did, or needs none */
};

/* Scalars that workers write. */
struct pp_status {
    /* Number of ring entries ever taken: by compare-and-swap, by workers, and by the caller that takes tickets back. */
    _Alignas(PP_LINE) _Atomic uint64_t head;
    /* One bit a worker: it sleeps, or will. The worker sets and clears it; the supervisor clears it after the worker's
     * death. See park.h. */
    _Alignas(PP_LINE) _Atomic uint64_t asleep[PP_WORKERS / 64];
    _Atomic uint64_t woken;    /* wake-ups ever taken; the supervisor counts for a worker that died asleep */
    _Atomic uint64_t parkings; /* how often a worker ever announced that it will sleep */
    /* For each entry of the job table: ticket of the last job of which a worker found nothing left to claim. Written
     * by that worker while it is in the job; see pp_leave_job(). */
    _Alignas(PP_LINE) _Atomic uint64_t used_up[PP_JOB_TABLE];
    _Atomic uint64_t thefts;   /* how often a worker ever was about to take from another; see stretch.h */
    /* 1 + the CPU where the caller [0] and each worker [1 + number] last waited awake; 0: it sleeps, or the CPU is
     * unknown. Each writes its own; the supervisor clears that of a dead worker. See placement.h. */
    _Atomic uint32_t cpus[1 + PP_WORKERS];
};

struct pp_carried;
struct pp_last_words;
struct pp_notice;
struct pp_record;

/* To which task each page of the part `extents` belongs. Written by workers and the caller; see extents.h. */
struct pp_owners {
    _Alignas(PP_LINE) _Atomic uint32_t hint; /* pages below are mostly taken */
    _Atomic uint32_t end;                    /* pages from here on were never taken */
    _Atomic uint32_t of[];
};

/* Where the parts lie. Private to each process, and the same in all. */
struct pp_shared {
    char *base;
    size_t size, writable; /* bytes of all, and of the first half */
    int reader;            /* a descriptor by which the first half can be read; -1: none */
    struct pp_start *starts_to_write; /* for the worker's initializer: a second mapping, where `starts` is read-only */
    struct pp_control *control;
    _Atomic uint64_t *job_table; /* tickets of jobs */
    _Atomic uint64_t *tickets;   /* entries of the ring; see ring.h */
    struct pp_notice *notices;   /* see notice.h */
    struct pp_desc *descs;
    struct pp_limits {
        int32_t timeout, cpu_timeout; /* ms; 0: none */
    } *limits; /* of the slots' tasks; written with the description, where it says PP_HAS_LIMITS */
    char *inputs;
    size_t inputs_size;
    struct pp_start *starts;
    struct pp_status *status;
    struct pp_record *records; /* one a worker; see record.h */
    struct pp_last_words *last_words; /* likewise; see last_words.h */
    /* The last tickets whose outcomes each worker has announced, 1 << done_bits of them. Written by that worker. Not in
     * the records, which all workers read, so that those lie on few pages. */
    _Atomic uint64_t *done;
    unsigned done_bits;
    struct pp_outcome *outcomes;
    char (*messages)[PP_MESSAGE];
    struct pp_carried *carried; /* see carried.h */
    uint32_t hosts;             /* that the pool has beside this one; 0: `carried` has no bytes */
    char *work;
    size_t work_size;
    char *results, *arena;
    size_t arena_size; /* of each of the two, and of inputs */
    struct pp_owners *owners;
    char *extents;
    size_t extents_size;
    struct pp_trace trace; /* in a mapping of its own */
};

/* Read what a worker writes and is no atomic, exactly once: what is then looked at is the same as what is then used,
 * whatever the worker does meanwhile. */
static inline int32_t pp_read_code(const int32_t *code) {
    return *(const volatile int32_t *)code;
}
static inline size_t pp_read_size(const size_t *size) {
    return *(const volatile size_t *)size;
}
static inline uint64_t pp_read_word(const void *word) {
    return *(const volatile uint64_t *)word;
}

/* Where the worker announces its outcome of that number. */
static inline _Atomic uint64_t *pp_done_entry(const struct pp_shared *shared, uint32_t worker, uint64_t number) {
    return &shared->done[((size_t)worker << shared->done_bits) + (number & (((uint64_t)1 << shared->done_bits) - 1))];
}

/* Maps the memory. arena_size: bytes; 0: a default. hosts: that the pool has. Returns 0, POOL_EINVAL (out of range),
 * POOL_ENOMEM or POOL_EAGAIN. */
int pp_shared_make(struct pp_shared *shared, size_t arena_size, uint32_t hosts);
/* The same with a small default, for workers that are not trusted: no limit of the system counts shared memory. */
int pp_shared_make_small(struct pp_shared *shared, size_t arena_size, uint32_t hosts);
void pp_shared_unmake(struct pp_shared *shared);
/* Before anything is written there: makes the first half a mapping that workers can give up for one that they can never
 * write again. Where the system has no such mappings the half is only protected, which a worker that means to can undo.
 * Returns 0, POOL_ENOMEM or POOL_EAGAIN. */
int pp_shared_divide(struct pp_shared *shared);
/* Worker: gives up the right to write the first half except by starts_to_write; by that as well. Return false if there
 * is no memory: then the worker must end. */
bool pp_shared_protect(struct pp_shared *shared);
bool pp_shared_protect_starts(struct pp_shared *shared);

#endif
