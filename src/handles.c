#include "handles.h"

#include <string.h>

#include "sys.h"

#define FUTURES_A_BLOCK 128

struct pp_block {
    struct pp_block *next;
    char room[FUTURES_A_BLOCK * sizeof(struct future) + PP_LINE];
};
_Static_assert(sizeof(void *) != 8 || sizeof(struct future) == 3 * PP_LINE, "a future is whole lines: each is a miss");

/* Each begins with a line, where pointers have 64 bits. */
static struct future *futures_of(struct pp_block *block) {
    return (void *)(block->room + (PP_LINE - (uintptr_t)block->room % PP_LINE));
}

bool pp_futures_add(struct pool *pool) {
    struct pp_block *block = pp_zalloc(1, sizeof *block);
    if (!block) return false;
    block->next = pool->blocks;
    pool->blocks = block;
    for (int i = FUTURES_A_BLOCK; i-- > 0;) {
        struct future *future = &futures_of(block)[i];
        future->next = pool->free_futures;
        pool->free_futures = future;
    }
    return true;
}

void pp_future_empty(struct future *future) {
    struct pool *pool = future->pool;
    if (pool->destroyed && future->result != future->small) pp_release(future->result);
    else if (future->result && future->result != future->small) pp_heap_free(&pool->results, future->result);
    if (future->failure) pp_release(future->failure);
}

/* What pool->freed is once the pool has ended. */
static struct future closed;

bool pp_future_give_back(struct future *future) {
    struct pool *pool = future->pool;
    struct future *top = atomic_load_explicit(&pool->freed, memory_order_relaxed);
    /* Release: pairs with the acquire of who takes the stack. */
    const memory_order given = memory_order_release, refused = memory_order_relaxed;
    do {
        if (top == &closed) return false;
        future->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&pool->freed, &top, future, given, refused));
    return true;
}

static void recycle_all(struct future *first) {
    for (struct future *future = first, *next; future; future = next) {
        next = future->next;
        pp_future_recycle(future);
    }
}

void pp_futures_close(struct pool *pool) {
    recycle_all(pool->reusable);
    pool->reusable = NULL;
    recycle_all(atomic_exchange_explicit(&pool->freed, &closed, memory_order_acquire));
}

void pp_futures_keep_results(struct pool *pool) {
    for (struct pp_block *block = pool->blocks; block; block = block->next)
        for (int i = 0; i < FUTURES_A_BLOCK; i++) {
            struct future *f = &futures_of(block)[i];
            if (!f->pool || !f->result || f->result == f->small) continue;
            void *copy = pp_zalloc(1, f->out_size ? f->out_size : 1);
            if (copy) memcpy(copy, f->result, f->out_size);
            else f->outcome = POOL_ENOMEM;
            f->result = copy;
        }
}

void pp_pool_free(struct pool *pool) {
    while (pool->blocks) {
        struct pp_block *block = pool->blocks;
        pool->blocks = block->next;
        pp_release(block);
    }
    pp_unmap_unforked(pool->mark); /* not before: whoever frees a future looks at it */
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    pp_release(pool);
}

void pp_unlock_and_call(struct pool *pool) {
    pool->handles++; /* a callback may end the pool */
    do {
        pp_callbacks_run(pool);
        if (pool->event_fd >= 0) pp_rearm(pool); /* which may find that more has become done */
    } while (pool->callbacks);
    bool last = --pool->handles == 0;
    pthread_mutex_unlock(&pool->lock);
    if (last) pp_pool_free(pool);
}
