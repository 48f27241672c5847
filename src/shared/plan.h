/* A job as workers see it: what to run over which items, how items are claimed, and which of them are finished.
 *
 * A job is run in rounds. The items of a round are its positions 0 … count - 1: in the first round all items, in a
 * later one those that deaths left over, listed in `index`. Positions are claimed in blocks. The blocks are cut into
 * stripes, and these are dealt to regions in turn: about one region for each worker, more where a region would have too
 * many blocks to be counted. Each region has a cursor. A worker takes its own region from the front, and when that is
 * used up helps in the others from the back. So a worker meets the same pages in map after map, which the kernel has to
 * map for it only once; and all workers together start the items in about their order, so that a long item starts
 * hardly later than if each worker took the next item.
 *
 * A claim is a compare-and-swap of the cursor, which holds both ends of the blocks that are left. The first claim is of
 * one block. The size of claims then doubles until a chunk takes PP_CHUNK_NS by the worker's own clock, and is never
 * more than a share of what is left.
 *
 * A worker marks a chunk's blocks when it has finished the chunk. If all cursors have run out and no worker is in the
 * job, a block without a mark was lost with a worker that died between its claim and its record: the next round runs
 * it.
 *
 * Invariant: within one generation of the job's slot a region only shrinks, so no position is claimed twice. */
#ifndef PP_PLAN_H
#define PP_PLAN_H

#include "shared/shared.h"

/* PP_MARK_ERRORS: finished, and some of the block's items have failed. PP_MARK_PIECES: see pieces.h. */
enum { PP_UNMARKED = 0, PP_MARK_DONE = 0xa5, PP_MARK_ERRORS = 0x5a, PP_MARK_PIECES = 0x3c };

/* generation 16 bits | last 24 bits | next 24 bits. The region's blocks are counted within it; those in [next, last)
 * are left. Workers swap the word to claim; the caller stores it to begin a round, or to leave nothing. */
struct pp_cursor {
    _Alignas(PP_LINE) _Atomic uint64_t word;
};

/* Lies in the inputs heap, where workers cannot write. The caller writes it before the slot's state says PENDING; it
 * stays as it is while the slot's generation is `generation`, save for `stop`. */
struct pp_job_plan {
    pool_fn *fn;
    pool_block_fn *block_fn; /* instead of fn */
    uint64_t call_most;      /* items that a call of it has at most */
    unsigned calls_each;     /* calls at least for the items that take PP_CHUNK_NS */
    const char *in;
    size_t in_size;
    char *out; /* NULL: each worker writes its results to its own part of `scratch`, which has scratch_parts */
    size_t out_size;
    size_t *sizes; /* by item: 1 + the bytes of its result; 0: out_size. NULL: not wanted. Written by the task */
    char *scratch;
    size_t scratch_size;   /* bytes between one worker's part and the next's: room for call_most results */
    uint32_t scratch_parts;
    const uint64_t *index; /* the item at each position; NULL: the position is the item */
    const uint64_t *names; /* what task_index() is in each item; NULL: */
    uint64_t first_name;   /* what it is in item 0; then the item's number is added */
    uint64_t count;        /* positions */
    uint64_t block;        /* positions a block */
    uint64_t blocks;
    uint64_t chunk_blocks; /* blocks a claim takes; 0: measured */
    unsigned stripe_bits;  /* a stripe has 1 << stripe_bits blocks; stripe s belongs to region s modulo `regions` */
    uint32_t regions;
    uint64_t stripes_each; /* of every region */
    uint32_t one_more;     /* of the first so many regions */
    uint64_t short_of;     /* blocks that the last stripe has fewer */
    uint32_t generation;
    const void *context;
    size_t context_size; /* 0: an address that is good in this program's processes alone */
    int32_t timeout, cpu_timeout; /* ms; 0: none */
    bool fresh;      /* retries: a worker that has run nothing yet runs one of them, as its first; see bequest.c */
    _Atomic uint32_t stop; /* workers must begin no further visit or item. Caller; see pp_job_must_stop() */
    uint64_t seed;
    struct pp_cursor *cursors;    /* [regions] */
    _Atomic unsigned char *marks; /* [blocks] */
    struct pp_pieces *pieces;     /* NULL: blocks are not cut */
    uint32_t pieces_room;
    /* [count] 0: the item has not failed; 1: it has; else: not in a worker of this host, see carried.h. Valid where a
     * mark or piece tells of errors. */
    _Atomic unsigned char *failed;
    _Atomic int32_t *codes;        /* [count] what those that have failed returned; NULL: `errors` suffices */
    struct pp_item_errors *errors; /* codes and messages of failed items; see item_errors.h */
    uint32_t errors_room;
};

/* The function of the job, to be named or compared, whichever of the two it is. */
static inline pool_fn *pp_plan_function(const struct pp_job_plan *plan) {
    return plan->fn ? plan->fn : (pool_fn *)(uintptr_t)plan->block_fn;
}

/* Positions [begin, end), which lie in blocks [first, last). */
struct pp_chunk {
    uint64_t first, last, begin, end;
};

/* Seals the end of a chunk, or unseals it. The record of a dead worker says which items of its chunk are finished, so
 * no other words may pass for a chunk: if a task has overwritten the beginning, the end or the job in the record, the
 * end that is unsealed lies in no plan. */
static inline uint64_t pp_plan_seal(const struct pp_job_plan *plan, uint64_t begin, uint64_t end) {
    uint64_t use = (uint64_t)(uintptr_t)plan ^ (uint64_t)plan->generation << 32;
    return end ^ (begin + 1) * 0x9e3779b97f4a7c15U ^ use * 0xd6e8feb86659fd93U;
}

/* A worker's idea of how much to claim at a time, and how often to look at the clock. */
struct pp_pace {
    uint64_t items;    /* that take PP_CHUNK_NS, by the last look; 0: none yet */
    uint64_t began;    /* ns when the clock was last looked at */
    uint64_t finished; /* items since then */
    unsigned unmeasured, unmeasured_most; /* chunks since then, and how many there may be without a look */
    uint64_t ticked;   /* the system's last tick that was told */
};

#define PP_CHUNK_NS 200000U
/* A look at the clock takes as long as half a chunk of one short item (bench_limits, "items-chunk1"). So several such
 * chunks share a look if together they have taken no longer than this, and the system's clock has not ticked. */
#define PP_SHORT_NS 2000U
#define PP_UNMEASURED_MOST 7U

/* Copies the plan of the job at this index of the job table, for processes that are not in the job. Returns the job's
 * ticket; 0: there is none, or the caller has just ended it. What the plan points to stays mapped, but is the plan's
 * only while the table has the ticket. */
uint64_t pp_plan_copy(const struct pp_shared *shared, uint32_t index, struct pp_job_plan *plan);

/* Caller: deals the plan's blocks to regions, for so many workers. */
void pp_plan_deal(struct pp_job_plan *plan, uint32_t workers);

/* Claims the next chunk for this worker: at most `most` positions, unless a single block is more. Reads pace->items.
 * Returns false if nothing is left. */
bool pp_plan_claim(const struct pp_job_plan *plan, uint32_t worker, struct pp_pace *pace, uint64_t most,
                   struct pp_chunk *chunk);
/* So many items are finished. */
static inline void pp_pace_add(struct pp_pace *pace, uint64_t items) {
    pace->finished += items;
}
/* A chunk, or a call of several items, is finished. tick: the system's last. Returns whether the clock is to be looked
 * at now. */
bool pp_pace_is_due(struct pp_pace *pace, uint64_t tick);
/* Whether chunks were finished since the last look at the clock. */
bool pp_pace_is_behind(const struct pp_pace *pace);
/* Tells the pace what the clock says. */
void pp_pace_measure(struct pp_pace *pace, uint64_t now);
/* Marks the blocks [first, last) as finished. has_errors: some of their items have failed. */
void pp_plan_mark(const struct pp_job_plan *plan, uint64_t first, uint64_t last, bool has_errors);
/* The same of the chunk, which may begin or end within a block. */
void pp_plan_finish(const struct pp_job_plan *plan, const struct pp_chunk *chunk, bool has_errors);
/* Whether the chunk is marked as finished, unless its marks were overwritten. */
bool pp_plan_is_finished(const struct pp_job_plan *plan, const struct pp_chunk *chunk);

/* Whether the item at this position has failed, where the block's mark is PP_MARK_ERRORS. */
static inline bool pp_plan_has_failed(const struct pp_job_plan *plan, uint64_t position) {
    return atomic_load_explicit(&plan->failed[position], memory_order_relaxed) != 0;
}

/* Caller: how many positions are finished according to the marks, and how many of those have failed. */
void pp_plan_count(const struct pp_job_plan *plan, uint64_t *done, uint64_t *failed);

/* How many blocks are left to claim. */
uint64_t pp_plan_left(const struct pp_job_plan *plan);
/* Whether nothing is left to claim. */
bool pp_plan_is_used_up(const struct pp_job_plan *plan);
/* Caller: leaves nothing to claim. */
void pp_plan_use_up(const struct pp_job_plan *plan);
/* Caller, when no worker lives: takes the blocks that are left, one after another. Returns false if there are no more.
 * rest: kept between calls; 0 at first. Each cursor is read once, since what a task has started may live on and set it
 * back. */
struct pp_rest {
    uint32_t regions; /* that were looked at */
    uint64_t next, last; /* what is left of the last of them */
};
bool pp_plan_take_rest(const struct pp_job_plan *plan, struct pp_rest *rest, struct pp_chunk *chunk);
/* Caller: puts the cursors of a new round at their beginnings. */
void pp_plan_begin(const struct pp_job_plan *plan);

#endif
