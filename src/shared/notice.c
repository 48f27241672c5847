#include "shared/notice.h"

bool pp_notice_announce(struct pp_shared *shared) {
    struct pp_control *control = shared->control;
    uint64_t tail = atomic_load_explicit(&control->notices_tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&control->notices_head, memory_order_acquire) >= PP_NOTICES) {
        /* Sets notices_full, then looks again; pp_notice_read() moves the head, then looks at notices_full. One of the
         * two sees the other, since all four accesses are seq_cst. */
        atomic_store_explicit(&control->notices_full, 1, memory_order_seq_cst);
        if (tail - atomic_load_explicit(&control->notices_head, memory_order_seq_cst) >= PP_NOTICES) return false;
    }
    /* Relaxed: it is ordered by what follows. The store that clears record->job is seq_cst, and so is the caller's look
     * at it: a caller that sees the job cleared, and then calls pp_notice_is_due(), sees the notice announced. */
    atomic_store_explicit(&control->notices_announced, tail + 1, memory_order_relaxed);
    return true;
}

void pp_notice_publish(struct pp_shared *shared, const struct pp_notice *notice) {
    struct pp_control *control = shared->control;
    uint64_t tail = atomic_load_explicit(&control->notices_tail, memory_order_relaxed);
    shared->notices[tail % PP_NOTICES] = *notice;
    /* Release: a caller that reads the notice sees the record cleared. Pairs with the acquire in pp_notice_waits(). */
    atomic_store_explicit(&control->notices_tail, tail + 1, memory_order_release);
}

bool pp_notice_write(struct pp_shared *shared, const struct pp_notice *notice) {
    if (!pp_notice_announce(shared)) return false;
    pp_notice_publish(shared, notice);
    return true;
}

bool pp_notice_read(struct pp_shared *shared, struct pp_notice *notice, bool *supervisor_waits) {
    struct pp_control *control = shared->control;
    *supervisor_waits = false;
    if (!pp_notice_waits(shared)) return false;
    uint64_t head = atomic_load_explicit(&control->notices_head, memory_order_relaxed);
    *notice = shared->notices[head % PP_NOTICES];
    atomic_store_explicit(&control->notices_head, head + 1, memory_order_seq_cst);
    *supervisor_waits = atomic_load_explicit(&control->notices_full, memory_order_seq_cst) != 0;
    if (*supervisor_waits) atomic_store_explicit(&control->notices_full, 0, memory_order_seq_cst);
    return true;
}
