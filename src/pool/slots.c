#include "pool/slots.h"

#include "shared/pages.h"

/* All of the table will be used up to this slot, which is the first of those that were never used. */
static void use_table(struct pool *pool, void *table, size_t entry, uint32_t slot) {
    struct pp_region region = {.base = table, .size = PP_SLOTS * entry};
    char *at = region.base + slot * entry;
    pp_pages_take(&pool->memory.no_huge_pages, pp_pages_begun(region, at, at + entry));
}

uint32_t pp_slot_fresh(struct pool *pool) {
    if (pool->slots.fresh == PP_SLOTS) return PP_NO_SLOT;
    uint32_t slot = pool->slots.fresh++;
    use_table(pool, pool->shared.descs, sizeof *pool->shared.descs, slot);
    use_table(pool, pool->shared.outcomes, sizeof *pool->shared.outcomes, slot);
    return slot;
}
