#include "ring.h"

#include "state.h"

bool pp_ring_push(struct pp_shared *shared, uint64_t ticket) {
    struct pp_front *front = shared->front;
    uint64_t tail = atomic_load_explicit(&front->tail, memory_order_relaxed);
    /* Acquire: a worker has read what it took before its swap of the head; only then is the entry written again. */
    if (tail - atomic_load_explicit(&shared->back->head, memory_order_acquire) >= PP_TICKETS) return false;
    atomic_store_explicit(&shared->tickets[tail % PP_TICKETS], ticket, memory_order_relaxed);
    atomic_store_explicit(&front->tail, tail + 1, memory_order_release);
    return true;
}

uint64_t pp_ring_recall(struct pp_shared *shared) {
    for (;;) {
        uint64_t head = atomic_load_explicit(&shared->back->head, memory_order_acquire);
        uint64_t left = atomic_load_explicit(&shared->front->tail, memory_order_relaxed) - head;
        if (left == 0 || left > PP_TICKETS) return 0;
        uint64_t ticket = atomic_load_explicit(&shared->tickets[head % PP_TICKETS], memory_order_relaxed);
        if (pp_swap(&shared->back->head, head, head + 1)) return ticket;
    }
}

uint64_t pp_ring_length(const struct pp_shared *shared) {
    uint64_t head = atomic_load_explicit(&shared->back->head, memory_order_acquire);
    return atomic_load_explicit(&shared->front->tail, memory_order_relaxed) - head;
}

void pp_ring_repair(struct pp_shared *shared) {
    atomic_store_explicit(&shared->back->head, atomic_load_explicit(&shared->front->tail, memory_order_relaxed),
                          memory_order_release);
}

bool pp_ring_is_empty(const struct pp_shared *shared) {
    uint64_t tail = atomic_load_explicit(&shared->front->tail, memory_order_acquire);
    return tail - atomic_load_explicit(&shared->back->head, memory_order_relaxed) - 1 >= PP_TICKETS;
}

unsigned pp_ring_take(struct pp_shared *shared, struct pp_record *record, unsigned most, uint64_t tickets[PP_HOLD]) {
    struct pp_front *front = shared->front;
    for (;;) {
        uint64_t head = atomic_load_explicit(&shared->back->head, memory_order_relaxed);
        uint64_t left = atomic_load_explicit(&front->tail, memory_order_acquire) - head;
        if (left == 0 || left > PP_TICKETS) return 0;

        uint64_t wanted = atomic_load_explicit(&front->wanted, memory_order_relaxed);
        uint64_t share = wanted ? left / (2 * wanted) : 1;
        unsigned count = share < 1 ? 1 : share > most ? most : (unsigned)share;
        for (unsigned i = 0; i < count; i++) {
            tickets[i] = atomic_load_explicit(&shared->tickets[(head + i) % PP_TICKETS], memory_order_relaxed);
            atomic_store_explicit(&record->hold[i], tickets[i], memory_order_relaxed);
        }
        if (count < PP_HOLD) atomic_store_explicit(&record->hold[count], 0, memory_order_relaxed);
        /* Release: whoever sees the head moved, the supervisor included, sees who holds what it moved past. */
        if (pp_swap(&shared->back->head, head, head + count)) return count;
    }
}
