/* The state word of a slot: which task the slot holds, how far the task is, and which worker runs it. Each change is
 * one function here and one compare-and-swap; so each task ends exactly once, whatever runs at the same time.
 *
 *            caller            a worker              that worker
 *     FREE ---------> PENDING ---------> RUNNING ---------------> DONE
 *                        |                  |
 *                 caller |                  | caller (KILLED) or supervisor (OVERDUE: it has run for too long; SPENT:
 *                        v                  v it has used too much CPU time); only then is the worker killed, and a
 *                    CANCELLED    KILLED, OVERDUE, SPENT   worker whose own swap fails stops
 *
 * A job goes through PENDING, RUNNING (its first worker) and DONE (caller). A worker's visit to a job has a word of the
 * same phases in the worker's record, where the generation counts visits and items. If the job has a time-out, or the
 * worker may have to end soon, each item has such a word instead.
 *
 * Invariant: the generation is the caller's count of the slot's uses; a word of another generation is another task's.
 * Memory order: every swap is acquire and release, save pp_state_close(). The worker whose swap to RUNNING succeeds
 * sees the task's description, which was written before PENDING; the caller that reads DONE sees the result, which was
 * written before DONE. */
#ifndef PP_STATE_H
#define PP_STATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum pp_phase { PP_FREE, PP_PENDING, PP_RUNNING, PP_DONE, PP_CANCELLED, PP_KILLED, PP_OVERDUE, PP_SPENT };

/* generation 32 bits | the worker's life 16 | worker 12 | phase 4 */
static inline uint64_t pp_state(uint32_t generation, enum pp_phase phase, uint32_t worker, uint32_t life) {
    return (uint64_t)generation << 32 | (uint64_t)(life & 0xffffU) << 16 | (uint64_t)(worker & 0xfffU) << 4 |
           (uint64_t)phase;
}
static inline enum pp_phase pp_phase_of(uint64_t state) {
    return (enum pp_phase)(state & 0xfU);
}
static inline uint32_t pp_generation_of(uint64_t state) {
    return (uint32_t)(state >> 32);
}
static inline uint32_t pp_worker_of(uint64_t state) {
    return (uint32_t)(state >> 4) & 0xfffU;
}
/* Whether a worker runs it, or is about to be killed for it. */
static inline bool pp_is_at_work(enum pp_phase phase) {
    return phase == PP_RUNNING || phase == PP_KILLED || phase == PP_OVERDUE || phase == PP_SPENT;
}
/* Whether `state` is that of a task in the hands of this life of this worker. */
static inline bool pp_is_held_by(uint64_t state, uint32_t worker, uint32_t life) {
    return ((state >> 4) & 0xfffffffU) == (((uint64_t)(life & 0xffffU) << 12) | (worker & 0xfffU));
}

static inline bool pp_is_done(uint64_t state, uint32_t generation) {
    return pp_generation_of(state) == generation && pp_phase_of(state) == PP_DONE;
}

/* How often a swap is tried of a word that was changed after it was read. Honest workers change a word once or twice; a
 * task that changes it all the time must not hold up the caller, which has the pool's lock, or the supervisor. */
#define PP_TRIES 64

static inline bool pp_swap(_Atomic uint64_t *word, uint64_t from, uint64_t to) {
    return atomic_compare_exchange_strong_explicit(word, &from, to, memory_order_acq_rel, memory_order_acquire);
}

/* FREE or any end of the slot's last use → PENDING. Caller, the only writer of the word then. */
static inline void pp_state_submit(_Atomic uint64_t *word, uint32_t generation) {
    atomic_store_explicit(word, pp_state(generation, PP_PENDING, 0, 0), memory_order_release);
}
/* PENDING → RUNNING. Worker. */
static inline bool pp_state_begin(_Atomic uint64_t *word, uint32_t generation, uint32_t worker, uint32_t life) {
    return pp_swap(word, pp_state(generation, PP_PENDING, 0, 0), pp_state(generation, PP_RUNNING, worker, life));
}
/* RUNNING → DONE. The worker that runs the task. */
static inline bool pp_state_end(_Atomic uint64_t *word, uint64_t running) {
    return pp_swap(word, running, (running & ~(uint64_t)0xf) | PP_DONE);
}
/* RUNNING → DONE, of a job. Caller, with the word that it read. Sequentially consistent, unlike the other swaps: the
 * caller then looks which workers are in the job, and a worker stores that it is in the job and then looks at this
 * word. One of the two must see the other, which acquire and release alone do not promise. */
static inline bool pp_state_close(_Atomic uint64_t *word, uint64_t running) {
    uint64_t done = (running & ~(uint64_t)0xf) | PP_DONE;
    return atomic_compare_exchange_strong_explicit(word, &running, done, memory_order_seq_cst, memory_order_seq_cst);
}
/* PENDING → CANCELLED. Caller. */
static inline bool pp_state_cancel(_Atomic uint64_t *word, uint32_t generation) {
    return pp_swap(word, pp_state(generation, PP_PENDING, 0, 0), pp_state(generation, PP_CANCELLED, 0, 0));
}
/* RUNNING → KILLED (caller), OVERDUE or SPENT (supervisor), of exactly the task or item that was seen running. */
static inline bool pp_state_kill(_Atomic uint64_t *word, uint64_t running, enum pp_phase reason) {
    return pp_phase_of(running) == PP_RUNNING && pp_swap(word, running, (running & ~(uint64_t)0xf) | (uint64_t)reason);
}
/* The word in a worker's record, of its visit or item. It names that worker and its life from its birth on; FREE: the
 * worker runs nothing in a job. Only that worker writes it, save for pp_state_kill(). */
static inline void pp_item_none(_Atomic uint64_t *word, uint32_t worker, uint32_t life) {
    atomic_store_explicit(word, pp_state(0, PP_FREE, worker, life), memory_order_release);
}
/* Whether it is a word that this worker writes, or that a kill makes of one. */
static inline bool pp_is_item_of(uint64_t word, uint32_t worker, uint32_t life) {
    enum pp_phase phase = pp_phase_of(word);
    return pp_is_held_by(word, worker, life) && (phase == PP_FREE || pp_is_at_work(phase));
}
static inline uint64_t pp_item_begin(_Atomic uint64_t *word, uint32_t item, uint32_t worker, uint32_t life) {
    uint64_t running = pp_state(item, PP_RUNNING, worker, life);
    atomic_store_explicit(word, running, memory_order_seq_cst);
    return running;
}
static inline bool pp_item_end(_Atomic uint64_t *word, uint64_t running) {
    return pp_swap(word, running, (running & ~(uint64_t)0xf) | PP_FREE);
}

#endif
