#include "pool/bell.h"

#include "base/sys.h"
#include "pool/vain.h"

#define BELL_MOST 65536 /* bytes of a pipe */

bool pp_bell_make(struct pool *pool) {
    int bell[2];
    if (pp_pipe(bell)) return false;
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

/* Not more than the pipe holds: a task may write as fast as this reads. */
static int32_t read_bell(int bell) {
    char bytes[4096];
    int32_t count = 0;
    for (ssize_t n = sizeof bytes; n == (ssize_t)sizeof bytes && count < BELL_MOST;) {
        n = pp_read(bell, bytes, sizeof bytes);
        if (n > 0) count += (int32_t)n;
    }
    return count;
}

void pp_bell_silence(struct pool *pool) {
    atomic_store_explicit(&pool->shared.control->waits, 0, memory_order_relaxed);
    pool->waiting.bell_rung = false;
    int32_t rings = read_bell(pool->fds.bell);
    int32_t own = atomic_load_explicit(&pool->waiting.own_rings, memory_order_relaxed);
    if (own > rings) own = rings; /* the rest comes yet */
    if (own > 0) atomic_fetch_sub_explicit(&pool->waiting.own_rings, own, memory_order_relaxed);
    if (rings > own) pp_note_vain(pool, (uint32_t)(own > 0 ? rings - own : rings));
}

/* Counted first: pp_bell_silence() may read the byte at once. A full pipe takes none. */
void pp_bell_ring_own(struct pool *pool) {
    atomic_fetch_add_explicit(&pool->waiting.own_rings, 1, memory_order_relaxed);
    if (pp_ring(pool->fds.bell_end) != 1)
        atomic_fetch_sub_explicit(&pool->waiting.own_rings, 1, memory_order_relaxed);
}

void pp_bell_ring(struct pool *pool) {
    if (pool->waiting.bell_rung) return;
    pool->waiting.bell_rung = true;
    pp_bell_ring_own(pool);
}

void pp_wake_waiting(struct pool *pool) {
    if (pool->waiting.somebody_polls) pp_bell_ring_own(pool);
    if (pool->waiting.others_wait) pthread_cond_broadcast(&pool->changed);
}
