/* A node: this program, started as a launcher would start it, by a head that is the test itself and speaks to it over
 * pipes. */
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "remote/launch.h"
#include "remote/message.h"
#include "remote/wire.h"

/* ---- tasks */

static int add_one(const void *in, void *out) {
    *(long *)out = *(const long *)in + 1;
    return 0;
}

static int fail_with_text(const void *in, void *out) {
    (void)out;
    return task_fail(42, "no header in file %ld", *(const long *)in);
}

static int crash(const void *in, void *out) {
    (void)in, (void)out;
    raise(SIGSEGV);
    return 0;
}

static int leave_by_exit(const void *in, void *out) {
    (void)in, (void)out;
    _exit(7);
}

struct whereabouts {
    uint64_t index, seed;
    char context[16];
    size_t in_size;
    pid_t worker, supervisor;
    bool has_variables;
};

static int tell_whereabouts(const void *in, void *out) {
    struct whereabouts *w = out;
    (void)in;
    *w = (struct whereabouts){.index = task_index(), .seed = task_seed(), .in_size = task_in_size(),
                              .worker = getpid(), .supervisor = getppid(),
                              .has_variables = getenv(PP_NODE_VARIABLE) || getenv("PARPOOL_HOSTS")};
    if (task_context()) memcpy(w->context, task_context(), sizeof w->context);
    return 0;
}

static int join_inputs(const void *in, void *out) {
    (void)in;
    size_t total = 0;
    for (size_t i = 0; i < task_input_count(); i++) {
        size_t size;
        const void *input = task_input(i, &size);
        if (input) memcpy((char *)out + total, input, size);
        else memcpy((char *)out + total, "-", size = 1);
        total += size;
    }
    return task_resize(total);
}

static int print_lines(const void *in, void *out) {
    (void)in, (void)out;
    printf("a line\nand %s", "another\n");
    fprintf(stderr, "an error\n");
    return 0;
}

static int fill_all(const void *in, void *out) {
    (void)in;
    sleep_ms(4);
    memset(out, 1, task_out_size());
    return 0;
}

/* Waits until the file exists. */
static int await_file(const void *in, void *out) {
    if (out) *(long *)out = (long)task_index();
    while (access(in, F_OK) != 0) sleep_ms(1);
    return 0;
}

static int copy_many(const void *in, void *out) {
    memcpy(out, in, task_in_size());
    return 0;
}

/* An item that waits for the file if it is the last of 8, fails if it is the 4th and dies if it is the 6th. */
struct item {
    char path[TEMPORARY_ROOM];
    bool fails;
};

/* A name that no file has. */
static void unused_name(char path[TEMPORARY_ROOM]) {
    temporary_name(path);
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    unlink(path);
}

static int mixed_item(const void *in, void *out) {
    const struct item *item = in;
    size_t i = task_index() % 1000;
    *(long *)out = (long)(10 * task_index());
    if (i == 7) return await_file(item->path, NULL);
    if (item->fails && i == 3) return task_fail(3, "the fourth");
    if (item->fails && i == 5) raise(SIGKILL);
    return 0;
}

static int refuse_to_start(void *arg) {
    (void)arg;
    return 5;
}

static char object_of_the_program[] = "an object";

static int check_argument(void *arg) {
    return strcmp(arg, "an object") != 0;
}

/* ---- the head */

struct head {
    pid_t pid;
    int in, out; /* as the node has them, this end */
    struct pp_wire wire;
    struct pp_greeting greeting;
    uint64_t next_id;
    unsigned functions;
    char printed[3][4096]; /* by stdout and stderr */
};

static struct head head;

static void say(uint16_t kind, uint64_t id, const void *fixed, size_t size, const void *rest, size_t rest_size) {
    const struct iovec parts[] = {{(void *)(uintptr_t)fixed, size}, {(void *)(uintptr_t)rest, rest_size}};
    assert_true(pp_wire_send(&head.wire, kind, id, parts, 2));
}

static void say_id(uint16_t kind, uint64_t id) {
    say(kind, id, NULL, 0, NULL, 0);
}

static void keep_output(const struct pp_message *m) {
    assert_true(m->id == 1 || m->id == 2);
    char *to = head.printed[m->id];
    size_t length = strlen(to), room = sizeof head.printed[0] - 1 - length, size = m->size < room ? m->size : room;
    memcpy(to + length, m->data, size);
    to[length + size] = '\0';
}

/* Waits for the next message that is no account and no output. Returns false: the connection has ended. */
static bool await_message(struct pp_message *m) {
    for (int64_t until = now_ms() + PATIENCE; now_ms() < until;) {
        while (pp_wire_next(&head.wire, m)) {
            if (m->kind == PP_SAY_OUTPUT) keep_output(m);
            else if (m->kind != PP_SAY_STATS) return true;
        }
        bool lost;
        pp_wire_write(&head.wire);
        uint64_t due = pp_wire_tick(&head.wire, pp_now(), &lost);
        if (lost) return false;
        struct pollfd fds[] = {{.fd = head.wire.in, .events = POLLIN},
                               {.fd = pp_wire_may_write(&head.wire) ? head.wire.out : -1, .events = POLLOUT}};
        pp_poll(fds, 2, due);
        pp_wire_read(&head.wire);
    }
    _fail(__FILE__, __LINE__);
    return false;
}

/* blocked: the node's SIGPIPE is, as by a launcher that leaves its own mask to what it starts. ends: of the connection
 * that are open when the node begins. */
enum { READS = 1, WRITES = 2 };

static void start_process(bool blocked, int ends) {
    int to[2], from[2];
    assert_int_equal(pp_pipe(to), 0);
    assert_int_equal(pp_pipe(from), 0);
    head = (struct head){.next_id = 1, .in = to[1], .out = from[0]};
    if (!(ends & READS)) pp_close(&head.out);
    if (!(ends & WRITES)) pp_close(&head.in);
    head.pid = fork();
    assert_true(head.pid >= 0);
    if (head.pid == 0) {
        sigset_t mask;
        sigemptyset(&mask);
        if (blocked) sigaddset(&mask, SIGPIPE);
        sigprocmask(SIG_SETMASK, &mask, NULL);
        dup2(to[0], 0);
        dup2(from[1], 1);
        setenv(PP_NODE_VARIABLE, PP_NODE_WORDS, 1);
        execl("/proc/self/exe", "test_node", "an argument", (char *)NULL);
        _exit(127);
    }
    pp_close(&to[0]);
    pp_close(&from[1]);
}

static void take_greeting(void) {
    struct pp_wire_limits limits = {.most = PP_MESSAGE_MOST, .credit = 1 << 20};
    pp_wire_begin(&head.wire, head.out, head.in, &limits, true);
    struct pollfd out = {.fd = head.out, .events = POLLIN};
    while (!pp_wire_greeting(&head.wire, &head.greeting)) {
        assert_true(pp_poll(&out, 1, pp_now() + PATIENCE * (uint64_t)1000000) > 0);
        assert_true(pp_wire_read(&head.wire) >= 0);
    }
}

static void start_node(void) {
    start_process(false, READS | WRITES);
    take_greeting();
}

static struct pp_setup plain_setup(void) {
    return (struct pp_setup){.silence = 60000, .workers = 2, .arena_size = instrumented() ? 64 << 20 : 0,
                             .carries_output = true};
}

static void set_up(const struct pp_setup *setup) {
    unsigned char fixed[PP_FIXED_MOST];
    say(PP_SAY_SETUP, 0, fixed, pp_put_setup(fixed, setup), NULL, 0);
}

static void start_ready_node(const struct pp_setup *setup) {
    struct pp_message m;
    struct pp_ready ready;
    start_node();
    set_up(setup);
    assert_true(await_message(&m));
    assert_int_equal(m.kind, PP_SAY_READY);
    assert_true(pp_get_ready(m.data, m.size, &ready));
    assert_int_equal(ready.workers, setup->workers);
    assert_int_equal(ready.cpus, head.greeting.cpus);
}

static void start_plain_node(void) {
    struct pp_setup setup = plain_setup();
    start_ready_node(&setup);
}

/* Waits for the node's end. Returns its status. */
static int await_end(void) {
    int status = -1;
    assert_true(gone_within(head.pid, PATIENCE));
    assert_int_equal(waitpid(head.pid, &status, 0), head.pid);
    pp_wire_end(&head.wire);
    pp_close(&head.in);
    pp_close(&head.out);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* Closes the node's standard input. */
static void end_node(void) {
    pp_close(&head.in);
    assert_int_equal(await_end(), 1);
}

static struct pp_reference reference_to(const void *address) {
    struct pp_reference reference;
    assert_true(pp_refer(address, &reference));
    return reference;
}

#define CODE(function) pp_address_of((pp_function *)(function))

static uint32_t define(pool_fn *fn) {
    unsigned char fixed[PP_FIXED_MOST];
    struct pp_function_message m = {.function = reference_to(CODE(fn)), .module_size = 9};
    say(PP_SAY_FUNCTION, ++head.functions, fixed, pp_put_function(fixed, &m), "test_node", 9);
    return head.functions;
}

/* Sends a task, without leave. Returns its id. */
static uint64_t send_task(struct pp_task_message m, const void *rest, size_t size) {
    unsigned char fixed[PP_FIXED_MOST];
    m.has_in = m.in_size > 0;
    say(PP_SAY_TASK, head.next_id, fixed, pp_put_task(fixed, &m), rest, size);
    return head.next_id++;
}

static uint64_t send_plain(uint32_t function, const void *in, size_t in_size, size_t out_size) {
    return send_task((struct pp_task_message){.function = function, .in_size = in_size, .out_size = out_size}, in,
                     in_size);
}

static void give_leave(void) {
    say_id(PP_SAY_LEAVE, head.next_id - 1);
}

static void assert_done(uint64_t id, const void *result, size_t size) {
    struct pp_message m;
    assert_true(await_message(&m));
    if (m.kind != PP_SAY_DONE) print_error("kind %d\n", m.kind);
    assert_int_equal(m.kind, PP_SAY_DONE);
    assert_true(m.id == id);
    assert_int_equal(m.size, size);
    if (size) assert_memory_equal(m.data, result, size);
}

static struct pp_failure_message assert_failed(uint16_t kind, uint64_t id, int error) {
    static struct pp_message m;
    static char text[PP_FAR_TEXT];
    struct pp_failure_message failure;
    assert_true(await_message(&m));
    if (m.kind != kind && pp_get_failure(m.data, m.size, &failure))
        print_error("id %d: %s: %.*s\n", (int)m.id, pool_strerror(failure.error), (int)failure.text_size, failure.text);
    assert_int_equal(m.kind, kind);
    assert_true(m.id == id);
    assert_true(pp_get_failure(m.data, m.size, &failure));
    if (failure.error != error) print_error("%s\n", pool_strerror(failure.error));
    assert_int_equal(failure.error, error);
    memcpy(text, failure.text, failure.text_size);
    text[failure.text_size] = '\0';
    failure.text = text;
    return failure;
}

/* ---- the beginning */

TEST_CASE(a_node_greets_and_says_when_its_pool_is_there) {
    char build[2 * PP_MODULE_ID + 1];
    start_plain_node();
    pp_program_build(build);
    assert_int_equal(head.greeting.protocol, PP_PROTOCOL);
    assert_int_equal(strcmp(head.greeting.build, build), 0);
    assert_int_equal(head.greeting.cpus, pool_cpu_count());
    assert_int_equal(head.wire.noise_size, 0);
    end_node();
}

TEST_CASE(a_node_without_a_head_ends_at_once) {
    start_node();
    end_node();
}

TEST_CASE(an_initializer_and_its_argument_are_those_of_the_node) {
    struct pp_setup setup = plain_setup();
    setup.initializer = reference_to(CODE(check_argument));
    setup.initializer_arg = reference_to(object_of_the_program);
    start_ready_node(&setup);
    long x = 1, y = 2;
    uint64_t id = send_plain(define(add_one), &x, sizeof x, sizeof y);
    give_leave();
    assert_done(id, &y, sizeof y);
    end_node();
}

TEST_CASE(a_pool_that_cannot_be_is_told_and_ends_the_node) {
    struct pp_setup setup = plain_setup();
    setup.initializer = reference_to(CODE(refuse_to_start));
    start_node(); /* it is never ready: the head gives it nothing that would be lost */
    set_up(&setup);
    struct pp_failure_message failure = assert_failed(PP_SAY_BROKEN, 0, POOL_EINIT);
    assert_int_equal(failure.code, 5);
    assert_int_equal(await_end(), 3);
    setup.initializer.id[3] ^= 1;
    start_node();
    set_up(&setup);
    assert_contains(assert_failed(PP_SAY_BROKEN, 0, POOL_EINVAL).text, "another build");
    assert_int_equal(await_end(), 4);
}

/* ---- tasks */

TEST_CASE(tasks_are_run_and_their_results_come_back) {
    enum { MANY = 500 };
    bool seen[MANY + 1] = {false};
    start_plain_node();
    uint32_t function = define(add_one);
    for (long i = 0; i < MANY; i++) send_plain(function, &i, sizeof i, sizeof i);
    give_leave();
    for (int i = 0; i < MANY; i++) {
        struct pp_message m;
        long y;
        assert_true(await_message(&m));
        assert_int_equal(m.kind, PP_SAY_DONE);
        assert_true(m.id >= 1 && m.id <= MANY && !seen[m.id]);
        assert_int_equal(m.size, sizeof y);
        memcpy(&y, m.data, sizeof y);
        assert_true(y == (long)m.id);
        seen[m.id] = true;
    }
    end_node();
}

TEST_CASE(large_arguments_and_results_travel) {
    enum { LARGE = 3000000 };
    unsigned char *bytes = malloc(LARGE);
    assert_non_null(bytes);
    fill(bytes, LARGE, 1);
    start_plain_node();
    uint32_t function = define(copy_many);
    for (int i = 0; i < 3; i++) {
        uint64_t id = send_plain(function, bytes, LARGE, LARGE);
        give_leave();
        assert_done(id, bytes, LARGE);
    }
    free(bytes);
    end_node();
}

TEST_CASE(nothing_begins_without_leave) {
    start_plain_node();
    uint32_t function = define(add_one);
    long x = 1, y = 2;
    uint64_t first = send_plain(function, &x, sizeof x, sizeof y);
    give_leave();
    uint64_t second = send_plain(function, &x, sizeof x, sizeof y);
    assert_done(first, &y, sizeof y);
    say_id(PP_SAY_FORGET, second);
    assert_failed(PP_SAY_FAILED, second, POOL_ECANCELLED);
    uint64_t third = send_plain(function, &x, sizeof x, sizeof y);
    give_leave();
    assert_done(third, &y, sizeof y);
    end_node();
}

TEST_CASE(a_task_finds_there_what_it_finds_at_home) {
    struct whereabouts w;
    struct pp_message m;
    start_plain_node();
    uint32_t function = define(tell_whereabouts);
    say(PP_SAY_CONTEXT, 5, NULL, 0, "a context of 16", 16);
    send_task((struct pp_task_message){.function = function, .context = 5, .index = 1000000, .seed = 99, .in_size = 3,
                                       .out_size = sizeof w}, "abc", 3);
    give_leave();
    assert_true(await_message(&m));
    assert_int_equal(m.size, sizeof w);
    memcpy(&w, m.data, sizeof w);
    assert_true(w.index == 1000000 && w.in_size == 3);
    assert_int_equal(strcmp(w.context, "a context of 16"), 0);
    assert_false(w.has_variables);
    /* The seed is that of an item of the same number here. */
    static struct whereabouts here[3];
    struct pool *pool = pool_of(1);
    assert_ok(pool_map(pool, &(struct pool_job){.fn = tell_whereabouts, POOL_OUT(here), .count = 3, .seed = 99}));
    pool_destroy(pool);
    send_task((struct pp_task_message){.function = function, .index = 2, .seed = 99, .out_size = sizeof w}, NULL, 0);
    say_id(PP_SAY_FORGET_CONTEXT, 5);
    give_leave();
    assert_true(await_message(&m));
    memcpy(&w, m.data, sizeof w);
    assert_true(w.index == 2 && w.seed == here[2].seed);
    assert_int_equal(w.context[0], 0);
    end_node();
}

TEST_CASE(a_task_gets_the_results_of_tasks_that_ran_elsewhere) {
    unsigned char rest[24 + 8 + 100];
    start_plain_node();
    pp_put_number(rest, 0, 5);
    pp_put_number(rest, 1, PP_NO_INPUT);
    pp_put_number(rest, 2, 100);
    memcpy(rest + 24, "hello", 5);
    memset(rest + 29, 'x', 100);
    char joined[106];
    memcpy(joined, "hello-", 6);
    memset(joined + 6, 'x', 100);
    uint64_t id = send_task((struct pp_task_message){.function = define(join_inputs), .out_size = 200,
                                                     .input_count = 3}, rest, 129);
    give_leave();
    assert_done(id, joined, sizeof joined);
    end_node();
}

TEST_CASE(failures_travel_exactly) {
    long number = 17;
    start_plain_node();
    uint64_t id = send_plain(define(fail_with_text), &number, sizeof number, 0);
    give_leave();
    struct pp_failure_message failure = assert_failed(PP_SAY_FAILED, id, POOL_EFAILED);
    assert_int_equal(failure.code, 42);
    assert_int_equal(strcmp(failure.text, "no header in file 17"), 0);
    assert_true(failure.worker > 0);
    id = send_plain(define(crash), NULL, 0, 0);
    give_leave();
    failure = assert_failed(PP_SAY_FAILED, id, POOL_EDIED);
    if (!instrumented()) assert_int_equal(failure.signal, SIGSEGV); /* a sanitizer reports it, and the worker exits */
    if (failure.frame_count > 0) { /* where it crashed is a place that is found here, too */
        const void *address;
        assert_true(pp_resolve(&failure.frames[0], true, &address));
    }
    id = send_plain(define(leave_by_exit), NULL, 0, 0);
    give_leave();
    failure = assert_failed(PP_SAY_FAILED, id, POOL_EDIED);
    assert_int_equal(failure.signal, 0);
    assert_int_equal(failure.code, 7);
    id = send_task((struct pp_task_message){.function = define(forever_task), .timeout = 50}, NULL, 0);
    give_leave();
    assert_failed(PP_SAY_FAILED, id, POOL_EDEADLINE);
    id = send_task((struct pp_task_message){.function = head.functions, .cpu_timeout = 50}, NULL, 0);
    give_leave();
    assert_failed(PP_SAY_FAILED, id, POOL_EDEADLINE);
    end_node();
}

TEST_CASE(a_function_that_is_not_there_is_named) {
    unsigned char fixed[PP_FIXED_MOST];
    struct pp_function_message m = {.function = reference_to(CODE(add_one)), .module_size = 9};
    m.function.id[0] ^= 1;
    start_plain_node();
    say(PP_SAY_FUNCTION, 1, fixed, pp_put_function(fixed, &m), "libfoo.so", 9);
    uint64_t id = send_plain(1, NULL, 0, 0);
    struct pp_failure_message failure = assert_failed(PP_SAY_FAILED, id, POOL_EINVAL);
    assert_contains(failure.text, "libfoo.so");
    end_node();
}

TEST_CASE(a_running_task_is_killed_on_request) {
    char path[TEMPORARY_ROOM];
    unused_name(path);
    start_plain_node();
    uint64_t id = send_plain(define(await_file), path, strlen(path) + 1, 0);
    give_leave();
    sleep_ms(20);
    say_id(PP_SAY_KILL, id);
    assert_failed(PP_SAY_FAILED, id, POOL_ECANCELLED);
    say_id(PP_SAY_KILL, id); /* once more is late */
    long x = 1, y = 2;
    id = send_plain(define(add_one), &x, sizeof x, sizeof y);
    give_leave();
    assert_done(id, &y, sizeof y);
    end_node();
}

TEST_CASE(what_a_task_prints_comes_before_its_outcome) {
    start_plain_node();
    uint32_t function = define(print_lines);
    for (int i = 0; i < 3; i++) {
        uint64_t id = send_plain(function, NULL, 0, 0);
        give_leave();
        memset(head.printed, 0, sizeof head.printed);
        assert_done(id, NULL, 0);
        assert_int_equal(strcmp(head.printed[1], "a line\nand another\n"), 0);
        assert_int_equal(strcmp(head.printed[2], "an error\n"), 0);
    }
    end_node();
}

/* ---- chunks */

static void send_job(uint32_t number, pool_fn *fn, size_t in_size, size_t out_size, bool has_sizes) {
    unsigned char fixed[PP_FIXED_MOST];
    struct pp_job_message m = {.function = define(fn), .in_size = in_size, .out_size = out_size, .failures = 1000,
                               .wants_out = out_size > 0, .has_sizes = has_sizes};
    say(PP_SAY_JOB, number, fixed, pp_put_job(fixed, &m), NULL, 0);
}

static uint64_t send_chunk(uint32_t job, uint64_t first, uint32_t count, const void *in, size_t size) {
    unsigned char fixed[PP_FIXED_MOST];
    struct pp_chunk_message m = {.job = job, .first = first, .count = count};
    say(PP_SAY_CHUNK, head.next_id, fixed, pp_put_chunk(fixed, &m), in, size);
    return head.next_id++;
}

/* What has been reported of a chunk. */
struct seen {
    long out[4096];
    int count[4096], error[4096];
    int reports;
};
static struct seen seen;

/* Takes reports until the chunk has ended, or so many items have been reported. */
static void take_reports(uint64_t id, size_t items) {
    struct pp_message m;
    for (size_t count = 0; count < items;) {
        assert_true(await_message(&m));
        assert_true(m.id == id);
        struct pp_items_message part;
        struct pp_failure_message failure;
        if (m.kind == PP_SAY_DONE) return;
        seen.reports++;
        if (m.kind == PP_SAY_ITEM_FAILED) {
            assert_true(pp_get_failure(m.data, m.size, &failure));
            assert_true(failure.position < COUNT(seen.error));
            seen.error[failure.position] = failure.error;
            seen.count[failure.position]++;
            count++;
            continue;
        }
        assert_int_equal(m.kind, PP_SAY_ITEMS);
        assert_true(pp_get_items(m.data, m.size, &part));
        assert_int_equal(part.out_bytes, part.count * sizeof(long));
        memcpy(seen.out + part.first, part.out, part.out_bytes);
        for (uint32_t i = 0; i < part.count; i++) seen.count[part.first + i]++;
        count += part.count;
    }
}

TEST_CASE(a_chunk_is_run_under_the_names_of_its_items) {
    enum { COUNT_OF = 3000 };
    static long in[COUNT_OF];
    start_plain_node();
    for (long i = 0; i < COUNT_OF; i++) in[i] = 5 * i;
    send_job(1, add_one, sizeof(long), sizeof(long), false);
    for (uint32_t round = 0; round < 5; round++) {
        memset(&seen, 0, sizeof seen);
        uint64_t id = send_chunk(1, 100000 * round, COUNT_OF, in, sizeof in);
        give_leave();
        take_reports(id, SIZE_MAX);
        for (long i = 0; i < COUNT_OF; i++) {
            assert_int_equal(seen.count[i], 1);
            assert_true(seen.out[i] == in[i] + 1);
        }
    }
    say_id(PP_SAY_END_JOB, 1);
    end_node();
}

TEST_CASE(items_are_reported_as_they_end) {
    enum { ITEMS = 8 };
    static struct item items[ITEMS];
    unused_name(items[7].path);
    start_plain_node();
    send_job(1, mixed_item, sizeof(struct item), sizeof(long), false);
    memset(&seen, 0, sizeof seen);
    uint64_t id = send_chunk(1, 2000, ITEMS, items, sizeof items);
    give_leave();
    take_reports(id, 7); /* the last waits for the file */
    for (int i = 0; i < 7; i++) assert_true(seen.count[i] == 1 && seen.out[i] == 10 * (2000 + i));
    assert_int_equal(seen.count[7], 0);
    FILE *file = fopen(items[7].path, "w");
    assert_non_null(file);
    fclose(file);
    take_reports(id, SIZE_MAX);
    unlink(items[7].path);
    assert_true(seen.count[7] == 1 && seen.out[7] == 10 * 2007);
    end_node();
}

TEST_CASE(items_that_fail_or_die_are_told_and_the_others_stand) {
    enum { ITEMS = 7 };
    static struct item items[ITEMS];
    for (int i = 0; i < ITEMS; i++) items[i].fails = true;
    start_plain_node();
    send_job(1, mixed_item, sizeof(struct item), sizeof(long), false);
    memset(&seen, 0, sizeof seen);
    uint64_t id = send_chunk(1, 3000, ITEMS, items, sizeof items);
    give_leave();
    take_reports(id, SIZE_MAX);
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(seen.count[i], 1);
        assert_int_equal(seen.error[i], i == 3 ? POOL_EFAILED : i == 5 ? POOL_EDIED : 0);
        assert_true(seen.error[i] || seen.out[i] == 10 * (3000 + i));
    }
    end_node();
}

/* Items that die now and then, others that take a while: reports come while rounds follow each other. */
static int frail_item(const void *in, void *out) {
    (void)in;
    sleep_ms(task_index() % 3 ? 1 : 12);
    if (task_index() % 7 == 5) raise(SIGKILL);
    *(long *)out = (long)task_index();
    return 0;
}

TEST_CASE(no_item_is_reported_twice_or_wrongly_however_many_die) {
    enum { ITEMS = 60 };
    start_plain_node();
    send_job(1, frail_item, 0, sizeof(long), false);
    int most = 0; /* reports of a chunk; on a busy machine one may tell of many rounds */
    int64_t begin = now_ms();
    for (uint64_t round = 0; round < scaled(10) || (most <= 2 && now_ms() - begin < PATIENCE); round++) {
        memset(&seen, 0, sizeof seen);
        uint64_t id = send_chunk(1, 0, ITEMS, NULL, 0);
        give_leave();
        take_reports(id, SIZE_MAX);
        if (seen.reports > most) most = seen.reports;
        for (int i = 0; i < ITEMS; i++) {
            assert_int_equal(seen.count[i], 1);
            assert_int_equal(seen.error[i], i % 7 == 5 ? POOL_EDIED : 0);
            assert_true(seen.error[i] || seen.out[i] == i);
        }
    }
    assert_true(most > 2);
    end_node();
}

TEST_CASE(a_list_names_items_that_are_no_neighbours) {
    unsigned char fixed[PP_FIXED_MOST], list[24];
    struct pp_chunk_message m = {.job = 1, .count = 3, .has_list = true};
    static struct item items[3];
    start_plain_node();
    send_job(1, mixed_item, sizeof(struct item), sizeof(long), false);
    pp_put_number(list, 0, 4000);
    pp_put_number(list, 1, 6);
    pp_put_number(list, 2, 1ULL << 38);
    size_t size = pp_put_chunk(fixed, &m);
    const struct iovec parts[] = {{fixed, size}, {list, sizeof list}, {items, sizeof items}};
    assert_true(pp_wire_send(&head.wire, PP_SAY_CHUNK, head.next_id++, parts, 3));
    give_leave();
    memset(&seen, 0, sizeof seen);
    take_reports(1, SIZE_MAX);
    assert_true(seen.out[0] == 40000 && seen.out[1] == 60 && seen.out[2] == 10 * (1L << 38));
    end_node();
}

TEST_CASE(a_chunk_is_killed_on_request) {
    static struct item items[8];
    unused_name(items[7].path);
    start_plain_node();
    send_job(1, mixed_item, sizeof(struct item), sizeof(long), false);
    memset(&seen, 0, sizeof seen);
    uint64_t id = send_chunk(1, 0, 8, items, sizeof items);
    give_leave();
    take_reports(id, 7);
    say_id(PP_SAY_KILL, id);
    take_reports(id, SIZE_MAX);
    assert_int_equal(seen.count[7], 0);
    end_node();
}

static int square_block(const void *in, void *out, size_t count) {
    const long *x = in;
    long *y = out;
    for (size_t i = 0; i < count; i++) {
        if (x[i] < 0) return 1; /* not even alone */
        if (x[i] == 77) task_fail_item(i, 7, "seventy-seven");
        y[i] = x[i] * x[i] + (long)(task_index() + i) * 1000000;
        if (task_seed_item(i) == 0) return 1;
    }
    return 0;
}

TEST_CASE(a_block_function_is_called_for_the_items_of_a_chunk) {
    enum { COUNT_OF = 2000 };
    static long in[COUNT_OF];
    unsigned char fixed[PP_FIXED_MOST];
    start_plain_node();
    for (long i = 0; i < COUNT_OF; i++) in[i] = i == 99 ? -1 : i;
    struct pp_job_message m = {.function = define((pool_fn *)(pp_function *)square_block), .in_size = sizeof(long),
                               .out_size = sizeof(long), .failures = 1000, .wants_out = true, .is_block = true};
    say(PP_SAY_JOB, 1, fixed, pp_put_job(fixed, &m), NULL, 0);
    memset(&seen, 0, sizeof seen);
    uint64_t id = send_chunk(1, 500, COUNT_OF, in, sizeof in);
    give_leave();
    take_reports(id, SIZE_MAX);
    for (long i = 0; i < COUNT_OF; i++) {
        bool fails = i == 77 || i == 99;
        assert_int_equal(seen.count[i], 1);
        assert_int_equal(seen.error[i], fails ? POOL_EFAILED : 0);
        assert_true(fails || seen.out[i] == i * i + (500 + i) * 1000000);
    }
    end_node();
}

/* ---- reductions and results of any size */

static int part_of_item(const void *in, void *out) {
    long x = *(const long *)in;
    if (x < 0) return task_fail(9, "item %zu", task_index());
    *(long *)out = x + (long)task_index() + *(const long *)task_context();
    return 0;
}

static int add_parts(void *result, const void *right) {
    *(long *)result = *(long *)result * 3 + *(const long *)right;
    return 0;
}

static void send_reduction(uint32_t number, long context) {
    unsigned char fixed[PP_FIXED_MOST];
    say(PP_SAY_CONTEXT, number, NULL, 0, &context, sizeof context);
    struct pp_job_message m = {.function = define(part_of_item), .in_size = sizeof(long), .out_size = sizeof(long),
                               .combine = define((pool_fn *)(pp_function *)add_parts), .context = number};
    say(PP_SAY_JOB, number, fixed, pp_put_job(fixed, &m), NULL, 0);
}

TEST_CASE(leaves_and_joins_of_a_reduction_are_run) {
    long items[4] = {5, 6, 7, 8}, expected = 0;
    unsigned char parts[32];
    start_plain_node();
    send_reduction(3, 1000);
    uint64_t id = send_task((struct pp_task_message){.shape = PP_SHAPE_LEAF, .job = 3, .index = 20, .count = 4,
                                                     .in_size = sizeof items, .out_size = 8}, items, sizeof items);
    give_leave();
    for (long i = 0; i < 4; i++) expected = (i ? expected * 3 : 0) + items[i] + 20 + i + 1000;
    assert_done(id, &expected, sizeof expected);
    pp_put_number(parts, 0, 8);
    pp_put_number(parts, 1, 8);
    memcpy(parts + 16, (long[]){10, 4}, 16);
    id = send_task((struct pp_task_message){.shape = PP_SHAPE_JOIN, .job = 3, .index = 20, .count = 2,
                                            .input_count = 2, .out_size = 8}, parts, sizeof parts);
    give_leave();
    assert_done(id, &(long){34}, sizeof(long));
    long three[6] = {8, 8, 8, 1, 2, 3};
    id = send_task((struct pp_task_message){.shape = PP_SHAPE_JOIN, .job = 3, .index = 20, .count = 2,
                                            .input_count = 3, .out_size = 8}, three, sizeof three);
    give_leave();
    assert_done(id, &(long){(1 * 3 + 2) * 3 + 3}, sizeof(long));
    items[2] = -1;
    id = send_task((struct pp_task_message){.shape = PP_SHAPE_LEAF, .job = 3, .index = 20, .count = 4,
                                            .in_size = sizeof items}, items, sizeof items);
    give_leave();
    struct pp_failure_message failure = assert_failed(PP_SAY_FAILED, id, POOL_EFAILED);
    assert_true(failure.position == 22);
    assert_int_equal(failure.code, 9);
    assert_int_equal(strcmp(failure.text, "item 22"), 0);
    say_id(PP_SAY_END_JOB, 3);
    say_id(PP_SAY_FORGET_CONTEXT, 3);
    end_node();
}

static int make_room(const void *in, void *out) {
    (void)out;
    size_t size = (size_t) * (const long *)in;
    char *room = task_result(size);
    if (size && !room) return 1;
    for (size_t i = 0; i < size; i++) room[i] = (char)i;
    return 0;
}

TEST_CASE(a_task_may_make_room_for_a_result_of_any_size) {
    static const long sizes[] = {0, 10, 100000};
    char bytes[100000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)i;
    start_plain_node();
    uint32_t function = define(make_room);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        uint64_t id = send_task((struct pp_task_message){.function = function, .any_size = true,
                                                         .in_size = sizeof *sizes}, &sizes[i], sizeof *sizes);
        give_leave();
        assert_done(id, bytes, (size_t)sizes[i]);
    }
    end_node();
}

/* ---- the end */

/* What runs on the node: pids of its supervisor and a worker that waits for ever. */
static struct whereabouts occupy_node(void) {
    struct whereabouts w;
    struct pp_message m;
    send_plain(define(tell_whereabouts), NULL, 0, sizeof w);
    give_leave();
    assert_true(await_message(&m));
    assert_int_equal(m.size, sizeof w);
    memcpy(&w, m.data, sizeof w);
    uint32_t forever = define(forever_task);
    send_plain(forever, NULL, 0, 0);
    send_plain(forever, NULL, 0, 0);
    give_leave();
    pp_wire_write(&head.wire);
    return w;
}

static void assert_nothing_is_left(const struct whereabouts *w) {
    assert_true(gone_within(w->worker, PATIENCE));
    assert_true(gone_within(w->supervisor, PATIENCE));
}

TEST_CASE(the_end_of_the_connection_ends_all_that_the_node_has_started) {
    start_plain_node();
    struct whereabouts w = occupy_node();
    end_node();
    assert_nothing_is_left(&w);
}

TEST_CASE(a_head_that_reads_no_more_ends_the_node) {
    struct pp_message m;
    start_plain_node();
    struct whereabouts w = occupy_node();
    while (pp_wire_next(&head.wire, &m)) continue;
    pp_close(&head.out);
    say_id(PP_SAY_KILL, 2); /* the answer finds no reader */
    pp_wire_write(&head.wire);
    assert_int_equal(await_end(), 1);
    assert_nothing_is_left(&w);
}

/* Whichever ends of the connection go, and whenever: with one of them open, nothing of the other may keep the node. A
 * blocked SIGPIPE stays pending, which changes nothing. */
TEST_CASE(a_head_that_goes_at_any_time_ends_the_node) {
    enum { BORN, GREETED, READY, AT_WORK, TIMES };
    for (int cell = 0; cell < TIMES * 3 * 2; cell++) {
        int when = cell % TIMES, ends = cell / TIMES % 3;
        struct whereabouts w = {.worker = 0};
        struct pp_setup setup = plain_setup();
        struct pp_message m;
        start_process(cell >= TIMES * 3, when == BORN ? ends : READS | WRITES);
        if (when >= GREETED) take_greeting();
        if (when >= READY) {
            set_up(&setup);
            assert_true(await_message(&m));
        }
        if (when == AT_WORK) w = occupy_node();
        if (!(ends & READS)) pp_close(&head.out);
        if (!(ends & WRITES)) pp_close(&head.in);
        int64_t since = now_ms();
        assert_int_equal(await_end(), 1);
        assert_took(since, 0, PATIENCE / 2);
        if (when == AT_WORK) assert_nothing_is_left(&w);
    }
}

/* More is done than the node may keep for its head: it sleeps until the head reads. */
TEST_CASE(a_head_that_reads_nothing_for_a_while_costs_no_time) {
    enum { MANY = 100, SIZE = 1 << 20 };
    if (instrumented()) skip(); /* the arena is small */
    start_plain_node();
    uint32_t function = define(fill_all);
    for (int i = 0; i < MANY; i++) send_plain(function, NULL, 0, SIZE);
    give_leave();
    while (pp_wire_queued(&head.wire) > 0) {
        pp_wire_write(&head.wire);
        sleep_ms(1);
    }
    uint64_t used = 0, before;
    int64_t until = now_ms() + PATIENCE;
    do { /* until it has done what it can */
        before = used;
        sleep_ms(500);
        used = pp_cpu_time_of(head.pid);
    } while (used - before > 100 * (uint64_t)1000000 && now_ms() < until);
    assert_true(now_ms() < until);
    for (int i = 0; i < MANY; i++) {
        struct pp_message m;
        assert_true(await_message(&m));
        assert_int_equal(m.kind, PP_SAY_DONE);
        assert_int_equal(m.size, SIZE);
    }
    end_node();
}

TEST_CASE(silence_ends_the_node) {
    struct pp_setup setup = plain_setup();
    setup.silence = 3000;
    start_ready_node(&setup);
    int64_t since = now_ms();
    struct whereabouts w = occupy_node();
    assert_int_equal(await_end(), 1);
    assert_took(since, 1500, PATIENCE);
    assert_nothing_is_left(&w);
}

TEST_CASE(a_head_that_says_that_it_lives_keeps_the_node) {
    struct pp_setup setup = plain_setup();
    setup.silence = 3000; /* longer than a busy machine lets either side wait */
    start_ready_node(&setup);
    head.wire.limits.silence = 3000; /* and beats as often */
    int64_t until = now_ms() + 5000;
    while (now_ms() < until) {
        struct pp_message m;
        bool lost;
        pp_wire_tick(&head.wire, pp_now(), &lost);
        assert_false(lost);
        pp_wire_write(&head.wire);
        pp_wire_read(&head.wire);
        assert_true(!pp_wire_next(&head.wire, &m) || m.kind == PP_SAY_STATS);
        sleep_ms(20);
    }
    end_node();
}

TEST_CASE(a_pool_that_breaks_ends_the_node_and_answers_no_task) {
    start_plain_node();
    struct whereabouts w = occupy_node();
    kill(w.supervisor, SIGKILL);
    assert_failed(PP_SAY_BROKEN, 0, POOL_EDIED);
    assert_int_equal(await_end(), 3);
    assert_nothing_is_left(&w);
}

TEST_CASE(a_node_that_is_killed_leaves_nothing) {
    int status;
    start_plain_node();
    struct whereabouts w = occupy_node();
    kill(head.pid, SIGKILL);
    assert_int_equal(waitpid(head.pid, &status, 0), head.pid);
    assert_nothing_is_left(&w);
    struct pp_message m;
    assert_false(await_message(&m)); /* no worker holds the connection */
    pp_wire_end(&head.wire);
    pp_close(&head.in);
    pp_close(&head.out);
}

/* Its supervisor lets it go on. */
TEST_CASE(a_node_that_is_stopped_runs_again_or_ends) {
    start_plain_node();
    struct whereabouts w = occupy_node();
    assert_int_equal(kill(head.pid, SIGSTOP), 0);
    say_id(PP_SAY_KILL, 2);
    assert_failed(PP_SAY_FAILED, 2, POOL_ECANCELLED);
    assert_int_equal(kill(head.pid, SIGSTOP), 0);
    end_node();
    assert_nothing_is_left(&w);
}

TEST_CASE(a_node_that_cannot_go_on_is_killed_with_all_that_it_has_started) {
    if (is_brief()) skip();
    int status;
    struct pp_setup setup = plain_setup();
    setup.silence = 10000;
    start_ready_node(&setup);
    struct whereabouts w = occupy_node();
    /* SIGCONT does not help where a debugger has stopped it. */
    if (ptrace(PTRACE_SEIZE, head.pid, NULL, NULL) == 0) ptrace(PTRACE_INTERRUPT, head.pid, NULL, NULL);
    else kill(head.pid, SIGKILL); /* no debugger is allowed here */
    while (waitpid(head.pid, &status, __WALL) == head.pid && WIFSTOPPED(status)) continue;
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_nothing_is_left(&w);
    pp_wire_end(&head.wire);
    pp_close(&head.in);
    pp_close(&head.out);
}

TEST_CASE(a_head_that_makes_no_sense_ends_the_node) {
    static const struct {
        uint16_t kind;
        uint64_t id;
        size_t size;
    } nonsense[] = {{PP_SAY_DONE, 1, 0}, {PP_SAY_LEAVE, 7, 0}, {PP_SAY_TASK, 1, 3}, {PP_SAY_FORGET, 9, 0},
                    {PP_SAY_END_JOB, 4, 0}, {PP_SAY_CONTEXT, 0, 5}, {PP_SAY_FORGET_CONTEXT, 70000, 0},
                    {PP_SAY_SETUP, 0, 1}, {999, 1, 1}};
    for (size_t i = 0; i < COUNT(nonsense); i++) {
        start_plain_node();
        say(nonsense[i].kind, nonsense[i].id, "xxxxx", nonsense[i].size, NULL, 0);
        assert_contains(assert_failed(PP_SAY_BROKEN, 0, POOL_EINVAL).text, "it was told");
        assert_int_equal(await_end(), 2);
    }
}

TEST_CASE(garbage_ends_the_node) {
    for (uint64_t seed = 1; seed <= scaled(30); seed++) {
        unsigned char bytes[300];
        start_plain_node();
        fill(bytes, sizeof bytes, seed);
        assert_int_equal(pp_write(head.in, bytes, sizeof bytes), sizeof bytes);
        assert_int_equal(await_end(), 1);
    }
}

static int write_at_the_end(const void *in, void *out) {
    (void)in, (void)out;
    return 0;
}

static void print_farewell(void *arg) {
    (void)arg;
    printf("farewell\n");
}

TEST_CASE(finalizers_run_when_the_head_ends_the_node) {
    unsigned char fixed[PP_FIXED_MOST];
    struct pp_end_message end = {.patience = PATIENCE};
    struct pp_setup setup = plain_setup();
    struct pp_message m;
    setup.workers = 1;
    setup.finalizer = reference_to(CODE(print_farewell));
    start_ready_node(&setup);
    uint64_t id = send_plain(define(write_at_the_end), NULL, 0, 0);
    give_leave();
    assert_done(id, NULL, 0);
    say(PP_SAY_END, 0, fixed, pp_put_end(fixed, &end), NULL, 0);
    assert_false(await_message(&m));
    assert_int_equal(strcmp(head.printed[1], "farewell\n"), 0);
    assert_int_equal(await_end(), 0);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_node_greets_and_says_when_its_pool_is_there),
        TEST(a_node_without_a_head_ends_at_once),
        TEST(an_initializer_and_its_argument_are_those_of_the_node),
        TEST(a_pool_that_cannot_be_is_told_and_ends_the_node),
        TEST(tasks_are_run_and_their_results_come_back),
        TEST(large_arguments_and_results_travel),
        TEST(nothing_begins_without_leave),
        TEST(a_task_finds_there_what_it_finds_at_home),
        TEST(a_task_gets_the_results_of_tasks_that_ran_elsewhere),
        TEST(failures_travel_exactly),
        TEST(a_function_that_is_not_there_is_named),
        TEST(a_running_task_is_killed_on_request),
        TEST(what_a_task_prints_comes_before_its_outcome),
        TEST(a_chunk_is_run_under_the_names_of_its_items),
        TEST(items_are_reported_as_they_end),
        TEST(items_that_fail_or_die_are_told_and_the_others_stand),
        TEST(no_item_is_reported_twice_or_wrongly_however_many_die),
        TEST(a_list_names_items_that_are_no_neighbours),
        TEST(a_chunk_is_killed_on_request),
        TEST(a_block_function_is_called_for_the_items_of_a_chunk),
        TEST(leaves_and_joins_of_a_reduction_are_run),
        TEST(a_task_may_make_room_for_a_result_of_any_size),
        TEST(the_end_of_the_connection_ends_all_that_the_node_has_started),
        TEST(a_head_that_reads_no_more_ends_the_node),
        TEST(a_head_that_goes_at_any_time_ends_the_node),
        TEST(a_head_that_reads_nothing_for_a_while_costs_no_time),
        TEST(silence_ends_the_node),
        TEST(a_head_that_says_that_it_lives_keeps_the_node),
        TEST(a_pool_that_breaks_ends_the_node_and_answers_no_task),
        TEST(a_node_that_is_killed_leaves_nothing),
        TEST(a_node_that_is_stopped_runs_again_or_ends),
        TEST(a_node_that_cannot_go_on_is_killed_with_all_that_it_has_started),
        TEST(a_head_that_makes_no_sense_ends_the_node),
        TEST(garbage_ends_the_node),
        TEST(finalizers_run_when_the_head_ends_the_node),
    };
    assert_ok(pool_serve(argc, argv));
    if (!LINUX) return 0; /* POSIX has no list of modules, so no function travels */
    signal(SIGPIPE, SIG_IGN);
    return run_group("node", tests, COUNT(tests), argc, argv);
}
