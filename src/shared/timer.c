#include "shared/timer.h"

#include "base/sys.h"
#include "shared/carried.h"
#include "shared/notice.h"
#include "shared/plan.h"
#include "shared/record.h"
#include "shared/stretch.h"

#define NS_PER_MS 1000000U
#define INITIALIZERS 10U          /* so many times as long as the longest so far may an initializer take, */
#define INITIALIZER_NS 1000000000U /* and this, and the longest time-out */
#define HIDDEN_NS 1000000000U /* beyond the time-out that a worker may not say where it is */
#define LOOKS 8           /* at where a worker is, or at CPU time, while the limit passes */
#define LOOK_MOST 100     /* ms between two looks */

int32_t pp_timer_interval(int32_t timeout, int32_t cpu_timeout) {
    int32_t shorter = cpu_timeout > 0 && (timeout <= 0 || cpu_timeout < timeout) ? cpu_timeout : timeout;
    if (shorter <= 0) return 0;
    int32_t look = shorter / LOOKS;
    if (look < 1) look = 1;
    return look < LOOK_MOST ? look : LOOK_MOST;
}

bool pp_timer_begin(struct pp_shared *shared, int32_t *shortest, int32_t timeout, int32_t cpu_timeout) {
    struct pp_control *control = shared->control;
    int32_t interval = pp_timer_interval(timeout, cpu_timeout);
    atomic_fetch_add_explicit(&control->timed, 1, memory_order_seq_cst);
    bool runs = atomic_load_explicit(&control->timers_on, memory_order_seq_cst) != 0;
    if (!runs || (uint32_t)timeout > atomic_load_explicit(&control->longest, memory_order_relaxed))
        atomic_store_explicit(&control->longest, (uint32_t)timeout, memory_order_relaxed);
    if (runs && interval >= *shortest) return false;
    *shortest = interval;
    atomic_store_explicit(&control->timers_on, 1, memory_order_seq_cst);
    return true;
}

void pp_timer_end(struct pp_shared *shared) {
    atomic_fetch_sub_explicit(&shared->control->timed, 1, memory_order_seq_cst);
}

/* What a worker runs, as the supervisor finds it. */
struct timed {
    _Atomic uint64_t *word; /* its state word; NULL: the worker runs nothing */
    uint64_t running;       /* what the word said */
    uint64_t ticket;        /* of the task or job */
    int32_t timeout, cpu_timeout; /* ms; 0 or less: none */
};

/* Whether workers cannot write there. */
static bool is_input(const struct pp_shared *shared, const void *address) {
    const char *at = address;
    return at >= shared->inputs && at < shared->inputs + shared->inputs_size;
}

/* A task may say in its worker's record that another is run, or none. An honest worker ends a task's word before it
 * changes the record, so a task that was seen running runs until its word has changed. */
static struct timed task_of(struct pp_shared *shared, uint32_t worker, const struct pp_timer_sight *sight) {
    struct timed task = {.word = NULL};
    uint32_t life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed);
    bool runs = sight->ticket != 0 && pp_is_held_by(sight->word, worker, life) &&
                pp_ticket_word(shared, sight->ticket) == sight->word;
    uint64_t ticket = runs ? sight->ticket : pp_record_current(&shared->records[worker]);
    uint32_t slot = pp_ticket_slot(ticket);
    task.running = pp_ticket_word(shared, ticket);
    if (task.running == 0) return task;
    const struct pp_desc *desc = &shared->descs[slot];
    bool has_limits = desc->timeout == PP_HAS_LIMITS;
    task.timeout = has_limits ? shared->limits[slot].timeout : desc->timeout; /* PP_IS_JOB is no time-out */
    task.cpu_timeout = has_limits ? shared->limits[slot].cpu_timeout : 0;
    task.ticket = ticket;
    task.word = &shared->outcomes[slot].state;
    return task;
}

/* The record is untrusted: the plan is looked at only if the slot holds a job and the plan lies where workers cannot
 * write. */
static struct timed item_of(struct pp_shared *shared, uint32_t worker) {
    struct pp_record *record = &shared->records[worker];
    struct timed item = {.running = atomic_load_explicit(pp_record_word(record), memory_order_acquire)};
    uint64_t ticket = pp_record_job(record);
    uint32_t slot = pp_ticket_slot(ticket);
    if (ticket == 0 || slot >= PP_SLOTS) return item;
    const struct pp_desc *desc = &shared->descs[slot];
    const struct pp_job_plan *plan = desc->in;
    if (desc->timeout != PP_IS_JOB || !is_input(shared, plan)) return item;
    item.timeout = plan->timeout;
    item.cpu_timeout = plan->cpu_timeout;
    item.ticket = ticket;
    item.word = pp_record_word(record);
    return item;
}

/* Whether the worker runs it, and it has a limit. */
static bool is_timed(const struct pp_shared *shared, uint32_t worker, const struct timed *timed) {
    uint32_t life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed);
    if (!timed->word || (timed->timeout <= 0 && timed->cpu_timeout <= 0)) return false;
    return pp_phase_of(timed->running) == PP_RUNNING && pp_is_held_by(timed->running, worker, life);
}

static void look_at(const struct timed *timed, uint64_t now, struct pp_timer_sight *sight) {
    if (sight->ticket == timed->ticket && sight->word == timed->running) return;
    *sight = (struct pp_timer_sight){.ticket = timed->ticket, .word = timed->running, .since = now};
}

/* Whether it has used more CPU time than it may. The word was read before: if the swap of it succeeds after this, what
 * the worker has used between the two looks was all used by this task or item. */
static bool is_spent(const struct timed *timed, uint64_t cpu, struct pp_timer_sight *sight) {
    if (cpu == 0 || sight->cpu == 0 || cpu < sight->cpu) sight->cpu = cpu;
    return cpu - sight->cpu >= (uint64_t)timed->cpu_timeout * NS_PER_MS;
}

/* When it was started. The record may say that this was after it was first seen: by a little, or it lies. */
static uint64_t started_at(struct pp_record *record, uint64_t now, const struct pp_timer_sight *sight) {
    uint64_t started = pp_record_started(record, now), most = sight->since + HIDDEN_NS;
    return started < most ? started : most;
}

/* When the worker's task or item is due; UINT64_MAX: it has no time-out. */
static uint64_t due_at(struct pp_shared *shared, uint32_t worker, const struct timed *timed, uint64_t now,
                       const struct pp_timer_sight *sight) {
    if (timed->timeout <= 0) return UINT64_MAX;
    return started_at(&shared->records[worker], now, sight) + (uint64_t)timed->timeout * NS_PER_MS;
}

/* The longest that an initializer has taken; 0: none has succeeded, or there is none. */
static uint64_t longest_initializer(const struct pp_shared *shared, uint32_t workers) {
    uint64_t longest = 0;
    for (uint32_t w = 0; w < workers; w++) {
        uint64_t took = atomic_load_explicit(&shared->starts[w].took, memory_order_relaxed);
        if (took > longest) longest = took;
    }
    return longest;
}

/* When the worker's initializer is due; UINT64_MAX: it does not run, or nothing tells how long it may take. */
static uint64_t initializer_due_at(const struct pp_shared *shared, uint32_t worker, uint64_t longest, uint64_t most) {
    const struct pp_start *start = &shared->starts[worker];
    uint64_t began = atomic_load_explicit(&start->began, memory_order_relaxed);
    bool runs = began != 0 && atomic_load_explicit(&start->ready, memory_order_relaxed) == 0;
    return runs && longest > 0 ? began + most + INITIALIZERS * longest + INITIALIZER_NS : UINT64_MAX;
}

/* When the worker's finalizer is due; UINT64_MAX: it does not run. sight: of that. */
static uint64_t finalizer_due_at(struct pp_shared *shared, uint32_t worker, uint64_t most, uint64_t now,
                                 struct pp_timer_sight *sight) {
    struct pp_record *record = &shared->records[worker];
    uint32_t life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed);
    if (!pp_record_is_ending(record)) return UINT64_MAX;
    look_at(&(struct timed){.ticket = 1, .running = life}, now, sight);
    return started_at(record, now, sight) + most;
}

/* When the one or the other is due; UINT64_MAX: neither runs, or all limits that are open are of CPU time. */
static uint64_t between_tasks_due_at(struct pp_shared *shared, uint32_t worker, uint64_t longest, uint64_t most,
                                     uint64_t now, struct pp_timer_sight *sight) {
    if (most == 0) return UINT64_MAX;
    uint64_t begin = initializer_due_at(shared, worker, longest, most);
    uint64_t end = finalizer_due_at(shared, worker, most, now, sight);
    return begin < end ? begin : end;
}

/* Looks at what the worker runs, and kills it if it is past a limit. Returns when its task or item is due, or
 * UINT64_MAX. The swaps fail if that has ended since it was read: a later one has another word. */
static uint64_t check_one(struct pp_shared *shared, uint32_t worker, const struct timed *timed, uint64_t now,
                          struct pp_timer_sight *sight, const struct pp_timer_hands *hands) {
    if (!is_timed(shared, worker, timed)) return UINT64_MAX;
    look_at(timed, now, sight);
    uint64_t due = due_at(shared, worker, timed, now, sight);
    enum pp_phase reason = due <= now ? PP_OVERDUE : PP_RUNNING;
    if (timed->cpu_timeout > 0 && is_spent(timed, hands->cpu_time(hands->context, worker), sight)) reason = PP_SPENT;
    if (reason != PP_RUNNING && pp_state_kill(timed->word, timed->running, reason)) hands->kill(hands->context, worker);
    return due > now ? due : UINT64_MAX;
}

/* The same of a worker that says only where it is in the job. Its item runs since it was first seen there, or longer. A
 * worker that is nowhere for longer has been made to hide by a task, since it is between two items for moments only. */
static uint64_t check_visit(struct pp_shared *shared, uint32_t worker, const struct timed *timed, uint64_t now,
                            struct pp_timer_stay *stay, const struct pp_timer_hands *hands) {
    struct pp_prospect prospect = pp_stretch_look(shared, worker);
    uint64_t most = (uint64_t)timed->timeout * NS_PER_MS, number = prospect.number;
    if (prospect.several) most = most / 4 * 3;
    uint64_t progress = atomic_load_explicit(&shared->records[worker].progress, memory_order_acquire);
    uint64_t key = number ? number : ~(timed->running ^ progress);
    if (stay->since == 0 || stay->number != key) *stay = (struct pp_timer_stay){.number = key, .since = now};
    uint64_t due = stay->since + most + (number ? 0 : HIDDEN_NS);
    if (due > now) return due;
    PP_POINT("overdue");
    if (number && !pp_stretch_stop(shared, worker, number)) return UINT64_MAX;
    PP_POINT("stopped");
    stay->stopped = progress;
    stay->life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed);
    pp_state_kill(timed->word, timed->running, PP_OVERDUE); /* unless the caller kills it as well */
    hands->kill(hands->context, worker);
    return UINT64_MAX;
}

void pp_timer_amend(const struct pp_timer *timer, struct pp_notice *death) {
    const struct pp_timer_stay *stay = &timer->stays[death->worker];
    bool stopped = death->left.phase == PP_OVERDUE && death->left.scope == PP_SCOPE_VISIT && stay->life == death->life;
    if (!stopped || death->left.progress <= stay->stopped || stay->stopped < death->left.begin) return;
    death->left.until = death->left.progress; /* of the call; it may have written that of the next one */
    death->left.progress = stay->stopped;
}

static bool is_visit(const struct pp_shared *shared, uint32_t worker) {
    return atomic_load_explicit(&shared->records[worker].single, memory_order_acquire) == PP_WHOLE_VISIT;
}

uint64_t pp_timer_check(struct pp_shared *shared, uint64_t now, struct pp_timer *timer,
                        const struct pp_timer_hands *hands) {
    struct pp_control *control = shared->control;
    if (timer->shortest == 0) return UINT64_MAX;
    if (atomic_load_explicit(&control->timed, memory_order_seq_cst) == 0) {
        atomic_store_explicit(&control->timers_on, 0, memory_order_seq_cst);
        if (atomic_load_explicit(&control->timed, memory_order_seq_cst) == 0) {
            timer->shortest = 0;
            return UINT64_MAX;
        }
        atomic_store_explicit(&control->timers_on, 1, memory_order_seq_cst);
    }
    uint64_t next = now + (uint64_t)timer->shortest * NS_PER_MS;
    uint32_t workers = atomic_load_explicit(&control->workers, memory_order_relaxed);
    uint64_t most = (uint64_t)atomic_load_explicit(&control->longest, memory_order_relaxed) * NS_PER_MS;
    uint64_t longest = longest_initializer(shared, workers);
    for (uint32_t w = pp_carriers(shared); w < workers; w++) { /* hosts look after their own clocks */
        uint64_t first = between_tasks_due_at(shared, w, longest, most, now, &timer->sights[w][PP_SIGHT_END]);
        if (first <= now) hands->kill(hands->context, w);
        if (first > now && first < next) next = first;
        const struct timed both[] = {task_of(shared, w, &timer->sights[w][PP_SIGHT_TASK]), item_of(shared, w)};
        for (int i = 0; i < 2; i++) {
            bool visits = i == 1 && is_visit(shared, w) && is_timed(shared, w, &both[i]);
            uint64_t due = visits ? check_visit(shared, w, &both[i], now, &timer->stays[w], hands)
                                  : check_one(shared, w, &both[i], now, &timer->sights[w][i], hands);
            if (due < next) next = due;
        }
    }
    return next;
}
