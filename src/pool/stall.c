#include "pool/stall.h"

#include "base/sys.h"
#include "pool/cancel.h"
#include "pool/job.h"
#include "pool/round.h"
#include "shared/carried.h"
#include "shared/record.h"

#define NS_PER_MS 1000000U
#define STOP_NS 1000000000U  /* how long a worker may be in a job that was killed */
#define GRACE_NS 2000000000U /* beyond twice the limit, for a machine with much to do */

/* Not the carrier, which runs nothing here: what it has others run may take longer, and it ends that itself. */
static bool is_in(const struct pool *pool, uint64_t ticket, uint32_t worker) {
    return worker >= pp_carriers(&pool->shared) && pp_record_job(&pool->shared.records[worker]) == ticket;
}

static bool is_any_in(const struct pool *pool, uint64_t ticket) {
    uint32_t worker = 0;
    while (worker < pool->workers && !is_in(pool, ticket, worker)) worker++;
    return worker < pool->workers;
}

/* Kills the worker, in the life in which it says that it is in the round. */
static bool kill_in(struct pool *pool, uint64_t ticket, uint32_t worker, enum pp_phase reason) {
    /* Acquire: a life that is seen here has said nothing of itself but what is read after it. */
    uint32_t life = atomic_load_explicit(&pool->shared.control->lives[worker], memory_order_acquire);
    _Atomic uint64_t *word = pp_record_word(&pool->shared.records[worker]);
    uint64_t running = atomic_load_explicit(word, memory_order_acquire);
    if (!is_in(pool, ticket, worker)) return false;
    if (pp_is_item_of(running, worker, life)) pp_state_kill(word, running, reason);
    pp_kill_worker(pool, pp_state(0, PP_KILLED, worker, life));
    return true;
}

static bool kill_all_in(struct pool *pool, uint64_t ticket, enum pp_phase reason) {
    bool any = false;
    for (uint32_t w = 0; w < pool->workers; w++) any |= kill_in(pool, ticket, w, reason);
    return any;
}

static uint64_t cpu_of(const struct pool *pool, uint32_t worker) {
    const struct pp_control *control = pool->shared.control;
    pid_t pid = (pid_t)atomic_load_explicit(&control->pids[worker], memory_order_acquire);
    bool strange = atomic_load_explicit(&control->elsewhere, memory_order_acquire) != 0;
    return pid > 0 && !strange ? pp_cpu_time_of(pid) : 0;
}

static void begin(const struct pool *pool, struct pp_job *j, uint64_t done, uint64_t now) {
    struct pp_stall *stall = &j->stall;
    bool is_new = stall->ticket != pp_round_ticket(pool, j) || stall->deaths != j->deaths;
    if (is_new || done > stall->most) stall->most = done;
    stall->ticket = pp_round_ticket(pool, j);
    stall->deaths = j->deaths;
    stall->since = now;
    if (j->job.cpu_timeout == 0) return;
    if (!stall->cpu) stall->cpu = pp_zalloc(PP_WORKERS, sizeof *stall->cpu);
    for (uint32_t w = 0; stall->cpu && w < pool->workers; w++)
        stall->cpu[w] = is_in(pool, stall->ticket, w) ? cpu_of(pool, w) : 0;
}

/* Or could not, since workers have to wait for the machine; see limit.h. */
static bool has_gone_on(const struct pool *pool, const struct pp_job *j, uint64_t done) {
    const struct pp_stall *stall = &j->stall;
    uint64_t ticket = pp_round_ticket(pool, j);
    if (atomic_load_explicit(&pool->shared.control->over_limit, memory_order_relaxed)) return true;
    return stall->ticket != ticket || stall->deaths != j->deaths || done > stall->most ||
           !is_any_in(pool, ticket);
}

/* Whether items have had far more time than they may take. A finalizer may run in a worker that is in the job, for as
 * long as the longest time-out in the pool. */
static bool is_overdue(const struct pool *pool, const struct pp_job *j, uint64_t now) {
    uint32_t longest = atomic_load_explicit(&pool->shared.control->longest, memory_order_relaxed);
    uint64_t most = (uint64_t)j->job.timeout > longest ? (uint64_t)j->job.timeout : longest;
    return j->job.timeout > 0 && now - j->stall.since > 2 * most * NS_PER_MS + GRACE_NS;
}

static bool has_spent(const struct pool *pool, const struct pp_job *j, uint32_t worker) {
    uint64_t before = j->stall.cpu ? j->stall.cpu[worker] : 0, used = before ? cpu_of(pool, worker) : 0;
    return used > before && used - before > 2 * (uint64_t)j->job.cpu_timeout * NS_PER_MS + GRACE_NS;
}

static bool kill_spent(struct pool *pool, const struct pp_job *j) {
    bool any = false;
    for (uint32_t w = 0; w < pool->workers && j->job.cpu_timeout > 0; w++)
        if (has_spent(pool, j, w)) any |= kill_in(pool, j->stall.ticket, w, PP_SPENT);
    return any;
}

static bool end_stopped(struct pool *pool, struct pp_job *j, uint64_t now) {
    if (j->stall.stopped == 0) j->stall.stopped = now;
    return now - j->stall.stopped >= STOP_NS && kill_all_in(pool, pp_round_ticket(pool, j), PP_KILLED);
}

static bool end_stall(struct pool *pool, struct pp_job *j, uint64_t now) {
    if (atomic_load_explicit(&j->plan->stop, memory_order_relaxed)) return end_stopped(pool, j, now);
    if (j->job.timeout == 0 && j->job.cpu_timeout == 0) return false;
    uint64_t done, failed;
    pp_round_count(pool, j, &done, &failed);
    if (has_gone_on(pool, j, done)) {
        begin(pool, j, done, now);
        return false;
    }
    if (!is_overdue(pool, j, now)) return kill_spent(pool, j);
    begin(pool, j, done, now);
    return kill_all_in(pool, j->stall.ticket, PP_OVERDUE);
}

bool pp_stalls_end(struct pool *pool) {
    uint64_t now = pp_now();
    bool any = false;
    PP_LIST_EACH(j, &pool->jobs.active, struct pp_job, link) any |= end_stall(pool, j, now);
    return any;
}
