/* The ring of tickets.
 *
 * One producer, the caller. An entry is a ticket and the lap of the ring in which it was written, so that it tells by
 * itself whether it is there: workers do not look at the tail, whose line would go to and fro with every task
 * (bench_limits, "submit"). Consumers take the oldest entries by a compare-and-swap on the head; what a worker takes it
 * first writes into its record, so that an idle worker can steal from a busy one and the caller can send again what a
 * dead one held. Entries are read before the swap: until it succeeds they cannot be overwritten.
 *
 * Invariant: head <= tail <= head + PP_TICKETS, unless a worker scribbled; then the ring looks empty to workers, or
 * gives them tickets that fail, and pp_ring_repair() mends it.
 * Called by: worker (take), submit (push, recall), collect (length), audit (repair). */
#ifndef PP_RING_H
#define PP_RING_H

#include "shared/record.h"
#include "shared/ticket.h"

/* What of an entry is not the ticket: the bits of the slot's half that no slot needs. */
#define PP_LAP_SHIFT 17
#define PP_LAP_MASK 0xfffe0000U
_Static_assert(PP_SLOTS == 1U << PP_LAP_SHIFT && PP_SLOTS - 1 + PP_LAP_MASK == UINT32_MAX, "they share half a word");

/* Its highest bit is always set, so that what was never written is of no lap. */
static inline uint64_t pp_ring_lap(uint64_t position) {
    return (position / PP_TICKETS << PP_LAP_SHIFT | 0x80000000U) & PP_LAP_MASK;
}

/* Caller. Looks at the head, which workers change all the time, only where what was seen of it last does not do. */
static inline bool pp_ring_is_full(struct pp_shared *shared) {
    struct pp_control *control = shared->control;
    uint64_t tail = atomic_load_explicit(&control->tail, memory_order_relaxed);
    if (tail - control->head_seen < PP_TICKETS) return false;
    /* Acquire: a worker has read what it took before its swap of the head; only then is the entry written again. */
    control->head_seen = atomic_load_explicit(&shared->status->head, memory_order_acquire);
    return tail - control->head_seen >= PP_TICKETS;
}

#define PP_ENTRIES_AHEAD 64U /* workers had their line last: it is fetched before it is written.
                                bench_limits, "submit" */

/* Caller. False: the ring is full. */
static inline bool pp_ring_push(struct pp_shared *shared, uint64_t ticket) {
    struct pp_control *control = shared->control;
    uint64_t tail = atomic_load_explicit(&control->tail, memory_order_relaxed);
    if (pp_ring_is_full(shared)) return false;
    pp_prefetch_write(&shared->tickets[(tail + PP_ENTRIES_AHEAD) % PP_TICKETS]);
    /* Release: pairs with the acquire of whoever looks whether it is there. */
    atomic_store_explicit(&shared->tickets[tail % PP_TICKETS], ticket | pp_ring_lap(tail), memory_order_release);
    atomic_store_explicit(&control->tail, tail + 1, memory_order_release);
    return true;
}
/* Caller: how many tickets were pushed, ever. */
static inline uint64_t pp_ring_sent(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->control->tail, memory_order_relaxed);
}
/* Caller: takes the oldest ticket back; 0: none is left. */
uint64_t pp_ring_recall(struct pp_shared *shared);
/* Caller: how many wait; PP_TICKETS + 1 or more: somebody scribbled. */
uint64_t pp_ring_length(const struct pp_shared *shared);
/* Caller: whether workers can take what waits. False: somebody scribbled. */
bool pp_ring_is_sound(const struct pp_shared *shared);
/* Caller: empties a ring whose head makes no sense. Every ticket must be sent again. */
void pp_ring_repair(struct pp_shared *shared);

/* Worker: takes up to `most` tickets, but leaves others their share, into record->hold and `tickets`. Returns how
 * many. */
unsigned pp_ring_take(struct pp_shared *shared, struct pp_record *record, unsigned most,
                      uint64_t tickets[PP_CLAIMED_MOST]);
bool pp_ring_is_empty(const struct pp_shared *shared);

#endif
