/* The ring of tickets, and the pipe on which workers sleep when it is empty.
 *
 * One producer, the caller: it writes an entry, then the tail. Consumers take the oldest entries by a compare-and-swap on
 * the head; what a worker takes it first writes into its record, so that an idle worker can steal from a busy one and the
 * caller can send again what a dead one held. Entries are read before the swap: until it succeeds they cannot be overwritten.
 *
 * Sleeping: a worker sets its bit, looks once more, and reads one byte from the pipe. The caller publishes, then wakes: as
 * many bytes as there is work, but no more than there are bits beyond the bytes still on their way (sent, less what the
 * workers say they have taken). A byte too many wakes somebody for nothing; a byte too few cannot be: the bits are set
 * before the last look, and one of the two sides sees the other.
 *
 * Invariant: head <= tail <= head + PP_TICKETS, unless a worker scribbled; then the ring looks empty to workers, and
 * pp_ring_repair() mends it.
 * Called by: worker (take, sleep), pool (push, wake, recall, repair). */
#ifndef PP_RING_H
#define PP_RING_H

#include "shared.h"

/* Caller. False: the ring is full. */
bool pp_ring_push(struct pp_shared *shared, uint64_t ticket);
/* Caller: takes the oldest ticket back; 0: none is left. */
uint64_t pp_ring_recall(struct pp_shared *shared);
/* Caller: how many wait; PP_TICKETS + 1 or more: somebody scribbled. */
uint64_t pp_ring_length(const struct pp_shared *shared);
/* Caller: empties a ring whose head makes no sense. Every ticket must be sent again. */
void pp_ring_repair(struct pp_shared *shared);

/* Worker: takes up to `most` tickets, but leaves others their share, into record->hold and `tickets`. Returns how many. */
unsigned pp_ring_take(struct pp_shared *shared, struct pp_record *record, unsigned most, uint64_t tickets[PP_HOLD]);
bool pp_ring_is_empty(const struct pp_shared *shared);

/* Worker's side of sleeping. */
void pp_asleep_set(struct pp_shared *shared, uint32_t worker);
void pp_asleep_clear(struct pp_shared *shared, uint32_t worker);

/* Caller's side. `sent` is its count of bytes sent; `work` how many workers could be of use. */
void pp_wake(struct pp_shared *shared, int pipe, uint64_t *sent, uint32_t work);

#endif
