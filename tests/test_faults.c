/* Every system call may fail. The n-th malloc, mmap, pipe, fork, read or write is made to fail, for n = 1,
 * 2, … until a run makes fewer calls than that; in the caller, in the supervisor and in the workers. In each run the
 * codes must be those that the header allows, accepted tasks must end in time, and nothing may be left behind.
 *
 * Linked with the library that is compiled with PP_FAULTS. Each run is a child process of the test. */
#include "support.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/memory.h"
#include "base/sys.h"

enum process { CALLER, SUPERVISOR, WORKER };

/* In shared memory, since supervisor and workers count there, too. */
static struct faults {
    pid_t caller;
    enum process process; /* the one in which calls fail */
    char call[16];        /* "": any */
    int first, times;     /* which calls: the first-th, counted from 1, and those after it */
    atomic_int seen, met;
    struct gate gate;
    atomic_int deaths[3];
} *faults;

static enum process this_process(void) {
    return getpid() == faults->caller ? CALLER : getppid() == faults->caller ? SUPERVISOR : WORKER;
}

/* Whether a name is a system call and not one of the points of test_points.c. */
static bool is_call(const char *name) {
    static const char *const calls[] = {"malloc", "mmap", "pipe", "fork", "read", "write", "madvise",
                                        "pidfd_open", "epoll"};
    for (size_t i = 0; i < COUNT(calls); i++)
        if (strcmp(name, calls[i]) == 0) return true;
    return false;
}

static bool fails(const char *call) {
    if (faults->call[0] ? strcmp(faults->call, call) != 0 : !is_call(call)) return false;
    if (this_process() != faults->process) return false;
    int turn = atomic_fetch_add(&faults->seen, 1) + 1;
    if (turn < faults->first || turn - faults->first >= faults->times) return false;
    atomic_fetch_add(&faults->met, 1);
    return true;
}

/* Sets the failures of the next run. */
static void arrange(enum process process, const char *call, int first, int times) {
    memset(faults, 0, sizeof *faults);
    faults->process = process;
    snprintf(faults->call, sizeof faults->call, "%s", call);
    faults->first = first;
    faults->times = times;
}

static void begin_faults(void) {
    faults->caller = getpid();
    pp_fault = fails;
}

/* ---- Allowed outcomes */

/* Whether a call that returns `expected` without failures may have returned `code`. */
static bool is_right(int code, int expected) {
    if (code == expected) return true;
    if (atomic_load(&faults->met) == 0) return false;
    if (faults->process == CALLER) return code == POOL_ENOMEM;
    /* The supervisor ends if it cannot read, and cannot start without a pipe or memory; it copes with all other
     * failures. */
    bool may_end = strcmp(faults->call, "fork") != 0 && strcmp(faults->call, "write") != 0;
    int start_fails = strcmp(faults->call, "mmap") == 0 ? POOL_ENOMEM : POOL_EAGAIN;
    return faults->process == SUPERVISOR && may_end && (code == POOL_EDIED || code == start_fails);
}

#define EXPECT_RIGHT(code, expected)                                                                                   \
    do {                                                                                                               \
        int code_ = (code);                                                                                            \
        if (!is_right(code_, expected)) {                                                                              \
            fprintf(stderr, "%s:%d: %s is %d (%s), not %d\n", __FILE__, __LINE__, #code, code_, pool_strerror(code_),  \
                    (int)(expected));                                                                                  \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

static bool is_told(const struct pool_failure *failure, int code) {
    return failure->error == code && (code == 0) == (failure->message[0] == 0);
}

/* ---- Tasks */

enum { LARGE = 100000, ITEMS = 1000 };

static int large_task(const void *in, void *out) {
    memcpy(out, in, LARGE);
    return 0;
}

/* in: the number of the task, which dies in its first run. */
static int mortal_task(const void *in, void *out) {
    long i = *(const long *)in;
    if (atomic_fetch_add(&faults->deaths[i], 1) == 0) raise(SIGKILL);
    *(long *)out = i;
    return 0;
}

/* One item fails, and one dies in its first run. */
static int uneven_item(const void *in, void *out) {
    long i = *(const long *)in;
    if (i == 700) return task_fail(7, "seven hundred");
    if (i == 300 && atomic_fetch_add(&faults->deaths[2], 1) == 0) raise(SIGKILL);
    return square_task(in, out);
}

static int ready_task(const void *in, void *out) {
    (void)in, (void)out;
    return 0;
}

/* ---- The scenario: everything that the library does, once */

/* future: NULL if the task was not accepted. */
static int end_of(struct future *future, int expected, void *out) {
    if (!future) return 0;
    int code = future_get(future, out, PATIENCE / 2);
    EXPECT_RIGHT(code, expected);
    struct pool_failure failure;
    EXPECT(future_failure(future, &failure) == 0);
    EXPECT(is_told(&failure, code));
    future_free(future);
    return 0;
}

static struct future *try_submit(struct pool *pool, struct pool_task task, int *wrong) {
    struct future *future = NULL;
    int code = pool_submit(pool, &task, &future);
    if (code != 0) future = NULL;
    if (!is_right(code, 0)) *wrong = code;
    return future;
}

/* Tasks that wait in the queue and are reordered in the ring, with small and large data; one is cancelled, one given
 * up. */
static int run_queue(struct pool *pool) {
    static char in[LARGE], out[LARGE];
    struct gate *gate = &faults->gate;
    struct future *held[2], *waiting[8], *cancelled, *large[2];
    int wrong = 0;
    atomic_store(&gate->open, 0);
    for (int i = 0; i < 2; i++)
        held[i] = try_submit(pool, (struct pool_task){.fn = gate_task, POOL_IN(&gate)}, &wrong);
    for (long i = 0; i < 8; i++) {
        struct pool_task task = {.fn = square_task, POOL_IN(&i), .out_size = sizeof i};
        task.priority = (int)(i * 3 % 5) - 2;
        waiting[i] = try_submit(pool, task, &wrong);
    }
    fill(in, LARGE, 1);
    struct pool_task task = {.fn = large_task, .in = in, .in_size = LARGE, .out_size = LARGE};
    for (int i = 0; i < 2; i++) large[i] = try_submit(pool, task, &wrong);
    /* One worker may claim both blocking tasks, and the other may run all others before it takes one of them over. */
    bool both_held = held[0] && held[1];
    for (int64_t start = now_ms(); both_held && atomic_load(&gate->arrived) < 2; sleep_ms(1)) {
        EXPECT(now_ms() - start < PATIENCE / 2);
        both_held = !future_done(held[0]) && !future_done(held[1]); /* a worker may have died */
    }
    cancelled = try_submit(pool, (struct pool_task){.fn = ready_task, .priority = -9}, &wrong);
    EXPECT(wrong == 0);
    if (cancelled && both_held) EXPECT_RIGHT(future_cancel(cancelled) == POOL_EBUSY ? POOL_EDIED : 0, 0);
    else if (cancelled) (void)future_cancel(cancelled);
    future_free(waiting[7]);
    gate_open(gate);
    for (int i = 0; i < 2; i++) EXPECT(end_of(held[i], 0, NULL) == 0);
    for (long i = 0; i < 7; i++) {
        long square = -1;
        bool accepted = waiting[i] != NULL;
        EXPECT(end_of(waiting[i], 0, &square) == 0);
        EXPECT(square == (accepted && square != -1 ? i * i : -1));
    }
    for (int i = 0; i < 2; i++) {
        memset(out, 0, LARGE);
        if (large[i] && future_wait(large[i], PATIENCE / 2) == 0 && future_get(large[i], out, 0) == 0)
            EXPECT(filled(out, LARGE, 1));
        EXPECT(end_of(large[i], 0, NULL) == 0);
    }
    if (cancelled) {
        int code = future_get(cancelled, NULL, PATIENCE / 2);
        EXPECT(code == 0 || is_right(code, POOL_ECANCELLED));
        future_free(cancelled);
    }
    return 0;
}

static int run_deaths(struct pool *pool) {
    int wrong = 0;
    long number = 0, got = -1;
    struct pool_task mortal = {.fn = mortal_task, POOL_IN(&number), .out_size = sizeof number};
    struct future *dies = try_submit(pool, mortal, &wrong);
    number = 1;
    mortal.retries = 1;
    mortal.priority = 2;
    struct future *revives = try_submit(pool, mortal, &wrong);
    struct future *late = try_submit(pool, (struct pool_task){.fn = forever_task, .timeout = 4}, &wrong);
    EXPECT(wrong == 0);
    EXPECT(end_of(dies, POOL_EDIED, NULL) == 0);
    EXPECT(end_of(revives, 0, &got) == 0);
    EXPECT(end_of(late, POOL_EDEADLINE, NULL) == 0);
    struct future *killed = try_submit(pool, (struct pool_task){.fn = forever_task}, &wrong);
    EXPECT(wrong == 0);
    if (killed) (void)future_kill(killed);
    return end_of(killed, POOL_ECANCELLED, NULL);
}

/* Each item must have its outcome, or POOL_ENOMEM. */
static int check_items(const struct pool_job *job, int code) {
    const long *out = job->out;
    int first = 0;
    for (long i = 0; i < ITEMS; i++) {
        if (job->status[i] != 0 && first == 0) first = job->status[i];
        /* Without memory to count tries, the item has none left. */
        if (i == 300 && job->status[i] == POOL_EDIED) EXPECT_RIGHT(POOL_ENOMEM, POOL_ENOMEM);
        else EXPECT_RIGHT(job->status[i], job->fn == uneven_item && i == 700 ? POOL_EFAILED : 0);
        if (job->status[i] == 0) EXPECT(out[i] == i * i);
    }
    EXPECT(code == first);
    EXPECT(is_told(job->failure, code));
    return 0;
}

static int run_jobs(struct pool *pool, struct pool_job job) {
    for (long i = 0; i < ITEMS; i++) {
        ((long *)(uintptr_t)job.in)[i] = i;
        ((long *)job.out)[i] = -1;
        job.status[i] = 1;
    }
    job.failure->error = 1;
    int code = pool_map(pool, &job);
    if (job.status[0] != 1) EXPECT(check_items(&job, code) == 0);
    else EXPECT_RIGHT(code, 0); /* the job was not accepted */

    job.fn = uneven_item;
    job.retries = 2;
    for (long i = 0; i < ITEMS; i++) job.status[i] = 1;
    struct future *future = NULL;
    code = pool_map_async(pool, &job, &future);
    EXPECT_RIGHT(code, 0);
    if (code != 0) return 0;
    code = future_get(future, NULL, PATIENCE / 2);
    EXPECT(check_items(&job, code) == 0);
    future_free(future);
    return 0;
}

static int run_all_jobs(struct pool *pool) {
    static long in[ITEMS], out[ITEMS];
    static int status[ITEMS];
    static struct pool_failure failure;
    struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .status = status,
                           .failure = &failure};
    EXPECT(run_jobs(pool, job) == 0);
    faults->deaths[2] = 0;
    long *data = pool_alloc(pool, 2 * sizeof in);
    if (!data) {
        EXPECT_RIGHT(POOL_ENOMEM, 0);
        return 0;
    }
    job.in = data;
    job.out = data + ITEMS;
    job.chunk = 10;
    job.timeout = PATIENCE;
    EXPECT(run_jobs(pool, job) == 0);
    pool_free(pool, data);
    struct pool_job endless = {.fn = forever_task, .count = 5, .timeout = 4};
    int code = pool_map(pool, &endless);
    EXPECT_RIGHT(code, POOL_EDEADLINE);
    return 0;
}

/* ---- Streams, and waiting for several futures */

static int next_number(void *next_arg, void *in) {
    long *number = next_arg;
    if (*number == 40) return POOL_END;
    *(long *)in = (*number)++;
    return 0;
}

/* Each item has its result, or is lost to the failure; then, or after the failure of an input, the stream ends. */
static int run_stream(struct pool *pool, bool ordered) {
    long number = 0, result, items = 0;
    struct pool_stream options = {.fn = square_task, .next = next_number, .next_arg = &number, .in_size = sizeof number,
                                  .out_size = sizeof number, .window = 7, .retries = 1};
    struct stream *stream = NULL;
    int code = (ordered ? pool_imap : pool_imap_unordered)(pool, &options, &stream);
    EXPECT_RIGHT(code, 0);
    if (code != 0) return 0;
    while ((code = stream_next(stream, &result, PATIENCE / 2)) != POOL_END) {
        struct pool_failure failure;
        EXPECT_RIGHT(code, 0);
        EXPECT(stream_failure(stream, &failure) == 0 && is_told(&failure, code));
        if (code == 0)
            EXPECT(result == (long)(failure.index * failure.index) && (!ordered || items <= (long)failure.index));
        EXPECT(++items <= 41);
    }
    EXPECT(items == 40 || atomic_load(&faults->met));
    stream_free(stream);
    return 0;
}

/* Waits for several futures at once, in both ways. */
static int run_waits(struct pool *pool) {
    int wrong = 0, count = 0;
    struct future *parts[3];
    for (long i = 0; i < 3; i++) {
        struct pool_task task = {.fn = square_task, POOL_IN(&i), .out_size = sizeof i};
        parts[i] = try_submit(pool, task, &wrong);
    }
    EXPECT(wrong == 0);
    if (parts[0] && parts[1] && parts[2]) {
        struct stream *done = NULL;
        int code = future_as_completed(parts, 3, &done);
        EXPECT_RIGHT(code, 0);
        for (struct future *future; code == 0 && (code = stream_next_future(done, &future, PATIENCE / 2)) == 0;)
            count++;
        EXPECT(!done || (code == POOL_END && count == 3));
        stream_free(done);
        code = future_wait_many(parts, 3, POOL_ALL_COMPLETED, PATIENCE / 2);
        EXPECT_RIGHT(code, 0);
    }
    for (int i = 0; i < 3; i++) EXPECT(end_of(parts[i], 0, NULL) == 0);
    return 0;
}

static int run_polls(struct pool *pool) {
    int wrong = 0, count = 0;
    EXPECT(pool_fd(pool) >= 0);
    struct future *future = try_submit(pool, (struct pool_task){.fn = ready_task}, &wrong);
    EXPECT(wrong == 0);
    struct pollfd fd = {.fd = pool_fd(pool), .events = POLLIN};
    EXPECT(poll(&fd, 1, 200) >= 0); /* with a time-out, since the bell itself may fail */
    for (int64_t start = now_ms(); future && !future_done(future) && now_ms() - start < PATIENCE / 2;)
        count += pool_poll(pool, 5);
    EXPECT(count >= 0 && pool_poll(pool, 0) >= 0);
    return end_of(future, 0, NULL);
}

static int add_inputs(const void *in, void *out) {
    (void)in;
    *(long *)out = *(const long *)task_input(0, NULL) + *(const long *)task_input(1, NULL);
    return 0;
}

static int index_part(const void *in, void *out) {
    (void)in;
    *(long *)out = (long)task_index();
    return 0;
}

static int add_parts(void *result, const void *right) {
    *(long *)result += *(const long *)right;
    return 0;
}

static void count_call(struct future *future, void *arg) {
    (void)future;
    ++*(int *)arg;
}

/* A graph with a context, callbacks, and a reduction. */
static int run_dependencies(struct pool *pool) {
    int wrong = 0, calls = 0, expected_calls = 0;
    long three = 3, result = -1;
    struct pool_task task = {.fn = square_task, POOL_IN(&three), .out_size = sizeof three};
    struct future *first = try_submit(pool, task, &wrong), *both[2] = {first, first}, *sum = NULL;
    struct pool_task add = {.fn = add_inputs, .out_size = sizeof(long), .after = both, .after_count = 2,
                            .context = &three, .context_size = sizeof three};
    if (first) sum = try_submit(pool, add, &wrong);
    EXPECT(wrong == 0);
    if (sum) {
        int code = future_on_done(sum, count_call, &calls);
        EXPECT_RIGHT(code, 0);
        expected_calls = code == 0;
        code = future_get(sum, &result, PATIENCE / 2);
        EXPECT(code == POOL_EDEPENDENCY ? atomic_load(&faults->met) > 0 : is_right(code, 0));
        if (code == 0) EXPECT(result == 18);
        EXPECT(calls == expected_calls);
        future_free(sum);
    }
    future_free(first);
    struct pool_reduction reduction = {.fn = index_part, .combine = add_parts, .count = 20, .chunk = 3,
                                       POOL_OUT(&result)};
    int code = pool_reduce(pool, &reduction);
    EXPECT_RIGHT(code, 0);
    if (code == 0) EXPECT(result == 190);
    return 0;
}

static int run_pool(void) {
    struct pool_options options = {.workers = 2, .arena_size = (size_t)16 << 20};
    struct pool *pool = NULL;
    int code = pool_create(&options, &pool), wrong = 0;
    if (code == 0) {
        EXPECT(pool);
        if (run_queue(pool) || run_deaths(pool) || run_all_jobs(pool) || run_dependencies(pool)) return 1;
        if (run_stream(pool, true) || run_stream(pool, false) || run_waits(pool) || run_polls(pool)) return 1;
        static char in[LARGE], out[LARGE];
        fill(in, LARGE, 2);
        struct pool_task task = {.fn = large_task, .in = in, .in_size = LARGE, .out_size = LARGE};
        struct future *kept = try_submit(pool, task, &wrong);
        EXPECT(wrong == 0);
        EXPECT(pool_shutdown(pool, 0, PATIENCE / 2) == 0);
        pool_destroy(pool);
        if (kept && future_get(kept, out, 0) == 0) EXPECT(filled(out, LARGE, 2));
        return end_of(kept, 0, NULL);
    }
    EXPECT(!pool);
    EXPECT(faults->process == CALLER && atomic_load(&faults->met));
    EXPECT(code == POOL_ENOMEM || code == POOL_EAGAIN);
    return 0;
}

static int run_alone(void) {
    static long in[ITEMS], out[ITEMS];
    static int status[ITEMS];
    struct pool_failure failure;
    for (long i = 0; i < ITEMS; i++) in[i] = i, status[i] = 1;
    struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .workers = 2,
                           .status = status, .failure = &failure};
    if (instrumented()) return 0; /* its arena has the default size */
    int code = pool_map(NULL, &job);
    if (status[0] != 1) return check_items(&job, code);
    EXPECT(faults->process == CALLER && (code == POOL_ENOMEM || code == POOL_EAGAIN));
    return 0;
}

static int scenario(void *unused) {
    (void)unused;
    struct holdings before;
    look(&before);
    begin_faults();
    int64_t start = now_ms();
    EXPECT(run_pool() == 0);
    EXPECT(run_alone() == 0);
    EXPECT(now_ms() - start < PATIENCE);
    pp_fault = NULL;
    EXPECT(pp_held == 0);
    EXPECT(!left_behind(&before));
    return 0;
}

/* ---- Each failure in turn */

static const char *name_of(enum process process) {
    return process == CALLER ? "caller" : process == SUPERVISOR ? "supervisor" : "worker";
}

/* Runs the scenario with the n-th `call` failing and, with `for_ever`, all after it. Returns false if the run made
 * fewer calls. */
static bool run_with(enum process process, const char *call, int n, bool for_ever) {
    arrange(process, call, n, for_ever ? INT_MAX : 1);
    struct ending ending = run_child(scenario, NULL, instrumented() ? 4 * PATIENCE : PATIENCE);
    if (ending.timed_out || ending.code != 0) {
        print_error("%s%s %d of the %s fails: %s, exit status %d, signal %d\n", call[0] ? call : "call",
                    for_ever ? " from" : "", n, name_of(process),
                    ending.timed_out ? "it hung" : "it ended", ending.code, ending.signal);
        fail();
    }
    allow_seconds(120);
    return atomic_load(&faults->met) > 0;
}

static void each(enum process process, const char *call, bool for_ever) {
    faults = shared(sizeof *faults);
    int n = 1, step = instrumented() && !for_ever ? 3 : 1;
    while (run_with(process, call, n, for_ever)) n += n < 40 ? step : 5 * step; /* later calls repeat earlier ones */
}

TEST_CASE(every_malloc_may_fail) {
    each(CALLER, "malloc", false);
}

TEST_CASE(memory_may_end_at_any_malloc) {
    each(CALLER, "malloc", true);
}

TEST_CASE(every_mmap_may_fail) {
    each(CALLER, "mmap", false);
}

TEST_CASE(every_pipe_and_fork_may_fail) {
    each(CALLER, "pipe", false);
    each(CALLER, "fork", false);
}

TEST_CASE(every_read_of_the_caller_may_fail) {
    each(CALLER, "read", false);
}

TEST_CASE(every_write_of_the_caller_may_fail) {
    each(CALLER, "write", false);
}

TEST_CASE(every_call_of_the_caller_may_fail) {
    each(CALLER, "", false);
}

TEST_CASE(every_fork_of_the_supervisor_may_fail) {
    each(SUPERVISOR, "fork", false);
}

TEST_CASE(every_other_call_of_the_supervisor_may_fail) {
    each(SUPERVISOR, "mmap", false);
    each(SUPERVISOR, "pipe", false);
    each(SUPERVISOR, "read", false);
    each(SUPERVISOR, "write", false);
}

TEST_CASE(every_call_of_a_worker_may_fail) {
    each(WORKER, "", false);
}

/* ---- The effects of certain failures */

TEST_CASE(pool_create_returns_the_code_of_the_missing_resource) {
    static const struct {
        const char *call;
        int code;
    } cases[] = {{"malloc", POOL_ENOMEM}, {"mmap", POOL_ENOMEM}, {"pipe", POOL_EAGAIN},
                 {"fork", POOL_EAGAIN}};
    faults = shared(sizeof *faults);
    for (size_t i = 0; i < COUNT(cases); i++) {
        arrange(CALLER, cases[i].call, 1, INT_MAX);
        begin_faults();
        struct pool_options options = test_options(2);
        struct pool *pool = NULL;
        int code = pool_create(&options, &pool);
        pp_fault = NULL;
        assert_code(code, cases[i].code);
        assert_null(pool);
    }
}

TEST_CASE(a_default_arena_is_made_smaller_where_address_space_is_scarce) {
    faults = shared(sizeof *faults);
    arrange(CALLER, "mmap", 1, 3);
    begin_faults();
    struct pool *pool = NULL;
    assert_ok(pool_create(&(struct pool_options){.workers = 1}, &pool));
    pp_fault = NULL;
    assert_ok(finish(submit(pool, ready_task, NULL, 0, 0), NULL));
    pool_destroy(pool);
}

TEST_CASE(large_blocks_are_allocated_without_huge_pages_too) {
    enum { LONGS = (8 << 20) / sizeof(long) };
    size_t left = pp_memory_left("");
    faults = shared(sizeof *faults);
    for (int first = 1; first <= 3; first++) { /* the first call, or one in the middle of a block */
        arrange(CALLER, "madvise", first, INT_MAX);
        begin_faults();
        struct pool *pool = pool_of(2);
        long *in = pool_alloc(pool, LONGS * sizeof *in), *out = pool_alloc(pool, LONGS * sizeof *out);
        assert_non_null(in);
        assert_non_null(out);
        for (long i = 0; i < LONGS; i++) in[i] = i % 1000;
        struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = LONGS};
        assert_ok(pool_map(pool, &job));
        if (LINUX && left != SIZE_MAX && left / 64 > LONGS * sizeof *in) assert_true(faults->met > 0 || first > 1);
        for (long i = 0; i < LONGS; i++) assert_int_equal(out[i], (i % 1000) * (i % 1000));
        pp_fault = NULL;
        pool_destroy(pool);
    }
}

/* A thread of the program may fork in the middle of pool_create(): its child then holds copies of the ends
 * of all pipes. */
static pid_t sister;
static bool has_pidfds;

static bool fork_meanwhile(const char *call) {
    if (strcmp(call, "pidfd_open") == 0) return !has_pidfds;
    if (strcmp(call, "fork") != 0 || sister || getpid() != faults->caller) return false;
    sister = fork();
    while (sister == 0) pause();
    return false;
}

static struct pool *pool_with_sister(void) {
    struct pool_options options = test_options(2);
    struct pool *pool = NULL;
    pp_fault = fork_meanwhile;
    sister = 0;
    int code = pool_create(&options, &pool);
    pp_fault = NULL;
    return code ? NULL : pool;
}

static bool end_sister(void) {
    return sister > 0 && kill(sister, SIGKILL) == 0 && waitpid(sister, NULL, 0) == sister;
}

/* Returns how many ms that takes. */
static int destroy_it(struct pool *pool) {
    int64_t start = now_ms();
    pool_destroy(pool);
    return (int)(now_ms() - start);
}

/* argument: stores how many ms pool_destroy() has taken after the supervisor was killed, and after it has ended. */
static int hidden_ends(void *argument) {
    int *took = argument;
    faults->caller = getpid();
    struct gate *gate = &faults->gate;
    struct pool_task waits = {.fn = gate_task, POOL_IN(&gate)};
    struct future *future;
    pid_t supervisor;
    struct pool *pool = pool_with_sister();
    EXPECT(pool);
    EXPECT(finish(submit(pool, parent_task, NULL, 0, sizeof supervisor), &supervisor) == 0);
    EXPECT(pool_submit(pool, &waits, &future) == 0);
    kill(supervisor, SIGKILL);
    EXPECT(future_get(future, NULL, PATIENCE / 2) == POOL_EDIED);
    future_free(future);
    took[0] = destroy_it(pool);
    EXPECT(end_sister());

    pool = pool_with_sister();
    EXPECT(pool);
    EXPECT(pool_shutdown(pool, 0, PATIENCE / 2) == 0);
    took[1] = destroy_it(pool);
    EXPECT(end_sister());
    return 0;
}

TEST_CASE(a_child_forked_during_pool_create_does_not_hide_the_end_of_the_supervisor) {
    faults = shared(sizeof *faults);
    int *took = shared(2 * sizeof *took);
    for (int i = 0; i < 2; i++) {
        /* Else it waits for 2 s each time: on a busy machine the least of some tells. */
        int least[2] = {PATIENCE, PATIENCE};
        for (int tries = 0; tries < 10 && (least[0] >= 1500 || least[1] >= 1500); tries++) {
            memset(faults, 0, sizeof *faults);
            has_pidfds = i > 0;
            assert_child_passes(hidden_ends, took);
            for (int k = 0; k < 2; k++)
                if (took[k] < least[k]) least[k] = took[k];
        }
        assert_true(least[0] < 1500 && least[1] < 1500);
    }
}

/* ---- Commands that do not reach the supervisor */

/* While this is set, the caller can write nothing. */
static bool is_mute;

static bool mute(const char *call) {
    return is_mute && strcmp(call, "write") == 0 && getpid() == faults->caller;
}

static void begin_mute(void) {
    faults = shared(sizeof *faults);
    faults->caller = getpid();
    pp_fault = mute;
    is_mute = false;
}

static struct future *endless(struct pool *pool, int timeout) {
    struct future *future;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = forever_task, .timeout = timeout}, &future));
    return future;
}

/* The program waits, or looks now and then. The workers are starting, or sleep: then the wake-up is lost as well, where
 * it is a byte in a pipe. */
TEST_CASE(a_time_out_ends_a_task_though_its_command_did_not_reach_the_supervisor) {
    begin_mute();
    for (int round = 0; round < 4; round++) {
        bool waits = round % 2 == 1, asleep = round >= 2;
        struct pool *pool = pool_of(2);
        if (asleep) sleep_ms(100);
        is_mute = true;
        struct future *future = endless(pool, 50);
        is_mute = false;
        int64_t start = now_ms();
        for (; !waits && pool_poll(pool, 0) == 0; sleep_ms(1)) assert_true(now_ms() - start < PATIENCE);
        assert_code(finish(future, NULL), POOL_EDEADLINE);
        pool_destroy(pool);
    }
    pp_fault = NULL;
}

TEST_CASE(a_kill_that_did_not_reach_the_supervisor_is_told_and_made_up_for) {
    begin_mute();
    struct pool *pool = pool_of(2);
    struct future *future = endless(pool, 0), *job;
    while (!future_running(future)) sleep_ms(1);
    is_mute = true;
    assert_code(future_kill(future), POOL_EAGAIN);
    is_mute = false;
    assert_code(finish(future, NULL), POOL_ECANCELLED);

    assert_ok(pool_map_async(pool, &(struct pool_job){.fn = forever_task, .count = 2, .chunk = 1}, &job));
    while (!future_running(job)) sleep_ms(1);
    sleep_ms(20); /* until an item runs */
    is_mute = true;
    assert_code(future_kill(job), POOL_EAGAIN);
    is_mute = false;
    assert_code(finish(job, NULL), POOL_ECANCELLED);
    pool_destroy(pool);
    pp_fault = NULL;
}

TEST_CASE(a_new_size_that_did_not_reach_the_supervisor_is_told_and_made_up_for) {
    begin_mute();
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *first = block_worker(pool, gate), *second = submit_gated(pool, gate);
    is_mute = true;
    assert_code(pool_resize(pool, 2), POOL_EAGAIN);
    is_mute = false;
    assert_code(future_get(second, NULL, 1000), POOL_ETIMEDOUT); /* looks at the pool */
    assert_true(gate_reached(gate, 2));
    gate_open(gate);
    assert_ok(finish(first, NULL));
    assert_ok(finish(second, NULL));
    pool_destroy(pool);
    pp_fault = NULL;
}

TEST_CASE(a_worker_is_started_for_work_though_the_command_did_not_reach_the_supervisor) {
    begin_mute();
    struct pool_options options = test_options(2);
    options.lazy = true;
    struct pool *pool = pool_from(&options);
    is_mute = true;
    struct future *future = submit_square(pool, 7);
    is_mute = false;
    assert_square(future, 7);
    pool_destroy(pool);
    pp_fault = NULL;
}

static void do_nothing(void *arg) {
    (void)arg;
}

TEST_CASE(a_shutdown_ends_the_workers_though_its_command_did_not_reach_the_supervisor) {
    begin_mute();
    struct pool_options options = test_options(2);
    options.finalizer = do_nothing;
    struct pool *pool = pool_from(&options);
    assert_square(submit_square(pool, 7), 7);
    is_mute = true;
    assert_code(pool_shutdown(pool, 0, 50), POOL_ETIMEDOUT);
    is_mute = false;
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
    pp_fault = NULL;
}

/* Many futures are allocated in large blocks. */
TEST_CASE(futures_are_allocated_in_small_blocks_where_no_large_one_is_to_be_had) {
    enum { MOST = 20000 };
    static struct future *futures[MOST];
    faults = shared(sizeof *faults);
    arrange(CALLER, "mmap", 1, INT_MAX);
    struct pool *pool = pool_of(2);
    begin_faults();
    submit_squares(pool, futures, MOST);
    assert_true(faults->met > 0);
    assert_squares(futures, MOST);
    pp_fault = NULL;
    pool_destroy(pool);
    assert_int_equal(pp_held, 0);
}

static int ends_with(void *expected) {
    int code = *(const int *)expected;
    begin_faults();
    struct pool *pool;
    struct pool_options options = test_options(2);
    EXPECT(pool_create(&options, &pool) == 0);
    struct pool_task task = {.fn = ready_task};
    struct future *future;
    struct pool_failure failure;
    EXPECT(pool_submit(pool, &task, &future) == 0);
    EXPECT(future_get(future, NULL, PATIENCE / 2) == code);
    EXPECT(future_failure(future, &failure) == 0 && is_told(&failure, code));
    EXPECT(pool_submit(pool, &task, &(struct future *){NULL}) == code);
    EXPECT(pool_map(pool, &(struct pool_job){.fn = ready_task, .count = 3}) == code);
    pool_destroy(pool);
    future_free(future);
    EXPECT(pp_held == 0);
    return 0;
}

TEST_CASE(tasks_end_with_eagain_if_no_worker_can_be_forked) {
    faults = shared(sizeof *faults);
    arrange(SUPERVISOR, "fork", 1, INT_MAX);
    assert_child_passes(ends_with, &(int){POOL_EAGAIN});
}

TEST_CASE(tasks_end_with_eagain_if_the_supervisor_gets_no_pipe) {
    faults = shared(sizeof *faults);
    arrange(SUPERVISOR, "pipe", 1, INT_MAX);
    assert_child_passes(ends_with, &(int){POOL_EAGAIN});
}

TEST_CASE(tasks_end_with_enomem_if_the_supervisor_gets_no_memory) {
    faults = shared(sizeof *faults);
    arrange(SUPERVISOR, "mmap", 1, INT_MAX);
    assert_child_passes(ends_with, &(int){POOL_ENOMEM});
}

static int some_tasks(struct pool *pool, int count, pid_t *last) {
    for (int i = 0; i < count; i++) {
        struct pool_task task = {.fn = pid_task, .out_size = sizeof *last};
        struct future *future;
        EXPECT(pool_submit(pool, &task, &future) == 0);
        int code = future_get(future, last, PATIENCE / 2);
        if (code != 0) fprintf(stderr, "task %d: %s\n", i, pool_strerror(code));
        EXPECT(code == 0);
        future_free(future);
    }
    return 0;
}

/* argument: the number of tasks after which a worker is replaced. */
static int few_processes(void *argument) {
    unsigned each = *(unsigned *)argument;
    int moment = each == 0 ? PATIENCE / 2 : 1000; /* ms; what is left is refused by the tasks that come then */
    begin_faults();
    struct pool *pool;
    struct pool_options options = test_options(3);
    options.max_tasks_per_worker = *(unsigned *)argument;
    EXPECT(pool_create(&options, &pool) == 0);
    pid_t worker = 0;
    EXPECT(some_tasks(pool, 5, &worker) == 0);
    for (int64_t start = now_ms(); atomic_load(&faults->met) < faults->times && now_ms() - start < moment;)
        sleep_ms(10);
    /* The shortage is over: a worker that dies now is replaced. */
    if (options.max_tasks_per_worker == 0) {
        kill(worker, SIGKILL);
        EXPECT(gone_within(worker, PATIENCE / 2));
    }
    EXPECT(some_tasks(pool, 20, &worker) == 0);
    pool_destroy(pool);
    EXPECT(pp_held == 0);
    return 0;
}

TEST_CASE(a_pool_goes_on_with_fewer_workers) {
    faults = shared(sizeof *faults);
    unsigned for_ever = 0;
    arrange(SUPERVISOR, "fork", 2, 6);
    assert_child_passes(few_processes, &for_ever);
    assert_true(atomic_load(&faults->met) == 6);
}

TEST_CASE(a_pool_recovers_from_a_shortage_of_processes) {
    faults = shared(sizeof *faults);
    unsigned each_task = 1;
    for (int times = 1; times <= 5; times += 2) {
        arrange(SUPERVISOR, "fork", 4, times);
        assert_child_passes(few_processes, &each_task);
        assert_true(atomic_load(&faults->met) == times);
    }
}

/* The supervisor has been refused a process and pauses before the next try. */
static int resized_while_refused(void *unused) {
    (void)unused;
    begin_faults();
    struct pool *pool;
    struct pool_options options = test_options(1);
    EXPECT(pool_create(&options, &pool) == 0);
    EXPECT(becomes(&faults->met, faults->times));
    EXPECT(pool_resize(pool, 1) == 0);
    pid_t worker = 0;
    EXPECT(some_tasks(pool, 1, &worker) == 0);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_command_in_the_pause_after_a_refused_fork_does_not_end_the_tries) {
    faults = shared(sizeof *faults);
    arrange(SUPERVISOR, "fork", 1, 4);
    assert_child_passes(resized_while_refused, NULL);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(every_malloc_may_fail),
        TEST(memory_may_end_at_any_malloc),
        TEST(every_mmap_may_fail),
        TEST(every_pipe_and_fork_may_fail),
        TEST(every_read_of_the_caller_may_fail),
        TEST(every_write_of_the_caller_may_fail),
        TEST(every_call_of_the_caller_may_fail),
        TEST(every_fork_of_the_supervisor_may_fail),
        TEST(every_other_call_of_the_supervisor_may_fail),
        TEST(every_call_of_a_worker_may_fail),
        TEST(pool_create_returns_the_code_of_the_missing_resource),
        TEST(a_default_arena_is_made_smaller_where_address_space_is_scarce),
        TEST(large_blocks_are_allocated_without_huge_pages_too),
        TEST(a_child_forked_during_pool_create_does_not_hide_the_end_of_the_supervisor),
        TEST(a_time_out_ends_a_task_though_its_command_did_not_reach_the_supervisor),
        TEST(a_kill_that_did_not_reach_the_supervisor_is_told_and_made_up_for),
        TEST(a_new_size_that_did_not_reach_the_supervisor_is_told_and_made_up_for),
        TEST(a_worker_is_started_for_work_though_the_command_did_not_reach_the_supervisor),
        TEST(a_shutdown_ends_the_workers_though_its_command_did_not_reach_the_supervisor),
        TEST(futures_are_allocated_in_small_blocks_where_no_large_one_is_to_be_had),
        TEST(tasks_end_with_eagain_if_no_worker_can_be_forked),
        TEST(a_command_in_the_pause_after_a_refused_fork_does_not_end_the_tries),
        TEST(tasks_end_with_eagain_if_the_supervisor_gets_no_pipe),
        TEST(tasks_end_with_enomem_if_the_supervisor_gets_no_memory),
        TEST(a_pool_goes_on_with_fewer_workers),
        TEST(a_pool_recovers_from_a_shortage_of_processes),
    };
    return run_group("faults", tests, COUNT(tests), argc, argv);
}
