/* Handles in another process than the one that made them, a worker or another forked child; and pools within tasks. */
#include "support.h"

#include <signal.h>
#include <sys/wait.h>

/* A pool with a future that is done, one that runs and one that waits, and a block of its arena. */
struct handles {
    struct pool *pool;
    struct future *done, *running, *pending;
    void *data;
    struct gate *gate;
};

static struct handles make_handles(void) {
    struct handles h = {.gate = shared(sizeof *h.gate)};
    h.pool = pool_of(1);
    h.done = submit_square(h.pool, 6);
    assert_ok(future_wait(h.done, PATIENCE));
    h.running = block_worker(h.pool, h.gate);
    h.pending = submit_square(h.pool, 6);
    h.data = pool_alloc(h.pool, 100);
    assert_non_null(h.data);
    memset(h.data, 0x11, 100);
    return h;
}

/* Asserts that the handles are as they were and that their pool works; ends them. */
static void end_handles(struct handles h) {
    assert_true(future_running(h.running));
    assert_false(future_done(h.running));
    assert_false(future_done(h.pending));
    assert_int_equal(((char *)h.data)[99], 0x11);
    void *more = pool_alloc(h.pool, 100);
    assert_non_null(more);
    assert_true(more != h.data);
    pool_free(h.pool, more);
    gate_open(h.gate);
    assert_ok(finish(h.running, NULL));
    assert_square(h.pending, 6);
    assert_square(h.done, 6);
    assert_squares_in_turn(h.pool, 100);
    pool_free(h.pool, h.data);
    pool_destroy(h.pool);
}

/* Uses a pool in a foreign process. Returns the line of the first call that does not return POOL_EFOREIGN, else 0. */
static int use_pool(struct pool *pool) {
#define CODE(call)                                                                                                     \
    if ((call) != POOL_EFOREIGN) return __LINE__
    long value = 3, result = -1;
    int status = 12345;
    struct future *const untouched = (struct future *)&value;
    struct future *future = untouched;
    struct pool_task task = {.fn = square_task, POOL_IN(&value), .out_size = sizeof value};
    struct pool_job job = {.fn = square_task, POOL_IN(&value), POOL_OUT(&result), .count = 1, .status = &status};
    CODE(pool_submit(pool, &task, &future));
    CODE(pool_map_async(pool, &job, &future));
    CODE(pool_map(pool, &job));
    CODE(pool_shutdown(pool, 0, 0));
    CODE(pool_shutdown(pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, -1));
    CODE(pool_fd(pool));
    CODE(pool_poll(pool, 0));
    CODE(pool_poll(pool, -1));
    if (pool_alloc(pool, 16)) return __LINE__;
    if (future != untouched || result != -1 || status != 12345) return __LINE__;
    return 0;
}

static int use_future(struct future *future) {
    long result = -1;
    struct pool_failure failure = {.error = 12345};
    CODE(future_get(future, &result, 0));
    CODE(future_get(future, &result, -1));
    CODE(future_wait(future, 0));
    CODE(future_wait(future, -1));
    CODE(future_cancel(future));
    CODE(future_kill(future));
    CODE(future_failure(future, &failure));
    if (future_done(future)) return __LINE__;
    if (future_running(future)) return __LINE__;
    if (result != -1 || failure.error != 12345) return __LINE__;
    return 0;
#undef CODE
}

static int use_handles(const struct handles *h) {
    int line = use_pool(h->pool);
    if (!line) line = use_future(h->done);
    if (!line) line = use_future(h->running);
    if (!line) line = use_future(h->pending);
    pool_free(h->pool, h->data);
    return line;
}

static int use_in_child(void *argument) {
    struct handles *h = argument;
    int line = use_handles(h);
    if (line) fprintf(stderr, "%s:%d: in a child: not foreign\n", __FILE__, line);
    return line != 0;
}

static int free_in_child(void *argument) {
    struct handles *h = argument;
    future_free(h->done);
    future_free(h->running);
    future_free(h->pending);
    pool_free(h->pool, h->data);
    pool_destroy(h->pool);
    return 0;
}

static int exit_in_child(void *argument) {
    (void)argument;
    exit(0);
}

static int crash_in_child(void *argument) {
    (void)argument;
    return raise(SIGKILL);
}

TEST_CASE(each_call_returns_eforeign_after_a_fork) {
    struct handles h = make_handles();
    assert_child_passes(use_in_child, &h);
    end_handles(h);
}

TEST_CASE(a_forked_child_that_frees_or_ends_costs_the_parent_nothing) {
    struct handles h = make_handles();
    for (int i = 0; i < 3; i++) {
        assert_child_passes(free_in_child, &h);
        assert_child_passes(exit_in_child, &h);
        assert_int_equal(run_child(crash_in_child, &h, PATIENCE).signal, SIGKILL);
    }
    end_handles(h);
}

static int own_pool_in_child(void *argument) {
    (void)argument;
    struct holdings before;
    look(&before);
    struct pool_options options = test_options(2);
    struct pool *pool;
    EXPECT(pool_create(&options, &pool) == 0);
    long in[50], out[50];
    for (long i = 0; i < 50; i++) in[i] = i;
    struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 50};
    EXPECT(pool_map(pool, &job) == 0);
    for (long i = 0; i < 50; i++) EXPECT(out[i] == i * i);
    EXPECT(pool_map(NULL, &job) == 0);
    pool_destroy(pool);
    EXPECT(!left_behind(&before));
    return 0;
}

TEST_CASE(a_forked_child_may_make_a_pool_of_its_own) {
    struct handles h = make_handles();
    assert_child_passes(own_pool_in_child, NULL);
    end_handles(h);
}

static int linger(void *argument) {
    gate_pass(argument);
    return 0;
}

/* Such a child holds copies of all of the caller's descriptors. */
TEST_CASE(a_forked_child_that_lives_on_does_not_keep_the_pool_from_ending) {
    struct handles h = make_handles();
    struct gate *gate = shared(sizeof *gate);
    pid_t child = start_child(linger, gate);
    assert_true(gate_reached(gate, 1));
    gate_open(h.gate);
    assert_ok(finish(h.running, NULL));
    pid_t supervisor = supervisor_of(h.pool), worker = worker_of(h.pool);
    struct future *busy = submit(h.pool, forever_task, NULL, 0, 0);
    int64_t start = now_ms();
    pool_destroy(h.pool);
    assert_took(start, 0, 20000);
    assert_false(alive(supervisor));
    assert_false(alive(worker));
    assert_true(alive(child));
    gate_open(gate);
    assert_int_equal(end_child(child, PATIENCE).code, 0);
    assert_code(finish(busy, NULL), POOL_ECANCELLED);
    future_free(h.done);
    future_free(h.pending);
}

static int foreign_task(const void *in, void *out) {
    *(int *)out = use_handles(*(const struct handles *const *)in);
    return 0;
}

static int destroy_task(const void *in, void *out) {
    (void)out;
    const struct handles *h = *(const struct handles *const *)in;
    future_free(h->done);
    future_free(h->running);
    future_free(h->pending);
    pool_destroy(h->pool);
    return 0;
}

TEST_CASE(each_call_returns_eforeign_in_a_worker_of_another_pool) {
    static struct handles h;
    h = make_handles();
    const struct handles *pointer = &h;
    struct pool *other = pool_of(2); /* made last, so that its workers inherit the handles */
    for (int i = 0; i < 5; i++) {
        int line = -1;
        assert_ok(finish(submit(other, foreign_task, &pointer, sizeof pointer, sizeof line), &line));
        assert_int_equal(line, 0);
        assert_ok(finish(submit(other, destroy_task, &pointer, sizeof pointer, 0), NULL));
    }
    pool_destroy(other);
    end_handles(h);
}

static int foreign_pool_task(const void *in, void *out) {
    *(int *)out = use_pool(*(struct pool *const *)in);
    pool_destroy(*(struct pool *const *)in);
    return 0;
}

TEST_CASE(each_call_returns_eforeign_in_a_worker_of_the_pool_itself) {
    struct pool *pool = pool_of(2);
    for (int i = 0; i < 10; i++) {
        int line = -1;
        assert_ok(finish(submit(pool, foreign_pool_task, &pool, sizeof(struct pool *), sizeof line), &line));
        assert_int_equal(line, 0);
    }
    pool_destroy(pool);
}

/* Handles that were made when the workers existed already. */
struct late_handles {
    struct pool *pool;
    struct future *future;
    struct stream *stream, *set;
};

static int late_task(const void *in, void *out) {
    const struct late_handles *h = in;
    struct future *next;
    struct stream *stream;
    struct pool_failure failure;
    int *line = out;
    *line = use_pool(h->pool);
    if (!*line) *line = use_future(h->future);
    if (*line) return 0;
    *line = __LINE__;
    if (stream_next(h->stream, NULL, -1) != POOL_EFOREIGN) return 0;
    if (stream_failure(h->stream, &failure) != POOL_EFOREIGN) return 0;
    if (stream_size(h->stream) != 0) return 0;
    if (stream_next_future(h->set, &next, -1) != POOL_EFOREIGN) return 0;
    if (future_wait_many(&h->future, 1, POOL_ALL_COMPLETED, -1) != POOL_EFOREIGN) return 0;
    if (future_as_completed(&h->future, 1, &stream) != POOL_EFOREIGN) return 0;
    future_free(h->future);
    stream_free(h->stream);
    stream_free(h->set);
    pool_destroy(h->pool);
    *line = 0;
    return 0;
}

TEST_CASE(handles_that_were_made_after_the_workers_are_foreign_in_them) {
    struct pool *pool = pool_of(2);
    int pid;
    assert_ok(finish(submit(pool, pid_task, NULL, 0, sizeof pid), &pid)); /* they exist */
    struct pool *other = pool_of(1);
    for (int own = 0; own < 2; own++) {
        struct late_handles h = {.pool = own ? pool : other};
        h.future = submit_square(h.pool, 4);
        assert_ok(pool_imap(h.pool, &(struct pool_stream){.fn = square_task, .count = 1}, &h.stream));
        assert_ok(future_as_completed(&h.future, 1, &h.set));
        for (int i = 0; i < 5; i++) {
            int line = -1;
            assert_ok(finish(submit(pool, late_task, &h, sizeof h, sizeof line), &line));
            assert_int_equal(line, 0);
        }
        stream_free(h.set);
        stream_free(h.stream);
        assert_square(h.future, 4);
    }
    pool_destroy(other);
    pool_destroy(pool);
}

static int nested_task(const void *in, void *out) {
    long base = *(const long *)in, inner[20], squares[20];
    for (long i = 0; i < 20; i++) inner[i] = base + i;
    struct pool_job job = {.fn = square_task, POOL_IN(inner), POOL_OUT(squares), .count = 20};
    struct pool *pool = NULL;
    if (base % 2) {
        struct pool_options options = test_options(2);
        int error = pool_create(&options, &pool);
        if (error) return task_fail(1, "pool_create: %s", pool_strerror(error));
    }
    int error = pool_map(pool, &job); /* for even numbers without a pool */
    pool_destroy(pool);
    if (error) return task_fail(2, "pool_map: %s", pool_strerror(error));
    long sum = 0;
    for (int i = 0; i < 20; i++) sum += squares[i];
    *(long *)out = sum;
    return task_index() == (size_t)base ? 0 : task_fail(3, "the index is %zu", task_index());
}

TEST_CASE(a_task_may_have_a_pool_of_its_own) {
    struct pool *pool = pool_of(2);
    long in[20], out[20];
    for (long i = 0; i < 20; i++) in[i] = i;
    struct pool_failure failure;
    struct pool_job job = {.fn = nested_task, POOL_IN(in), POOL_OUT(out), .count = 20, .failure = &failure};
    int error = pool_map(pool, &job);
    if (error) print_error("item %zu: %s\n", failure.index, failure.message);
    assert_ok(error);
    for (long i = 0; i < 20; i++) {
        long sum = 0;
        for (long k = 0; k < 20; k++) sum += (i + k) * (i + k);
        assert_int_equal(out[i], sum);
    }
    pool_destroy(pool);
}

static int leave_pool_task(const void *in, void *out) {
    (void)out;
    struct gate *gate = *(struct gate *const *)in;
    struct pool_options options = test_options(2);
    struct pool *pool;
    if (pool_create(&options, &pool)) return 1;
    struct pool_task task = {.fn = forever_task, .in = in, .in_size = sizeof gate};
    struct future *future;
    for (int i = 0; i < 2; i++) {
        if (pool_submit(pool, &task, &future)) return 2;
    }
    if (!gate_reached(gate, 2)) return 3;
    atomic_fetch_add(&gate->arrived, 1);
    return future_get(future, NULL, -1);
}

TEST_CASE(the_pool_of_a_killed_task_ends_with_the_task) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *future = submit(pool, leave_pool_task, &gate, sizeof gate, 0);
    assert_true(gate_reached(gate, 3));
    pid_t pids[16];
    if (have_proc()) assert_true(descendants(getpid(), pids, 16) >= 5); /* two supervisors, three workers */
    assert_ok(future_kill(future));
    assert_code(finish(future, NULL), POOL_ECANCELLED);
    pool_destroy(pool);
    /* the end of the test looks for workers of the inner pool that are left behind */
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(each_call_returns_eforeign_after_a_fork),
        TEST(a_forked_child_that_frees_or_ends_costs_the_parent_nothing),
        TEST(a_forked_child_may_make_a_pool_of_its_own),
        TEST(a_forked_child_that_lives_on_does_not_keep_the_pool_from_ending),
        TEST(each_call_returns_eforeign_in_a_worker_of_another_pool),
        TEST(each_call_returns_eforeign_in_a_worker_of_the_pool_itself),
        TEST(handles_that_were_made_after_the_workers_are_foreign_in_them),
        TEST(a_task_may_have_a_pool_of_its_own),
        TEST(the_pool_of_a_killed_task_ends_with_the_task),
    };
    return run_group("foreign", tests, COUNT(tests), argc, argv);
}
