/* Threads in place of processes, for tests of shared memory: ThreadSanitizer sees races only between threads. */
#ifndef THREADS_H
#define THREADS_H

#include <pthread.h>

#include "shared/shared.h"
#include "shared/ticket.h"
#include "support.h"

/* Makes the shared memory of a pool with so many workers. */
static inline struct pp_shared make_memory(uint32_t workers) {
    struct pp_shared memory;
    assert_int_equal(pp_shared_make(&memory, (size_t)1 << 20, 0), 0);
    atomic_store(&memory.control->workers, workers);
    atomic_store(&memory.control->wanted, workers);
    return memory;
}

/* The n-th of many tickets, and the n of a ticket. */
static inline uint64_t ticket_number(uint64_t n) {
    return pp_ticket((uint32_t)(n % PP_SLOTS), 1 + (uint32_t)(n / PP_SLOTS));
}
static inline uint64_t number_of(uint64_t ticket) {
    return (uint64_t)(pp_ticket_generation(ticket) - 1) * PP_SLOTS + pp_ticket_slot(ticket);
}

struct threads {
    pthread_t ids[16];
    size_t count;
};

static inline void start_thread(struct threads *threads, void *(*run)(void *), void *argument) {
    assert_true(threads->count < COUNT(threads->ids));
    assert_int_equal(pthread_create(&threads->ids[threads->count++], NULL, run, argument), 0);
}

static inline void join_all(struct threads *threads) {
    while (threads->count) assert_int_equal(pthread_join(threads->ids[--threads->count], NULL), 0);
}

/* Holds threads until `count` have arrived. Can be used again. */
struct barrier {
    atomic_uint arrived, round;
    unsigned count;
};

static inline void meet(struct barrier *barrier) {
    unsigned round = atomic_load(&barrier->round);
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == barrier->count) {
        atomic_store(&barrier->arrived, 0);
        atomic_fetch_add(&barrier->round, 1);
        return;
    }
    for (int i = 0; atomic_load(&barrier->round) == round; i++)
        if (i > 100) sched_yield();
}

static inline uint64_t next_random(uint64_t *random) {
    return *random = scramble(*random);
}

/* Lets another thread have the CPU now and then, or takes a short random time. */
static inline void stumble(uint64_t *random) {
    uint64_t number = next_random(random) % 64;
    if (number == 0) sched_yield();
    for (volatile uint64_t i = 0; i < number; i++) {
    }
}

#endif
