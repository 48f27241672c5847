/* What a worker does between two items: it writes what they have printed, runs its finalizer, and is replaced, with an
 * initializer. Wherever it waits there for ever, the time-out of the work and kills reach it. */
#include "support.h"

#include <signal.h>

enum { ITEMS = 20, PRINTS = 7, TIMEOUT = 1000, PRINTED = 200000, WAIT = 100, LIMIT = 500 };

/* ---- A reader that does not read */

/* From now on, in this process, what is printed goes to a pipe that is never read, in one piece. */
static int plug_output(void) {
    static char buffer[1 << 20];
    int ends[2];
    if (pipe(ends)) return -1;
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    return ends[0];
}

static atomic_int *printed; /* from shared(): items that have printed */

/* Prints more than a pipe takes, in one item or task, and returns with it in the buffer. */
static int print_much(const void *in, void *out) {
    size_t i = in ? (size_t)*(const long *)in : task_index();
    if (out) *(long *)out = (long)i * (long)i;
    for (int n = 0; i == PRINTS && n < PRINTED; n++) putchar('.');
    if (i == PRINTS && printed) atomic_fetch_add(printed, 1);
    return 0;
}

static int add(void *left, const void *right) {
    *(long *)left += *(const long *)right;
    return 0;
}

struct case_of { /* what is tried; a child gets it */
    struct pool_options options;
    size_t chunk;
    int timeout;
};

/* The job ends, though the caller does nothing, with a time-out for the item that prints and for no other. */
static int time_out_of_output(void *argument) {
    const struct case_of *c = argument;
    int status[ITEMS];
    long out[ITEMS];
    struct pool_failure why;
    EXPECT(plug_output() >= 0);
    struct pool *pool = pool_from(&c->options);
    EXPECT(pool_map(pool, &(struct pool_job){.fn = print_much, POOL_OUT(out), .count = ITEMS, .chunk = c->chunk,
                                             .timeout = TIMEOUT, .retries = 2, .status = status, .failure = &why}) ==
           POOL_EDEADLINE);
    EXPECT(why.index == PRINTS && strstr(why.message, "ran longer than"));
    for (int i = 0; i < ITEMS; i++) EXPECT(status[i] == (i == PRINTS ? POOL_EDEADLINE : 0));
    for (int i = 0; i < ITEMS; i++) EXPECT(i == PRINTS || out[i] == (long)i * i);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(output_that_nobody_reads_costs_the_item_that_printed_it_at_its_time_out) {
    static const size_t chunks[] = {0, 1, 5, ITEMS};
    for (size_t i = 0; i < COUNT(chunks); i++)
        assert_child_passes(time_out_of_output, (&(struct case_of){.options = test_options(2), .chunk = chunks[i]}));
    struct case_of c = {.options = test_options(2), .chunk = 4};
    c.options.max_tasks_per_worker = 3;
    assert_child_passes(time_out_of_output, &c);
}

/* The same for tasks, streams and reductions. */
static int time_out_of_other_output(void *argument) {
    (void)argument;
    EXPECT(plug_output() >= 0);
    struct pool *pool = pool_of(2);
    long x = PRINTS, sum = 0, result;
    struct future *future;
    EXPECT(pool_submit(pool, &(struct pool_task){.fn = print_much, POOL_IN(&x), .out_size = sizeof x,
                                                 .timeout = TIMEOUT}, &future) == 0);
    EXPECT(future_get(future, NULL, PATIENCE) == POOL_EDEADLINE);
    future_free(future);
    struct stream *stream;
    EXPECT(pool_imap(pool, &(struct pool_stream){.fn = print_much, .count = ITEMS, .out_size = sizeof x,
                                                 .timeout = TIMEOUT}, &stream) == 0);
    for (int i = 0; i < ITEMS; i++)
        EXPECT(stream_next(stream, &result, PATIENCE) == (i == PRINTS ? POOL_EDEADLINE : 0));
    stream_free(stream);
    struct pool_failure why;
    EXPECT(pool_reduce(pool, &(struct pool_reduction){.fn = print_much, .combine = add, .count = ITEMS, .chunk = 1,
                                                      .out = &sum, .out_size = sizeof sum, .timeout = TIMEOUT,
                                                      .failure = &why}) == POOL_EDEADLINE);
    EXPECT(why.index == PRINTS);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(output_of_tasks_streams_and_reductions_is_under_their_time_out) {
    assert_child_passes(time_out_of_other_output, NULL);
}

static int kill_of_output(void *argument) {
    const struct case_of *c = argument;
    struct future *future;
    EXPECT(plug_output() >= 0);
    struct pool *pool = pool_from(&c->options);
    EXPECT(pool_map_async(pool, &(struct pool_job){.fn = print_much, .count = ITEMS, .chunk = c->chunk,
                                                   .timeout = c->timeout}, &future) == 0);
    EXPECT(becomes(printed, 1) && future_get(future, NULL, WAIT) == POOL_ETIMEDOUT);
    EXPECT(future_kill(future) == 0);
    EXPECT(future_get(future, NULL, PATIENCE) == POOL_ECANCELLED);
    future_free(future);
    EXPECT(pool_map_async(pool, &(struct pool_job){.fn = print_much, .count = ITEMS, .chunk = c->chunk,
                                                   .timeout = c->timeout}, &future) == 0);
    EXPECT(becomes(printed, 2) && future_get(future, NULL, WAIT) == POOL_ETIMEDOUT);
    EXPECT(pool_shutdown(pool, POOL_KILL_RUNNING, PATIENCE) == 0); /* what has not started is run */
    EXPECT(future_get(future, NULL, 0) == POOL_ECANCELLED);
    pool_destroy(pool);
    future_free(future);
    return 0;
}

TEST_CASE(a_kill_ends_a_job_whose_output_nobody_reads) {
    for (int kind = 0; kind < 4; kind++)
        for (size_t chunk = 0; chunk <= 8; chunk += 4) {
            struct case_of c = {.options = test_options(2), .chunk = chunk, .timeout = kind == 1 ? PATIENCE : 0};
            printed = shared(sizeof *printed);
            if (kind == 2) c.options.max_tasks_per_worker = 1000;
            if (kind == 3) c.options.memory_soft_limit = (size_t)1 << 30;
            assert_child_passes(kill_of_output, &c);
        }
    printed = NULL;
}

/* The reader has gone: the worker that writes dies of SIGPIPE. */
static int death_of_output(void *argument) {
    const struct case_of *c = argument;
    int status[ITEMS];
    struct pool_failure why;
    int end = plug_output();
    EXPECT(end >= 0 && close(end) == 0);
    struct pool *pool = pool_from(&c->options);
    EXPECT(pool_map(pool, &(struct pool_job){.fn = print_much, .count = ITEMS, .chunk = 1, .timeout = c->timeout,
                                             .status = status, .failure = &why}) == POOL_EDIED);
    EXPECT(why.index == PRINTS && why.signal == SIGPIPE);
    for (int i = 0; i < ITEMS; i++) EXPECT(status[i] == (i == PRINTS ? POOL_EDIED : 0));
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_worker_that_dies_of_writing_output_costs_the_item_that_printed_it) {
    assert_child_passes(death_of_output, (&(struct case_of){.options = test_options(2)}));
    assert_child_passes(death_of_output, (&(struct case_of){.options = test_options(2), .timeout = PATIENCE}));
}

/* ---- Finalizers */

static int quiet_task(const void *in, void *out) {
    (void)in, (void)out;
    return 0;
}


static void hang(void *arg) {
    if (arg) atomic_fetch_add((atomic_int *)arg, 1);
    for (;;) pause();
}

/* A finalizer that hangs ends at the time-out, and costs no item. The other half of the job may wait for it: in the
 * middle of a chunk its worker keeps the rest of the chunk until it has gone. */
TEST_CASE(a_finalizer_that_hangs_in_the_middle_of_a_job_costs_time_and_no_item) {
    static const size_t chunks[] = {0, 1, ITEMS / 2};
    for (size_t c = 0; c < COUNT(chunks); c++) {
        struct pool_options options = test_options(2);
        options.max_tasks_per_worker = 3;
        options.finalizer = hang;
        struct pool *pool = pool_from(&options);
        long in[ITEMS], out[ITEMS];
        for (long i = 0; i < ITEMS; i++) in[i] = i, out[i] = -1;
        assert_ok(pool_map(pool, &(struct pool_job){.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = ITEMS,
                                                    .chunk = chunks[c], .timeout = LIMIT}));
        for (long i = 0; i < ITEMS; i++) assert_int_equal(out[i], i * i);
        pool_destroy(pool);
    }
}

TEST_CASE(tasks_with_a_time_out_do_not_wait_for_ever_for_a_worker_in_its_finalizer) {
    struct pool_options options = test_options(1);
    options.max_tasks_per_worker = 1;
    options.finalizer = hang;
    struct pool *pool = pool_from(&options);
    struct future *futures[4];
    for (long i = 0; i < 4; i++)
        assert_ok(pool_submit(pool, &(struct pool_task){.fn = square_task, POOL_IN(&i), .out_size = sizeof i,
                                                        .timeout = LIMIT}, &futures[i]));
    assert_squares(futures, 4);
    pool_destroy(pool);
}

/* Without a time-out such a finalizer may run for ever, but not against a kill. */
TEST_CASE(a_kill_ends_a_job_whose_workers_are_in_their_finalizers) {
    static const size_t chunks[] = {1, ITEMS / 2};
    for (size_t c = 0; c < COUNT(chunks); c++) {
        struct pool_options options = test_options(2);
        atomic_int *hanging = shared(sizeof *hanging);
        options.max_tasks_per_worker = 3;
        options.finalizer = hang;
        options.finalizer_arg = hanging;
        struct pool *pool = pool_from(&options);
        int status[ITEMS], done = 0, cancelled = 0;
        struct future *future;
        assert_ok(pool_map_async(pool, &(struct pool_job){.fn = quiet_task, .count = ITEMS, .chunk = chunks[c],
                                                          .status = status}, &future));
        assert_true(becomes(hanging, 2));
        assert_code(future_get(future, NULL, WAIT), POOL_ETIMEDOUT);
        assert_ok(future_kill(future));
        assert_code(finish(future, NULL), POOL_ECANCELLED);
        for (int i = 0; i < ITEMS; i++) done += status[i] == 0, cancelled += status[i] == POOL_ECANCELLED;
        assert_int_equal(done, 6);
        assert_int_equal(cancelled, ITEMS - 6);
        pool_destroy(pool);
    }
}

/* Also if the finalizer never ends: a shutdown that kills comes to an end whatever the program has given. */
TEST_CASE(a_shutdown_that_kills_ends_finalizers) {
    struct pool_options options = test_options(2);
    atomic_int *hanging = shared(sizeof *hanging);
    options.max_tasks_per_worker = 1;
    options.finalizer = hang;
    options.finalizer_arg = hanging;
    struct pool *pool = pool_from(&options);
    struct future *futures[6];
    submit_squares(pool, futures, 6);
    assert_true(becomes(hanging, 2)); /* four tasks wait */
    assert_ok(pool_shutdown(pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, -1));
    for (int i = 0; i < 6; i++) assert_any_of(finish(futures[i], NULL), 0, POOL_ECANCELLED);
    pool_destroy(pool);
}

/* ---- Initializers */

/* Shared with the workers. */
struct inits {
    atomic_int begun;
    int quick;      /* so many initializers return; the others hang */
    int lasting_ms; /* before they return */
};

static int initialize(void *arg) {
    struct inits *inits = arg;
    if (atomic_fetch_add(&inits->begun, 1) >= inits->quick) hang(NULL);
    sleep_ms(inits->lasting_ms);
    return 0;
}

static struct pool *pool_with_inits(struct inits *inits) {
    struct pool_options options = test_options(1);
    options.max_tasks_per_worker = 2;
    options.initializer = initialize;
    options.initializer_arg = inits;
    return pool_from(&options);
}

TEST_CASE(work_with_a_time_out_ends_if_the_initializers_of_replacements_hang) {
    struct inits *inits = shared(sizeof *inits);
    inits->quick = 2;
    struct pool *pool = pool_with_inits(inits);
    int status[ITEMS];
    struct pool_failure why;
    assert_code(pool_map(pool, &(struct pool_job){.fn = quiet_task, .count = ITEMS, .chunk = 1, .timeout = LIMIT,
                                                  .status = status, .failure = &why}), POOL_EINIT);
    assert_contains(why.message, "initializer");
    int done = 0;
    for (int i = 0; i < ITEMS; i++) done += status[i] == 0;
    assert_int_equal(done, 4);
    assert_int_equal(atomic_load(&inits->begun), 5); /* three that hang in a row are enough */
    pool_destroy(pool);
}

TEST_CASE(an_initializer_may_take_longer_than_a_time_out) {
    struct inits *inits = shared(sizeof *inits);
    inits->quick = ITEMS;
    inits->lasting_ms = 800;
    struct pool *pool = pool_with_inits(inits);
    assert_ok(pool_map(pool, &(struct pool_job){.fn = quiet_task, .count = 8, .chunk = 1, .timeout = LIMIT}));
    assert_true(atomic_load(&inits->begun) <= 5);
    pool_destroy(pool);
}

TEST_CASE(a_kill_ends_work_that_waits_for_initializers) {
    struct inits *inits = shared(sizeof *inits);
    struct pool *pool = pool_with_inits(inits); /* the first one hangs, and nothing tells how long it may take */
    struct future *job, *task = submit_square(pool, 3);
    assert_ok(pool_map_async(pool, &(struct pool_job){.fn = quiet_task, .count = ITEMS}, &job));
    assert_code(future_get(job, NULL, WAIT), POOL_ETIMEDOUT);
    assert_ok(future_kill(job));
    assert_ok(future_kill(task));
    assert_code(finish(job, NULL), POOL_ECANCELLED);
    assert_code(finish(task, NULL), POOL_ECANCELLED);
    assert_ok(pool_shutdown(pool, POOL_KILL_RUNNING, -1));
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(output_that_nobody_reads_costs_the_item_that_printed_it_at_its_time_out),
        TEST(output_of_tasks_streams_and_reductions_is_under_their_time_out),
        TEST(a_kill_ends_a_job_whose_output_nobody_reads),
        TEST(a_worker_that_dies_of_writing_output_costs_the_item_that_printed_it),
        TEST(a_finalizer_that_hangs_in_the_middle_of_a_job_costs_time_and_no_item),
        TEST(tasks_with_a_time_out_do_not_wait_for_ever_for_a_worker_in_its_finalizer),
        TEST(a_kill_ends_a_job_whose_workers_are_in_their_finalizers),
        TEST(a_shutdown_that_kills_ends_finalizers),
        TEST(work_with_a_time_out_ends_if_the_initializers_of_replacements_hang),
        TEST(an_initializer_may_take_longer_than_a_time_out),
        TEST(a_kill_ends_work_that_waits_for_initializers),
    };
    return run_group("between", tests, COUNT(tests), argc, argv);
}
