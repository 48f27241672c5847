#include "shared/extents.h"

#include "base/sys.h"
#include "shared/ticket.h"

#define NOTHING 0U
#define CALLER 1U
#define TASK (1U << 31) /* | the low bits of the generation | slot */
#define SLOT_BITS 17U
#define GENERATION_BITS 14U
#define WORTH_A_CALL ((size_t)64 << 10) /* bytes that go back to the system when they are freed */

_Static_assert(PP_SLOTS == 1U << SLOT_BITS, "a slot has its place in an owner's word");

static uint32_t owner_word(uint32_t slot, uint32_t generation) {
    return TASK | (generation & ((1U << GENERATION_BITS) - 1)) << SLOT_BITS | slot;
}

static uint32_t owner_of(uint64_t ticket) {
    return owner_word(pp_ticket_slot(ticket), pp_ticket_generation(ticket));
}

static bool change(const struct pp_shared *shared, size_t page, uint32_t from, uint32_t to) {
    return atomic_compare_exchange_strong_explicit(&shared->owners->of[page], &from, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static size_t page_count(size_t size) {
    return pp_extent_takes(size) / PP_EXTENT_PAGE;
}

/* Changes the owner of `count` pages from `first` on. Returns how many were changed before one had another owner. */
static size_t change_all(const struct pp_shared *shared, size_t first, size_t count, uint32_t from, uint32_t to) {
    size_t changed = 0;
    while (changed < count && change(shared, first + changed, from, to)) changed++;
    return changed;
}

/* ---- worker */

/* The hint only spares looks at pages that are taken: a wrong one costs more of them. */
static void set_hint(const struct pp_shared *shared, size_t page) {
    atomic_store_explicit(&shared->owners->hint, (uint32_t)page, memory_order_relaxed);
}

static void note_end(const struct pp_shared *shared, size_t end) {
    uint32_t seen = atomic_load_explicit(&shared->owners->end, memory_order_relaxed);
    while (seen < end && !atomic_compare_exchange_weak_explicit(&shared->owners->end, &seen, (uint32_t)end,
                                                                memory_order_relaxed, memory_order_relaxed))
        continue;
}

/* Takes `count` pages that lie between the two. Returns the first of them, or `end`. */
static size_t take_between(const struct pp_shared *shared, size_t begin, size_t end, size_t count, uint32_t owner) {
    for (size_t first = begin; count <= end - first;) {
        size_t taken = change_all(shared, first, count, NOTHING, owner);
        if (taken == count) return first;
        change_all(shared, first, taken, owner, NOTHING);
        first += taken + 1;
        if (first > end) break;
    }
    return end;
}

char *pp_extent_take(const struct pp_shared *shared, uint64_t ticket, size_t size) {
    size_t pages = shared->extents_size / PP_EXTENT_PAGE;
    if (size > shared->extents_size) return NULL;
    size_t count = page_count(size), hint = atomic_load_explicit(&shared->owners->hint, memory_order_relaxed);
    if (hint > pages) hint = 0;
    size_t first = take_between(shared, hint, pages, count, owner_of(ticket));
    if (first == pages && hint > 0) {
        size_t most = hint + count < pages ? hint + count : pages; /* it may begin below the hint and end above */
        first = take_between(shared, 0, most, count, owner_of(ticket));
        if (first == most) return NULL;
    } else if (first == pages) {
        return NULL;
    }
    if (first == hint) set_hint(shared, first + count);
    note_end(shared, first + count);
    return shared->extents + first * PP_EXTENT_PAGE;
}

static size_t first_page(const struct pp_shared *shared, const char *extent) {
    return (size_t)(extent - shared->extents) / PP_EXTENT_PAGE;
}

static void lower_hint(const struct pp_shared *shared, size_t page) {
    if (page < atomic_load_explicit(&shared->owners->hint, memory_order_relaxed)) set_hint(shared, page);
}

void pp_extent_drop(const struct pp_shared *shared, uint64_t ticket, char *extent, size_t size, size_t keep) {
    size_t kept = page_count(keep), first = first_page(shared, extent) + kept, count = page_count(size) - kept;
    if (count == 0) return;
    change_all(shared, first, count, owner_of(ticket), NOTHING);
    lower_hint(shared, first);
}

/* ---- caller */

char *pp_extent_adopt(const struct pp_shared *shared, uint64_t ticket, uint64_t offset, uint64_t size) {
    if (offset % PP_EXTENT_PAGE || offset >= shared->extents_size || size > shared->extents_size - offset) return NULL;
    size_t first = (size_t)offset / PP_EXTENT_PAGE, count = page_count((size_t)size);
    size_t taken = change_all(shared, first, count, owner_of(ticket), CALLER);
    if (taken == count) return shared->extents + offset;
    change_all(shared, first, taken, CALLER, NOTHING);
    return NULL;
}

void pp_extent_free(const struct pp_shared *shared, char *extent, size_t size) {
    size_t first = first_page(shared, extent), takes = pp_extent_takes(size);
    if (takes >= WORTH_A_CALL) pp_give_back(extent, takes); /* before another can take it */
    change_all(shared, first, takes / PP_EXTENT_PAGE, CALLER, NOTHING);
    lower_hint(shared, first);
}

void pp_extents_sweep(const struct pp_shared *shared, uint32_t (*generation_of)(const void *pool, uint32_t slot),
                      const void *pool) {
    size_t pages = shared->extents_size / PP_EXTENT_PAGE;
    size_t end = atomic_load_explicit(&shared->owners->end, memory_order_relaxed);
    if (end > pages) end = pages;
    for (size_t page = 0; page < end; page++) {
        uint32_t owner = atomic_load_explicit(&shared->owners->of[page], memory_order_relaxed);
        if (!(owner & TASK)) continue;
        uint32_t slot = owner & (PP_SLOTS - 1);
        if (owner == owner_word(slot, generation_of(pool, slot))) continue;
        if (change(shared, page, owner, NOTHING)) lower_hint(shared, page);
    }
}
