/* task_context(): data that all tasks of a job see. */
#include "support.h"

#include <signal.h>

enum { WORDS = 5000 };

struct table {
    long words[WORDS];
};

static int look_up(const void *in, void *out) {
    const struct table *table = task_context();
    if (!table) return task_fail(1, "no context");
    *(long *)out = table->words[*(const long *)in];
    return 0;
}

static int context_address(const void *in, void *out) {
    (void)in;
    *(const void **)out = task_context();
    return 0;
}

static int overwrite(const void *in, void *out) {
    (void)in;
    (void)out;
    *(volatile long *)(uintptr_t)task_context() = 1;
    return 0;
}

static struct table *make_table(void) {
    struct table *table = malloc(sizeof *table);
    assert_non_null(table);
    for (long i = 0; i < WORDS; i++) table->words[i] = 3 * i + 1;
    return table;
}

static struct pool_job lookups(const long *in, long *out, size_t count, const struct table *table) {
    return (struct pool_job){.fn = look_up, POOL_IN(in), POOL_OUT(out), .count = count, .context = table,
                             .context_size = sizeof *table};
}

TEST_CASE(all_items_of_a_stream_see_a_copy_of_its_context) {
    struct pool *pool = pool_of(2);
    struct table *table = make_table(); /* after the workers were forked */
    long *in = malloc(WORDS * sizeof *in), result;
    for (long i = 0; i < WORDS; i++) in[i] = WORDS - 1 - i;
    struct stream *stream, *ended;
    struct pool_stream options = {.fn = look_up, POOL_IN(in), .count = WORDS, .out_size = sizeof result,
                                  .context = table, .context_size = sizeof *table};
    assert_ok(pool_imap(pool, &options, &stream));
    assert_ok(pool_imap_unordered(pool, &options, &ended));
    memset(table, 0, sizeof *table); /* it was copied */
    for (long i = 0; i < WORDS; i++) {
        assert_ok(stream_next(stream, &result, PATIENCE));
        assert_int_equal(result, 3 * in[i] + 1);
        if (i == 3) assert_ok(stream_next(ended, &result, PATIENCE));
        if (i == 3) stream_free(ended); /* while items of it run */
    }
    assert_code(stream_next(stream, &result, PATIENCE), POOL_END);
    stream_free(stream);
    options.context = NULL;
    assert_code(pool_imap(pool, &options, &stream), POOL_EINVAL);
    free(in);
    free(table);
    pool_destroy(pool);
}

TEST_CASE(all_items_of_a_job_see_a_copy_of_its_context) {
    struct pool *pool = pool_of(2);
    struct table *table = make_table(); /* after the workers were forked */
    long *in = malloc(WORDS * sizeof *in), *out = malloc(WORDS * sizeof *out);
    for (long i = 0; i < WORDS; i++) in[i] = WORDS - 1 - i;
    struct pool_job job = lookups(in, out, WORDS, table);
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    memset(table, 0xff, sizeof *table); /* it was copied */
    assert_ok(finish(future, NULL));
    for (long i = 0; i < WORDS; i++) assert_int_equal(out[i], 3 * (WORDS - 1 - i) + 1);
    free(table);
    free(in);
    free(out);
    pool_destroy(pool);
}

TEST_CASE(each_job_has_its_own_context_and_a_job_without_one_has_none) {
    struct pool *pool = pool_of(2);
    long contexts[2] = {1, 2};
    const void *seen[2][100];
    struct future *futures[2];
    for (int i = 0; i < 2; i++) {
        struct pool_job job = {.fn = context_address, POOL_OUT(seen[i]), .count = 100, .context = &contexts[i],
                               .context_size = sizeof contexts[i]};
        assert_ok(pool_map_async(pool, &job, &futures[i]));
    }
    for (int i = 0; i < 2; i++) assert_ok(finish(futures[i], NULL));
    for (int i = 0; i < 100; i++) assert_true(seen[0][i] == seen[0][0] && seen[1][i] == seen[1][0]);
    assert_true(seen[0][0] != seen[1][0] && seen[0][0] != &contexts[0]);
    struct pool_job job = {.fn = context_address, POOL_OUT(seen[0]), .count = 100};
    assert_ok(pool_map(pool, &job));
    for (int i = 0; i < 100; i++) assert_null(seen[0][i]);
    const void *one = seen;
    assert_ok(finish(submit(pool, context_address, NULL, 0, sizeof one), &one));
    assert_null(one);
    assert_null(task_context());
    pool_destroy(pool);
}

TEST_CASE(a_context_that_workers_can_see_already_is_not_copied) {
    static long inherited;
    struct pool *pool = pool_of(1);
    struct table *arena = pool_alloc(pool, sizeof *arena);
    const void *seen = NULL;
    struct pool_job job = {.fn = context_address, POOL_OUT(&seen), .count = 1, .context = &inherited};
    assert_ok(pool_map(pool, &job));
    assert_true(seen == &inherited);
    job.context = arena;
    job.context_size = sizeof *arena;
    assert_ok(pool_map(pool, &job));
    assert_true(seen == arena);
    pool_destroy(pool);
    /* A pool made for one call inherits all of the caller's memory. */
    job.context = &inherited;
    job.context_size = sizeof inherited;
    assert_ok(pool_map(NULL, &job));
    assert_true(seen == &inherited);
}

TEST_CASE(tasks_have_a_context_too) {
    struct pool *pool = pool_of(1);
    struct table *table = make_table();
    long index = 77, result = -1;
    struct pool_task task = {.fn = look_up, POOL_IN(&index), .out_size = sizeof result, .context = table,
                             .context_size = sizeof *table};
    struct future *future, *second;
    assert_ok(pool_submit(pool, &task, &future));
    task.after = &future;
    task.after_count = 1;
    assert_ok(pool_submit(pool, &task, &second));
    free(table);
    assert_ok(finish(future, &result));
    assert_int_equal(result, 3 * 77 + 1);
    result = -1;
    assert_ok(finish(second, &result));
    assert_int_equal(result, 3 * 77 + 1);
    pool_destroy(pool);
}

TEST_CASE(a_context_is_read_only) {
    struct pool *pool = pool_of(1);
    long value = 0;
    struct pool_job job = {.fn = overwrite, .count = 1, .context = &value, .context_size = sizeof value};
    struct pool_failure failure;
    job.failure = &failure;
    assert_code(pool_map(pool, &job), POOL_EDIED);
    assert_true(instrumented() || failure.signal == SIGSEGV || failure.signal == SIGBUS);
    pool_destroy(pool);
}

TEST_CASE(a_context_survives_the_death_of_a_worker) {
    struct pool *pool = pool_of(2);
    pid_t pid = worker_of(pool);
    struct table *table = make_table();
    long in[64], out[64];
    for (long i = 0; i < 64; i++) in[i] = i;
    struct pool_job job = lookups(in, out, 64, table);
    job.retries = 1;
    kill(pid, SIGKILL);
    assert_ok(pool_map(pool, &job));
    for (long i = 0; i < 64; i++) assert_int_equal(out[i], 3 * i + 1);
    free(table);
    pool_destroy(pool);
}

TEST_CASE(wrong_arguments_have_their_codes) {
    struct pool *pool = pool_of(1);
    struct future *future = NULL;
    struct pool_job job = {.fn = context_address, .count = 1, .context_size = 8};
    assert_code(pool_map(pool, &job), POOL_EINVAL);
    assert_code(pool_map_async(pool, &job, &future), POOL_EINVAL);
    assert_code(pool_submit(pool, &(struct pool_task){.fn = context_address, .context_size = 8}, &future), POOL_EINVAL);
    pool_destroy(pool);

    struct pool_options options = {.workers = 1, .arena_size = 1 << 20};
    static char large[2 << 20];
    assert_ok(pool_create(&options, &pool));
    job.context = large;
    job.context_size = sizeof large;
    assert_code(pool_map(pool, &job), POOL_ENOMEM);
    struct pool_task task = {.fn = context_address, .context = large, .context_size = sizeof large};
    assert_code(pool_submit(pool, &task, &future), POOL_ENOMEM);
    assert_null(future);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(all_items_of_a_stream_see_a_copy_of_its_context),
        TEST(all_items_of_a_job_see_a_copy_of_its_context),
        TEST(each_job_has_its_own_context_and_a_job_without_one_has_none),
        TEST(a_context_that_workers_can_see_already_is_not_copied),
        TEST(tasks_have_a_context_too),
        TEST(a_context_is_read_only),
        TEST(a_context_survives_the_death_of_a_worker),
        TEST(wrong_arguments_have_their_codes),
    };
    return run_group("context", tests, COUNT(tests), argc, argv);
}
