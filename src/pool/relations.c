#include "pool/relations.h"

#include "base/sys.h"
#include "pool/pool.h"

struct pp_relations *pp_relations_of(struct future *future) {
    if (future->relations) return future->relations;
    struct pp_relations *relations = pp_zalloc(1, sizeof *relations);
    if (!relations) return NULL;
    relations->future = future;
    return future->relations = relations;
}

void pp_relations_free(struct pool *pool, struct future *future) {
    struct pp_relations *relations = future->relations;
    pp_heap_free(&pool->memory.inputs, relations->extra);
    pp_release(relations->edges);
    pp_release(relations);
    future->relations = NULL;
}
