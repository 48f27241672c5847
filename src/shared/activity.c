#include "shared/activity.h"

#include "shared/plan.h"
#include "shared/record.h"

/* Copies the plan of the job with this ticket. Returns false if it is not in the job table. */
static bool find_plan(const struct pp_shared *shared, uint64_t ticket, struct pp_job_plan *plan) {
    uint32_t end = atomic_load_explicit(&shared->control->job_table_end, memory_order_acquire);
    for (uint32_t entry = 0; entry < end && entry < PP_JOB_TABLE; entry++)
        if (atomic_load_explicit(&shared->job_table[entry], memory_order_relaxed) == ticket)
            return pp_plan_copy(shared, entry, plan) == ticket;
    return false;
}

/* What task_index() is in the item at this position. The lists lie in the arguments, where something else may lie once
 * the job has ended: then the number means nothing, but the place that is read must exist. */
static uint64_t index_of(const struct pp_shared *shared, const struct pp_job_plan *plan, uint64_t position) {
    uint64_t item = plan->index ? plan->index[position] : position;
    if (!plan->names) return plan->first_name + item;
    uintptr_t from = (uintptr_t)plan->names - (uintptr_t)shared->inputs;
    return item < (shared->inputs_size - from) / sizeof *plan->names ? plan->names[item] : item;
}

static struct pp_activity item_of(const struct pp_shared *shared, const struct pp_record *record) {
    struct pp_job_plan plan;
    uint64_t ticket = pp_record_job(record);
    if (ticket == 0 || !find_plan(shared, ticket, &plan)) return (struct pp_activity){.fn = NULL};
    uint64_t position = atomic_load_explicit(&record->progress, memory_order_acquire);
    if (position >= plan.count) return (struct pp_activity){.fn = NULL};
    return (struct pp_activity){.fn = pp_plan_function(&plan), .is_item = true,
                                .item = index_of(shared, &plan, position)};
}

static struct pp_activity task_of(const struct pp_shared *shared, uint32_t worker, const struct pp_record *record) {
    uint64_t ticket = pp_record_current(record), word = pp_ticket_word(shared, ticket);
    uint32_t life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed);
    const struct pp_desc *desc = &shared->descs[pp_ticket_slot(ticket) % PP_SLOTS];
    bool runs = word != 0 && pp_is_at_work(pp_phase_of(word)) && pp_is_held_by(word, worker, life);
    if (!runs || desc->timeout == PP_IS_JOB) return (struct pp_activity){.fn = NULL};
    return (struct pp_activity){.fn = desc->fn, .item = desc->item >> PP_IN_SIZE_BITS};
}

/* A worker that is in a job runs no task. */
struct pp_activity pp_activity_of(const struct pp_shared *shared, uint32_t worker) {
    const struct pp_record *record = &shared->records[worker];
    struct pp_activity activity = item_of(shared, record);
    if (!activity.fn) activity = task_of(shared, worker, record);
    if (activity.fn) activity.since = pp_record_counts(record).busy_since;
    return activity;
}
