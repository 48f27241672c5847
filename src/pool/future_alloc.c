#include "pool/future_alloc.h"

#include <string.h>

#include "base/sys.h"
#include "pool/alloc.h"
#include "shared/pages.h"
#include "worker/child.h"

struct pp_block {
    struct pp_block *next;
    size_t size; /* bytes of the whole block */
    size_t count;
    struct future *futures;
};
_Static_assert(sizeof(void *) != 8 || sizeof(struct future) == 3 * PP_LINE, "a future is whole lines: each is a miss");

/* A few futures come in small blocks; once there are many, a block has as many as a huge page holds: bench_limits,
 * "submit". A block of twice that size contains a whole huge page; the rest of it is never touched. */
#define SMALL_BLOCK ((size_t)24 << 10)
#define LARGE_BLOCK (2 * PP_HUGE_PAGE)

static uintptr_t next_multiple(uintptr_t address, size_t of) {
    return address + (of - address % of) % of;
}

/* If pointers have 64 bits, each future begins at a line. */
static void lay_out_block(struct pool *pool, struct pp_block *block) {
    bool large = block->size == LARGE_BLOCK;
    uintptr_t begin = next_multiple((uintptr_t)(block + 1), large ? PP_HUGE_PAGE : PP_LINE);
    size_t room = large ? PP_HUGE_PAGE : block->size - (size_t)(begin - (uintptr_t)block);
    block->futures = (void *)begin;
    block->count = room / sizeof(struct future);
    if (large) pp_pages_take(&pool->memory.no_huge_pages, (struct pp_huge_pages){(char *)begin, room});
}

bool pp_futures_add(struct pool *pool) {
    size_t size = pool->references * sizeof(struct future) < PP_PAGES_SMALL ? SMALL_BLOCK : LARGE_BLOCK;
    struct pp_block *block = pp_table(size);
    if (!block) block = pp_table(size = SMALL_BLOCK); /* address space is scarce */
    if (!block) return false;
    block->size = size;
    lay_out_block(pool, block);
    block->next = pool->futures.blocks;
    pool->futures.blocks = block;
    for (size_t i = block->count; i-- > 0;) {
        block->futures[i].next = pool->futures.free;
        pool->futures.free = &block->futures[i];
    }
    return true;
}

void pp_future_empty(struct future *future) {
    struct pool *pool = future->pool;
    if (pool->destroyed && future->result != future->small) pp_release(future->result);
    else if (future->result && future->result != future->small) pp_result_free(pool, future);
    if (future->failure) pp_release(future->failure);
}

/* The value of pool->futures.freed once the pool has ended. */
static struct future closed;

bool pp_future_give_back(struct future *future) {
    struct pool *pool = future->pool;
    struct future *top = atomic_load_explicit(&pool->futures.freed, memory_order_relaxed);
    /* Release: pairs with the acquire in pp_future_reuse() and pp_futures_close(), which take the stack. */
    const memory_order given = memory_order_release, refused = memory_order_relaxed;
    do {
        if (top == &closed) return false;
        future->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&pool->futures.freed, &top, future, given, refused));
    return true;
}

static void recycle_all(struct future *first) {
    for (struct future *future = first, *next; future; future = next) {
        next = future->next;
        pp_future_recycle(future);
    }
}

void pp_futures_close(struct pool *pool) {
    recycle_all(pool->futures.reusable);
    pool->futures.reusable = NULL;
    recycle_all(atomic_exchange_explicit(&pool->futures.freed, &closed, memory_order_acquire));
}

void pp_futures_keep_results(struct pool *pool) {
    for (struct pp_block *block = pool->futures.blocks; block; block = block->next)
        for (size_t i = 0; i < block->count; i++) {
            struct future *f = &block->futures[i];
            if (!f->pool || !f->result || f->result == f->small) continue;
            void *copy = pp_zalloc(1, f->out_size ? f->out_size : 1);
            if (copy) memcpy(copy, f->result, f->out_size);
            else f->outcome = POOL_ENOMEM;
            f->result = copy;
        }
}

void pp_pool_free(struct pool *pool) {
    while (pool->futures.blocks) {
        struct pp_block *block = pool->futures.blocks;
        pool->futures.blocks = block->next;
        pp_table_release(block, block->size);
    }
    pp_unmap_unforked(pool->mark); /* not before: future_free() looks at it */
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    pp_release(pool);
    atomic_fetch_sub_explicit(&pp_child_pools, 1, memory_order_relaxed);
}
