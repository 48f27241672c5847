#include "host/node.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "host/pulse.h"
#include "pool/bell.h"
#include "pool/call.h"
#include "pool/events.h"
#include "pool/integrity.h"
#include "pool/wait.h"
#include "remote/launch.h"

#define START_MS 60000U     /* the head answers the greeting within this time */
#define END_MS 2000         /* how long it waits for the end of its pool before it beats again; see pulse.h */
#define TRIAL_NS 2000000000U /* how long READY waits for a worker */
#define TRIAL_LOOK_NS 2000000U
#define LOOK_NS 1000000000U /* between two looks at the pool, and two accounts of what it has done */

/* ---- descriptors */

/* The connection gets descriptors that no task can meet by number, and neither it nor what tasks print can reach the
 * other. */
static bool take_descriptors(int *in, int *out) {
    *in = fcntl(0, F_DUPFD_CLOEXEC, 3);
    *out = fcntl(1, F_DUPFD_CLOEXEC, 3);
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (*in < 0 || *out < 0 || nothing < 0) return false;
    bool has_stderr = fcntl(2, F_GETFD) >= 0;
    bool done = dup2(nothing, 0) == 0 && dup2(has_stderr ? 2 : nothing, 1) == 1 && (has_stderr || dup2(1, 2) == 2);
    if (nothing > 2) close(nothing);
    for (int i = 0; i < 2 && done; i++) {
        int fd = i ? *out : *in, flags = fcntl(fd, F_GETFL);
        done = flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
        pp_pipe_widen(fd); /* where it is one: an end wakes up the other less often */
    }
    return done;
}

/* ---- the pool */

/* What a worker of the node does first. It is inherited by the fork. */
static struct {
    int (*initializer)(void *arg);
    void *arg;
    int in, out;
    struct pp_node_output *output;
    bool in_sandbox, inherits_output;
    void (*old_pipe_handler)(int signal);
} first;

/* A worker holds no end of the connection: the head would not see the node end. What a task starts gets none either.
 * Workers in a sandbox have nothing open by now but their output. */
static int begin_worker(void *arg) {
    (void)arg;
    if (!first.in_sandbox) {
        pp_close(&first.in);
        pp_close(&first.out);
        if (!first.inherits_output) pp_node_output_redirect(first.output);
        for (int i = 0; i < 2; i++) {
            pp_close(&first.output->fds[i]);
            pp_close(&first.output->ends[i]);
        }
    }
    signal(SIGPIPE, first.old_pipe_handler);
    return first.initializer ? first.initializer(first.arg) : 0;
}

/* Returns false if one of the functions is not known here. */
static bool find_functions(const struct pp_setup *setup, struct pool_options *options) {
    const void *initializer, *initializer_arg, *finalizer, *finalizer_arg;
    if (!pp_resolve(&setup->initializer, true, &initializer) || !pp_resolve(&setup->finalizer, true, &finalizer) ||
        !pp_resolve(&setup->initializer_arg, false, &initializer_arg) ||
        !pp_resolve(&setup->finalizer_arg, false, &finalizer_arg))
        return false;
    first.initializer = (int (*)(void *))pp_function_at(initializer);
    first.arg = (void *)(uintptr_t)initializer_arg;
    options->finalizer = (void (*)(void *))pp_function_at(finalizer);
    options->finalizer_arg = (void *)(uintptr_t)finalizer_arg;
    return true;
}

/* Workers inherit their output, with the supervisor: in a sandbox they cannot take it, and what is captured the
 * supervisor passes on, too. */
static int create_redirected(const struct pool_options *options, struct pp_node_self *node) {
    int own[2], error = POOL_EAGAIN;
    for (int i = 0; i < 2; i++) own[i] = fcntl(1 + i, F_DUPFD_CLOEXEC, 3);
    if (own[0] >= 0 && own[1] >= 0) {
        pp_node_output_redirect(&node->output);
        error = pool_create(options, &node->pool);
        for (int i = 0; i < 2; i++) dup2(own[i], 1 + i);
    }
    for (int i = 0; i < 2; i++) pp_close(&own[i]);
    return error;
}

static void make_pool(struct pp_node_self *node) {
    const struct pp_setup *setup = &node->setup;
    struct pool_options options = {
        .workers = (int)setup->workers, .initializer = begin_worker,
        .max_tasks_per_worker = setup->max_tasks_per_worker, .arena_size = (size_t)setup->arena_size,
        .memory_limit = (size_t)setup->memory_limit, .memory_soft_limit = (size_t)setup->memory_soft_limit,
        .min_free_memory = (size_t)setup->min_free_memory, .max_load = setup->max_load, .pin = setup->pin,
        .lazy = setup->lazy, .keep_oom_score = setup->keep_oom_score, .keep_children = setup->keep_children,
        .fresh_after_failure = setup->fresh_after_failure, .idle_timeout = (int)setup->idle_timeout,
        .stack_size = (size_t)setup->stack_size, .sandbox = (int)setup->sandbox, .capture = setup->capture};
    struct pool_failure why = {.error = POOL_EINVAL, .message = "its initializer or finalizer lies in a library that "
                                                                "this host has not loaded, or in another build"};
    pp_pulse_promise(setup->silence * (uint64_t)1000000);
    if (!find_functions(setup, &options)) pp_node_break_down(node, &why, PP_NODE_NO_START);
    for (int i = 0; i < 2; i++) node->output.fds[i] = node->output.ends[i] = -1;
    why = (struct pool_failure){.error = POOL_EAGAIN};
    if (setup->carries_output && !pp_node_output_begin(&node->output)) pp_node_break_down(node, &why, PP_NODE_NO_START);
    first.in = node->wire.in;
    first.out = node->wire.out;
    first.output = &node->output;
    first.in_sandbox = options.sandbox != POOL_SANDBOX_NONE;
    first.inherits_output = first.in_sandbox || options.capture;
    why.error = first.inherits_output ? create_redirected(&options, node) : pool_create(&options, &node->pool);
    snprintf(why.message, sizeof why.message, "%s", pool_strerror(why.error));
    if (why.error) pp_node_break_down(node, &why, PP_NODE_NO_START);
}

/* ---- the beginning */

static void greet(struct pp_node_self *node) {
    char text[PP_GREETING_MOST];
    size_t size = pp_greeting_make(text, (uint32_t)pool_cpu_count());
    struct pollfd out = {.fd = node->wire.out, .events = POLLOUT};
    for (size_t at = 0; at < size;) {
        ssize_t count = pp_write(node->wire.out, text + at, size - at);
        if (count > 0) at += (size_t)count;
        else if (errno != EAGAIN || pp_poll(&out, 1, pp_now() + LOOK_NS) <= 0) _exit(PP_NODE_LOST);
    }
}

/* The first message. Nothing is written meanwhile, which would find that the head reads no more: poll() tells of that,
 * too. */
static void await_setup(struct pp_node_self *node) {
    uint64_t until = pp_now() + START_MS * (uint64_t)1000000;
    struct pollfd fds[] = {{.fd = node->wire.in, .events = POLLIN}, {.fd = node->wire.out, .events = 0}};
    struct pp_message m;
    while (!pp_wire_next(&node->wire, &m)) {
        int found = pp_wire_read(&node->wire);
        bool gone = found < 0 || node->wire.lost || (found == 0 && pp_poll(fds, 2, until) <= 0);
        if (gone || fds[1].revents) _exit(PP_NODE_LOST);
    }
    if (m.kind != PP_SAY_SETUP || !pp_get_setup(m.data, m.size, &node->setup))
        pp_node_refuse(node, "something else than what pool to make");
    node->wire.limits.silence = (uint64_t)node->setup.silence * 4 / 5;
}

static bool has_worker(const struct pp_shared *shared) {
    for (uint32_t w = 0; w < PP_WORKERS; w++)
        if (atomic_load_explicit(&shared->starts[w].ready, memory_order_relaxed)) return true;
    return false;
}

/* READY waits for a worker: where the initializer or the sandbox fails, nothing is begun that would be lost with this
 * host. An initializer that takes longer is not waited for, nor are workers that only work starts. */
static void begin_trial(struct pp_node_self *node) {
    bool waits = (first.initializer || first.in_sandbox) && !node->setup.lazy;
    node->ready_by = pp_now() + (waits ? TRIAL_NS : 0);
}

/* Says READY when it is time. Returns when it is to be called again. */
static uint64_t say_ready(struct pp_node_self *node, uint64_t now) {
    if (node->ready_by == 0) return UINT64_MAX;
    if (now < node->ready_by && !has_worker(&node->pool->shared)) return now + TRIAL_LOOK_NS;
    node->ready_by = 0;
    unsigned char fixed[PP_FIXED_MOST];
    struct pp_ready ready = {.cpus = (uint32_t)pool_cpu_count(), .workers = node->pool->workers};
    pp_node_say(node, PP_SAY_READY, 0, fixed, pp_put_ready(fixed, &ready), NULL, 0);
    return UINT64_MAX;
}

/* ---- serving */

static noreturn void end_as_told(struct pp_node_self *node, const struct pp_message *message) {
    struct pp_end_message m;
    if (!pp_get_end(message->data, message->size, &m)) pp_node_refuse(node, "an end that is none");
    uint64_t until = pp_now() + m.patience * (uint64_t)1000000;
    int flags = POOL_CANCEL_PENDING | POOL_KILL_RUNNING;
    while (pool_shutdown(node->pool, flags, END_MS) == POOL_ETIMEDOUT && pp_now() < until)
        pp_pulse_beat(&node->pool->shared);
    pp_node_output_pass(node, pp_now(), true);
    pp_node_flush(node);
    pp_node_end(node, PP_NODE_ENDED);
}

static void hear(struct pp_node_self *node) {
    struct pp_message m;
    if (node->may_read) pp_wire_read(&node->wire);
    while (pp_wire_next(&node->wire, &m)) {
        if (m.kind == PP_SAY_END) end_as_told(node, &m);
        pp_node_take(node, &m);
    }
}

/* What the supervisor and the workers may need now and then; and an account of what has been done. */
static void look_around(struct pp_node_self *node) {
    struct pool *pool = node->pool;
    pp_lock(pool);
    pp_advance(pool);
    if (pool->open > 0) pp_examine(pool);
    pp_check_supervisor(pool);
    pp_unlock(pool);
    struct pool_worker_stats workers[PP_WORKERS];
    struct pool_stats stats = {.list = workers, .room = PP_WORKERS};
    pool_stats(pool, &stats);
    struct pp_stats_message m = {.tasks = stats.done, .deaths = stats.died, .workers = (uint32_t)stats.workers,
                                 .running = (uint32_t)stats.running};
    for (int i = 0; i < stats.listed; i++) m.busy += workers[i].busy_ns;
    if (memcmp(&m, &node->stats, sizeof m) == 0) return;
    node->stats = m;
    unsigned char fixed[PP_FIXED_MOST];
    pp_node_say(node, PP_SAY_STATS, 0, fixed, pp_put_stats(fixed, &m), NULL, 0);
}

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Asks for the bell, and looks once more. Returns whether there is anything to tell. */
static bool expect_bell(struct pool *pool) {
    pp_lock(pool);
    pp_bell_expect(pool, PP_WAITS_ANY);
    pp_advance(pool);
    bool news = pp_events_unreported(pool) > 0;
    pp_unlock(pool);
    return news;
}

static void await_anything(struct pp_node_self *node, uint64_t until) {
    struct pool *pool = node->pool;
    short output = pp_node_output_may_read(node) ? POLLIN : 0;
    enum { IN, BELL, LIFE, OUT, PRINTED };
    struct pollfd fds[] = {[IN] = {.fd = node->wire.in, .events = POLLIN},
                           [BELL] = {.fd = pool->fds.bell, .events = POLLIN},
                           [LIFE] = {.fd = pool->fds.lifeline, .events = POLLIN},
                           [OUT] = {.fd = pp_wire_may_write(&node->wire) ? node->wire.out : -1, .events = POLLOUT},
                           [PRINTED] = {.fd = output ? node->output.fds[0] : -1, .events = POLLIN},
                           {.fd = output ? node->output.fds[1] : -1, .events = POLLIN}};
    if (expect_bell(pool) && pp_node_may_tell(node)) until = 0;
    pp_poll(fds, sizeof fds / sizeof *fds, until);
    node->may_read = fds[IN].revents != 0;
    node->has_printed = (fds[PRINTED].revents | fds[PRINTED + 1].revents) != 0;
    pp_lock(pool);
    if (fds[BELL].revents) pp_bell_silence(pool);
    if (fds[LIFE].revents) pp_check_supervisor(pool);
    pp_unlock(pool);
}

static void check_pool(struct pp_node_self *node) {
    if (node->pool->broken) pp_node_break_down(node, &node->pool->broken_failure, PP_NODE_BROKEN);
}

static noreturn void serve(struct pp_node_self *node) {
    uint64_t look_at = 0;
    for (;;) {
        bool lost;
        pp_pulse_beat(&node->pool->shared);
        check_pool(node); /* it may have refused what was to be begun, or refuse what comes */
        hear(node);
        pp_node_begin(node);
        pp_node_tell(node);
        uint64_t now = pp_now(), until = pp_node_output_pass(node, now, node->has_printed);
        if (now >= look_at) {
            look_around(node);
            look_at = now + LOOK_NS;
        }
        check_pool(node);
        until = sooner(until, say_ready(node, now));
        bool gone = pp_wire_write(&node->wire) < 0;
        until = sooner(until, pp_wire_tick(&node->wire, now, &lost));
        if (lost || gone) pp_node_end(node, PP_NODE_LOST);
        if (node->chunks > 0) until = sooner(until, node->look_at_items);
        await_anything(node, sooner(until, look_at));
    }
}

void pp_node_run(void) {
    static struct pp_node_self node;
    static const struct pp_wire_limits limits = {.most = PP_MESSAGE_MOST, .gives_credit = true};
    int in, out;
    unsetenv(PP_NODE_VARIABLE);
    unsetenv("PARPOOL_HOSTS");
    first.old_pipe_handler = signal(SIGPIPE, SIG_IGN);
    if (!take_descriptors(&in, &out)) _exit(PP_NODE_NO_START);
    node.next_id = 1;
    pp_wire_begin(&node.wire, in, out, &limits, false);
    greet(&node);
    await_setup(&node);
    make_pool(&node);
    begin_trial(&node);
    serve(&node);
}
