#include "pool/integrity.h"

#include "base/sys.h"
#include "pool/cancel.h"
#include "pool/collect.h"
#include "pool/death.h"
#include "pool/dispatch.h"
#include "pool/job.h"
#include "pool/outcome.h"
#include "pool/reset.h"
#include "pool/round.h"
#include "pool/slots.h"
#include "pool/stall.h"
#include "pool/vain.h"
#include "shared/backlog.h"
#include "shared/carried.h"
#include "shared/notice.h"
#include "shared/park.h"
#include "shared/plan.h"
#include "shared/record.h"
#include "shared/ring.h"

#define MOST_IN_VAIN 4     /* looks at which a worker may be a stray though it seems to take steps */
#define NS_PER_MS 1000000U
#define FINALIZER_NS 10000000000U /* how long one may keep work waiting */
#define TWICE_NS 90000000U /* a look after less time does not count as the second: several threads may wait */

static uint64_t load(const _Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_acquire);
}

/* The worker's present life. Acquire: pairs with the release in pp_life_begin(). A caller that sees this life sees that
 * the notice of the last one is due, or has read it. */
static uint32_t life_of(const struct pool *pool, uint32_t worker) {
    return atomic_load_explicit(&pool->shared.control->lives[worker], memory_order_acquire);
}

static bool lives(const struct pool *pool, uint32_t worker) {
    return life_of(pool, worker) != pool->ended_lives[worker];
}

static void kill_again(struct pool *pool, uint32_t worker) {
    pp_kill_worker(pool, pp_state(0, PP_KILLED, worker, life_of(pool, worker)));
}

/* ---- where tickets are */

static void see(struct pool *pool, uint64_t ticket) {
    if (pp_slot_future(pool, ticket)) pool->slots.table[pp_ticket_slot(ticket)].seen = pool->looks.number;
}

/* The first 0 ends what a worker has claimed, as for the workers that steal from it. */
static void see_tickets(struct pool *pool) {
    if (++pool->looks.number == 0) pool->looks.number = 1;
    uint64_t tail = pp_ring_sent(&pool->shared), length = pp_ring_length(&pool->shared);
    if (length > PP_TICKETS) length = 0; /* a task has overwritten the head since it was found sound */
    for (uint64_t head = tail - length; head != tail; head++) see(pool, pp_ring_ticket(&pool->shared, head));
    for (uint32_t w = 0; w < pool->workers; w++) {
        const struct pp_record *record = &pool->shared.records[w];
        uint64_t ticket;
        for (int i = 0; i < PP_CLAIMED_MOST && (ticket = pp_record_claimed(record, i)) != 0; i++) see(pool, ticket);
        see(pool, pp_record_current(record));
        see(pool, pp_record_bequest(record));
    }
}

/* ---- tasks */

static bool is_carrier(const struct pool *pool, uint32_t worker) {
    return worker == PP_CARRIER && pp_carriers(&pool->shared);
}

static bool is_carried(const struct pool *pool, uint32_t slot) {
    return pp_is_carried(&pool->shared, pp_slot_ticket(pool, slot), life_of(pool, PP_CARRIER));
}

/* Whether the worker that the word names lives and is at the task. A worker that must die is killed again. */
static bool is_held(struct pool *pool, uint32_t slot, uint64_t word) {
    uint32_t worker = pp_worker_of(word);
    if (worker >= pool->workers || !lives(pool, worker)) return false;
    if (!pp_is_held_by(word, worker, life_of(pool, worker))) return false;
    if (is_carrier(pool, worker)) {
        if (!is_carried(pool, slot)) return false;
    } else if (pp_record_current(&pool->shared.records[worker]) != pp_slot_ticket(pool, slot)) {
        return false;
    }
    if (pp_phase_of(word) != PP_RUNNING) kill_again(pool, worker);
    return true;
}

static bool is_pending(const struct pool *pool, uint32_t slot, uint64_t word) {
    return word == pp_state(pool->slots.table[slot].generation, PP_PENDING, 0, 0);
}

static bool is_intact(struct pool *pool, uint32_t slot, uint64_t word) {
    if (is_pending(pool, slot, word))
        return pool->slots.table[slot].seen == pool->looks.number || is_carried(pool, slot);
    if (pp_generation_of(word) != pool->slots.table[slot].generation) return false;
    enum pp_phase phase = pp_phase_of(word);
    return pp_is_at_work(phase) && is_held(pool, slot, word);
}

/* Returns false if the task in the slot is not where its word says. Takes in its outcome, if there is one. */
static bool check_task(struct pool *pool, uint32_t slot) {
    _Atomic uint64_t *state = &pool->shared.outcomes[slot].state;
    uint64_t word = load(state);
    if (pp_outcome_take(pool, slot) || is_intact(pool, slot, word)) return true;
    if (load(state) != word || pp_notice_is_due(&pool->shared)) return true; /* the worker has gone on, or has died */
    return is_pending(pool, slot, word) && pp_task_lost(pool, slot); /* then it has ended */
}

static bool check_tasks(struct pool *pool) {
    bool intact = true;
    see_tickets(pool);
    for (uint32_t slot = 0; slot < pool->slots.fresh; slot++) {
        const struct future *future = pool->slots.table[slot].future;
        if (future && !future->is_job && !future->queued) intact &= check_task(pool, slot);
    }
    return intact;
}

/* ---- workers in jobs */

/* The job that the worker is in; NULL: none that is open. */
static const struct pp_job *job_of(const struct pool *pool, uint32_t worker) {
    const struct future *future = pp_slot_future(pool, pp_record_job(&pool->shared.records[worker]));
    return future && future->is_job ? future->job : NULL;
}

/* Returns false if the word of a worker that is in a job is not its own. A worker that must die is killed again. */
static bool check_visitor(struct pool *pool, uint32_t worker) {
    if (!lives(pool, worker) || !job_of(pool, worker)) return true;
    uint64_t word = load(pp_record_word(&pool->shared.records[worker]));
    if (!pp_is_item_of(word, worker, life_of(pool, worker))) return false;
    if (pp_phase_of(word) != PP_RUNNING && pp_phase_of(word) != PP_FREE) kill_again(pool, worker);
    return true;
}

static bool check_jobs(struct pool *pool) {
    bool intact = pp_jobs_are_intact(pool);
    for (uint32_t w = 0; w < pool->workers; w++) intact &= check_visitor(pool, w);
    return intact;
}

/* ---- strays */

/* Whether the worker has a chunk of the job that is not finished. */
static bool works_in_job(const struct pool *pool, const struct pp_job *j, uint32_t worker) {
    struct pp_snapshot snapshot = pp_record_snapshot(&pool->shared, worker);
    struct pp_chunk chunk;
    if (snapshot.phase == PP_FREE || !pp_snapshot_chunk(&snapshot, j->plan, &chunk)) return false;
    return !pp_plan_is_finished(j->plan, &chunk);
}

static bool works_on_task(const struct pool *pool, uint32_t worker) {
    uint64_t ticket = pp_record_current(&pool->shared.records[worker]);
    if (!pp_slot_future(pool, ticket)) return false;
    uint64_t word = load(&pool->shared.outcomes[pp_ticket_slot(ticket)].state);
    return pp_phase_of(word) != PP_DONE && pp_is_held_by(word, worker, life_of(pool, worker));
}

/* Whether the worker may still be in its finalizer, which a task can feign. Time counts once that keeps work waiting,
 * and then as long as the worker lives, whatever it says in between. */
static bool may_finalize(struct pool *pool, uint32_t worker, bool work_waits) {
    const struct pp_control *control = pool->shared.control;
    struct pp_ending *ending = &pool->looks.endings[worker];
    uint32_t life = life_of(pool, worker);
    if (!pool->options.finalizer || !pp_record_retires(&pool->shared.records[worker])) return false;
    if (ending->life != life || ending->since == 0) {
        *ending = (struct pp_ending){.life = life};
        if (work_waits || job_of(pool, worker)) ending->since = pp_now();
        return true;
    }
    uint64_t longest = (uint64_t)atomic_load_explicit(&control->longest, memory_order_relaxed) * NS_PER_MS;
    return pp_now() - ending->since < (longest > FINALIZER_NS ? longest : FINALIZER_NS);
}

/* Whether an honest worker may be at nothing for long: its initializer or finalizer runs, it must not start anything
 * for now (limit.h), or it sleeps and no work waits. A task can feign the sleep. */
static bool may_be_idle(struct pool *pool, uint32_t worker, bool work_waits) {
    const struct pp_shared *s = &pool->shared;
    const struct pp_record *record = &s->records[worker];
    if (!atomic_load_explicit(&s->starts[worker].ready, memory_order_relaxed)) return true;
    if (may_finalize(pool, worker, work_waits)) return true;
    if (pp_record_current(record) != 0 || pp_record_job(record) != 0) return false;
    if (pool->looks.over_limit) return true;
    return !work_waits && load(&s->status->asleep[worker / 64]) >> worker % 64 & 1;
}

static bool is_stray(struct pool *pool, uint32_t worker, bool work_waits) {
    if (!lives(pool, worker) || is_carrier(pool, worker) || may_be_idle(pool, worker, work_waits)) return false;
    const struct pp_job *j = job_of(pool, worker);
    return j ? !works_in_job(pool, j, worker) : !works_on_task(pool, worker);
}

/* Whether more is completed than at any look before. */
static bool has_completed(struct pool *pool) {
    uint64_t completed = pp_count_completed(pool);
    if (completed <= pool->looks.completed) return false;
    pool->looks.completed = completed;
    return true;
}

/* The worker is a stray at this look. Kills it if it was at the last, too, and has taken no step since, or if it keeps
 * feigning steps by which nothing is completed. Returns whether the next look should come soon. */
static bool kill_stray(struct pool *pool, uint32_t w, uint32_t trace, bool completed) {
    struct pp_looks *looks = &pool->looks;
    if (completed) looks->in_vain[w] = 0;
    bool feigns = ++looks->in_vain[w] > MOST_IN_VAIN, is_still = trace == looks->strays[w];
    looks->strays[w] = trace;
    if (is_still) {
        pp_kill_stray(pool, w, trace);
    } else if (feigns) {
        looks->in_vain[w] = 0;
        pp_kill_worker(pool, pp_state(0, PP_KILLED, w, life_of(pool, w)));
    }
    return is_still || looks->in_vain[w] != 1;
}

/* Whether workers may have to wait for the machine: now, or at the last look, since they look rarely themselves. */
static void look_at_limit(struct pool *pool) {
    bool is_over = atomic_load_explicit(&pool->shared.control->over_limit, memory_order_relaxed) != 0;
    pool->looks.over_limit = is_over || pool->looks.was_over_limit;
    pool->looks.was_over_limit = is_over;
}

static bool kill_strays(struct pool *pool) {
    bool work_waits = pp_backlog_workers(&pool->shared) > 0, found = false;
    uint64_t now = pp_now();
    if (now - pool->looks.strays_at < TWICE_NS) return false;
    pool->looks.strays_at = now;
    look_at_limit(pool);
    bool completed = has_completed(pool);
    for (uint32_t w = 0; w < pool->workers; w++) {
        if (is_stray(pool, w, work_waits))
            found |= kill_stray(pool, w, pp_record_trace(&pool->shared, w), completed);
        else pool->looks.strays[w] = pool->looks.in_vain[w] = 0;
    }
    return found;
}

/* ---- the look */

static bool find_harm(struct pool *pool) {
    bool called_in_vain = pp_vain_at_look(pool, pp_count_completed(pool));
    bool intact = !called_in_vain && pp_ring_is_sound(&pool->shared) && check_tasks(pool) && check_jobs(pool);
    if (intact || pp_notice_is_due(&pool->shared)) {
        bool stalls = pp_stalls_end(pool);
        return kill_strays(pool) || stalls;
    }
    pp_reset_begin(pool);
    return true;
}

bool pp_examine(struct pool *pool) {
    if (pool->broken || pool->ended) return false;
    pp_collect(pool);
    bool found = pool->reset.under_way || (!pool->in_here && find_harm(pool));
    pp_jobs_look(pool);
    pp_sweep_extents(pool);
    pp_dispatch(pool);
    if (pool->open) pp_ask_who_sleeps(&pool->shared, pool->fds.task_pipe);
    return found;
}
