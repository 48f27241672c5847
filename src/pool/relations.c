#include "pool/relations.h"

#include "base/sys.h"
#include "pool/alloc.h"
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
    pp_context_drop(pool, relations->context);
    pp_release(relations->edges);
    pp_release(relations);
    future->relations = NULL;
}

struct pp_context *pp_context_new(struct pool *pool, const void *data, size_t size) {
    static _Atomic uint64_t made;
    struct pp_context *context = pp_zalloc(1, sizeof *context);
    if (!context) return NULL;
    context->serial = atomic_fetch_add_explicit(&made, 1, memory_order_relaxed) + 1;
    context->uses = 1;
    if (pp_copy_in(pool, data, size, &context->copy)) return context;
    pp_release(context);
    return NULL;
}

void pp_context_drop(struct pool *pool, struct pp_context *context) {
    if (!context || --context->uses > 0) return;
    if (!pool->destroyed) pp_heap_free(&pool->memory.inputs, context->copy);
    pp_release(context);
}
