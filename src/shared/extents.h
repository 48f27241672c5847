/* Room for results whose size is known only at the end: tasks take it by themselves, with task_result().
 *
 * The part `extents` of shared memory is divided into pages, each with a word in `owners` that says to which it
 * belongs: to nothing, to one use of a slot, or to the caller. A worker takes neighbouring pages that belong to nothing
 * for the task that it runs, by a swap each. When the task has succeeded, the caller takes them over by a swap each,
 * and gives them back once the result is freed. What a worker leaves when it dies, the caller finds by the words: they
 * name a use of a slot that has ended.
 *
 * Invariant: a page changes its owner only by a swap from what it was, so two honest workers never have the same page.
 * Workers can write the words at any time, so they decide nothing but which bytes are a result: the caller checks that
 * these lie within `extents`, and knows by itself how many a result has. A task that scribbles may spoil results, or
 * waste pages until the pool ends, as it can with any result.
 * Memory order: a swap that takes a page acquires, and one that gives it back releases: what the last owner did with
 * the page, and that its memory went back to the system, comes first. */
#ifndef PP_EXTENTS_H
#define PP_EXTENTS_H

#include "shared/shared.h"

/* How many bytes that much takes. */
static inline size_t pp_extent_takes(size_t size) {
    return (size + PP_EXTENT_PAGE - 1) & ~(PP_EXTENT_PAGE - 1);
}
static inline bool pp_is_extent(const struct pp_shared *shared, const void *data) {
    uintptr_t at = (uintptr_t)data, base = (uintptr_t)shared->extents;
    return at >= base && at - base < shared->extents_size;
}

/* Worker: takes room of `size` bytes, > 0, for the task with that ticket. Returns NULL if there is none. */
char *pp_extent_take(const struct pp_shared *shared, uint64_t ticket, size_t size);
/* Worker: gives back what it has taken, of which only the first `keep` bytes stay. */
void pp_extent_drop(const struct pp_shared *shared, uint64_t ticket, char *extent, size_t size, size_t keep);

/* Caller: takes over the room of a result of `size` bytes, > 0, that begins at that offset. Returns it; NULL if the
 * task has no such room. */
char *pp_extent_adopt(const struct pp_shared *shared, uint64_t ticket, uint64_t offset, uint64_t size);
/* Caller: gives it back. */
void pp_extent_free(const struct pp_shared *shared, char *extent, size_t size);
/* Caller: gives back all pages of tasks for which is_open(pool, slot) does not return the generation of that use. No
 * process that might still write to them may live. */
void pp_extents_sweep(const struct pp_shared *shared, uint32_t (*generation_of)(const void *pool, uint32_t slot),
                      const void *pool);

#endif
