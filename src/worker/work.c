/* What a worker does around each task and item: it ends its life where it must, keeps limits, tells what it has done.
 *
 * Invariant: that of worker.h.
 * Called by: worker, work_tasks, work_jobs. */
#include "worker/work.h"

#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/sys.h"
#include "worker/crash.h"

#define NS_PER_MS 1000000U
#define CPU_LOOK_NS 1000000U /* how old a look at the CPU time may be when an item starts */
#define PATIENCE_NS 1000000000U /* how long a worker waits for the kill that was announced to it */

/* ---- the end of a life */

noreturn void pp_work_die(struct worker *w, int status) {
    if (w->ends) {
        pp_unmap(w->scratch.base, w->scratch.size);
        longjmp(*w->ends, 1);
    }
    pp_child_exit(status);
}

/* If the kill does not come, the state word was overwritten by a task. Then this worker ends itself, to be replaced. */
noreturn void pp_work_await_kill(struct worker *w) {
    if (!w->ends) pp_crash_fall_silent();
    uint64_t until = pp_now() + PATIENCE_NS;
    while (!w->ends && pp_now() < until) pp_poll(NULL, 0, until);
    pp_work_die(w, 1);
}

char *pp_work_scratch(struct worker *w, size_t size) {
    struct pp_worker_scratch *own = &w->scratch;
    if (own->size < size) {
        pp_unmap(own->base, own->size);
        own->base = pp_map_private(size);
        own->size = own->base ? size : 0;
    }
    return own->base;
}

void pp_work_note_start(struct worker *w, uint64_t now, int32_t cpu_timeout) {
    if (!w->ends || cpu_timeout <= 0 || now - w->cpu.at < CPU_LOOK_NS) return;
    w->cpu = (struct pp_worker_cpu){.at = now, .used = pp_cpu_time_here()};
}

static bool has_spent(const struct worker *w, uint64_t most) {
    uint64_t before = pp_started(&w->claimer) - w->cpu.at, used = pp_cpu_time_here() - w->cpu.used;
    return used >= before && used - before >= most;
}

void pp_work_check_limits(const struct worker *w, _Atomic uint64_t *word, uint64_t running,
                          struct pp_limits limits) {
    if (!w->ends || (limits.timeout <= 0 && limits.cpu_timeout <= 0)) return;
    uint64_t now = pp_now(), most = (uint64_t)limits.cpu_timeout * NS_PER_MS;
    if (limits.timeout > 0) pp_check_clock(&w->claimer, word, running, (uint64_t)limits.timeout * NS_PER_MS, now);
    if (limits.cpu_timeout > 0 && now - pp_started(&w->claimer) >= most && has_spent(w, most))
        pp_state_kill(word, running, PP_SPENT);
}

void pp_work_pass_on(struct worker *w) {
    const struct pp_call *call = w->call;
    pool_fn *fn = !call->running ? NULL : w->jobs.plan ? pp_plan_function(w->jobs.plan) : call->desc->fn;
    pp_captured_pass(w->captured, fn, task_index());
}

void pp_work_end_forked(void) {
    pp_child_flush();
    pp_child_exit(0);
}

noreturn void pp_work_retire(struct worker *w, uint32_t why) {
    pp_set_retired(&w->claimer, why, pp_now());
    w->call->running = false;
    w->base = 0;
    /* A caller that kills a job need not wait for a finalizer that would run with a rest of the job in its hands. */
    bool killed = w->jobs.plan && pp_job_must_stop(w->jobs.plan);
    if (w->options->finalizer && !killed) w->options->finalizer(w->options->finalizer_arg);
    pp_work_flush(w);
    pp_work_die(w, 0);
}

/* Whether the pool has become too small for this worker. */
static bool is_surplus(const struct worker *w) {
    return w->claimer.number >= atomic_load_explicit(&w->claimer.shared->control->wanted, memory_order_relaxed);
}

/* The memory limit holds only once the worker has run something: if the initializer alone needs more, each worker that
 * follows would end at once, too. */
bool pp_work_must_retire(const struct worker *w) {
    const struct pp_worker_bounds *bounds = &w->bounds;
    bool is_large = bounds->soft_limit && bounds->has_run && pp_memory_used() > bounds->soft_limit;
    bool is_spent = (bounds->has_quota && bounds->quota == 0) || bounds->bequeaths || bounds->has_failed;
    return is_spent || is_large || is_surplus(w);
}

void pp_work_retire_if_due(struct worker *w) {
    if (pp_work_must_retire(w)) pp_work_retire(w, PP_RETIRED);
}

/* A task may have closed one of the worker's pipes, and opened something else in its place. A worker that sleeps there
 * is not woken, one that rings there is not heard; so it retires, and another takes its place. Only a process can lose
 * its pipes: threads share theirs with the program. */
void pp_work_retire_if_lost(struct worker *w, int pipe, struct pp_file file) {
    if (w->ends) return;
    struct pp_file there = pp_file_of(pipe);
    if (there.device != file.device || there.number != file.number) pp_work_retire(w, PP_RETIRED);
}

/* ---- telling */

void pp_work_ring(struct worker *w) {
    pp_work_retire_if_lost(w, w->pipes.bell, w->pipes.bell_file);
    if (!pp_ring_bell(w->pipes.bell) && !w->ends) pp_work_retire(w, PP_RETIRED);
}

void pp_work_count(struct worker *w, uint64_t tasks) {
    w->idle.since = 0;
    w->relief.pause = 0;
    pp_count_run(&w->claimer, tasks);
}

const char *pp_work_message(struct worker *w) {
    if (!w->call->has_message || w->call->message_index != task_index()) w->call->message[0] = '\0';
    w->call->has_message = false;
    return w->call->message;
}

/* The last chunk may be one of several. */
void pp_work_trace_items(const struct worker *w, uint64_t now, uint64_t items) {
    const struct pp_job_plan *plan = w->jobs.plan;
    uint64_t position = plan->block_fn ? w->jobs.call : w->claimer.stretch.begin;
    pp_trace_span(w->trace, w->claimer.number,
                  &(struct pp_trace_entry){.kind = PP_TRACE_ITEMS, .begin = w->jobs.pace.began, .end = now,
                                           .fn = pp_plan_function(plan), .count = (uint32_t)items,
                                           .item = plan->index ? plan->index[position] : position}, NULL);
}

void pp_work_trace_tasks(const struct worker *w, uint64_t began, uint64_t now, uint64_t tasks) {
    pp_trace_span(w->trace, w->claimer.number,
                  &(struct pp_trace_entry){.kind = PP_TRACE_TASKS, .begin = began, .end = now, .fn = w->batch.ran,
                                           .count = (uint32_t)tasks}, NULL);
}
