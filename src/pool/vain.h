/* Calls in vain: workers have rung the bell, or announced outcomes, and none is there.
 *
 * Honest workers ring and announce after an outcome, and the supervisor after a death. So between two of these few
 * calls are in vain: an outcome may be taken before it is announced, and jobs announce that they are to be looked at.
 * A task that rings or announces without end would keep the caller awake. So after PP_VAIN_MOST calls in vain the
 * workers contradict what the caller knows, and the next look finds it; see integrity.h. Fewer calls from one look to
 * the next are added up for as long as nothing is completed: PP_VAIN_SUM is the same contradiction, since the machine
 * may be slow, or the task slow on purpose.
 * Called by: bell, collect, wait (note), integrity (whether). */
#ifndef PP_VAIN_H
#define PP_VAIN_H

#include "pool/pool.h"

#define PP_VAIN_MOST 20000U /* far more than there are workers */
#define PP_VAIN_SEARCH 64U  /* calls that a search through all slots counts as */
#define PP_VAIN_FEW 100U    /* from one look to the next, which do not count */
#define PP_VAIN_SUM (4U * PP_WORKERS) /* a worker calls twice at most after the last that is completed */

static inline void pp_note_vain(struct pool *pool, uint32_t calls) {
    struct pp_looks *looks = &pool->looks;
    uint64_t news = pool->finished +
                    atomic_load_explicit(&pool->shared.control->notices_head, memory_order_relaxed);
    if (looks->news != news) looks->calls_in_vain = 0;
    looks->news = news;
    if (looks->calls_in_vain <= PP_VAIN_MOST) looks->calls_in_vain += calls;
}

static inline bool pp_is_called_in_vain(const struct pool *pool) {
    return pool->looks.calls_in_vain > PP_VAIN_MOST && !pool->in_here;
}

/* At a look, which is told what was completed ever: whether workers have called in vain too often. */
static inline bool pp_vain_at_look(struct pool *pool, uint64_t completed) {
    struct pp_looks *looks = &pool->looks;
    bool too_often = pp_is_called_in_vain(pool);
    looks->sum_in_vain = completed == looks->had ? looks->sum_in_vain + looks->calls_in_vain : 0;
    looks->sum_in_vain -= looks->sum_in_vain < PP_VAIN_FEW ? looks->sum_in_vain : PP_VAIN_FEW;
    too_often |= looks->sum_in_vain > PP_VAIN_SUM;
    if (too_often) looks->sum_in_vain = 0;
    looks->calls_in_vain = 0;
    looks->had = completed;
    return too_often;
}

#endif
