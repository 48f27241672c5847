/* What a pool promises beside results holds on hosts, too: order, progress, callbacks, limits of each machine,
 * contexts, items that are left out; and what cannot be there is refused. The hosts are nodes on this machine.
 *
 * So that nothing depends on which machine is faster, the worker here is held at a gate where all is to run on hosts.
 * What nodes are to wait for, and what they tell beside results, are files. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "support.h"

static struct pool_options hosted(int workers, const char *hosts, int least) {
    struct pool_options options = test_options(workers);
    options.hosts = hosts;
    options.host_min = least;
    options.host_start = PATIENCE;
    return options;
}

/* ---- the worker here, held */

struct held {
    struct pool *pool;
    struct gate *gate;
    struct future *holder;
};

/* A pool of one worker here, which waits at a gate, and hosts. */
static struct held hold(const struct pool_options *options) {
    struct held held = {.gate = shared(sizeof *held.gate)};
    held.pool = pool_from(options);
    held.holder = hold_here(held.pool, held.gate, NULL);
    return held;
}

static void end(struct held *held) {
    release_here(held->gate, held->holder);
    pool_destroy(held->pool);
}

/* ---- files */

static char directory[TEMPORARY_ROOM];

static void make_directory(void) {
    temporary_name(directory);
    assert_non_null(mkdtemp(directory));
}

static void path_of(char path[TEMPORARY_ROOM + 32], const char *where, const char *name) {
    snprintf(path, TEMPORARY_ROOM + 32, "%s/%s", where, name);
}

static void make_file(const char *where, const char *name) {
    char path[TEMPORARY_ROOM + 32];
    path_of(path, where, name);
    close(open(path, O_CREAT | O_WRONLY, 0600));
}

static bool is_there(const char *where, const char *name) {
    char path[TEMPORARY_ROOM + 32];
    path_of(path, where, name);
    return access(path, F_OK) == 0;
}

/* In a task. Returns whether it came. */
static bool await_file(const char *where, const char *name) {
    for (int ms = 0; ms < PATIENCE && !is_there(where, name); ms += 2) sleep_ms(2);
    return is_there(where, name);
}

static void append_line(const char *where, const char *name, long number) {
    char path[TEMPORARY_ROOM + 32], line[32];
    path_of(path, where, name);
    int fd = open(path, O_CREAT | O_APPEND | O_WRONLY, 0600);
    int size = snprintf(line, sizeof line, "%ld\n", number);
    if (fd < 0 || write(fd, line, (size_t)size) != size) abort();
    close(fd);
}

static size_t read_lines(const char *name, long *numbers, size_t room) {
    char path[TEMPORARY_ROOM + 32];
    path_of(path, directory, name);
    FILE *file = fopen(path, "r");
    size_t count = 0;
    while (file && count < room && fscanf(file, "%ld", &numbers[count]) == 1) count++;
    if (file) fclose(file);
    return count;
}

static void remove_file(const char *name) {
    char path[TEMPORARY_ROOM + 32];
    path_of(path, directory, name);
    unlink(path);
}

static void remove_directory(void) {
    assert_int_equal(rmdir(directory), 0);
}

struct place {
    char directory[TEMPORARY_ROOM];
    long number;
};

static struct place place_of(long number) {
    struct place place = {.number = number};
    strcpy(place.directory, directory);
    return place;
}

/* ---- order */

static int hold_there_task(const void *in, void *out) {
    (void)out;
    const struct place *place = in;
    make_file(place->directory, "held");
    return await_file(place->directory, "go") ? 0 : 98;
}

static int log_task(const void *in, void *out) {
    (void)out;
    const struct place *place = in;
    append_line(place->directory, "order", place->number);
    return 0;
}

static struct future *submit_log(struct pool *pool, long number, int priority) {
    struct place place = place_of(number);
    struct future *future;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = log_task, POOL_IN(&place), .priority = priority}, &future));
    return future;
}

/* What the host has when the others come is as much as it has CPUs, and as many tasks again. */
TEST_CASE(tasks_on_hosts_start_by_priority) {
    enum { LOW = 40, HIGH = 30 };
    make_directory();
    struct pool_options options = hosted(1, "local:1", 1);
    struct held held = hold(&options);
    struct place place = place_of(0);
    struct future *futures[LOW + HIGH], *holder = submit(held.pool, hold_there_task, &place, sizeof place, 0);
    assert_true(await_file(directory, "held"));
    for (long i = 0; i < LOW; i++) futures[i] = submit_log(held.pool, i, 0);
    sleep_ms(100); /* it has what it can have */
    for (long i = LOW; i < LOW + HIGH; i++) futures[i] = submit_log(held.pool, i, 5);
    make_file(directory, "go");
    assert_ok(finish(holder, NULL));
    for (int i = 0; i < LOW + HIGH; i++) assert_ok(finish(futures[i], NULL));
    long order[LOW + HIGH];
    assert_int_equal(read_lines("order", order, COUNT(order)), LOW + HIGH);
    int high = 0, before = 0;
    for (int i = 0; i < LOW + HIGH && high < HIGH; i++) {
        if (order[i] >= LOW) assert_true(order[i] == LOW + high++);
        else before++;
    }
    assert_true(before <= 4);
    end(&held);
    remove_file("held");
    remove_file("go");
    remove_file("order");
    remove_directory();
}

/* ---- progress and callbacks */

static int last_waits_task(const void *in, void *out) {
    (void)in, (void)out;
    return task_index() < 99 || await_file(((const struct place *)task_context())->directory, "go") ? 0 : 98;
}

struct seen {
    size_t last, calls;
    bool went_back;
};

/* The last item waits for the progress of others. */
static void note_progress(const struct pool_progress *progress, void *arg) {
    struct seen *seen = arg;
    seen->went_back |= progress->done < seen->last || progress->count != 100;
    seen->last = progress->done;
    seen->calls++;
    if (progress->done >= 50) make_file(directory, "go");
}

TEST_CASE(progress_counts_the_items_of_hosts_while_they_end) {
    make_directory();
    struct pool_options options = hosted(1, "local:2,local:2", 2);
    struct held held = hold(&options);
    struct place place = place_of(0);
    struct seen seen = {.last = 0};
    struct pool_job job = {.fn = last_waits_task, .count = 100, .progress = note_progress, .progress_arg = &seen,
                           .progress_interval = 5, .context = &place, .context_size = sizeof place};
    assert_ok(pool_map(held.pool, &job));
    assert_int_equal(seen.last, 100);
    assert_false(seen.went_back);
    assert_true(seen.calls >= 2);
    end(&held);
    remove_file("go");
    remove_directory();
}

static int triple_task(const void *in, void *out) {
    long x = *(const long *)in;
    if (x % 10 == 3) return task_fail(7, "no %ld", x);
    *(long *)out = this_node ? 3 * x : -1;
    return 0;
}

struct called {
    pthread_t thread;
    int calls[60], done, failed;
};
static struct called called;

static void note_call(struct future *future, void *arg) {
    long i = (long)(intptr_t)arg, got = 0;
    called.calls[i]++;
    int error = future_get(future, &got, 0);
    if (error == POOL_EFAILED && i % 10 == 3) called.failed++;
    else if (!error && got == 3 * i && pthread_equal(pthread_self(), called.thread)) called.done++;
}

TEST_CASE(callbacks_are_called_once_for_what_hosts_have_run) {
    struct pool_options options = hosted(1, "local:2,local:2", 2);
    struct held held = hold(&options);
    struct future *futures[COUNT(called.calls)];
    called = (struct called){.thread = pthread_self()};
    for (long i = 0; i < (long)COUNT(futures); i++) {
        futures[i] = submit(held.pool, triple_task, &i, sizeof i, sizeof i);
        assert_ok(future_on_done(futures[i], note_call, (void *)(intptr_t)i));
    }
    for (int64_t until = now_ms() + PATIENCE; called.done + called.failed < (int)COUNT(futures) && now_ms() < until;)
        pool_poll(held.pool, 100);
    assert_int_equal(called.done, 54);
    assert_int_equal(called.failed, 6);
    for (size_t i = 0; i < COUNT(futures); i++) {
        assert_int_equal(called.calls[i], 1);
        future_free(futures[i]);
    }
    struct future *last, *done;
    long x = 5;
    struct pool_task task = {.fn = triple_task, POOL_IN(&x), .out_size = sizeof x, .notify = true, .arg = &x};
    assert_ok(pool_submit(held.pool, &task, &last));
    assert_ok(pool_next_done(held.pool, &done, PATIENCE));
    assert_true(done == last && future_arg(done) == &x);
    assert_ok(finish(last, &x));
    assert_true(x == 15);
    end(&held);
}

/* ---- limits of each machine */

struct span {
    pid_t node; /* 0: here */
    int64_t begin, end;
};

/* Those on hosts wait for a few here. */
static int span_task(const void *in, void *out) {
    static int runs;
    (void)in;
    struct span *span = out;
    const struct place *place = task_context();
    *span = (struct span){.node = this_node, .begin = now_ms()};
    sleep_ms(5);
    if (!this_node && ++runs == 3) make_file(place->directory, "go");
    if (this_node && !await_file(place->directory, "go")) return 98;
    span->end = now_ms();
    return 0;
}

/* How many of the spans there were at a time, on average, of the later half. */
static double at_a_time(const struct span *spans, size_t count, pid_t where) {
    double sum = 0;
    int64_t begin = INT64_MAX, end = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].node != where) continue;
        sum += (double)(spans[i].end - spans[i].begin);
        if (spans[i].begin < begin) begin = spans[i].begin;
        if (spans[i].end > end) end = spans[i].end;
    }
    return end > begin ? sum / (double)(end - begin) : 0;
}

static void check_limits(const struct pool_options *options) {
    enum { ITEMS = 200 };
    static struct span spans[ITEMS];
    make_directory();
    struct pool *pool = pool_from(options);
    struct place place = place_of(0);
    struct pool_job job = {.fn = span_task, POOL_OUT(spans), .count = ITEMS, .chunk = 1, .context = &place,
                           .context_size = sizeof place};
    assert_ok(pool_map(pool, &job));
    pool_destroy(pool);
    int here = 0;
    for (int i = 0; i < ITEMS; i++) {
        here += spans[i].node == 0;
        assert_true(at_a_time(spans, ITEMS, spans[i].node) < 3);
    }
    assert_true(here >= 3 && here < ITEMS);
    remove_file("go");
    remove_directory();
}

/* So each machine lets one worker go on, and the work of one is no reason for the others to wait. */
TEST_CASE(free_memory_is_looked_at_by_each_host_for_itself) {
    struct pool_options options = hosted(4, "local:4,local:4", 2);
    options.min_free_memory = SIZE_MAX / 2; /* no machine has so much */
    check_limits(&options);
}

TEST_CASE(load_is_looked_at_by_each_host_for_itself) {
    struct pool_options options = hosted(4, "local:4,local:4", 2);
    double load[1];
    options.max_load = 1e-9;
    if (getloadavg(load, 1) != 1 || load[0] <= 0.05) skip(); /* this machine has none */
    check_limits(&options);
}

static int limit_task(const void *in, void *out) {
    (void)in;
    struct rlimit limit;
    getrlimit(RLIMIT_DATA, &limit);
    char *all = malloc((size_t)256 << 20);
    if (all) memset(all, 1, (size_t)256 << 20);
    *(int *)out = all != NULL || limit.rlim_cur == RLIM_INFINITY;
    free(all);
    return this_node ? 0 : 1;
}

TEST_CASE(memory_has_its_limit_on_hosts) {
    if (instrumented()) skip();
    struct pool_options options = hosted(1, "local:2", 1);
    options.memory_limit = (size_t)64 << 20;
    struct held held = hold(&options);
    int is_beyond = 1;
    assert_ok(finish(submit(held.pool, limit_task, NULL, 0, sizeof is_beyond), &is_beyond));
    assert_int_equal(is_beyond, 0);
    end(&held);
}

/* ---- initializer and finalizer: of this program, each in its own process */

static struct place of_workers;
static int was_initialized;

static int initialize(void *arg) {
    was_initialized += arg == &of_workers;
    return 0;
}

/* It leaves what the node was given in its environment, since nothing else reaches it. */
static void finalize(void *arg) {
    const char *where = getenv("TERMS_DIRECTORY");
    if (where && arg == &of_workers && this_node) append_line(where, "finalized", was_initialized);
}

static int initialized_task(const void *in, void *out) {
    (void)in;
    *(int *)out = was_initialized + 10 * (this_node != 0);
    return 0;
}

TEST_CASE(initializer_and_finalizer_run_in_the_workers_of_hosts) {
    make_directory();
    struct pool_options options = hosted(1, "local:2", 1);
    options.initializer = initialize;
    options.finalizer = finalize;
    options.initializer_arg = options.finalizer_arg = &of_workers;
    options.host_env = "TERMS_DIRECTORY";
    char env[TEMPORARY_ROOM + 32];
    snprintf(env, sizeof env, "TERMS_DIRECTORY=%s", directory);
    options.host_env = env;
    struct held held = hold(&options);
    for (int i = 0; i < 20; i++) {
        int got = 0;
        assert_ok(finish(submit(held.pool, initialized_task, NULL, 0, sizeof got), &got));
        assert_int_equal(got, 11);
    }
    release_here(held.gate, held.holder);
    assert_ok(pool_shutdown(held.pool, 0, PATIENCE));
    pool_destroy(held.pool);
    long lines[8];
    assert_int_equal(read_lines("finalized", lines, COUNT(lines)), 2); /* the workers of the node */
    assert_true(lines[0] == 1 && lines[1] == 1);
    remove_file("finalized");
    remove_directory();
}

static int fail_there(void *arg) {
    (void)arg;
    return this_node ? 5 : 0;
}

static void note_refusal(const struct pool_host *host, void *arg) {
    *(bool *)arg |= host->state == POOL_HOST_REFUSED;
}

static int short_wait_task(const void *in, void *out) {
    (void)in, (void)out;
    sleep_ms(2);
    return 0;
}

/* There are more tasks all the time, and so a host that were ready would have some. */
TEST_CASE(a_host_whose_initializer_fails_costs_nothing) {
    bool is_refused = false;
    struct pool_options options = hosted(1, "local:2", 0);
    options.initializer = fail_there;
    options.host_event = note_refusal;
    options.host_event_arg = &is_refused;
    struct pool *pool = pool_from(&options);
    for (int64_t until = now_ms() + PATIENCE; !is_refused && now_ms() < until;) {
        struct future *futures[20];
        for (size_t i = 0; i < COUNT(futures); i++) futures[i] = submit(pool, short_wait_task, NULL, 0, 0);
        for (size_t i = 0; i < COUNT(futures); i++) assert_ok(finish(futures[i], NULL));
    }
    assert_true(is_refused);
    pool_destroy(pool);
    options.host_min = 1;
    assert_code(pool_create(&options, &pool), POOL_EAGAIN);
}

/* ---- later rounds: items that run again, and those that a death has left over */

static int runs; /* of this process */

struct again {
    long number, seed;
    int there, runs_before;
};

/* Each item but every third dies when it is tried first. */
static int dies_once_task(const void *in, void *out) {
    const struct place *place = task_context();
    long i = *(const long *)in;
    char name[32];
    *(struct again *)out = (struct again){2 * i + (long)task_index(), (long)(task_seed() % 100000), this_node != 0,
                                          runs++};
    snprintf(name, sizeof name, "try%ld", i);
    if (i % 3 && !is_there(place->directory, name)) {
        make_file(place->directory, name);
        raise(SIGKILL);
    }
    return 0;
}

static void check_again(struct pool *pool, struct again *out, bool there) {
    enum { ITEMS = 60 };
    long in[ITEMS];
    struct place place = place_of(0);
    for (long i = 0; i < ITEMS; i++) in[i] = 1000 + i;
    struct pool_job job = {.fn = dies_once_task, POOL_IN(in), .out = out, .out_size = sizeof *out, .count = ITEMS,
                           .retries = 1, .seed = 9, .context = &place, .context_size = sizeof place};
    assert_ok(pool_map(pool, &job));
    for (long i = 0; i < ITEMS; i++) {
        assert_true(out[i].number == 2 * (1000 + i) + i);
        if (there) assert_int_equal(out[i].there, 1);
        char name[32];
        snprintf(name, sizeof name, "try%ld", in[i]);
        remove_file(name);
    }
}

TEST_CASE(retries_run_on_hosts_each_in_a_fresh_worker) {
    struct again out[60], wanted[60];
    make_directory();
    struct pool_options options = hosted(1, "local:2,local:2", 2);
    struct held held = hold(&options);
    struct pool *here = pool_of(2);
    check_again(here, wanted, false);
    check_again(held.pool, out, true);
    for (int i = 0; i < 60; i++) {
        assert_true(out[i].seed == wanted[i].seed);
        if ((1000 + i) % 3) assert_int_equal(out[i].runs_before, 0);
    }
    pool_destroy(here);
    end(&held);
    remove_directory();
}

enum { LISTED_CHUNK = 64, LISTED_DEATHS = 6, LISTED = 20 * LISTED_CHUNK };

struct listed {
    long number;
    int there, left; /* left: the item was in the hands of a worker here that died of another */
};

static long count_deaths(const char *where) {
    long deaths = 0;
    char name[32];
    for (long chunk = 0; chunk < LISTED; chunk += LISTED_CHUNK) {
        snprintf(name, sizeof name, "died%ld", chunk);
        deaths += is_there(where, name);
    }
    return deaths;
}

/* Here the first item of each chunk is deadly once, and what it leaves waits until a host has run some of that. Hosts
 * wait until enough was left. */
static int leaves_rest_block(const void *in, void *out, size_t count) {
    const struct place *place = task_context();
    const long *x = in;
    struct listed *results = out;
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof name, "died%ld", x[i] - x[i] % LISTED_CHUNK);
        bool first = x[i] % LISTED_CHUNK == 0, left = is_there(place->directory, name);
        for (int ms = 0; this_node && ms < PATIENCE && count_deaths(place->directory) < LISTED_DEATHS; ms += 5)
            sleep_ms(5);
        if (!this_node && first && !left) {
            make_file(place->directory, name);
            raise(SIGKILL);
        }
        if (left && !first && this_node) make_file(place->directory, "list");
        if (left && !first && !this_node) await_file(place->directory, "list");
        results[i] = (struct listed){3 * x[i] + (long)(task_seed_item(i) % 1000), this_node != 0, left && !first};
    }
    return 0;
}

TEST_CASE(what_workers_here_leave_of_blocks_runs_on_hosts_by_lists) {
    static long in[LISTED];
    static struct listed out[LISTED], wanted[LISTED];
    make_directory();
    struct pool_options options = hosted(1, "local:2,local:2", 2);
    struct pool *pool = pool_from(&options), *here = pool_of(2);
    struct place place = place_of(0);
    for (long i = 0; i < LISTED; i++) in[i] = i;
    struct pool_job job = {.block = leaves_rest_block, POOL_IN(in), POOL_OUT(out), .count = LISTED, .retries = 1,
                           .chunk = LISTED_CHUNK, .seed = 4, .context = &place, .context_size = sizeof place};
    assert_ok(pool_map(pool, &job));
    size_t listed = 0;
    for (size_t i = 0; i < LISTED; i++) listed += out[i].there && out[i].left;
    assert_true(listed > 0);
    make_file(place.directory, "list");
    job.out = wanted;
    assert_ok(pool_map(here, &job));
    for (size_t i = 0; i < LISTED; i++) assert_int_equal(out[i].number, wanted[i].number);
    remove_file("list");
    for (long chunk = 0; chunk < LISTED; chunk += LISTED_CHUNK) {
        char name[32];
        snprintf(name, sizeof name, "died%ld", chunk);
        remove_file(name);
    }
    remove_directory();
    pool_destroy(here);
    pool_destroy(pool);
}

/* A block function fails for the items that are no multiples of 7: these are run again, each alone, at other times. */
static int picky_block(const void *in, void *out, size_t count) {
    const long *x = in;
    for (size_t i = 0; i < count; i++) {
        if (x[i] % 7) task_fail_item(i, (int)(x[i] % 7), "%ld is no multiple", x[i]);
        ((long *)out)[i] = this_node ? 5 * x[i] + (long)(task_seed_item(i) % 1000) : -1;
    }
    return 0;
}

TEST_CASE(items_of_blocks_fail_on_hosts_one_by_one) {
    enum { ITEMS = 500 };
    static long in[ITEMS], out[ITEMS];
    static int status[ITEMS];
    struct pool_options options = hosted(1, "local:2,local:2", 2);
    struct held held = hold(&options);
    size_t failed = 0;
    for (long i = 0; i < ITEMS; i++) in[i] = i;
    struct pool_failure failure;
    struct pool_job job = {.block = picky_block, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .status = status,
                           .failed = &failed, .failure = &failure};
    assert_code(pool_map(held.pool, &job), POOL_EFAILED);
    assert_int_equal(failed, ITEMS - (ITEMS + 6) / 7);
    assert_int_equal(failure.index, 1);
    assert_contains(failure.message, "on local: 1 is no multiple");
    for (long i = 0; i < ITEMS; i++) {
        assert_code(status[i], i % 7 ? POOL_EFAILED : 0);
        if (i % 7 == 0) assert_true(out[i] >= 5 * i && out[i] < 5 * i + 1000);
    }
    end(&held);
}

/* ---- contexts */

struct view {
    const void *address;
    long value;
    int there;
};

static int view_task(const void *in, void *out) {
    (void)in;
    const long *context = task_context();
    *(struct view *)out = (struct view){context, context[task_index() % 1000], this_node};
    sleep_ms(1);
    return 0;
}

TEST_CASE(the_context_of_a_stream_is_sent_once_to_a_host) {
    enum { ITEMS = 300 };
    static long context[1000];
    for (long i = 0; i < 1000; i++) context[i] = i * i;
    struct pool_options options = hosted(1, "local:4", 1);
    struct held held = hold(&options);
    for (int round = 0; round < 12; round++) { /* more than a host has at a time */
        struct stream *stream;
        struct view view;
        const void *addresses[ITEMS];
        size_t different = 0;
        struct pool_stream items = {.fn = view_task, .out_size = sizeof view, .count = ITEMS, .window = 100,
                                    .context = context, .context_size = sizeof context};
        context[0] = round;
        assert_ok(pool_imap(held.pool, &items, &stream));
        context[0] = -1; /* it was copied */
        for (long i = 0; i < ITEMS; i++) {
            size_t known = 0;
            assert_ok(stream_next(stream, &view, PATIENCE));
            assert_true(view.there && view.value == (i ? i * i : round));
            while (known < different && addresses[known] != view.address) known++;
            if (known == different) addresses[different++] = view.address;
        }
        assert_code(stream_next(stream, NULL, PATIENCE), POOL_END);
        assert_true(different <= 2); /* one, and another if the host had nothing to do for a second */
        stream_free(stream);
    }
    end(&held);
}

TEST_CASE(a_context_that_is_an_address_is_refused_and_stderr_says_why) {
    static long context = 3;
    char text[4096] = "", path[TEMPORARY_ROOM];
    temporary_name(path);
    int file = mkstemp(path), kept = dup(STDERR_FILENO);
    assert_true(file >= 0 && kept >= 0);
    struct pool_options options = hosted(1, "local:1", 1);
    struct pool *pool = pool_from(&options);
    struct future *future;
    struct stream *stream;
    struct view out;
    dup2(file, STDERR_FILENO);
    int codes[] = {
        pool_submit(pool, &(struct pool_task){.fn = view_task, .out_size = sizeof out, .context = &context}, &future),
        pool_map(pool, &(struct pool_job){.fn = view_task, POOL_OUT(&out), .count = 1, .context = &context}),
        pool_imap(pool, &(struct pool_stream){.fn = view_task, .out_size = sizeof out, .count = 1,
                                              .context = &context}, &stream),
        pool_reduce(pool, &(struct pool_reduction){.fn = view_task, .combine = (int (*)(void *, const void *))view_task,
                                                   POOL_OUT(&out), .count = 1, .context = &context})};
    dup2(kept, STDERR_FILENO);
    for (size_t i = 0; i < COUNT(codes); i++) assert_code(codes[i], POOL_EINVAL);
    assert_true(pread(file, text, sizeof text - 1, 0) > 0);
    assert_contains(text, "parpool: hosts: context_size is 0");
    assert_true(strchr(text, '\n') == text + strlen(text) - 1); /* one line */
    pool_destroy(pool);
    close(kept);
    close(file);
    unlink(path);
}

/* ---- functions of no module */

/* Code that returns 0, in memory that is of no file; NULL: this machine's code is not known here. */
static pool_fn *make_function(void) {
#if defined(__x86_64__) || defined(__i386__)
    static const unsigned char code[] = {0x31, 0xc0, 0xc3};
#elif defined(__aarch64__)
    static const unsigned char code[] = {0x00, 0x00, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6};
#else
    static const unsigned char code[] = {0};
#endif
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || sizeof code == 1) return NULL;
    memcpy(page, code, sizeof code);
    if (mprotect(page, 4096, PROT_READ | PROT_EXEC)) return NULL;
    __builtin___clear_cache(page, (char *)page + sizeof code);
    pool_fn *function;
    memcpy(&function, &page, sizeof function);
    return function;
}

TEST_CASE(a_function_of_no_module_runs_here_and_stderr_says_so) {
    pool_fn *function = make_function();
    if (!function) skip();
    char text[4096] = "", path[TEMPORARY_ROOM];
    temporary_name(path);
    int file = mkstemp(path), kept = dup(STDERR_FILENO);
    assert_true(file >= 0 && kept >= 0);
    dup2(file, STDERR_FILENO);
    struct pool_options options = hosted(1, "local:2", 1);
    struct held held = hold(&options);
    dup2(kept, STDERR_FILENO);
    struct future *futures[20];
    for (size_t i = 0; i < COUNT(futures); i++) futures[i] = submit(held.pool, function, NULL, 0, 0);
    for (int64_t until = now_ms() + PATIENCE; !strchr(text, '\n') && now_ms() < until; sleep_ms(2))
        if (pread(file, text, sizeof text - 1, 0) < 0) break;
    release_here(held.gate, held.holder);
    for (size_t i = 0; i < COUNT(futures); i++) assert_ok(finish(futures[i], NULL));
    assert_ok(pool_map(held.pool, &(struct pool_job){.fn = function, .count = 1000}));
    pool_destroy(held.pool);
    assert_true(pread(file, text, sizeof text - 1, 0) > 0);
    assert_contains(text, "parpool: hosts: a task stays on this machine: its function is in no module");
    assert_true(strchr(text, '\n') == text + strlen(text) - 1); /* once */
    close(kept);
    close(file);
    unlink(path);
}

/* ---- reductions whose items may fail */

struct list {
    long count, failed_in, there;
    double sum;
};

/* How an item fails is made of its number: it returns a code, dies, or runs for ever. */
static int fragile_task(const void *in, void *out) {
    long x = *(const long *)in, kind = x % 50;
    if (kind == 7 || kind == 8) return task_fail((int)kind, "item %ld\tis bad", x);
    if (kind == 9) raise(SIGKILL);
    if (kind == 10) sleep_ms(PATIENCE);
    *(struct list *)out = (struct list){1, 0, this_node != 0, 1.0 / (double)(x + 1) + (double)(task_seed() % 1000)};
    return 0;
}

static int fragile_block(const void *in, size_t count, void *out) {
    struct list *list = out;
    *list = (struct list){.sum = 0};
    for (size_t i = 0; i < count; i++) {
        struct list one = {.count = 0};
        int code = fragile_task((const long *)in + i, &one);
        if (code) return code;
        list->count++;
        list->there += one.there;
        list->sum += (double)((const long *)in)[i];
    }
    return 0;
}

static int append(void *result, const void *right) {
    struct list *l = result;
    const struct list *r = right;
    *l = (struct list){l->count + r->count, 0, l->there + r->there, l->sum * 0.75 + r->sum};
    return 0;
}

static void reduce_fragile(struct pool *pool, size_t count, bool blocks, struct list *out, struct pool_failure *first) {
    static long in[400];
    size_t failed = 0, wanted = 0;
    for (long i = 0; i < (long)count; i++) {
        in[i] = i;
        wanted += i % 50 >= 7 && i % 50 <= 10;
    }
    struct pool_reduction reduction = {.combine = append, .in = in, .in_size = sizeof *in, .count = count, .chunk = 6,
                                       .out = out, .out_size = sizeof *out, .seed = 4, .skip_failed = true,
                                       .failed = &failed, .failure = first, .timeout = 500};
    if (blocks) reduction.block = fragile_block;
    else reduction.fn = fragile_task;
    assert_ok(pool_reduce(pool, &reduction));
    assert_int_equal(failed, wanted);
    assert_int_equal(out->count, count - wanted);
}

TEST_CASE(reductions_that_skip_what_fails_run_on_hosts_and_give_the_same_bits) {
    struct pool_options options = hosted(1, "local:2,local:2", 2);
    struct pool *here = pool_of(2);
    struct held held = hold(&options);
    for (int blocks = 0; blocks < 2; blocks++) {
        struct list wanted, got;
        struct pool_failure first, first_there;
        reduce_fragile(here, 150, blocks, &wanted, &first);
        reduce_fragile(held.pool, 150, blocks, &got, &first_there);
        assert_memory_equal(&wanted.sum, &got.sum, sizeof got.sum);
        assert_int_equal(got.there, got.count);
        assert_int_equal(first_there.index, first.index);
        assert_code(first_there.error, first.error);
        assert_int_equal(first_there.code, first.code);
        assert_contains(first.message, "item 7\\tis bad");
        assert_contains(first_there.message, "on local: item 7\\tis bad");
    }
    pool_destroy(here);
    end(&held);
}

/* ---- bounds of workers, and what stays here */

static int pid_fn(const void *in, void *out) {
    (void)in;
    *(long *)out = this_node ? (long)getpid() : 0;
    return 0;
}

TEST_CASE(a_worker_of_a_host_ends_after_its_number_of_tasks) {
    struct pool_options options = hosted(1, "local:1", 1);
    options.max_tasks_per_worker = 2; /* the holder here is one */
    struct held held = hold(&options);
    long pids[8];
    for (size_t i = 0; i < COUNT(pids); i++) {
        assert_ok(finish(submit(held.pool, pid_fn, NULL, 0, sizeof *pids), &pids[i]));
        assert_true(pids[i] != 0);
        if (i >= 2) assert_true(pids[i] != pids[i - 2]);
    }
    end(&held);
}

static long changed_later;

static int read_changed(const void *in, void *out) {
    (void)in;
    *(long *)out = this_node ? -changed_later - 1 : changed_later;
    return 0;
}

/* What a program changes after pool_serve() a host does not see, and what runs without a pool stays on this machine. */
TEST_CASE(hosts_are_named_by_the_environment_for_pools_and_not_for_calls_without_one) {
    long here[100];
    assert_int_equal(setenv("PARPOOL_HOSTS", "local:2", 1), 0);
    changed_later = 7;
    int error = pool_map(NULL, &(struct pool_job){.fn = read_changed, POOL_OUT(here), .count = COUNT(here)});
    struct pool_options options = hosted(1, NULL, 1);
    struct held held = hold(&options);
    unsetenv("PARPOOL_HOSTS");
    changed_later = 8;
    assert_ok(error);
    for (size_t i = 0; i < COUNT(here); i++) assert_int_equal(here[i], 7);
    long there;
    assert_ok(finish(submit(held.pool, read_changed, NULL, 0, sizeof there), &there));
    assert_int_equal(there, -1);
    end(&held);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(tasks_on_hosts_start_by_priority),
        TEST(progress_counts_the_items_of_hosts_while_they_end),
        TEST(callbacks_are_called_once_for_what_hosts_have_run),
        TEST(free_memory_is_looked_at_by_each_host_for_itself),
        TEST(load_is_looked_at_by_each_host_for_itself),
        TEST(memory_has_its_limit_on_hosts),
        TEST(initializer_and_finalizer_run_in_the_workers_of_hosts),
        TEST(a_host_whose_initializer_fails_costs_nothing),
        TEST(retries_run_on_hosts_each_in_a_fresh_worker),
        TEST(what_workers_here_leave_of_blocks_runs_on_hosts_by_lists),
        TEST(items_of_blocks_fail_on_hosts_one_by_one),
        TEST(the_context_of_a_stream_is_sent_once_to_a_host),
        TEST(a_context_that_is_an_address_is_refused_and_stderr_says_why),
        TEST(a_function_of_no_module_runs_here_and_stderr_says_so),
        TEST(reductions_that_skip_what_fails_run_on_hosts_and_give_the_same_bits),
        TEST(a_worker_of_a_host_ends_after_its_number_of_tasks),
        TEST(hosts_are_named_by_the_environment_for_pools_and_not_for_calls_without_one),
    };
    note_node();
    if (pool_serve(argc, argv)) return 1;
    return run_group("hosts_terms", tests, COUNT(tests), argc, argv);
}
