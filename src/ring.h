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
 * Called by: worker (take), submit (push, recall), collect (repair). */
#ifndef PP_RING_H
#define PP_RING_H

#include "shared.h"

/* Caller. */
bool pp_ring_is_full(struct pp_shared *shared);
/* Caller. False: the ring is full. */
bool pp_ring_push(struct pp_shared *shared, uint64_t ticket);
/* Caller: how many tickets were pushed, ever. */
static inline uint64_t pp_ring_sent(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->front->tail, memory_order_relaxed);
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
unsigned pp_ring_take(struct pp_shared *shared, struct pp_record *record, unsigned most, uint64_t tickets[PP_HOLD]);
bool pp_ring_is_empty(const struct pp_shared *shared);

#endif
