/* The three backends: the same program, the same results and codes. Each test runs its body for all of them. */
#include "support.h"

#include <pthread.h>
#include <sys/wait.h>

static const int backends[] = {POOL_PROCESSES, POOL_THREADS, POOL_INLINE};

#define FOR_EACH_BACKEND(b) for (size_t i_ = 0, b = 0; i_ < COUNT(backends) && (b = (size_t)backends[i_], true); i_++)

static struct pool_options options_of(size_t backend) {
    struct pool_options options = test_options(3);
    options.backend = (int)backend;
    return options;
}

static struct pool *pool_in(size_t backend) {
    struct pool_options options = options_of(backend);
    return pool_from(&options);
}

TEST_CASE(an_unknown_backend_is_refused) {
    static const int unknown[] = {-1, 3, 1000};
    for (size_t i = 0; i < COUNT(unknown); i++) {
        struct pool_options options = test_options(1);
        struct pool *pool = (void *)&options;
        options.backend = unknown[i];
        assert_code(pool_create(&options, &pool), POOL_EINVAL);
        assert_true(pool == (void *)&options);
    }
}

/* ---- The same results ------------------------------------------------------------------------------------------- */

TEST_CASE(a_map_gives_the_same_results_in_each_backend) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        for (size_t chunk = 0; chunk < 20; chunk += 7) assert_map_squares(pool, 5000, chunk);
        assert_map_squares(pool, 0, 0);
        pool_destroy(pool);
    }
}

TEST_CASE(submitted_tasks_give_the_same_results_in_each_backend) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        struct future *futures[200];
        submit_squares(pool, futures, 200);
        assert_squares(futures, 200);
        assert_ok(pool_shutdown(pool, 0, PATIENCE));
        struct future *late;
        assert_code(pool_submit(pool, &(struct pool_task){.fn = square_task}, &late), POOL_ECLOSED);
        pool_destroy(pool);
    }
}

static int index_and_seed(const void *in, void *out) {
    (void)in;
    uint64_t both[2] = {task_index(), task_seed()};
    memcpy(out, both, sizeof both);
    return 0;
}

TEST_CASE(an_index_and_a_seed_are_the_same_in_each_backend) {
    uint64_t expected[100][2], got[100][2];
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        assert_ok(pool_map(pool, &(struct pool_job){.fn = index_and_seed, POOL_OUT(got), .count = 100, .seed = 11}));
        if (b == POOL_PROCESSES) memcpy(expected, got, sizeof got);
        assert_memory_equal(got, expected, sizeof got);
        pool_destroy(pool);
        assert_int_equal(task_index(), 0); /* this thread is not inside a task, even if the tasks ran here */
    }
}

static int fail_task(const void *in, void *out) {
    (void)in, (void)out;
    return task_index() % 10 == 4 ? task_fail(9, "item %zu says no", task_index()) : 0;
}

TEST_CASE(failures_are_the_same_in_each_backend) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        struct pool_failure failure;
        int status[30];
        assert_code(pool_map(pool, &(struct pool_job){.fn = fail_task, .count = 30, .status = status,
                                                      .failure = &failure}),
                    POOL_EFAILED);
        for (int i = 0; i < 30; i++) assert_code(status[i], i % 10 == 4 ? POOL_EFAILED : 0);
        assert_int_equal(failure.index, 4);
        assert_int_equal(failure.code, 9);
        assert_contains(failure.message, "item 4 says no");
        assert_true(failure.worker > 0 && (failure.worker == getpid()) == (b != POOL_PROCESSES));
        pool_destroy(pool);
    }
}

TEST_CASE(data_in_the_arena_is_used_in_place) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        long *data = pool_alloc(pool, 1000 * sizeof *data);
        for (long i = 0; i < 1000; i++) data[i] = i;
        assert_ok(pool_map(pool, &(struct pool_job){.fn = square_task, POOL_IN(data), POOL_OUT(data), .count = 1000}));
        for (long i = 0; i < 1000; i++) assert_true(data[i] == i * i);
        pool_free(pool, data);
        pool_destroy(pool);
    }
}

TEST_CASE(the_descriptor_of_a_pool_tells_of_finished_tasks) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        assert_true(pool_fd(pool) >= 0);
        assert_int_equal(pool_poll(pool, 0), 0);
        struct future *future = submit_square(pool, 3);
        assert_int_equal(pool_poll(pool, PATIENCE), 1);
        assert_square(future, 3);
        pool_destroy(pool);
    }
}

/* ---- The same codes --------------------------------------------------------------------------------------------- */

static int slow_first_task(const void *in, void *out) {
    (void)in, (void)out;
    if (task_index() == 0) sleep_ms(1200);
    return 0;
}

TEST_CASE(a_task_past_its_time_out_is_overdue_in_each_backend) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        struct future *future;
        assert_ok(pool_submit(pool, &(struct pool_task){.fn = slow_first_task, .timeout = 600, .retries = 3}, &future));
        assert_code(finish(future, NULL), POOL_EDEADLINE);
        int status[20];
        struct pool_failure failure;
        assert_code(pool_map(pool, &(struct pool_job){.fn = slow_first_task, .count = 20, .timeout = 600, .chunk = 5,
                                                      .status = status, .failure = &failure}),
                    POOL_EDEADLINE);
        for (int i = 0; i < 20; i++) assert_code(status[i], i == 0 ? POOL_EDEADLINE : 0);
        assert_int_equal(failure.index, 0);
        pool_destroy(pool);
    }
}

TEST_CASE(a_cancelled_task_never_runs) {
    static const int with_workers[] = {POOL_PROCESSES, POOL_THREADS};
    for (size_t b = 0; b < COUNT(with_workers); b++) {
        struct gate *gate = shared(sizeof *gate);
        struct pool *pool = pool_in((size_t)with_workers[b]);
        struct future *busy[3], *waits, *job;
        for (int i = 0; i < 3; i++) busy[i] = submit_gated(pool, gate);
        assert_true(gate_reached(gate, 3));
        waits = submit_gated(pool, gate);
        assert_ok(pool_map_async(pool, &(struct pool_job){.fn = fail_task, .count = 10}, &job));
        assert_code(future_cancel(busy[0]), POOL_EBUSY);
        assert_true(future_running(busy[0]));
        assert_ok(future_cancel(waits));
        assert_ok(future_cancel(job));
        gate_open(gate);
        for (int i = 0; i < 3; i++) assert_ok(finish(busy[i], NULL));
        assert_code(finish(waits, NULL), POOL_ECANCELLED);
        assert_code(finish(job, NULL), POOL_ECANCELLED);
        assert_int_equal(atomic_load(&gate->arrived), 3);
        pool_destroy(pool);
    }
}

TEST_CASE(a_kill_of_a_task_in_a_thread_takes_effect_when_the_task_returns) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_in(POOL_THREADS);
    struct future *task = submit_gated(pool, gate), *job;
    struct pool_job one = {.fn = gate_task, POOL_IN(&gate), .count = 1};
    assert_ok(pool_map_async(pool, &one, &job));
    assert_true(gate_reached(gate, 2));
    assert_ok(future_kill(task));
    assert_ok(future_kill(job));
    assert_code(future_wait(task, 20), POOL_ETIMEDOUT);
    assert_false(future_done(job));
    gate_open(gate);
    assert_code(finish(task, NULL), POOL_ECANCELLED);
    assert_code(finish(job, NULL), POOL_ECANCELLED);
    struct pool_stats stats = {0};
    assert_ok(pool_stats(pool, &stats));
    assert_int_equal(stats.died, 2);
    assert_square(submit_square(pool, 5), 5);
    pool_destroy(pool);
}

static int ask_for_own_pool(const void *in, void *out) {
    struct pool *pool = *(struct pool *const *)in;
    struct future *future;
    *(int *)out = pool_submit(pool, &(struct pool_task){.fn = square_task}, &future);
    return 0;
}

static struct pool *own_pool;

static int map_in_own_pool(const void *in, void *out) {
    (void)in, (void)out;
    return pool_map(own_pool, &(struct pool_job){.fn = fail_task, .count = 3}) == POOL_EFOREIGN ? 0 : 1;
}

static int by_way_of_another(const void *in, void *out) {
    (void)in, (void)out;
    struct pool_options options = test_options(1);
    options.backend = POOL_INLINE;
    struct pool *other = NULL;
    int error = pool_create(&options, &other);
    if (!error) error = pool_map(other, &(struct pool_job){.fn = map_in_own_pool, .count = 2});
    pool_destroy(other);
    return error ? 1 : task_index() == 1 ? 0 : 2;
}

TEST_CASE(a_task_may_not_use_its_own_pool) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        int code = 0;
        assert_ok(finish(submit(pool, ask_for_own_pool, &pool, sizeof pool, sizeof code), &code));
        assert_code(code, POOL_EFOREIGN);
        pool_destroy(pool);
    }
}

TEST_CASE(a_task_may_not_use_its_own_pool_from_within_a_second_pool_either) {
    static const int in_here[] = {POOL_THREADS, POOL_INLINE};
    for (size_t b = 0; b < COUNT(in_here); b++) {
        own_pool = pool_in((size_t)in_here[b]);
        int status[2];
        assert_code(pool_map(own_pool, &(struct pool_job){.fn = by_way_of_another, .count = 2, .status = status}),
                    POOL_EFAILED);
        assert_code(status[0], POOL_EFAILED); /* after the other pool's tasks the task has its own index again */
        assert_ok(status[1]);
        pool_destroy(own_pool);
    }
}

static int nested_task(const void *in, void *out) {
    (void)in;
    struct pool_options options = test_options(2);
    options.backend = (int)(task_index() % 3);
    struct pool *pool;
    long x[4] = {1, 2, 3, 4}, y[4];
    if (pool_create(&options, &pool)) return 1;
    int error = pool_map(pool, &(struct pool_job){.fn = square_task, POOL_IN(x), POOL_OUT(y), .count = 4});
    pool_destroy(pool);
    *(long *)out = y[0] + y[1] + y[2] + y[3];
    return error != 0;
}

TEST_CASE(pools_may_be_nested) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        long sums[6];
        assert_ok(pool_map(pool, &(struct pool_job){.fn = nested_task, POOL_OUT(sums), .count = 6}));
        for (int i = 0; i < 6; i++) assert_true(sums[i] == 30);
        pool_destroy(pool);
    }
}

/* ---- Initializers and replaced workers --------------------------------------------------------------------------- */

static int count_up(void *counter) {
    atomic_fetch_add((atomic_int *)counter, 1);
    return 0;
}

static int count_up_and_fail(void *counter) {
    atomic_fetch_add((atomic_int *)counter, 1);
    return 6;
}

static struct pool *pool_with_initializer(size_t backend, int (*initializer)(void *), atomic_int *runs,
                                          unsigned max_tasks_per_worker) {
    struct pool_options options = options_of(backend);
    options.initializer = initializer;
    options.initializer_arg = runs;
    options.max_tasks_per_worker = max_tasks_per_worker;
    return pool_from(&options);
}

TEST_CASE(the_initializer_runs_in_each_worker) {
    FOR_EACH_BACKEND(b) {
        atomic_int *runs = shared(sizeof *runs);
        struct pool *pool = pool_with_initializer(b, count_up, runs, 0);
        if (b == POOL_INLINE) assert_int_equal(atomic_load(runs), 1);
        assert_true(becomes(runs, b == POOL_INLINE ? 1 : 3));
        assert_ok(pool_map(pool, &(struct pool_job){.fn = index_and_seed, .out_size = 16, .count = 50}));
        assert_int_equal(atomic_load(runs), b == POOL_INLINE ? 1 : 3);
        pool_destroy(pool);
    }
}

TEST_CASE(an_initializer_that_keeps_failing_breaks_the_pool) {
    FOR_EACH_BACKEND(b) {
        atomic_int *runs = shared(sizeof *runs);
        struct pool *pool = pool_with_initializer(b, count_up_and_fail, runs, 0);
        struct pool_failure failure = {0};
        struct future *future;
        int error = pool_submit(pool, &(struct pool_task){.fn = square_task, .out_size = sizeof(long)}, &future);
        if (!error) {
            assert_code(future_get(future, NULL, PATIENCE), POOL_EINIT);
            assert_ok(future_failure(future, &failure));
            assert_int_equal(failure.code, 6);
            future_free(future);
        } else {
            assert_code(error, POOL_EINIT);
        }
        assert_code(pool_map(pool, &(struct pool_job){.fn = fail_task, .count = 3}), POOL_EINIT);
        pool_destroy(pool);
        assert_true(atomic_load(runs) >= (b == POOL_INLINE ? 3 : 9));
    }
}

TEST_CASE(workers_are_replaced_after_so_many_tasks) {
    FOR_EACH_BACKEND(b) {
        atomic_int *runs = shared(sizeof *runs);
        struct pool *pool = pool_with_initializer(b, count_up, runs, 2);
        assert_squares_in_turn(pool, 40);
        uint64_t out[600][2]; /* more deaths than the ring of notices has room for */
        assert_ok(pool_map(pool, &(struct pool_job){.fn = index_and_seed, POOL_OUT(out),
                                                    .count = b == POOL_PROCESSES ? 30 : 600}));
        assert_true(becomes(runs, b == POOL_PROCESSES ? 30 : 300));
        pool_destroy(pool);
    }
}

/* ---- Differences ------------------------------------------------------------------------------------------------- */

static int global;

static int write_global(const void *in, void *out) {
    global = *(const int *)in;
    *(pid_t *)out = getpid();
    return 0;
}

TEST_CASE(globals_are_shared_with_threads_and_not_with_processes) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        int value = 77;
        pid_t pid = 0;
        global = 1;
        assert_ok(finish(submit(pool, write_global, &value, sizeof value, sizeof pid), &pid));
        assert_int_equal(global, b == POOL_PROCESSES ? 1 : 77);
        assert_int_equal(pid == getpid(), b != POOL_PROCESSES);
        pool_destroy(pool);
    }
}

TEST_CASE(inline_tasks_are_done_when_the_call_returns) {
    struct pool *pool = pool_in(POOL_INLINE);
    struct future *task, *job;
    long x = 4;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = square_task, POOL_IN(&x), .out_size = sizeof x},
                          &task));
    assert_true(future_done(task));
    assert_code(future_cancel(task), POOL_EBUSY);
    assert_code(future_kill(task), POOL_EBUSY);
    assert_ok(pool_map_async(pool, &(struct pool_job){.fn = fail_task, .count = 50}, &job));
    assert_true(future_done(job));
    assert_code(future_get(job, NULL, 0), POOL_EFAILED);
    assert_int_equal(pool_poll(pool, 0), 2);
    future_free(task);
    future_free(job);
    pool_destroy(pool);
}

static int child_task(const void *in, void *out) {
    (void)in;
    int status = 0;
    pid_t child = fork();
    if (child == 0) _exit(5);
    while (waitpid(child, &status, 0) < 0) {
    }
    *(int *)out = WEXITSTATUS(status);
    return 0;
}

TEST_CASE(a_task_may_have_children) {
    FOR_EACH_BACKEND(b) {
        struct pool *pool = pool_in(b);
        int code = 0;
        assert_ok(finish(submit(pool, child_task, NULL, 0, sizeof code), &code));
        assert_int_equal(code, 5);
        pool_destroy(pool);
    }
}

/* The tasks that run go on until the last one that waits is done. */
struct last {
    struct future *future;
    struct gate *gate;
};

static void *let_go_after(void *arg) {
    struct last *last = arg;
    while (!future_done(last->future)) sleep_ms(1);
    gate_open(last->gate);
    return NULL;
}

TEST_CASE(tasks_that_wait_are_cancelled_when_their_pool_of_threads_ends) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_in(POOL_THREADS);
    struct future *futures[20];
    for (int i = 0; i < 20; i++) futures[i] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, 3));
    struct last last = {futures[19], gate};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, let_go_after, &last), 0);
    pool_destroy(pool);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&gate->arrived), 3);
    for (int i = 0; i < 20; i++) {
        int error = finish(futures[i], NULL);
        if (i < 3) assert_any_of(error, 0, POOL_ECANCELLED);
        else assert_code(error, POOL_ECANCELLED);
    }
}

/* ---- Calls of other threads -------------------------------------------------------------------------------------- */

/* What another thread does with a pool in which a task is held at the gate. */
struct visitor {
    struct pool *pool;
    struct future *future;
    struct stream *stream;
    struct gate *gate;
    int code;
};

static void *next_result(void *arg) {
    struct visitor *v = arg;
    v->code = stream_next(v->stream, NULL, PATIENCE);
    return NULL;
}

static int held_item(void *arg, void *in) {
    memcpy(in, &arg, sizeof arg);
    return 0;
}

/* The task that stream_next() waits for does not end: with threads it cannot be killed. */
TEST_CASE(stream_free_in_another_thread_ends_stream_next_at_once) {
    for (int i = 0; i < 8; i++) {
        struct gate *gate = shared(sizeof *gate);
        struct visitor v = {.pool = pool_in(i % 2 ? POOL_THREADS : POOL_PROCESSES)}; /* after the gate */
        struct pool_stream options = {.fn = gate_task, .next = held_item, .next_arg = gate, .in_size = sizeof gate,
                                      .window = i / 4 ? 0 : 1};
        assert_ok((i / 2 % 2 ? pool_imap_unordered : pool_imap)(v.pool, &options, &v.stream));
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, next_result, &v), 0);
        assert_true(gate_reached(gate, 1));
        sleep_ms(10);
        stream_free(v.stream);
        pthread_join(thread, NULL);
        assert_code(v.code, POOL_ECANCELLED);
        gate_open(gate);
        pool_destroy(v.pool);
    }
}

static void *submit_held(void *arg) {
    struct visitor *v = arg;
    v->code = pool_submit(v->pool, &(struct pool_task){.fn = gate_task, POOL_IN(&v->gate)}, &v->future);
    return NULL;
}

TEST_CASE(calls_of_other_threads_do_not_wait_for_a_task_in_a_call) {
    struct visitor v = {.pool = pool_in(POOL_INLINE), .gate = shared(sizeof *v.gate)};
    struct stream *stream;
    struct future *future;
    pthread_t thread;
    long x = 3;
    assert_int_equal(pthread_create(&thread, NULL, submit_held, &v), 0);
    assert_true(gate_reached(v.gate, 1));
    assert_ok(pool_submit(v.pool, &(struct pool_task){.fn = square_task, POOL_IN(&x), .out_size = sizeof x}, &future));
    assert_false(future_done(future));
    assert_code(future_get(future, NULL, 20), POOL_ETIMEDOUT);
    assert_ok(pool_imap(v.pool, &(struct pool_stream){.fn = square_task, POOL_IN(&x), .count = 1, .out_size = sizeof x},
                        &stream));
    assert_code(stream_next(stream, NULL, 20), POOL_ETIMEDOUT);
    stream_free(stream);
    assert_code(pool_shutdown(v.pool, 0, 20), POOL_ETIMEDOUT);
    gate_open(v.gate);
    assert_square(future, 3);
    pthread_join(thread, NULL);
    assert_ok(v.code);
    assert_ok(finish(v.future, NULL));
    assert_ok(pool_shutdown(v.pool, 0, PATIENCE));
    pool_destroy(v.pool);
}

static size_t submit_and_get(struct pool *pool, uint64_t number) {
    size_t errors = 0;
    for (long i = 0; i < 300; i++) {
        long x = (long)number * 1000 + i, result = 0;
        errors += finish(submit_square(pool, x), &result) != 0 || result != x * x;
    }
    return errors;
}

TEST_CASE(threads_that_share_an_inline_pool_run_each_others_tasks) {
    struct pool *pool = pool_in(POOL_INLINE);
    int64_t start = now_ms();
    assert_no_errors_in_threads(4, submit_and_get, pool);
    assert_took(start, 0, PATIENCE);
    pool_destroy(pool);
}

static void *destroy_it(void *arg) {
    pool_destroy(((struct visitor *)arg)->pool);
    return NULL;
}

static void *get_it(void *arg) {
    struct visitor *v = arg;
    v->code = future_get(v->future, NULL, PATIENCE);
    return NULL;
}

TEST_CASE(waits_for_what_has_not_started_end_at_once_when_a_pool_of_threads_ends) {
    struct pool_options options = options_of(POOL_THREADS);
    options.workers = 1;
    struct visitor v = {.pool = pool_from(&options)}, other = {.pool = v.pool};
    struct gate *gate = shared(sizeof *gate);
    struct future *running = block_worker(v.pool, gate);
    pthread_t getter, destroyer;
    other.future = submit_square(v.pool, 3);
    assert_int_equal(pthread_create(&getter, NULL, get_it, &other), 0);
    sleep_ms(10);
    assert_int_equal(pthread_create(&destroyer, NULL, destroy_it, &v), 0);
    pthread_join(getter, NULL);
    assert_code(other.code, POOL_ECANCELLED);
    gate_open(gate);
    pthread_join(destroyer, NULL);
    assert_code(finish(running, NULL), POOL_ECANCELLED);
    future_free(other.future);
}

/* ---- The pool's end, and functions of the program that run just then --------------------------------------------- */

static void held_progress(const struct pool_progress *progress, void *arg) {
    (void)progress;
    gate_pass(arg);
}

static void *map_held(void *arg) {
    struct visitor *v = arg;
    long in[200], out[200];
    for (long i = 0; i < 200; i++) in[i] = i;
    v->code = pool_map(v->pool, &(struct pool_job){.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 200,
                                                   .progress = held_progress, .progress_arg = v->gate});
    return NULL;
}

static int held_input(void *arg, void *in) {
    gate_pass(arg);
    memset(in, 0, 4000);
    return 0;
}

static void *next_held(void *arg) {
    struct visitor *v = arg;
    v->code = stream_next(v->stream, NULL, PATIENCE);
    return NULL;
}

TEST_CASE(destroy_waits_for_a_function_of_the_program_that_uses_memory_of_the_pool) {
    FOR_EACH_BACKEND(b) {
        for (int is_input = 0; is_input < 2; is_input++) {
            struct visitor v = {.gate = shared(sizeof *v.gate)};
            v.pool = pool_in(b);
            struct pool_stream options = {.fn = square_task, .next = held_input, .next_arg = v.gate, .in_size = 4000,
                                          .out_size = sizeof(long)};
            if (is_input) assert_ok(pool_imap(v.pool, &options, &v.stream));
            pthread_t visitor, destroyer;
            assert_int_equal(pthread_create(&visitor, NULL, is_input ? next_held : map_held, &v), 0);
            assert_true(gate_reached(v.gate, 1));
            assert_int_equal(pthread_create(&destroyer, NULL, destroy_it, &v), 0);
            sleep_ms(20);
            gate_open(v.gate);
            pthread_join(visitor, NULL);
            pthread_join(destroyer, NULL);
            /* 0: the pool's end began later, on a busy machine. */
            if (v.code != 0) assert_any_of(v.code, POOL_ECANCELLED, is_input ? POOL_ECLOSED : POOL_ECANCELLED);
            stream_free(v.stream);
        }
    }
}

TEST_CASE(shutdown_waits_for_threads_that_run_tasks) {
    struct pool *pool = pool_in(POOL_THREADS);
    struct gate *gate = shared(sizeof *gate);
    struct future *future = block_worker(pool, gate);
    assert_code(pool_shutdown(pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, 20), POOL_ETIMEDOUT);
    gate_open(gate);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_code(finish(future, NULL), POOL_ECANCELLED);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(an_unknown_backend_is_refused),
        TEST(a_map_gives_the_same_results_in_each_backend),
        TEST(submitted_tasks_give_the_same_results_in_each_backend),
        TEST(an_index_and_a_seed_are_the_same_in_each_backend),
        TEST(failures_are_the_same_in_each_backend),
        TEST(data_in_the_arena_is_used_in_place),
        TEST(the_descriptor_of_a_pool_tells_of_finished_tasks),
        TEST(a_task_past_its_time_out_is_overdue_in_each_backend),
        TEST(a_cancelled_task_never_runs),
        TEST(a_kill_of_a_task_in_a_thread_takes_effect_when_the_task_returns),
        TEST(a_task_may_not_use_its_own_pool),
        TEST(a_task_may_not_use_its_own_pool_from_within_a_second_pool_either),
        TEST(pools_may_be_nested),
        TEST(the_initializer_runs_in_each_worker),
        TEST(an_initializer_that_keeps_failing_breaks_the_pool),
        TEST(workers_are_replaced_after_so_many_tasks),
        TEST(globals_are_shared_with_threads_and_not_with_processes),
        TEST(inline_tasks_are_done_when_the_call_returns),
        TEST(a_task_may_have_children),
        TEST(tasks_that_wait_are_cancelled_when_their_pool_of_threads_ends),
        TEST(shutdown_waits_for_threads_that_run_tasks),
        TEST(stream_free_in_another_thread_ends_stream_next_at_once),
        TEST(calls_of_other_threads_do_not_wait_for_a_task_in_a_call),
        TEST(threads_that_share_an_inline_pool_run_each_others_tasks),
        TEST(waits_for_what_has_not_started_end_at_once_when_a_pool_of_threads_ends),
        TEST(destroy_waits_for_a_function_of_the_program_that_uses_memory_of_the_pool),
    };
    return run_group("backend", tests, COUNT(tests), argc, argv);
}
