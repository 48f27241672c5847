#include "pool/wait.h"

#include "base/backoff.h"
#include "base/sys.h"
#include "pool/bell.h"
#include "pool/break.h"
#include "pool/call.h"
#include "pool/callback.h"
#include "pool/demand.h"
#include "pool/dispatch.h"
#include "pool/hosted.h"
#include "pool/integrity.h"
#include "pool/interrupt.h"
#include "pool/pool.h"
#include "pool/progress.h"
#include "pool/tell.h"
#include "pool/tracing.h"
#include "pool/vain.h"
#include "shared/backlog.h"
#include "shared/notice.h"
#include "shared/placement.h"
#include "shared/state.h"

#define NS_PER_MS 1000000U
#define SPIN_NS 100000U /* the time to wake a sleeping CPU, and to do some work there */
#define LOOK_FIRST (100 * (uint64_t)NS_PER_MS)
#define LOOK_MOST (2000 * (uint64_t)NS_PER_MS)

uint64_t pp_deadline(int timeout) {
    if (timeout <= 0) return timeout == 0 ? 0 : UINT64_MAX;
    return pp_now() + (uint64_t)timeout * NS_PER_MS;
}

static bool is_reached(const struct pool *pool, const struct pp_goal *goal) {
    if (goal->stop && *goal->stop) return true;
    if (goal->future) return pp_future_is_done(goal->future);
    return pool->open == 0 || pp_news(pool) != goal->baseline;
}

/* ---- the supervisor's end */

static void supervisor_gone(struct pool *pool) {
    if (pool->broken || pool->ended || pool->retiring) return;
    struct pool_failure why = {
        .error = POOL_EDIED, .worker = pool->supervisor, .message = "the pool's supervisor died"};
    pool->backend->kill_orphans(pool);
    pp_advance(pool);
    pp_break(pool, &why);
}

/* Looks for what may keep something from ever being done. Returns how long to wait before the next look. */
static uint64_t examine(struct pool *pool, uint64_t pause, uint64_t now) {
    if (pp_examine(pool) || pause == 0) pause = LOOK_FIRST;
    else if (pause < LOOK_MOST) pause *= 2;
    pool->looks.due = now + pause;
    return pause;
}

/* Makes up for a supervisor that was stopped, and for commands and wake-ups that could not be sent, and looks for what
 * scribbling may have hidden. Not at each look of a program that looks all the time. */
static void make_up_for_losses(struct pool *pool) {
    struct pp_looks *looks = &pool->looks;
    uint64_t now = pp_last_tick();
    if (now < pool->waiting.look_after_at) return;
    pool->waiting.look_after_at = now + LOOK_FIRST;
    pool->backend->go_on(pool);
    pp_tell_again(pool);
    pp_call_workers(pool, pp_backlog_workers(&pool->shared));
    if (pool->open > 0 && now >= looks->due) looks->pause = examine(pool, looks->pause, now);
}

bool pp_check_supervisor(struct pool *pool) {
    if (pool->broken || pool->ended || !pool->backend->is_lost) return false;
    bool lost = pool->backend->is_lost(pool);
    if (lost) supervisor_gone(pool);
    else make_up_for_losses(pool);
    return lost;
}

/* ---- sleeping */

/* For which outcome workers are to ring the bell. Other threads that wait, and tasks and jobs that wait for room, need
 * every outcome. */
static uint32_t wish_for(const struct pool *pool, const struct future *future) {
    bool one = future && future->slot != PP_NO_SLOT && !future->queued && pool->interests == 0 &&
               pool->waiting.others_wait == 0 && pool->queue.count == 0 && pool->short_of_room.count == 0 &&
               pp_list_is_empty(&pool->jobs.waiting);
    return one ? future->slot : PP_WAITS_ANY;
}

/* Whether workers or the supervisor have published anything that was not collected. */
static bool sees_news(const struct pool *pool) {
    for (uint32_t w = 0; w < pool->workers; w++)
        if (pp_record_announced(&pool->shared.records[w]) != pool->done_heads[w]) return true;
    return pp_notice_waits(&pool->shared);
}

/* The caller waits for each task before it sends the next: workers are to take tasks at once. The word is written only
 * if it changes, since workers read it all the time. */
static void tell_one_by_one(struct pool *pool) {
    _Atomic uint32_t *one_by_one = &pool->shared.control->one_by_one;
    if (!atomic_load_explicit(one_by_one, memory_order_relaxed))
        atomic_store_explicit(one_by_one, 1, memory_order_relaxed);
    pool->sends = 0;
}

/* The state word of the task, which shows its outcome sooner than the announcement does; NULL: it has no slot. */
static const _Atomic uint64_t *word_of(const struct pool *pool, const struct future *future) {
    bool has_one = future && !future->is_job && future->slot != PP_NO_SLOT;
    return has_one ? &pool->shared.outcomes[future->slot].state : NULL;
}

/* If a CPU is to spare, looks for a short time before the caller sleeps: bench_limits, "round-awake". Returns whether
 * there is anything to collect. It keeps the lock, as the time is short. */
static bool spin(struct pool *pool, const struct future *future) {
    if (!pp_placement_can_spare(&pool->shared)) return false;
    const _Atomic uint64_t *word = word_of(pool, future);
    uint32_t generation = word ? pool->slots.table[future->slot].generation : 0;
    uint64_t now = pp_now(), until = now + SPIN_NS;
    tell_one_by_one(pool);
    pp_placement_tell_looking(&pool->shared);
    do {
        if (now < pool->waiting.backoff.until) return false;
        for (int i = 0; i < PP_LOOKS; i++, pp_look_again())
            if ((word && pp_is_done(atomic_load_explicit(word, memory_order_relaxed), generation)) || sees_news(pool))
                return true;
        now = pp_backoff_yield(&pool->waiting.backoff); /* another process may want the CPU */
    } while (now < until);
    return false;
}

void pp_await_others(struct pool *pool) {
    while (pool->outside > 0) {
        pp_wake_waiting(pool);
        pthread_cond_wait(&pool->changed, &pool->lock);
    }
}

/* Sleeps until the bell rings or `until`. Unlocks meanwhile. */
static void sleep_in_poll(struct pool *pool, const struct pp_goal *goal, uint64_t until) {
    pool->waiting.somebody_polls = true;
    pp_placement_tell_asleep(&pool->shared);
    pp_bell_expect(pool, wish_for(pool, goal->future));
    pp_advance(pool);
    if (!is_reached(pool, goal) && !pp_callbacks_wait(pool)) {
        struct pollfd fds[] = {{.fd = pool->fds.bell, .events = POLLIN}, {.fd = pool->fds.lifeline, .events = POLLIN}};
        uint64_t since = pool->shared.trace.base ? pp_now() : 0;
        pp_step_out(pool);
        int n = pp_poll(fds, 2, until);
        pp_step_in(pool);
        pp_tracing_wait(pool, since);
        if (n > 0 && fds[1].revents) supervisor_gone(pool);
    }
    pp_bell_silence(pool);
    pool->waiting.somebody_polls = false;
    if (pool->waiting.others_wait) pthread_cond_broadcast(&pool->changed);
}

/* Sleeps until the thread that polls comes back, or `until`. */
static void sleep_on_condition(struct pool *pool, const struct pp_goal *goal, uint64_t until) {
    pool->waiting.others_wait++;
    pp_bell_expect(pool, PP_WAITS_ANY); /* the thread that polls may sleep for one outcome only */
    pp_advance(pool);
    if (!is_reached(pool, goal) && !pp_callbacks_wait(pool)) {
        struct timespec time = {.tv_sec = (time_t)(until / 1000000000U), .tv_nsec = (long)(until % 1000000000U)};
        pool->outside++;
        pthread_cond_timedwait(&pool->changed, &pool->lock, &time);
        pp_stepped_in(pool);
    }
    pool->waiting.others_wait--;
}

/* Does what can be done now, and tells whether the goal is reached. Tasks are run last: if another thread runs them
 * just now, this one sleeps under the same hold of the lock, so that thread finds it asleep and wakes it. */
static bool move_on(struct pool *pool, const struct pp_goal *goal) {
    pp_obey_interrupt(pool);
    if (goal->future) pp_advance_for(pool, goal->future);
    else pp_advance(pool);
    if (!pp_list_is_empty(&pool->jobs.reports)) pp_reports_run(pool);
    if (pool->due & PP_DUE_HOSTS) pp_hosted_tell(pool);
    if (is_reached(pool, goal)) return true;
    if (pp_callbacks_wait(pool)) {
        pp_callbacks_run(pool);
        if (is_reached(pool, goal)) return true;
    }
    if (!(pool->due & PP_DUE_DRIVE)) return false;
    pp_drive(pool);
    return is_reached(pool, goal);
}

static void sleep_until(struct pool *pool, const struct pp_goal *goal, uint64_t until) {
    if (!pp_list_is_empty(&pool->jobs.reports) && pp_reports_due(pool) < until) until = pp_reports_due(pool);
    if (pool->waiting.somebody_polls) sleep_on_condition(pool, goal, until);
    else sleep_in_poll(pool, goal, until);
}

int pp_wait(struct pool *pool, const struct pp_goal *goal, uint64_t deadline) {
    uint64_t pause = LOOK_FIRST, look_at = 0;
    if (pp_in_report(pool)) deadline = 0;
    while (!move_on(pool, goal)) {
        uint64_t now = deadline > 0 ? pp_now() : 0;
        if (now >= deadline) {
            pp_check_supervisor(pool);
            return is_reached(pool, goal) ? 0 : POOL_ETIMEDOUT;
        }
        if (deadline == UINT64_MAX && pp_fail_hopeless(pool)) continue;
        if (look_at == 0) look_at = now + pause;
        if (now >= look_at || pp_is_called_in_vain(pool)) {
            pause = examine(pool, pause, now);
            look_at = now + pause;
            pp_check_supervisor(pool);
        } else if (spin(pool, goal->future)) {
            pp_note_vain(pool, 1); /* unless something is done now */
        } else {
            sleep_until(pool, goal, deadline < look_at ? deadline : look_at);
        }
    }
    return 0;
}
