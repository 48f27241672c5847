/* The hosts of a carrier: launched, greeted, ready, lost, refused; see carrier.h.
 *
 *     AWAY --launched--> LAUNCHED --greeting, SETUP--> GREETED --READY--> READY --END--> ENDING
 *      ^                    |                             |                 |
 *      |  lost: after 1, 2, 4 … 60 s, while there is work |                 |
 *      +--------------------+-----------------------------+-----------------+---refused---> UNFIT */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/sys.h"
#include "base/text.h"
#include "remote/carry.h"
#include "shared/ring.h"
#include "worker/child.h"

#define LAUNCHING_MOST 8U       /* hosts between their launch and their greeting */
#define LONG_NS 10000000000U    /* a host that was up for so long has no failures in a row */
#define END_NS 1000000000U      /* how long a launcher may take to end once its output has */
#define CREDIT ((size_t)1 << 20)
#define CREDIT_OF_HYDRA ((size_t)64 << 10) /* which aborts the job when more waits */
#define ANSWER_LEAST ((size_t)64 << 10)
#define WIDE_MOST 32U           /* more hosts have pipes of the usual size: Linux lets a user have 64 MiB in all */
#define SECOND 1000000000U
#define NOISE_MOST 150U /* characters of what a launcher has said, in its reason */

/* ---- ends */

void pp_host_close(struct pp_carrier *c, struct pp_far_host *host) {
    bool was_launching = host->phase == PP_HOST_LAUNCHED || host->phase == PP_HOST_GREETED;
    if (was_launching) c->launching--;
    if (host->phase == PP_HOST_READY || host->phase == PP_HOST_ENDING) c->up--;
    pp_launch_signal(&host->launch, SIGKILL);
    pp_launch_close(&host->launch);
    pp_wire_end(&host->wire);
    pp_release(host->functions);
    pp_release(host->contexts);
    host->functions = NULL;
    host->contexts = NULL;
    memset(host->jobs, 0, sizeof host->jobs);
    memset(host->folds, 0, sizeof host->folds);
    memset(host->streams, 0, sizeof host->streams);
    host->contexts_free = 0;
    host->work = 0;
    host->said_tasks = host->said_busy = 0;
    host->dirty = false;
    host->last = host->leave = host->leave_said = 0;
    host->tasks = host->items = (struct pp_far_pace){0};
    host->watch = (struct pp_far_watch){0};
}

static void refuse(struct pp_carrier *c, struct pp_far_host *host, const char *format, ...) {
    char reason[PP_HOST_REASON];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    pp_host_close(c, host);
    host->phase = PP_HOST_UNFIT;
    pp_host_tell(c, host, POOL_HOST_REFUSED, reason);
}

/* What the launcher has said instead of a greeting: the end of it, where the cause is. */
static void say_noise(struct pp_far_host *host, char *text, size_t room) {
    char noise[sizeof host->wire.noise + 1] = "", readable[sizeof noise];
    struct pp_greeting none;
    pp_wire_greeting(&host->wire, &none);
    memcpy(noise, host->wire.noise, host->wire.noise_size);
    for (size_t end = host->wire.noise_size; end > 0 && noise[end - 1] == '\n'; end--) noise[end - 1] = '\0';
    pp_text_readable(readable, noise, sizeof readable);
    size_t length = strlen(readable), skipped = length > NOISE_MOST ? length - NOISE_MOST : 0;
    text[0] = '\0';
    if (length > 0) snprintf(text, room, ": it said \"%s\"", readable + skipped);
}

static void lost_again_at(struct pp_far_host *host, uint64_t now) {
    host->at = now + pp_host_pause(host->failures++) * (uint64_t)SECOND;
}

/* What to look at if its connection is of no use between greeting and READY. */
static const char *advice_on(const struct pp_far_host *host, const char *why) {
    if (host->phase != PP_HOST_GREETED) return "";
    if (strcmp(why, "its connection has ended") == 0)
        return " before it was ready: does the launcher carry standard input?";
    bool is_garbled = strcmp(why, "it has sent what is no frame") == 0;
    return is_garbled ? " before it was ready: is a terminal in between (ssh -t, docker -t)?" : "";
}

/* It has not become ready. */
static void start_failed(struct pp_carrier *c, struct pp_far_host *host, const char *why) {
    const char *advice = advice_on(host, why);
    char how[64] = "", noise[NOISE_MOST + 16], reason[PP_HOST_REASON];
    bool greeted = host->phase == PP_HOST_GREETED, heard = host->heard;
    bool ended = !greeted && pp_launch_has_ended(&host->launch, how, sizeof how);
    pp_wire_lose(&host->wire, why); /* so all that it has said is no greeting */
    say_noise(host, noise, sizeof noise);
    if (strcmp(how, "ended with 127") == 0) {
        refuse(c, host, "no such program there: put it at the same path, or set ship (the launcher %s%s)", how, noise);
        return;
    }
    if (strcmp(how, "ended with 126") == 0) {
        refuse(c, host, "the program cannot be started there (the launcher %s%s)", how, noise);
        return;
    }
    if (ended) snprintf(reason, sizeof reason, "the launcher %.40s before the greeting%s", how, noise);
    else snprintf(reason, sizeof reason, "%.*s%s%s", noise[0] ? 80 : 200, why, advice, noise);
    pp_host_close(c, host);
    host->phase = PP_HOST_AWAY;
    bool once_more = !heard && host->failures == 0; /* a connection that was refused for a moment */
    lost_again_at(host, pp_now());
    if (!once_more) pp_host_tell(c, host, POOL_HOST_LOST, reason);
}

/* There is no greeting, since the launcher has closed its output. How it ends tells why. */
static void await_end(struct pp_carrier *c, struct pp_far_host *host) {
    uint64_t until = pp_now() + END_NS;
    pp_close(&host->launch.out);
    if (host->at > until) host->at = until;
    c->ticks_at = 0;
}

void pp_host_lost(struct pp_carrier *c, struct pp_far_host *host) {
    if (host->phase == PP_HOST_AWAY || host->phase == PP_HOST_UNFIT) return;
    if (host->phase == PP_HOST_LAUNCHED) {
        await_end(c, host);
        return;
    }
    if (host->phase == PP_HOST_GREETED) {
        start_failed(c, host, host->wire.reason);
        return;
    }
    uint64_t now = pp_now(), sent = host->sent, begun = host->begun;
    bool ending = host->phase == PP_HOST_ENDING;
    char reason[PP_HOST_REASON];
    snprintf(reason, sizeof reason,
             "lost after %llu s: %.100s; %llu tasks or items were there: %llu go elsewhere, %llu had begun",
             (unsigned long long)((now - host->up_at) / SECOND), host->wire.reason, (unsigned long long)(sent + begun),
             (unsigned long long)sent, (unsigned long long)begun);
    if (c->shared->trace.base) pp_host_trace_loss(c, host);
    for (uint32_t i = 0; i < host->room; i++) {
        struct pp_errand *errand = &host->errands[i];
        if (errand->id == 0) continue;
        if (errand->parcel) pp_chunk_host_lost(c, host, errand);
        else if (errand->ticket) pp_task_host_lost(c, host, errand);
        pp_errand_end(host, errand);
    }
    if (now - host->up_at > LONG_NS && !host->watch.has_kept) host->failures = 0;
    pp_host_close(c, host);
    host->phase = PP_HOST_AWAY;
    lost_again_at(host, now);
    if (!ending) pp_host_tell(c, host, POOL_HOST_LOST, reason);
    if (c->up == 0) pp_tasks_give_back(c);
}

/* ---- beginnings */

/* For the supervisor, which ends the launchers if the carrier cannot. */
static void note_launcher(struct pp_carrier *c, const struct pp_far_host *host) {
    atomic_store_explicit(&c->shared->carried->hosts[host->number].launcher, host->launch.pid, memory_order_release);
}

static void launch(struct pp_carrier *c, struct pp_far_host *host, uint64_t now) {
    char why[PP_HOST_REASON] = "";
    int error = pp_launch_start(&c->setup->launch, host->entry, &host->launch, why, sizeof why);
    if (error == POOL_EINVAL) {
        host->phase = PP_HOST_UNFIT;
        pp_host_tell(c, host, POOL_HOST_REFUSED, why);
        return;
    }
    if (error) {
        lost_again_at(host, now);
        pp_host_tell(c, host, POOL_HOST_LOST, why);
        return;
    }
    const char *launcher = c->setup->launch.launcher;
    bool is_hydra = !host->entry->local && launcher && (strstr(launcher, "mpiexec") || strstr(launcher, "hydra"));
    struct pp_wire_limits limits = {.silence = c->setup->silence, .credit = is_hydra ? CREDIT_OF_HYDRA : CREDIT,
                                    .most = ANSWER_LEAST};
    for (int i = 0; i < 2 && c->count <= WIDE_MOST; i++) pp_pipe_widen(i ? host->launch.in : host->launch.out);
    pp_wire_begin(&host->wire, host->launch.out, host->launch.in, &limits, true);
    note_launcher(c, host);
    host->phase = PP_HOST_LAUNCHED;
    host->heard = false;
    host->cpus = 0;
    host->at = now + c->setup->start * PP_NS_PER_MS;
    c->launching++;
}

static bool there_is_work(const struct pp_carrier *c) {
    if (c->waiting_count > 0 || c->job.plan || !pp_ring_is_empty(c->shared)) return true;
    for (uint32_t i = 0; i < PP_JOB_TABLE; i++)
        if (atomic_load_explicit(&c->shared->job_table[i], memory_order_relaxed)) return true;
    return false;
}

/* Whether pool_create() waits for it, as far as the carrier can know. */
static bool is_awaited(const struct pp_carrier *c, uint64_t now) {
    return c->up < (uint32_t)c->options->host_min && now < c->awaited_until;
}

static void send_setup(struct pp_carrier *c, struct pp_far_host *host) {
    unsigned char fixed[PP_FIXED_MOST];
    struct pp_setup message = c->message;
    if (host->entry->cpus > 0) message.workers = (uint32_t)host->entry->cpus;
    struct iovec part = {fixed, pp_put_setup(fixed, &message)};
    pp_host_send(host, PP_SAY_SETUP, 0, &part, 1);
    host->phase = PP_HOST_GREETED;
}

void pp_host_greet(struct pp_carrier *c, struct pp_far_host *host) {
    struct pp_greeting g;
    if (pp_wire_greeting(&host->wire, &g) != 1) return;
    if (g.protocol != PP_PROTOCOL)
        refuse(c, host, "speaks protocol %u, this program %d: another version of libparpool", (unsigned)g.protocol,
               PP_PROTOCOL);
    else if (strcmp(g.build, c->build) != 0)
        refuse(c, host, "runs another build of the program (build %.16s, here %.16s): copy this one there, or set ship",
               g.build, c->build);
    else if (g.pointer_size != sizeof(void *) || !g.is_little_endian)
        refuse(c, host, "is a machine of another kind: its pointers have %u bytes", (unsigned)g.pointer_size);
    else
        send_setup(c, host);
}

void pp_host_become_ready(struct pp_carrier *c, struct pp_far_host *host, const struct pp_message *message) {
    struct pp_ready ready;
    if (host->phase != PP_HOST_GREETED || !pp_get_ready(message->data, message->size, &ready) || ready.workers == 0 ||
        ready.workers > PP_HOSTS_MOST) {
        pp_wire_lose(&host->wire, "it sent what it must not send: READY");
        return;
    }
    host->functions = pp_zalloc(1, PP_FAR_NUMBERS / 8);
    host->contexts = pp_zalloc(PP_TASK_CONTEXTS, sizeof *host->contexts);
    if (!host->functions || !host->contexts) {
        pp_wire_lose(&host->wire, "no memory here");
        return;
    }
    while (host->contexts_free < PP_TASK_CONTEXTS) { /* the lowest numbers are those of jobs' contexts */
        host->contexts[host->contexts_free] = (uint16_t)(PP_CONTEXT_OF_TASK + host->contexts_free);
        host->contexts_free++;
    }
    host->cpus = ready.workers;
    host->phase = PP_HOST_READY;
    host->up_at = pp_now();
    c->launching--;
    c->up++;
    pp_host_tell(c, host, POOL_HOST_UP, "");
}

/* It does not take the program. It ends then, or is given up at its start limit; what it says before that tells why. */
static void close_input(struct pp_far_host *host) {
    pp_close(&host->launch.in);
    pp_close(&host->launch.program);
    host->wire.out = -1;
}

void pp_host_write(struct pp_carrier *c, struct pp_far_host *host) {
    host->dirty = false;
    if (host->launch.in < 0) return;
    if (host->launch.program >= 0 && !pp_launch_ship(&host->launch)) close_input(host);
    if (host->launch.program >= 0 || host->launch.in < 0) return;
    if (!host->wire.lost && host->phase > PP_HOST_LAUNCHED) pp_wire_write(&host->wire);
    if (host->wire.lost) pp_host_lost(c, host);
}

/* ---- looks */

static uint64_t look_at(struct pp_carrier *c, struct pp_far_host *host, uint64_t now) {
    char how[64];
    bool lost = false;
    if (host->phase == PP_HOST_UNFIT || host->phase == PP_HOST_AWAY) {
        if (host->launch.pid && !pp_launch_has_ended(&host->launch, how, sizeof how)) return now + SECOND / 50;
        note_launcher(c, host);
        if (host->phase == PP_HOST_UNFIT) return UINT64_MAX;
        if (now < host->at) return host->at;
        if (c->launching >= LAUNCHING_MOST) return UINT64_MAX; /* until one of them is ready or lost */
        if (host->failures > 0 && !there_is_work(c) && !is_awaited(c, now)) return UINT64_MAX;
        launch(c, host, now);
        return host->at;
    }
    if (host->phase == PP_HOST_LAUNCHED && host->wire.lost) {
        if (now < host->at && host->launch.pid && !pp_has_ended(host->launch.pid)) return now + SECOND / 500;
        start_failed(c, host, host->wire.reason);
        return host->at;
    }
    if (host->phase <= PP_HOST_GREETED && now >= host->at) {
        char why[80];
        snprintf(why, sizeof why, host->phase == PP_HOST_LAUNCHED
                                      ? "no greeting in %g s: does it answer, and does main() call pool_serve()?"
                                      : "its pool was not ready in %g s",
                 (double)c->setup->start / 1000);
        start_failed(c, host, why);
        return host->at;
    }
    if (host->phase == PP_HOST_LAUNCHED) return host->at;
    pp_known_contexts_forget(host, now);
    uint64_t next = pp_wire_tick(&host->wire, now, &lost);
    host->dirty = true;
    if (lost || host->wire.lost || pp_host_is_overdue(c, host, now)) pp_host_lost(c, host);
    return next;
}

/* Whether nothing can be expected of any host any more. */
static bool is_hopeless(const struct pp_carrier *c) {
    for (uint32_t h = 0; h < c->count; h++)
        if (c->hosts[h].phase != PP_HOST_UNFIT) return false;
    return true;
}

uint64_t pp_hosts_look(struct pp_carrier *c, uint64_t now) {
    if (now < c->ticks_at && c->launching == 0) return c->ticks_at;
    uint64_t next = now + SECOND / 2;
    for (uint32_t h = 0; h < c->count; h++) {
        uint64_t at = look_at(c, &c->hosts[h], now);
        if (at < next) next = at;
    }
    if (is_hopeless(c)) {
        pp_outputs_write(c);
        pp_set_retired(&c->claimer, PP_RETIRED, now);
        pp_child_exit(PP_CARRIER_HOPELESS);
    }
    c->ticks_at = next;
    return next;
}

static bool make_setup(struct pp_carrier *c) {
    const struct pool_options *o = c->options;
    struct pp_setup *m = &c->message;
    *m = (struct pp_setup){.silence = (uint32_t)c->setup->silence,
                           .max_tasks_per_worker = o->max_tasks_per_worker,
                           .idle_timeout = (uint32_t)o->idle_timeout,
                           .sandbox = (uint32_t)o->sandbox,
                           .arena_size = 0,
                           .memory_limit = o->memory_limit,
                           .memory_soft_limit = o->memory_soft_limit,
                           .min_free_memory = o->min_free_memory,
                           .stack_size = o->stack_size,
                           .max_load = o->max_load,
                           .pin = o->pin,
                           .lazy = o->lazy,
                           .keep_oom_score = o->keep_oom_score,
                           .keep_children = o->keep_children,
                           .fresh_after_failure = o->fresh_after_failure,
                           .capture = o->capture,
                           .carries_output = true};
    const void *initializer, *finalizer;
    memcpy(&initializer, &o->initializer, sizeof initializer);
    memcpy(&finalizer, &o->finalizer, sizeof finalizer);
    return pp_refer(initializer, &m->initializer) && pp_refer(finalizer, &m->finalizer) &&
           pp_refer(o->initializer_arg, &m->initializer_arg) && pp_refer(o->finalizer_arg, &m->finalizer_arg);
}

bool pp_hosts_make(struct pp_carrier *c) {
    c->hosts = pp_zalloc(c->count, sizeof *c->hosts);
    if (!c->hosts || !make_setup(c)) return false;
    pp_program_build(c->build);
    c->awaited_until = pp_now() + c->setup->start * PP_NS_PER_MS;
    for (uint32_t h = 0; h < c->count; h++) {
        struct pp_far_host *host = &c->hosts[h];
        host->entry = &c->setup->hosts.list[h];
        host->number = h;
        host->launch = (struct pp_launch){.in = -1, .out = -1, .program = -1};
        atomic_store_explicit(&c->shared->carried->hosts[h].state, 0, memory_order_relaxed);
        atomic_store_explicit(&c->shared->carried->hosts[h].running, 0, memory_order_relaxed);
    }
    return true;
}
