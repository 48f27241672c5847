/* A job as workers see it: what to run over which items, how items are claimed, and what is known of those that are
 * done.
 *
 * The items of a pass are its positions 0 … count - 1; the first pass runs them all, a later one those that deaths left
 * over, listed in `index`. Positions are claimed in blocks. The blocks are cut into stripes, and these dealt to regions
 * in turn, about one region for each worker, more where they would be too large to be counted. Each region has a
 * cursor: a worker takes its own region from the front, and when that is used up helps in the others from the back. So
 * in one map after another it meets the same pages, which the kernel has to map for it but once, and all workers
 * together begin items in about their order: a long one hardly later than if whoever is free took the next.
 *
 * A claim is a compare-and-swap of the cursor, which holds both ends of what is left. How large: from one block at
 * first, doubled and redoubled until a chunk takes PP_CHUNK_NS by the worker's own clock, and never more than a share
 * of what is left.
 * A chunk's blocks are marked when it is finished. A block without a mark when all cursors have run out and nobody is
 * in the job was lost with a worker that died between its claim and its record: it is run in the next pass.
 *
 * Invariant: what is left of a region only shrinks within one generation of the job's slot, so no position is claimed
 * twice.
 * Called by: worker (claim, mark), pass (make, look). */
#ifndef PP_PLAN_H
#define PP_PLAN_H

#include <sys/types.h>

#include "shared/shared.h"

enum { PP_UNMARKED = 0, PP_MARK_DONE = 0xa5, PP_MARK_ERRORS = 0x5a }; /* FLAWED: done, and some of its items have
                                                                           failed */

/* generation 16 bits | last 24 bits | next 24 bits: of the region's blocks, counted within it, those from next to last
 * are left. Workers swap it; the caller may leave nothing. */
struct pp_cursor {
    _Alignas(PP_LINE) _Atomic uint64_t word;
};

/* Lies in the inputs heap, where workers cannot write. Stable while the slot's generation is `generation`. */
struct pp_job_plan {
    pool_fn *fn;
    const char *in;
    _Atomic(const char *) copy; /* not NULL: instead of `in`, which could not be fetched. Caller */
    size_t in_size;
    char *out; /* NULL: every worker writes its results to its own part of `scratch`, which has scratch_parts */
    size_t out_size;
    char *scratch;
    size_t scratch_size;   /* bytes between one worker's part and the next's */
    uint32_t scratch_parts;
    const uint64_t *index; /* the item at each position; NULL: the position is the item */
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
    pid_t in_process; /* whose memory `in` is in; 0: in what workers see; see fetch.h */
    const void *context;
    int32_t timeout; /* ms; 0: none */
    _Atomic uint32_t stop; /* begin no further stay or, where each has its own swap, item. Caller */
    uint64_t seed;
    struct pp_cursor *cursors;    /* [regions] */
    _Atomic unsigned char *marks; /* [blocks] */
    _Atomic int32_t *codes;       /* [count] what items returned; only in chunks with a flaw does it hold anything */
    struct pp_item_errors *errors;       /* what failed items have said; see item_errors.h */
    uint32_t errors_room;
};

/* Positions [begin, end) of blocks [first, last). */
struct pp_chunk {
    uint64_t first, last, begin, end;
};

/* A worker's idea of how much to claim at a time, and how often to look at the clock. */
struct pp_pace {
    uint64_t blocks;   /* of the next claim; 0: none yet */
    uint64_t began;    /* ns when the clock was last looked at */
    uint64_t finished; /* blocks since then */
    unsigned unmeasured, unmeasured_most; /* chunks since then, and how many there may be without a look */
    uint64_t ticked;   /* the system's last tick that was told */
};

#define PP_CHUNK_NS 200000U
/* To look at the clock takes as long as half a chunk that is one short item (bench_limits, "items-chunk1"). So several
 * of them share a look if together they have taken no longer than this, and no tick of the system's passes. */
#define PP_SHORT_NS 2000U
#define PP_UNMEASURED_MOST 7U

/* Caller: deals the plan's blocks to regions, for so many workers. */
void pp_plan_deal(struct pp_job_plan *plan, uint32_t workers);

/* Claims the next chunk for worker, at most `most` positions unless a single block is more. False: nothing is left. */
bool pp_plan_claim(const struct pp_job_plan *plan, uint32_t worker, struct pp_pace *pace, uint64_t most,
                   struct pp_chunk *chunk);
/* The chunk is finished. tick: the system's last. True: now the clock is to be looked at. */
bool pp_pace_is_due(struct pp_pace *pace, const struct pp_chunk *chunk, uint64_t tick);
/* Whether chunks were finished since the last look. */
bool pp_pace_is_behind(const struct pp_pace *pace);
/* Tells the pace what the clock says. */
void pp_pace_measure(struct pp_pace *pace, uint64_t now);
void pp_plan_mark(const struct pp_job_plan *plan, uint64_t first, uint64_t last, bool flawed);

/* Caller: how many positions the marks tell of as done, and how many of those as failed. */
void pp_plan_count(const struct pp_job_plan *plan, uint64_t *done, uint64_t *failed);

/* Whether nothing is left to claim. */
bool pp_plan_is_used_up(const struct pp_job_plan *plan);
/* Caller: leaves nothing to claim. */
void pp_plan_use_up(const struct pp_job_plan *plan);
/* Caller: puts the cursors of a new pass at their beginnings. */
void pp_plan_begin(const struct pp_job_plan *plan);

#endif
