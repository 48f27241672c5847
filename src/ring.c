#include "ring.h"

#include "state.h"

/* What of an entry is not the ticket: the bits of the slot's half that no slot needs. */
#define LAP_SHIFT 17
#define LAP_MASK 0xfffe0000U
_Static_assert(PP_SLOTS == 1U << LAP_SHIFT && (LAP_MASK >> LAP_SHIFT) == 0x7fff, "slot and lap share half a word");

/* Never 0, so that what was never written is of no lap: positions begin at 0, and laps at 1. */
static uint64_t lap_of(uint64_t position) {
    return (position / PP_TICKETS % 0x7fff + 1) << LAP_SHIFT;
}

/* Whether the caller has written the entry at this position. */
static bool is_there(const struct pp_shared *shared, uint64_t position, uint64_t *ticket) {
    /* Acquire: pairs with the release in pp_ring_push(). */
    uint64_t entry = atomic_load_explicit(&shared->tickets[position % PP_TICKETS], memory_order_acquire);
    *ticket = entry & ~(uint64_t)LAP_MASK;
    return (entry & LAP_MASK) == lap_of(position);
}

/* Looks at the head, which workers change all the time, only where what was seen of it last does not do. */
bool pp_ring_is_full(struct pp_shared *shared) {
    struct pp_front *front = shared->front;
    uint64_t tail = atomic_load_explicit(&front->tail, memory_order_relaxed);
    if (tail - front->head_seen < PP_TICKETS) return false;
    /* Acquire: a worker has read what it took before its swap of the head; only then is the entry written again. */
    front->head_seen = atomic_load_explicit(&shared->back->head, memory_order_acquire);
    return tail - front->head_seen >= PP_TICKETS;
}

bool pp_ring_push(struct pp_shared *shared, uint64_t ticket) {
    struct pp_front *front = shared->front;
    uint64_t tail = atomic_load_explicit(&front->tail, memory_order_relaxed);
    if (pp_ring_is_full(shared)) return false;
    /* Release: pairs with the acquire in is_there(). */
    atomic_store_explicit(&shared->tickets[tail % PP_TICKETS], ticket | lap_of(tail), memory_order_release);
    atomic_store_explicit(&front->tail, tail + 1, memory_order_release);
    return true;
}

uint64_t pp_ring_recall(struct pp_shared *shared) {
    for (;;) {
        uint64_t head = atomic_load_explicit(&shared->back->head, memory_order_acquire), ticket;
        uint64_t left = atomic_load_explicit(&shared->front->tail, memory_order_relaxed) - head;
        if (left == 0 || left > PP_TICKETS || !is_there(shared, head, &ticket)) return 0;
        if (pp_swap(&shared->back->head, head, head + 1)) return ticket;
    }
}

uint64_t pp_ring_length(const struct pp_shared *shared) {
    uint64_t head = atomic_load_explicit(&shared->back->head, memory_order_acquire);
    return atomic_load_explicit(&shared->front->tail, memory_order_relaxed) - head;
}

bool pp_ring_is_sound(const struct pp_shared *shared) {
    uint64_t head = atomic_load_explicit(&shared->back->head, memory_order_acquire), ticket;
    uint64_t left = atomic_load_explicit(&shared->front->tail, memory_order_relaxed) - head;
    return left == 0 || (left <= PP_TICKETS && is_there(shared, head, &ticket));
}

void pp_ring_repair(struct pp_shared *shared) {
    shared->front->head_seen = atomic_load_explicit(&shared->front->tail, memory_order_relaxed);
    atomic_store_explicit(&shared->back->head, shared->front->head_seen, memory_order_release);
}

bool pp_ring_is_empty(const struct pp_shared *shared) {
    uint64_t ticket;
    return !is_there(shared, atomic_load_explicit(&shared->back->head, memory_order_relaxed), &ticket);
}

/* How many to take from `head` on, where there is one: as many as leave twice as many for each other worker. */
static unsigned share_of(const struct pp_shared *shared, uint64_t head, unsigned most) {
    uint64_t wanted = atomic_load_explicit(&shared->front->wanted, memory_order_relaxed), ticket;
    unsigned count = wanted ? most : 1;
    while (count > 1 && !is_there(shared, head + 2 * wanted * count - 1, &ticket)) count /= 2;
    return count;
}

unsigned pp_ring_take(struct pp_shared *shared, struct pp_record *record, unsigned most, uint64_t tickets[PP_HOLD]) {
    for (;;) {
        uint64_t head = atomic_load_explicit(&shared->back->head, memory_order_relaxed);
        if (most == 0 || !is_there(shared, head, &tickets[0])) return 0;
        unsigned count = share_of(shared, head, most), i = 0;
        while (i < count && is_there(shared, head + i, &tickets[i])) {
            atomic_store_explicit(&record->hold[i], tickets[i], memory_order_relaxed);
            i++;
        }
        if (i < PP_HOLD) atomic_store_explicit(&record->hold[i], 0, memory_order_relaxed);
        /* Release: whoever sees the head moved, the supervisor included, sees who holds what it moved past. */
        if (i > 0 && pp_swap(&shared->back->head, head, head + i)) return i;
    }
}
