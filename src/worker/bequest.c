/* Retries are run by fresh workers: those that have run nothing since their initializer.
 *
 * A task may spoil the memory of its worker, by an overflow or a static variable, and return; what runs there next dies
 * of it. So the retry of a task or item must find a process that nothing has run in. Most often the worker that comes
 * to it is none. Such a worker leaves the ticket to its successor, and ends: the next life of its number finds the
 * ticket in the record, and runs it first. So a retry costs one more start of a process at most, whatever else is to be
 * done, and no task or item waits for a worker that does not come.
 *
 * A bequest is a hint, as each ticket is: whatever becomes of worker and successor, the slot's state word decides which
 * worker runs the task. The caller sends the ticket again if there is no successor; see pp_claims_died(). In a round of
 * retries no more workers end than there are items left.
 *
 * Invariant: a worker that has run something starts no retry.
 * Called by: work_tasks, work_jobs; worker runs what was left to it. */
#include "shared/ticket.h"
#include "worker/work.h"

static void pass_on(struct worker *w, uint64_t ticket) {
    if (w->bounds.bequeaths) return;
    pp_bequeath(&w->claimer, ticket);
    PP_POINT("bequeathed");
    w->bounds.bequeaths = true;
}

bool pp_work_passes_on_task(struct worker *w, uint64_t ticket) {
    uint32_t slot = pp_ticket_slot(ticket);
    if (slot >= PP_SLOTS || !pp_desc_is_fresh(&w->claimer.shared->descs[slot]) || !w->bounds.has_run) return false;
    if (pp_task_is_not_started(&w->claimer, ticket)) pass_on(w, ticket);
    return true;
}

bool pp_work_passes_on_job(struct worker *w, uint64_t ticket, const struct pp_job_plan *plan) {
    if (!w->bounds.has_run) return false;
    if (pp_plan_left(plan) > pp_record_count_heirs(w->claimer.shared, ticket)) pass_on(w, ticket);
    return true;
}
