/* The ring of tickets, from the caller to the workers.
 *
 * The caller is the only producer. An entry consists of a ticket and the lap of the ring in which it was written, so
 * that the entry itself tells whether it is there. Workers therefore do not read the tail, whose cache line would move
 * to and fro with every task (bench_limits, "submit").
 *
 * A worker takes the oldest entries by a compare-and-swap on the head. Before the swap it reads the entries, which
 * cannot be overwritten until it succeeds, and writes their tickets into its record. So an idle worker can steal from a
 * busy one, and the caller can send again the tickets that a dead worker held.
 *
 * Invariant: head <= tail <= head + PP_TICKETS, unless a worker has scribbled. Then the ring looks empty to workers, or
 * they take tickets whose claim fails, until the head is set back.
 * Called by: claim and carrier_tasks (take), dispatch (push, recall), backlog (length), integrity (whether it is sound,
 * and what is in it), reset (set back); others look whether it is empty. */
#ifndef PP_RING_H
#define PP_RING_H

#include "shared/record.h"
#include "shared/ticket.h"

/* The bits of an entry that are not the ticket's: the number of a slot needs only 17 of its 32 bits. */
#define PP_LAP_SHIFT 17
#define PP_LAP_MASK 0xfffe0000U
_Static_assert(PP_SLOTS == 1U << PP_LAP_SHIFT && PP_SLOTS - 1 + PP_LAP_MASK == UINT32_MAX, "they share half a word");

/* Returns the lap of a position. Its highest bit is always set, so that an entry of zeros is of no lap. */
static inline uint64_t pp_ring_lap(uint64_t position) {
    return (position / PP_TICKETS << PP_LAP_SHIFT | 0x80000000U) & PP_LAP_MASK;
}

/* Caller. Workers change the head all the time; it is read only if the value read last leaves no room. */
static inline bool pp_ring_is_full(struct pp_shared *shared) {
    struct pp_control *control = shared->control;
    uint64_t tail = atomic_load_explicit(&control->tail, memory_order_relaxed);
    if (tail - control->head_seen < PP_TICKETS) return false;
    /* Acquire: pairs with the swaps of the head by workers. Each has read the entries that it took before its swap, and
     * only then are they written again. */
    control->head_seen = atomic_load_explicit(&shared->status->head, memory_order_acquire);
    return tail - control->head_seen >= PP_TICKETS;
}

#define PP_ENTRIES_AHEAD 64U /* a line is fetched so many entries before it is written, since workers had it last
                                (bench_limits, "submit") */

/* Caller. Returns false if the ring is full. */
static inline bool pp_ring_push(struct pp_shared *shared, uint64_t ticket) {
    struct pp_control *control = shared->control;
    uint64_t tail = atomic_load_explicit(&control->tail, memory_order_relaxed);
    if (pp_ring_is_full(shared)) return false;
    pp_prefetch_write(&shared->tickets[(tail + PP_ENTRIES_AHEAD) % PP_TICKETS]);
    /* Release: pairs with the acquire in is_there(), ring.c. */
    atomic_store_explicit(&shared->tickets[tail % PP_TICKETS], ticket | pp_ring_lap(tail), memory_order_release);
    atomic_store_explicit(&control->tail, tail + 1, memory_order_release);
    return true;
}
/* Caller: returns how many tickets were pushed, ever. */
static inline uint64_t pp_ring_sent(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->control->tail, memory_order_relaxed);
}
/* Caller: takes back the oldest ticket and returns it; 0 if none is left, or workers are always faster. */
uint64_t pp_ring_recall(struct pp_shared *shared);
/* Returns how many tickets no worker has taken; more than PP_TICKETS if a worker has scribbled. */
uint64_t pp_ring_length(const struct pp_shared *shared);
/* Caller: returns whether workers can take the tickets that wait; false if a worker has scribbled. */
bool pp_ring_is_sound(const struct pp_shared *shared);
/* Caller: returns the ticket at a position that was pushed. */
static inline uint64_t pp_ring_ticket(const struct pp_shared *shared, uint64_t position) {
    return atomic_load_explicit(&shared->tickets[position % PP_TICKETS], memory_order_relaxed) & ~(uint64_t)PP_LAP_MASK;
}
/* Caller, while no worker lives: the last PP_TICKETS tickets count as not taken. */
void pp_ring_set_back(struct pp_shared *shared);

/* Worker: takes up to `most` tickets into record->claimed and `tickets`, but leaves other workers their share. Returns
 * how many it took. None stays in the record that another worker was faster to take. */
unsigned pp_ring_take(struct pp_shared *shared, struct pp_record *record, unsigned most,
                      uint64_t tickets[PP_CLAIMED_MOST]);
/* The same for the carrier, which takes the oldest for as long as `may_take` allows it. Release: what it has said of
 * tickets that it took before can be read once they are no longer in record->claimed. */
unsigned pp_ring_take_some(struct pp_shared *shared, struct pp_record *record, unsigned most,
                           bool (*may_take)(void *context, uint64_t ticket), void *context,
                           uint64_t tickets[PP_CLAIMED_MOST]);
bool pp_ring_is_empty(const struct pp_shared *shared);

#endif
