#include "remote/carrier.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/sys.h"
#include "remote/carry.h"
#include "shared/park_system.h"
#include "worker/child.h"

#define PATIENCE_MS 10000U      /* that finalizers have in the end */
#define LOOK_NS 50000U         /* how long the carrier looks around before it sleeps, as a worker does */
#define BEAT_NS 500000000U     /* at least so often it shows that it runs */
#define BACKLOG_NS 1000000U    /* until it looks again at work that it has left to the workers of this host */

/* ---- sleep */

static bool is_asked_to_end(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->control->wanted, memory_order_acquire) == 0;
}

/* The carrier sleeps on its hosts, and on a pipe. While its bit says that it sleeps, it is woken as a worker is, by a
 * byte in that pipe; only for work that the workers of this host are too few for: see classes_of() in park_futex.c. */
static void fall_asleep(struct pp_carrier *c) {
    if (!c->is_asleep) pp_park_begin(c->shared, PP_CARRIER);
    c->is_asleep = true;
}

static void wake_up(struct pp_carrier *c) {
    if (c->is_asleep) pp_park_end(c->shared, PP_CARRIER);
    c->is_asleep = false;
}

/* Each byte is a wake-up. */
static void take_wake_up(struct pp_carrier *c) {
    char byte;
    ssize_t got = pp_read(c->task_pipe, &byte, 1);
    if (got == 0) c->task_pipe = -1; /* the caller has gone, and the supervisor ends this process */
    if (got == 1) pp_park_count_woken(c->shared);
    wake_up(c);
}

/* ---- descriptors */

/* Each host takes two descriptors. */
static void raise_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= limit.rlim_max) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void drain_nudges(struct pp_carrier *c) {
    char bytes[256];
    ssize_t got;
    while ((got = pp_read(c->nudge, bytes, sizeof bytes)) > 0) c->nudged = true;
}

enum { NUDGE, WAKE, HOSTS };

/* What is polled: nudge, wake-ups, and of each host that was launched one or two descriptors. */
static nfds_t list_descriptors(struct pp_carrier *c, struct pollfd *fds, uint32_t *owners) {
    nfds_t count = 0;
    fds[count++] = (struct pollfd){.fd = c->nudge, .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = c->is_asleep ? c->task_pipe : -1, .events = POLLIN};
    for (uint32_t h = 0; h < c->count; h++) {
        struct pp_far_host *host = &c->hosts[h];
        if (host->launch.out < 0) continue;
        owners[count] = h;
        fds[count++] = (struct pollfd){.fd = host->launch.out, .events = POLLIN};
        bool writes = host->launch.program >= 0 || (host->phase > PP_HOST_LAUNCHED && pp_wire_may_write(&host->wire));
        if (!writes || host->launch.in < 0) continue;
        owners[count] = h;
        fds[count++] = (struct pollfd){.fd = host->launch.in, .events = POLLOUT};
    }
    return count;
}

/* Waits for descriptors until `deadline`, and serves them. Returns whether there was anything. */
static bool serve(struct pp_carrier *c, struct pollfd *fds, uint32_t *owners, uint64_t deadline) {
    nfds_t count = list_descriptors(c, fds, owners);
    int ready = pp_poll(fds, count, deadline);
    if (ready <= 0) return false;
    if (fds[NUDGE].revents) drain_nudges(c);
    if (fds[WAKE].revents) take_wake_up(c);
    for (nfds_t i = HOSTS; i < count; i++) {
        struct pp_far_host *host = &c->hosts[owners[i]];
        if (!fds[i].revents || (host->launch.out != fds[i].fd && host->launch.in != fds[i].fd)) continue;
        if (fds[i].events & POLLIN) pp_host_read(c, host);
        else pp_host_write(c, host);
    }
    return true;
}

static void write_all(struct pp_carrier *c) {
    for (uint32_t h = 0; h < c->count; h++)
        if (c->hosts[h].dirty) pp_host_write(c, &c->hosts[h]);
}

static void look_for_killed(struct pp_carrier *c) {
    c->nudged = false;
    pp_tasks_look_for_killed(c);
    pp_jobs_look_for_killed(c);
}

static void ring(struct pp_carrier *c) {
    if (c->must_ring) pp_ring_bell(c->bell);
    c->must_ring = false;
}

/* ---- the end */

/* Ends the nodes, and waits until they have gone, but not for long. */
static void end_hosts(struct pp_carrier *c) {
    unsigned char fixed[PP_FIXED_MOST];
    struct iovec part = {fixed, pp_put_end(fixed, &(struct pp_end_message){.patience = PATIENCE_MS})};
    uint64_t until = pp_now() + (uint64_t)(PATIENCE_MS + 1000) * PP_NS_PER_MS;
    for (uint32_t h = 0; h < c->count; h++) {
        struct pp_far_host *host = &c->hosts[h];
        if (host->phase == PP_HOST_READY) {
            pp_host_send(host, PP_SAY_END, 0, &part, 1);
            host->phase = PP_HOST_ENDING;
            pp_host_write(c, host);
        } else if (host->phase == PP_HOST_LAUNCHED || host->phase == PP_HOST_GREETED) {
            pp_host_close(c, host);
            host->phase = PP_HOST_UNFIT;
        }
    }
    for (uint32_t h = 0; h < c->count; h++) {
        struct pp_far_host *host = &c->hosts[h];
        while (host->phase == PP_HOST_ENDING && pp_now() < until) {
            atomic_fetch_add_explicit(&c->shared->carried->beat, 1, memory_order_relaxed);
            struct pollfd fd = {.fd = host->launch.out, .events = POLLIN};
            if (pp_poll(&fd, 1, pp_now() + BEAT_NS / 5) > 0) pp_host_read(c, host);
            else if (pp_wire_may_write(&host->wire)) pp_host_write(c, host);
            pp_outputs_write(c);
        }
        if (host->phase == PP_HOST_ENDING) pp_host_close(c, host);
    }
}

/* ---- a life */

/* Claims what hosts can have, and sends it. Returns whether there was anything. */
static bool move_on(struct pp_carrier *c, uint64_t now, uint64_t *next) {
    if (c->nudged) look_for_killed(c);
    bool moved = pp_tasks_take(c);
    moved |= pp_jobs_take(c, now, next);
    for (uint32_t h = 0; h < c->count; h++)
        if (pp_host_is_up(&c->hosts[h])) pp_leaves_give(c, &c->hosts[h], now);
    pp_tasks_offer(c, now);
    write_all(c);
    ring(c);
    return moved;
}

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Looks around for a moment, since to be woken takes longer than most hosts take to answer; then sleeps. */
static noreturn void live(struct pp_carrier *c, struct pollfd *fds, uint32_t *owners) {
    uint64_t now = pp_now(), moved_at = now;
    for (;;) {
        atomic_fetch_add_explicit(&c->shared->carried->beat, 1, memory_order_relaxed);
        uint64_t next = earlier(pp_hosts_look(c, now), now + BEAT_NS);
        if (move_on(c, now, &next)) moved_at = now;
        if (is_asked_to_end(c->shared)) {
            end_hosts(c);
            pp_set_retired(&c->claimer, PP_RETIRED, now);
            pp_child_exit(0);
        }
        bool wakeful = now - moved_at < LOOK_NS && now >= c->looks.until;
        bool has_room = !wakeful && pp_host_for(c, false) != NULL, was_asleep = c->is_asleep;
        if (has_room) fall_asleep(c);
        else wake_up(c);
        if (c->is_asleep && !was_asleep) next = 0; /* looks for work once more */
        if (has_room && !pp_ring_is_empty(c->shared)) next = earlier(next, now + BACKLOG_NS);
        if (pp_outputs_write(c)) next = earlier(next, now + BACKLOG_NS);
        bool served = serve(c, fds, owners, wakeful ? 0 : next);
        now = wakeful && !served ? pp_backoff_yield(&c->looks) : pp_now();
        if (served) moved_at = now;
    }
}

static bool begin(struct pp_carrier *c, const struct pp_worker_setup *setup) {
    pp_claimer_begin(&c->claimer, setup->shared, setup->number, setup->life);
    return pp_functions_make(c) && pp_hosts_make(c) && pp_outputs_make(c);
}

noreturn void pp_carrier_run(const struct pp_worker_setup *setup, const struct pp_carrier_setup *hosts,
                             int nudge) {
    struct pp_carrier *c = pp_zalloc(1, sizeof *c);
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    if (!c) pp_child_exit(1);
    c->shared = setup->shared;
    c->options = setup->options;
    c->setup = hosts;
    c->task_pipe = setup->task_pipe;
    c->bell = setup->bell;
    c->nudge = nudge;
    c->count = (uint32_t)hosts->hosts.count;
    struct pollfd *fds = pp_zalloc(HOSTS + 2 * (size_t)c->count, sizeof *fds);
    uint32_t *owners = pp_zalloc(HOSTS + 2 * (size_t)c->count, sizeof *owners);
    if (!fds || !owners || !begin(c, setup)) pp_child_exit(1);
    struct pp_start *start = &c->shared->starts[PP_CARRIER];
    atomic_store_explicit(&start->ready, 1, memory_order_relaxed);
    live(c, fds, owners);
}
