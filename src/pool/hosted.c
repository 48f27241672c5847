#include "pool/hosted.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "base/text.h"
#include "base/undo.h"
#include "pool/backend.h"
#include "pool/lock.h"
#include "remote/carrier.h"
#include "remote/travel.h"
#include "worker/child.h"
#include "worker/fold.h"

#define NS_PER_MS 1000000U
#define START_MS 60000U
#define SILENCE_MS 10000U
#define LOOK_NS 2000000U /* between two looks whether hosts are up */

/* ---- options */

static const char *text_of(const char *option, const char *variable) {
    return option ? option : getenv(variable);
}

/* A number of ms; 0: neither the option nor the variable has one. */
static uint64_t time_of(int option, const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    long long ms = option > 0 ? option : text ? strtoll(text, NULL, 10) : 0;
    return ms > 0 && ms <= INT32_MAX ? (uint64_t)ms : otherwise;
}

/* Says why a pool with hosts cannot be. */
static int refuse_as(int code, const char *why) {
    fprintf(stderr, "parpool: hosts: %s\n", why);
    return code;
}
static int refuse(const char *why) {
    return refuse_as(POOL_EINVAL, why);
}

/* Whether a node finds the same there: nothing, or a function or object of a module. */
static bool can_travel(pp_function *function, const void *argument) {
    struct pp_reference reference;
    return pp_refer(pp_address_of(function), &reference) && pp_refer(argument, &reference);
}

static int check(const struct pool_options *options) {
    char build[2 * PP_MODULE_ID + 1];
    pp_program_build(build);
    if (options->host_start < 0 || options->host_silence < 0 || options->host_min < 0)
        return refuse("host_start, host_silence or host_min is negative: 0 is its default");
    if (options->backend != POOL_PROCESSES) return refuse("only POOL_PROCESSES can have hosts: set hosts to \"\"");
    if (strcmp(build, "-") == 0)
        return refuse_as(POOL_ENOTSUP, "this system does not tell where functions lie: set hosts to \"\"");
    if (!pp_program_serves()) return refuse("pool_serve() was not called: main() must call it before it makes a pool");
    if (!can_travel((pp_function *)options->initializer, options->initializer_arg))
        return refuse("initializer and its argument must be a function and an object of the program, to be on hosts");
    if (!can_travel((pp_function *)options->finalizer, options->finalizer_arg))
        return refuse("finalizer and its argument must be a function and an object of the program, to be on hosts");
    return 0;
}

/* Whether something else than ssh and srun would start a node at all. */
static int check_launcher(const struct pp_carrier_setup *setup) {
    const char *launcher = setup->launch.launcher;
    bool is_used = false;
    for (size_t h = 0; h < setup->hosts.count; h++) is_used |= !setup->hosts.list[h].local;
    if (!is_used || !launcher || !*launcher || strstr(launcher, "%c")) return 0;
    return refuse("the launcher has no %c, which is where the node's command goes: ssh %h %c");
}

static int make_setup(const struct pool_options *options, const char *list, struct pp_carrier_setup *setup) {
    char why[PP_HOST_REASON];
    int error = pp_hosts_parse(list, &setup->hosts, why, sizeof why);
    if (error == POOL_EINVAL) return refuse(why);
    if (error || setup->hosts.count == 0) return error;
    const char *ship = getenv("PARPOOL_SHIP");
    setup->launch = (struct pp_launch_setup){.launcher = text_of(options->launcher, "PARPOOL_LAUNCHER"),
                                             .env = text_of(options->host_env, "PARPOOL_ENV"),
                                             .ship = options->ship || (ship && strcmp(ship, "1") == 0)};
    setup->start = time_of(options->host_start, "PARPOOL_START", START_MS);
    setup->silence = time_of(options->host_silence, "PARPOOL_SILENCE", SILENCE_MS);
    setup->is_told = options->host_event != NULL;
    error = check(options);
    return error ? error : check_launcher(setup);
}

int pp_hosted_begin(const struct pool_options *options, struct pp_carrier_setup **made) {
    bool by_variable = options->backend == POOL_PROCESSES && !pp_child_is_here;
    const char *list = options->hosts ? options->hosts : by_variable ? getenv("PARPOOL_HOSTS") : NULL;
    if (!list || !*list) return 0;
    struct pp_carrier_setup *setup = pp_zalloc(1, sizeof *setup);
    int error = setup ? make_setup(options, list, setup) : POOL_ENOMEM;
    if (!error && setup->hosts.count > 0) *made = setup;
    else pp_hosted_end(setup);
    return error;
}

void pp_hosted_end(struct pp_carrier_setup *setup) {
    if (setup) pp_hosts_release(&setup->hosts);
    pp_release(setup);
}

int pp_hosted_refuse(struct pool *pool) {
    if (!pool->has_refused) refuse("context_size is 0: an address means nothing on another host: give the size");
    pool->has_refused = true;
    return POOL_EINVAL;
}

uint32_t pp_hosted_count(const struct pp_carrier_setup *setup) {
    return setup ? (uint32_t)setup->hosts.count : 0;
}

/* ---- what the carrier says */

static uint32_t state_of(const struct pool *pool, uint32_t host) {
    return atomic_load_explicit(&pool->shared.carried->hosts[host].state, memory_order_acquire);
}

static uint32_t count_in(const struct pool *pool, uint32_t state) {
    uint32_t count = 0;
    for (uint32_t h = 0; h < pool->shared.hosts; h++) count += state_of(pool, h) == state;
    return count;
}

bool pp_hosted_await(struct pool *pool) {
    uint32_t least = (uint32_t)pool->options.host_min, all = pool->shared.hosts;
    uint64_t deadline = pp_now() + pool->carrier->start * NS_PER_MS;
    while (count_in(pool, POOL_HOST_UP) < least) {
        bool hopeless = all - count_in(pool, POOL_HOST_REFUSED) < least || pool->backend->is_lost(pool);
        if (hopeless || pp_now() >= deadline) {
            fprintf(stderr, "parpool: hosts: %u of %u are up%s, and host_min is %u\n", count_in(pool, POOL_HOST_UP),
                    all, hopeless ? "" : " in the time of host_start", least);
            return false;
        }
        pp_poll(NULL, 0, pp_now() + LOOK_NS);
    }
    return true;
}

uint64_t pp_hosted_running(const struct pool *pool) {
    uint64_t running = 0;
    for (uint32_t h = 0; h < pool->shared.hosts && !pool->ended; h++)
        running += atomic_load_explicit(&pool->shared.carried->hosts[h].running, memory_order_relaxed);
    return running;
}

void pp_hosted_list(const struct pool *pool, struct pool_stats *stats, uint64_t given) {
    for (uint32_t h = 0; h < pool->shared.hosts && !pool->ended && stats->listed < stats->room; h++) {
        const struct pp_host_state *host = &pool->shared.carried->hosts[h];
        if (state_of(pool, h) != POOL_HOST_UP) continue;
        struct pool_worker_stats worker = {.host = pool->carrier->hosts.list[h].name};
        worker.busy = atomic_load_explicit(&host->running, memory_order_relaxed) > 0;
        worker.tasks = atomic_load_explicit(&host->tasks, memory_order_relaxed);
        if (worker.tasks > given) worker.tasks = given;
        worker.busy_ns = atomic_load_explicit(&host->busy, memory_order_relaxed);
        stats->list[stats->listed++] = worker;
    }
}

/* Notices that the carrier may be writing over just now are left out. */
static bool read_notice(struct pool *pool, struct pp_host_notice *notice) {
    struct pp_carried *carried = pool->shared.carried;
    uint64_t tail = atomic_load_explicit(&carried->notices_tail, memory_order_acquire);
    if (tail - pool->host_notices > PP_HOST_NOTICES) pool->host_notices = tail; /* the ring ran over */
    if (tail == pool->host_notices) return false;
    *notice = carried->notices[pool->host_notices++ % PP_HOST_NOTICES];
    return true;
}

static void end_telling(void *of) {
    struct pool *pool = of;
    pp_step_in(pool);
    pool->tells_hosts = false;
}

/* One call of host_event at a time: what happens meanwhile is told after it, by the same thread. */
void pp_hosted_tell(struct pool *pool) {
    struct pp_host_notice notice;
    char reason[PP_HOST_REASON];
    while (!pool->ended && !pool->tells_hosts && !pp_is_undoing() && read_notice(pool, &notice)) {
        if (notice.host >= pool->shared.hosts || notice.state < POOL_HOST_UP || notice.state > POOL_HOST_REFUSED)
            continue;
        pp_text_readable(reason, notice.reason, sizeof reason);
        struct pool_host host = {.name = pool->carrier->hosts.list[notice.host].name, .cpus = (int)notice.cpus,
                                 .state = (int)notice.state, .reason = reason};
        pool->tells_hosts = true;
        pp_step_out(pool);
        PP_GUARD(guard, end_telling, pool);
        pool->options.host_event(&host, pool->options.host_event_arg);
        pp_release_guard(&guard);
        end_telling(pool);
    }
}
