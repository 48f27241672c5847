#include "pool/bell.h"

#include "base/sys.h"

bool pp_bell_make(struct pool *pool) {
    int bell[2];
    if (pp_pipe(bell, -1)) return false;
    pool->fds.bell = bell[0];
    pool->fds.bell_end = bell[1];
    return true;
}

void pp_bell_expect(struct pool *pool, uint32_t slot) {
    if (++pool->waiting.epoch == 0) pool->waiting.epoch = 1;
    uint64_t wish = (uint64_t)pool->waiting.epoch << 32 | slot;
    atomic_store_explicit(&pool->shared.control->waits, wish, memory_order_relaxed);
    /* Orders the wish before the last look at outcomes; pairs with the fence in pp_announce(). */
    atomic_thread_fence(memory_order_seq_cst);
}

void pp_bell_silence(struct pool *pool) {
    char bytes[256];
    atomic_store_explicit(&pool->shared.control->waits, 0, memory_order_relaxed);
    pool->waiting.bell_rung = false;
    while (pp_read(pool->fds.bell, bytes, sizeof bytes) == (ssize_t)sizeof bytes) continue;
}

void pp_bell_ring(struct pool *pool) {
    if (pool->waiting.bell_rung) return;
    pool->waiting.bell_rung = true;
    pp_write(pool->fds.bell_end, "", 1);
}

void pp_wake_waiting(struct pool *pool) {
    if (pool->waiting.somebody_polls) pp_write(pool->fds.bell_end, "", 1);
    if (pool->waiting.others_wait) pthread_cond_broadcast(&pool->changed);
}
