#include "ring.h"

#include "state.h"
#include "sys.h"

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

        uint64_t share = left / (2 * (uint64_t)atomic_load_explicit(&front->workers, memory_order_relaxed));
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

void pp_asleep_set(struct pp_shared *shared, uint32_t worker) {
    atomic_fetch_or_explicit(&shared->back->asleep[worker / 64], (uint64_t)1 << worker % 64, memory_order_relaxed);
    /* Orders the bit before the last look at tail and board; pairs with the fence in pp_wake(). */
    atomic_thread_fence(memory_order_seq_cst);
}

void pp_asleep_clear(struct pp_shared *shared, uint32_t worker) {
    atomic_fetch_and_explicit(&shared->back->asleep[worker / 64], ~((uint64_t)1 << worker % 64), memory_order_relaxed);
}

static uint32_t bits(uint64_t word) {
    uint32_t count = 0;
    for (; word; word &= word - 1) count++;
    return count;
}

void pp_wake(struct pp_shared *shared, int pipe, uint64_t *sent, uint32_t work) {
    /* Orders tail or board before the look at the bits; pairs with the fence in pp_asleep_set(). */
    atomic_thread_fence(memory_order_seq_cst);
    uint32_t workers = atomic_load_explicit(&shared->front->workers, memory_order_relaxed);
    uint32_t asleep = 0;
    for (uint32_t i = 0; i < (workers + 63) / 64; i++)
        asleep += bits(atomic_load_explicit(&shared->back->asleep[i], memory_order_relaxed));
    if (asleep == 0) return;

    uint64_t taken = 0;
    for (uint32_t i = 0; i < workers; i++)
        taken += atomic_load_explicit(&shared->records[i].woken, memory_order_relaxed);
    /* More taken than sent: bytes were sent without being counted, after a death. Far less: somebody scribbled. */
    if (taken > *sent || *sent - taken > workers) *sent = taken;
    uint64_t under_way = *sent - taken;
    for (; work > 0 && asleep > under_way; work--, under_way++) {
        if (pp_write(pipe, "", 1) != 1) return;
        ++*sent;
    }
}
