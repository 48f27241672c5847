/* Event loops of the program: pool_fd(), pool_poll(), pool_next_done(), pool_wake(). */
#include "base/sys.h"
#include "pool/bell.h"
#include "pool/call.h"
#include "pool/callback.h"
#include "pool/events.h"
#include "pool/future_alloc.h"
#include "pool/wait.h"

int pool_fd(const struct pool *pool) {
    if (!pool) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    struct pool *p = (struct pool *)(uintptr_t)pool; /* nothing changes that the program can see */
    pp_lock(p);
    if (p->fds.event < 0 && !p->ended) {
        p->fds.event = pp_watch_both(p->fds.bell, p->fds.lifeline);
        if (p->fds.event < 0) p->fds.event = p->fds.bell;
        p->due |= PP_DUE_BELL;
    }
    int fd = p->fds.event;
    pp_unlock(p);
    return fd < 0 ? POOL_ECLOSED : fd;
}

/* Once the supervisor's end is known, pool_fd() must not stay readable because of it. */
static void forget_lifeline(struct pool *pool) {
    const struct pp_fds *fds = &pool->fds;
    if (fds->event >= 0 && fds->event != fds->bell) pp_watch_no_more(fds->event, fds->lifeline);
}

/* The beginning of a call that looks at all that has happened. */
static void enter(struct pool *pool) {
    pp_lock_and_keep(pool);
    if (!pool->waiting.somebody_polls && !pool->ended) pp_bell_silence(pool);
    if (pp_check_supervisor(pool) || pool->broken) forget_lifeline(pool);
}

/* Whether pool_wake() ends this call. */
static bool is_woken(struct pool *pool) {
    bool woken = pool->events.woken;
    pool->events.woken = false;
    return woken;
}

/* Waits for anything new. Returns whether the time is over. */
static bool wait_for_news(struct pool *pool, uint64_t deadline) {
    bool late = pp_wait(pool, &(struct pp_goal){.baseline = pp_news(pool) - pp_events_unreported(pool)}, deadline);
    if (pp_callbacks_wait(pool)) pp_callbacks_run(pool);
    return late;
}

int pool_poll(struct pool *pool, int timeout) {
    if (!pool || timeout < -1) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    uint64_t deadline = pp_deadline(timeout);
    enter(pool);
    PP_GUARD(guard, pp_unlock_and_let_go, pool);
    bool late = pool->ended;
    do
        if (!late) late = wait_for_news(pool, deadline);
    while (!late && pp_events_unreported(pool) == 0 && !pool->events.woken && pool->open > 0);
    size_t news = pp_events_unreported(pool);
    bool woken = news == 0 && is_woken(pool);
    pool->events.reported += news;
    pp_release_guard(&guard);
    pp_unlock_and_let_go(pool);
    if (woken) return POOL_ETIMEDOUT;
    return news > INT32_MAX ? INT32_MAX : (int)news;
}

int pool_next_done(struct pool *pool, struct future **future, int timeout) {
    if (!pool || !future || timeout < -1) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    uint64_t deadline = pp_deadline(timeout);
    struct pp_events *events = &pool->events;
    struct future *done;
    int error = 0;
    enter(pool);
    PP_GUARD(guard, pp_unlock_and_let_go, pool);
    pp_advance(pool);
    while (!(done = PP_LIST_FIRST(&events->done, struct future, link)) && !error) {
        if (events->expected == 0) error = POOL_END;
        else if (is_woken(pool)) error = POOL_ETIMEDOUT;
        else if (pp_wait(pool, &(struct pp_goal){.baseline = pp_news(pool)}, deadline)) error = POOL_ETIMEDOUT;
    }
    if (done) {
        pp_notify_end(done);
        pp_detach(done); /* unless anything else leads to it */
        *future = done;
        error = 0;
    }
    events->reported += pp_events_unreported(pool);
    pp_release_guard(&guard);
    pp_unlock_and_let_go(pool);
    return error;
}

int pool_wake(struct pool *pool) {
    if (!pool) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    pp_lock(pool);
    pool->events.woken = true;
    pool->events.wakes++;
    pp_wake_waiting(pool);
    pp_unlock(pool);
    return 0;
}
