#include "shared/timer.h"

#include "shared/command.h"
#include "shared/plan.h"
#include "shared/record.h"
#include "shared/ticket.h"

#define NS_PER_MS 1000000U

void pp_timer_begin(struct pp_shared *shared, int command_socket, int32_t *shortest, int32_t timeout) {
    struct pp_control *control = shared->control;
    atomic_fetch_add_explicit(&control->timed, 1, memory_order_seq_cst);
    bool runs = atomic_load_explicit(&control->timers_on, memory_order_seq_cst) != 0;
    if (runs && timeout >= *shortest) return;
    *shortest = timeout;
    atomic_store_explicit(&control->timers_on, 1, memory_order_seq_cst);
    pp_command_send(command_socket, &(struct pp_command){.kind = PP_TIMER, .value = (uint32_t)timeout});
}

void pp_timer_end(struct pp_shared *shared) {
    atomic_fetch_sub_explicit(&shared->control->timed, 1, memory_order_seq_cst);
}

/* Returns the state word of the task that the worker runs, with its time-out; NULL if there is none. */
static _Atomic uint64_t *timed_task(struct pp_shared *shared, uint32_t worker, uint64_t *running, int32_t *timeout) {
    uint64_t ticket = pp_record_current(&shared->records[worker]);
    uint32_t slot = pp_ticket_slot(ticket);
    if (slot >= PP_SLOTS) return NULL;
    _Atomic uint64_t *state = &shared->outcomes[slot].state;
    *running = atomic_load_explicit(state, memory_order_acquire);
    if (pp_generation_of(*running) != pp_ticket_generation(ticket)) return NULL;
    *timeout = shared->descs[slot].timeout;
    return state; /* the time-out of a job's slot, PP_IS_JOB, is negative: none */
}

/* The same of an item of a job. */
static _Atomic uint64_t *timed_item(struct pp_shared *shared, uint32_t worker, uint64_t *running, int32_t *timeout) {
    struct pp_record *record = &shared->records[worker];
    *running = atomic_load_explicit(pp_record_word(record), memory_order_acquire);
    uint64_t ticket = pp_record_job(record);
    uint32_t slot = pp_ticket_slot(ticket);
    if (ticket == 0 || slot >= PP_SLOTS) return NULL;
    const struct pp_desc *desc = &shared->descs[slot];
    const char *plan = desc->in;
    if (desc->timeout != PP_IS_JOB || plan < shared->inputs || plan >= shared->inputs + shared->inputs_size)
        return NULL;
    *timeout = ((const struct pp_job_plan *)(const void *)plan)->timeout;
    return pp_record_word(record);
}

/* Returns when the worker's task or item is due; UINT64_MAX if it has no time-out. If that is past, swaps the state
 * word and has the worker killed. */
static uint64_t check_one(struct pp_shared *shared, uint32_t worker, uint64_t now, _Atomic uint64_t *state,
                          uint64_t running, int32_t timeout, void (*kill)(void *, uint32_t), void *context) {
    uint32_t life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed);
    if (!state || timeout <= 0 || pp_phase_of(running) != PP_RUNNING || !pp_is_held_by(running, worker, life))
        return UINT64_MAX;
    uint64_t due = pp_record_started(&shared->records[worker], now) + (uint64_t)timeout * NS_PER_MS;
    /* The swap fails if the task or item has ended since `running` was read, since the next one's word is another. */
    if (now < due) return due;
    if (pp_state_kill(state, running, PP_OVERDUE)) kill(context, worker);
    return UINT64_MAX;
}

uint64_t pp_timer_check(struct pp_shared *shared, uint64_t now, uint32_t *shortest,
                        void (*kill)(void *context, uint32_t worker), void *context) {
    struct pp_control *control = shared->control;
    if (*shortest == 0) return UINT64_MAX;
    if (atomic_load_explicit(&control->timed, memory_order_seq_cst) == 0) {
        atomic_store_explicit(&control->timers_on, 0, memory_order_seq_cst);
        if (atomic_load_explicit(&control->timed, memory_order_seq_cst) == 0) {
            *shortest = 0;
            return UINT64_MAX;
        }
        atomic_store_explicit(&control->timers_on, 1, memory_order_seq_cst);
    }
    uint64_t next = now + (uint64_t)*shortest * NS_PER_MS;
    uint32_t workers = atomic_load_explicit(&control->workers, memory_order_relaxed);
    for (uint32_t w = 0; w < workers; w++) {
        uint64_t running = 0;
        int32_t timeout = 0;
        _Atomic uint64_t *state = timed_task(shared, w, &running, &timeout);
        uint64_t due = check_one(shared, w, now, state, running, timeout, kill, context);
        if (due < next) next = due;
        state = timed_item(shared, w, &running, &timeout);
        due = check_one(shared, w, now, state, running, timeout, kill, context);
        if (due < next) next = due;
    }
    return next;
}
