#include "pool/slots.h"

#include "base/sys.h"
#include "shared/pages.h"

/* Once many slots are in use, their tables are taken in huge pages. */
#define SLOTS_A_PAGE ((uint32_t)(PP_HUGE_PAGE / PP_LINE))
#define MANY_SLOTS 4096U /* of the slots that share a huge page */

static void take_tables(struct pool *pool, uint32_t first) {
    pp_pages_take(&pool->memory.no_huge_pages, (char *)&pool->shared.descs[first], PP_HUGE_PAGE);
    pp_pages_take(&pool->memory.no_huge_pages, (char *)&pool->shared.outcomes[first], PP_HUGE_PAGE);
}

uint32_t pp_slot_fresh(struct pool *pool) {
    if (pool->fresh_slot == PP_SLOTS) return PP_NO_SLOT;
    uint32_t slot = pool->fresh_slot++;
    if (slot % SLOTS_A_PAGE == MANY_SLOTS) take_tables(pool, slot - MANY_SLOTS);
    return slot;
}
