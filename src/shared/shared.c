#include "shared/shared.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/sys.h"
#include "shared/carried.h"
#include "shared/last_words.h"
#include "shared/notice.h"
#include "shared/record.h"

#define PAGE ((size_t)65536) /* parts begin at multiples of it: the largest page size in common use */
#define MIB ((size_t)1 << 20)
#define WORK_MIN (256 * MIB)
#define ARENA_MIN (4 * MIB)
#define SMALL_ARENA (1024 * MIB)
#define PRIVATE (4 * MIB) /* of address space, for the caller's own tables */
#define LARGE_QUARTERS 17 /* inputs, work, results, arena, and a quarter of that: extents */
#define EXTENTS_MOST ((size_t)1 << 16) /* MiB */

#ifndef _SC_PHYS_PAGES
#define _SC_PHYS_PAGES (-1) /* sysconf() then returns -1 */
#endif

static size_t rounded(size_t size) {
    return (size + PAGE - 1) & ~(PAGE - 1);
}

/* Returns the next part of the mapping; NULL, and only counts, while there is none. A large part begins at a huge page,
 * which it then shares with no other. */
static void *part(const struct pp_shared *shared, size_t *offset, size_t size) {
    if (size >= PP_HUGE_PAGE) *offset = (*offset + PP_HUGE_PAGE - 1) & ~(PP_HUGE_PAGE - 1);
    void *address = shared->base ? shared->base + *offset : NULL;
    *offset += rounded(size);
    return address;
}

static void lay_out_parts(struct pp_shared *s) {
    size_t at = 0;
    s->control = part(s, &at, sizeof *s->control);
    s->job_table = part(s, &at, PP_JOB_TABLE * sizeof *s->job_table);
    s->tickets = part(s, &at, PP_TICKETS * sizeof *s->tickets);
    s->notices = part(s, &at, PP_NOTICES * sizeof *s->notices);
    s->descs = part(s, &at, PP_SLOTS * sizeof *s->descs);
    s->limits = part(s, &at, PP_SLOTS * sizeof *s->limits);
    s->inputs = part(s, &at, s->inputs_size);
    s->starts = part(s, &at, PP_WORKERS * sizeof *s->starts);
    s->writable = at;
    s->status = part(s, &at, sizeof *s->status);
    s->records = part(s, &at, PP_WORKERS * sizeof *s->records);
    s->last_words = part(s, &at, PP_WORKERS * sizeof *s->last_words);
    s->done = part(s, &at, (PP_WORKERS * sizeof *s->done) << s->done_bits);
    s->outcomes = part(s, &at, PP_SLOTS * sizeof *s->outcomes);
    s->messages = part(s, &at, PP_SLOTS * sizeof *s->messages);
    s->carried = part(s, &at, pp_carried_size(s->hosts));
    s->work = part(s, &at, s->work_size);
    s->results = part(s, &at, s->arena_size);
    s->arena = part(s, &at, s->arena_size);
    s->owners = part(s, &at, sizeof *s->owners + s->extents_size / PP_EXTENT_PAGE * sizeof *s->owners->of);
    s->extents = part(s, &at, s->extents_size);
    s->size = at;
}

/* A quarter of the arena, or as much if that is little and address space is not scarce. */
static size_t extents_size(size_t arena_size, bool scarce) {
    size_t size = arena_size / 4;
    if (!scarce && size < WORK_MIN) size = arena_size < WORK_MIN ? arena_size : WORK_MIN;
    return rounded(size / MIB > EXTENTS_MOST ? EXTENTS_MOST * MIB : size);
}

/* scarce: address space is, so that no part has more than the arena. */
static void lay_out(struct pp_shared *shared, size_t arena_size, bool scarce) {
    shared->extents_size = extents_size(arena_size, scarce);
    shared->arena_size = shared->inputs_size = arena_size;
    shared->work_size = scarce || arena_size > WORK_MIN ? arena_size : WORK_MIN;
    shared->done_bits = scarce ? PP_DONE_BITS_FEW : PP_DONE_BITS;
    lay_out_parts(shared);
}

/* As much address space as there is memory, since no more could be used; but of what may be mapped no more than a
 * quarter, so that three are left to the program. Sets *scarce in that case. */
static size_t default_arena_size(bool *scarce) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t size = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : (size_t)4096 * MIB;
    size_t most = sizeof(void *) > 4 ? (size_t)1 << 38 : 256 * MIB, share = pp_memory_reservable("") / 4;
    if (size > most) size = most;
    struct pp_shared all = {0}, others = {0};
    lay_out(&all, size, false);
    lay_out(&others, PP_HUGE_PAGE, true);
    *scarce = share < all.size + PRIVATE;
    if (!*scarce) return size;
    size_t taken = others.size + PRIVATE, left = share > taken ? (share - taken) / LARGE_QUARTERS * 4 : 0;
    return left > ARENA_MIN ? left : ARENA_MIN;
}

/* most: of a default. */
static int make(struct pp_shared *shared, size_t arena_size, size_t most, uint32_t hosts) {
    if (arena_size > SIZE_MAX / 8) return POOL_EINVAL;
    bool scarce = false;
    size_t size = arena_size ? arena_size : default_arena_size(&scarce);
    if (!arena_size && size > most) size = most;
    for (size = rounded(size);; size = rounded(size / 2)) {
        memset(shared, 0, sizeof *shared);
        shared->reader = -1;
        shared->hosts = hosts;
        lay_out(shared, size, scarce);
        shared->base = pp_map_shared(shared->size);
        if (shared->base) break;
        if (errno == EMFILE || errno == ENFILE)
            return POOL_EAGAIN; /* on systems where a mapping needs a descriptor for a moment */
        /* Where address space is scarce, a default size is halved; a size that the program has chosen is not. */
        if (arena_size || size <= ARENA_MIN) return POOL_ENOMEM;
        scarce = true;
    }
    lay_out_parts(shared);
    shared->starts_to_write = shared->starts;
    return 0;
}

int pp_shared_make(struct pp_shared *shared, size_t arena_size, uint32_t hosts) {
    return make(shared, arena_size, SIZE_MAX, hosts);
}

int pp_shared_make_small(struct pp_shared *shared, size_t arena_size, uint32_t hosts) {
    return make(shared, arena_size, SMALL_ARENA, hosts);
}

static size_t starts_at(const struct pp_shared *shared) {
    return (size_t)((char *)shared->starts - shared->base);
}

static void unmap_view(struct pp_shared *shared) {
    if (shared->starts_to_write != shared->starts)
        pp_unmap(shared->starts_to_write, shared->writable - starts_at(shared));
    shared->starts_to_write = shared->starts;
}

/* Other children of the program may have the mapping, too, and live on: they must not keep its memory. */
void pp_shared_unmake(struct pp_shared *shared) {
    if (!shared->base) return;
    pp_give_back(shared->base, shared->writable);
    pp_give_back(shared->base + shared->writable, shared->size - shared->writable);
    unmap_view(shared);
    pp_unmap(shared->base, shared->size);
    shared->base = NULL;
    pp_close(&shared->reader);
}

int pp_shared_divide(struct pp_shared *shared) {
    void *view;
    int code = pp_map_with_reader(shared->base, shared->writable, starts_at(shared), &view, &shared->reader);
    if (!code) shared->starts_to_write = view;
    return code == 0 || code == ENOSYS ? 0 : code == ENOMEM ? POOL_ENOMEM : POOL_EAGAIN;
}

bool pp_shared_protect(struct pp_shared *shared) {
    if (shared->reader < 0) return mprotect(shared->base, starts_at(shared), PROT_READ) == 0;
    bool mapped = pp_map_reader(shared->reader, shared->base, shared->writable);
    pp_close(&shared->reader);
    return mapped;
}

bool pp_shared_protect_starts(struct pp_shared *shared) {
    if (shared->starts_to_write == shared->starts)
        return mprotect(shared->starts, shared->writable - starts_at(shared), PROT_READ) == 0;
    unmap_view(shared);
    return true;
}
