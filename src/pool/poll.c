/* Event loops of the program: pool_fd() and pool_poll(). */
#include "base/sys.h"
#include "pool/bell.h"
#include "pool/call.h"
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

int pool_poll(struct pool *pool, int timeout) {
    if (!pool || timeout < -1) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    uint64_t deadline = pp_deadline(timeout);
    pp_lock_and_keep(pool);
    PP_GUARD(guard, pp_unlock_and_let_go, pool);
    if (!pool->waiting.somebody_polls && !pool->ended) pp_bell_silence(pool);
    if (pp_check_supervisor(pool) || pool->broken) forget_lifeline(pool);
    for (int late = pool->ended; !late;) {
        late = pp_wait(pool, &(struct pp_goal){.baseline = pool->reported}, deadline);
        if (pool->finished != pool->reported || pool->open == 0) break;
    }
    size_t news = pool->finished - pool->reported;
    pool->reported = pool->finished;
    pp_release_guard(&guard);
    pp_unlock_and_let_go(pool);
    return news > INT32_MAX ? INT32_MAX : (int)news;
}
