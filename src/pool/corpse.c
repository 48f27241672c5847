#include "pool/corpse.h"

#include "base/sys.h"
#include "pool/slots.h"

struct pp_withheld {
    struct pp_withheld *next;
    struct pp_heap *heap; /* of the block; NULL: it is a slot */
    void *block;
    uint32_t slot;
};

static void note(struct pool *pool, struct pp_withheld what) {
    struct pp_withheld *entry = pp_zalloc(1, sizeof *entry);
    if (!entry) return;
    *entry = what;
    entry->next = pool->corpses.withheld;
    pool->corpses.withheld = entry;
}

void pp_withhold(struct pool *pool, struct pp_heap *heap, void *block) {
    if (block) note(pool, (struct pp_withheld){.heap = heap, .block = block});
}

void pp_withhold_task(struct pool *pool, struct future *future) {
    struct pp_task *task = &future->task;
    if (task->in != future->small) pp_withhold(pool, &pool->memory.inputs, (void *)(uintptr_t)task->in);
    task->in = NULL;
    pp_withhold(pool, &pool->memory.results, future->result);
    future->result = NULL;
    note(pool, (struct pp_withheld){.slot = future->slot});
    pp_slot_leave(pool, future->slot);
    pool->corpses.slots++;
}

static void give_back(struct pool *pool, const struct pp_withheld *entry) {
    if (entry->heap) {
        pp_heap_free(entry->heap, entry->block);
        return;
    }
    pp_slot_give_back(pool, entry->slot);
    pool->corpses.slots--;
}

void pp_corpse_came(struct pool *pool) {
    pool->corpses.count++;
}

void pp_corpse_gone(struct pool *pool) {
    if (--pool->corpses.count > 0) return;
    for (const struct pp_withheld *entry = pool->corpses.withheld; entry; entry = entry->next) give_back(pool, entry);
    pp_withheld_end(pool);
}

void pp_withheld_end(struct pool *pool) {
    while (pool->corpses.withheld) {
        struct pp_withheld *entry = pool->corpses.withheld;
        pool->corpses.withheld = entry->next;
        pp_release(entry);
    }
}
