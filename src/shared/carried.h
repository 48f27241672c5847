/* What the carrier tells the caller: which tasks it holds, and how its hosts are. In a pool with hosts the worker of
 * number PP_CARRIER is the carrier, a process that has tasks and items run on other hosts; see remote/carrier.h. All
 * other workers run them here.
 *
 * A task that the carrier has taken is PENDING until a host gets leave to begin it; then it is RUNNING in the hands of
 * the carrier's life. While the carrier holds it, in either state, the slot's entry in `carried` says so. An entry
 * names the use of the slot and the life of the carrier, so one that is left over means nothing and need not be
 * cleared.
 *
 *     carrier:  entry, then the ticket leaves record->claimed (release) ↔ the caller reads the records, then the
 *               entries: it finds the ticket in one of the two
 *     carrier:  marks the entry as given up, and announces the ticket ↔ the caller clears the entry, and sends the
 *               ticket again if the word says PENDING, or ends the task if it says KILLED: only now may the slot's
 *               memory have another use
 *
 * Notices of hosts go through a ring that keeps the last of them.
 *
 * Invariant: all of it lies where workers can write, so the caller checks each value.
 * Called by: the files of the carrier (write); the caller's layer, the supervisor and limit (read). */
#ifndef PP_CARRIED_H
#define PP_CARRIED_H

#include "shared/shared.h"
#include "shared/ticket.h"

#define PP_CARRIER 0U          /* the number of the worker that is the carrier, in a pool that has one */
#define PP_CARRIER_HOPELESS 3       /* its exit status if all hosts were refused */
#define PP_HOST_NOTICES 64U
#define PP_HOST_REASON 256     /* bytes of a reason, with its end */

/* How a host is. Written by the carrier. */
struct pp_host_state {
    _Atomic uint32_t state;   /* POOL_HOST_…; 0: it has not been heard of */
    _Atomic uint32_t cpus;    /* of a host that is up */
    _Atomic int32_t launcher; /* the process of its launcher, which leads a group; 0: none */
    _Atomic uint32_t running; /* tasks and items that it was given leave to begin, and that have not ended */
    _Atomic uint64_t tasks;   /* that it has run, ever */
    _Atomic uint64_t busy;    /* ns that its workers were at them, since it last came up, as it says */
};

struct pp_host_notice {
    uint32_t host; /* number */
    uint32_t state, cpus;
    char reason[PP_HOST_REASON];
};

struct pp_carried {
    _Atomic uint64_t holders[PP_SLOTS]; /* pp_carried_by(); 0: none */
    _Atomic uint64_t beat;              /* grows while the carrier runs */
    _Atomic uint64_t notices_tail;      /* notices ever written, after the notice (release) */
    struct pp_host_notice notices[PP_HOST_NOTICES];
    struct pp_host_state hosts[];       /* by number, as many as the pool has */
};

/* Whether the pool has a carrier: set before anything else of the pool runs. */
static inline uint32_t pp_carriers(const struct pp_shared *shared) {
    return shared->hosts > 0;
}

#define PP_CARRIED 0x10000U
#define PP_HANDED_BACK 0x20000U
/* An entry: generation 32 bits | PP_HANDED_BACK, PP_CARRIED | the carrier's life 16 bits. */
static inline uint64_t pp_carried_by(uint64_t ticket, uint32_t life) {
    return (ticket & 0xffffffff00000000U) | PP_CARRIED | (life & 0xffffU);
}
static inline uint64_t pp_holder_of(const struct pp_shared *shared, uint64_t ticket) {
    return atomic_load_explicit(&shared->carried->holders[pp_ticket_slot(ticket)], memory_order_acquire);
}
/* Carrier: it holds the task from here on. */
static inline void pp_carry(struct pp_shared *shared, uint64_t ticket, uint32_t life) {
    atomic_store_explicit(&shared->carried->holders[pp_ticket_slot(ticket)], pp_carried_by(ticket, life),
                          memory_order_release);
}
/* Carrier: it holds the task no more, and is about to announce that. */
static inline void pp_give_up(struct pp_shared *shared, uint64_t ticket, uint32_t life) {
    uint64_t holder = pp_carried_by(ticket, life) | PP_HANDED_BACK;
    atomic_store_explicit(&shared->carried->holders[pp_ticket_slot(ticket)], holder, memory_order_release);
}
/* Caller: whether this life of the carrier holds, or held, the task. */
static inline bool pp_is_carried(const struct pp_shared *shared, uint64_t ticket, uint32_t life) {
    uint64_t holder = pp_carriers(shared) ? pp_holder_of(shared, ticket) & ~(uint64_t)PP_HANDED_BACK : 0;
    return holder == pp_carried_by(ticket, life);
}
/* Caller: whether the carrier has given it up. */
static inline bool pp_is_given_up(const struct pp_shared *shared, uint64_t ticket) {
    uint64_t holder = pp_carriers(shared) ? pp_holder_of(shared, ticket) : 0;
    return (holder & PP_HANDED_BACK) && pp_carried_by(ticket, (uint32_t)holder & 0xffffU) == (holder ^ PP_HANDED_BACK);
}
/* Caller: the task is the caller's again. */
static inline void pp_uncarry(struct pp_shared *shared, uint32_t slot) {
    atomic_store_explicit(&shared->carried->holders[slot], 0, memory_order_relaxed);
}

static inline size_t pp_carried_size(uint32_t hosts) {
    return hosts ? sizeof(struct pp_carried) + hosts * sizeof(struct pp_host_state) : 0;
}

/* A failure that did not happen in a worker here: on another host, or with it. The outcome's pid is then its POOL_E…,
 * and its code is this. */
#define PP_FAR_EXITED 0x100
static inline int32_t pp_far_code(int signal, int status) {
    return signal > 0 ? signal & 0xff : PP_FAR_EXITED | (status & 0xff);
}
/* Whether it is one that the carrier may tell. */
static inline bool pp_is_far_error(int32_t error) {
    return error == POOL_EDIED || error == POOL_EDEADLINE || error == POOL_ENOMEM || error == POOL_ECANCELLED ||
           error == POOL_EINVAL || error == POOL_EAGAIN || error == POOL_ECORRUPT || error == POOL_EINIT;
}
/* Likewise of an item, in the plan's `failed`: 1: its function has failed; PP_NOT_BEGUN: it must be run elsewhere; else
 * -POOL_E…. */
#define PP_NOT_BEGUN 255

#endif
