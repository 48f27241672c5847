#include "shared/ring.h"

#include "shared/state.h"

/* Returns whether the caller has written the entry at this position; `ticket` is then its ticket. */
static bool is_there(const struct pp_shared *shared, uint64_t position, uint64_t *ticket) {
    /* Acquire: pairs with the release in pp_ring_push(). */
    uint64_t entry = atomic_load_explicit(&shared->tickets[position % PP_TICKETS], memory_order_acquire);
    *ticket = entry & ~(uint64_t)PP_LAP_MASK;
    return (entry & PP_LAP_MASK) == pp_ring_lap(position);
}

uint64_t pp_ring_recall(struct pp_shared *shared) {
    for (int tries = 0; tries < PP_TRIES; tries++) {
        uint64_t head = atomic_load_explicit(&shared->status->head, memory_order_acquire), ticket;
        uint64_t left = atomic_load_explicit(&shared->control->tail, memory_order_relaxed) - head;
        if (left == 0 || left > PP_TICKETS || !is_there(shared, head, &ticket)) return 0;
        if (pp_swap(&shared->status->head, head, head + 1)) return ticket;
    }
    return 0;
}

uint64_t pp_ring_length(const struct pp_shared *shared) {
    uint64_t head = atomic_load_explicit(&shared->status->head, memory_order_acquire);
    return atomic_load_explicit(&shared->control->tail, memory_order_relaxed) - head;
}

bool pp_ring_is_sound(const struct pp_shared *shared) {
    uint64_t head = atomic_load_explicit(&shared->status->head, memory_order_acquire), ticket;
    uint64_t left = atomic_load_explicit(&shared->control->tail, memory_order_relaxed) - head;
    return left == 0 || (left <= PP_TICKETS && is_there(shared, head, &ticket));
}

void pp_ring_set_back(struct pp_shared *shared) {
    uint64_t tail = atomic_load_explicit(&shared->control->tail, memory_order_relaxed);
    shared->control->head_seen = tail > PP_TICKETS ? tail - PP_TICKETS : 0;
    atomic_store_explicit(&shared->status->head, shared->control->head_seen, memory_order_release);
}

bool pp_ring_is_empty(const struct pp_shared *shared) {
    uint64_t ticket;
    /* Acquire: pairs with the swap of the head in pp_ring_take(). A worker that finds the ring empty finds the last
     * ticket in the record of the worker that took it. */
    return !is_there(shared, atomic_load_explicit(&shared->status->head, memory_order_acquire), &ticket);
}

/* Returns how many tickets a worker may take from `head` on: more than one only if twice as many wait for each
 * worker. */
static unsigned tickets_to_take(const struct pp_shared *shared, uint64_t head, unsigned most) {
    uint64_t wanted = atomic_load_explicit(&shared->control->wanted, memory_order_relaxed), ticket;
    unsigned count = wanted ? most : 1;
    while (count > 1 && !is_there(shared, head + 2 * wanted * count - 1, &ticket)) count /= 2;
    return count;
}

/* Another worker was faster. A ticket that stayed in the record would pass for one that this worker has. */
static unsigned take_none(struct pp_record *record) {
    atomic_store_explicit(&record->claimed[0], 0, memory_order_relaxed);
    return 0;
}

unsigned pp_ring_take(struct pp_shared *shared, struct pp_record *record, unsigned most,
                      uint64_t tickets[PP_CLAIMED_MOST]) {
    for (bool lost = false;; lost = true) {
        uint64_t head = atomic_load_explicit(&shared->status->head, memory_order_relaxed);
        if (most == 0 || !is_there(shared, head, &tickets[0])) return lost ? take_none(record) : 0;
        unsigned count = tickets_to_take(shared, head, most), i = 0;
        while (i < count && is_there(shared, head + i, &tickets[i])) {
            atomic_store_explicit(&record->claimed[i], tickets[i], memory_order_relaxed);
            i++;
        }
        if (i < PP_CLAIMED_MOST) atomic_store_explicit(&record->claimed[i], 0, memory_order_relaxed);
        /* Release: a process that sees the head moved sees in the records the tickets that it moved past. Pairs with
         * the acquires of the head here, in the caller, and in the supervisor (pp_backlog_workers()). */
        if (i > 0 && pp_swap(&shared->status->head, head, head + i)) return i;
    }
}

unsigned pp_ring_take_some(struct pp_shared *shared, struct pp_record *record, unsigned most,
                           bool (*may_take)(void *context, uint64_t ticket), void *context,
                           uint64_t tickets[PP_CLAIMED_MOST]) {
    for (bool lost = false;; lost = true) {
        uint64_t head = atomic_load_explicit(&shared->status->head, memory_order_relaxed);
        unsigned i = 0;
        while (i < most && is_there(shared, head + i, &tickets[i]) && may_take(context, tickets[i])) i++;
        if (i == 0) return lost ? take_none(record) : 0;
        atomic_thread_fence(memory_order_release);
        for (unsigned k = 0; k < i; k++) atomic_store_explicit(&record->claimed[k], tickets[k], memory_order_relaxed);
        if (i < PP_CLAIMED_MOST) atomic_store_explicit(&record->claimed[i], 0, memory_order_relaxed);
        if (pp_swap(&shared->status->head, head, head + i)) return i; /* release: as in pp_ring_take() */
    }
}
