/* The functions for tasks: task_index(), task_seed(), task_fail(). */
#include "support.h"

#include <signal.h>

enum { ITEMS = 100000 };

static int seed_task(const void *in, void *out) {
    (void)in;
    *(uint64_t *)out = task_seed();
    return 0;
}

static int index_task(const void *in, void *out) {
    (void)in;
    *(size_t *)out = task_index();
    return 0;
}

static uint64_t *seeds_of(int workers, size_t chunk, uint64_t seed) {
    uint64_t *seeds = malloc(ITEMS * sizeof *seeds);
    struct pool *pool = pool_of(workers);
    struct pool_job job = {.fn = seed_task, POOL_OUT(seeds), .count = ITEMS, .chunk = chunk, .seed = seed};
    assert_ok(pool_map(pool, &job));
    pool_destroy(pool);
    return seeds;
}

static int compare_words(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static bool all_distinct(uint64_t *words, size_t count) {
    qsort(words, count, sizeof *words, compare_words);
    for (size_t i = 1; i < count; i++) {
        if (words[i] == words[i - 1]) return false;
    }
    return true;
}

TEST_CASE(task_index_is_the_index_of_the_item_and_0_elsewhere) {
    assert_int_equal(task_index(), 0);
    struct pool *pool = pool_of(2);
    size_t *out = malloc(ITEMS * sizeof *out), one = 1;
    assert_ok(pool_map(pool, &(struct pool_job){.fn = index_task, POOL_OUT(out), .count = ITEMS}));
    for (size_t i = 0; i < ITEMS; i++) {
        if (out[i] != i) assert_int_equal(out[i], i);
    }
    for (int i = 0; i < 100; i++) { /* also in workers whose last task had another index */
        assert_ok(finish(submit(pool, index_task, NULL, 0, sizeof one), &one));
        assert_int_equal(one, 0);
    }
    assert_int_equal(task_index(), 0);
    free(out);
    pool_destroy(pool);
}

TEST_CASE(seeds_do_not_depend_on_workers_or_chunks) {
    uint64_t *one = seeds_of(1, 0, 42), *four = seeds_of(4, 0, 42), *chunked = seeds_of(3, 1, 42),
             *whole = seeds_of(2, SIZE_MAX, 42), *other = seeds_of(2, 0, 43);
    assert_memory_equal(one, four, ITEMS * sizeof *one);
    assert_memory_equal(one, chunked, ITEMS * sizeof *one);
    assert_memory_equal(one, whole, ITEMS * sizeof *one);
    assert_true(one[0] != other[0]);
    size_t equal = 0;
    for (size_t i = 0; i < ITEMS; i++) equal += one[i] == other[i];
    assert_true(equal < 5);
    free(one);
    free(four);
    free(chunked);
    free(whole);
    free(other);
}

TEST_CASE(seeds_of_different_items_differ) {
    for (uint64_t seed = 0; seed < 2; seed++) {
        uint64_t *seeds = seeds_of(2, 0, seed);
        size_t ones = 0;
        for (size_t i = 0; i < ITEMS; i++) ones += (size_t)(seeds[i] & 1) + (size_t)(seeds[i] >> 63);
        assert_true(ones > ITEMS * 95UL / 100 && ones < ITEMS * 105UL / 100); /* seeds are mixed, not consecutive */
        assert_true(all_distinct(seeds, ITEMS));
        free(seeds);
    }
}

TEST_CASE(a_submitted_task_has_the_seed_of_item_0) {
    struct pool *pool = pool_of(2);
    uint64_t of_job[3], of_task = 0;
    static const uint64_t seeds[] = {0, 1, UINT64_MAX};
    for (size_t i = 0; i < COUNT(seeds); i++) {
        struct pool_job job = {.fn = seed_task, POOL_OUT(of_job), .count = 3, .seed = seeds[i]};
        assert_ok(pool_map(pool, &job));
        struct pool_task task = {.fn = seed_task, .out_size = sizeof of_task, .seed = seeds[i]};
        struct future *future;
        assert_ok(pool_submit(pool, &task, &future));
        assert_ok(finish(future, &of_task));
        assert_true(of_task == of_job[0]);
        if (seeds[i] == 0) assert_true(of_task == task_seed()); /* the seed outside of tasks */
    }
    pool_destroy(pool);
}

/* Returns the two sizes. */
static int sizes_task(const void *in, void *out) {
    (void)in;
    memcpy(out, (size_t[]){task_in_size(), task_out_size()}, 2 * sizeof(size_t));
    return 0;
}

static int first_sizes(void *result, const void *right) {
    (void)right;
    return sizes_task(NULL, result);
}

TEST_CASE(a_task_knows_the_sizes_of_its_argument_and_its_room) {
    static const size_t in_sizes[] = {0, 1, 16, 17, 65534, 65535, 65536, 3 << 20}, rooms[] = {16, 48, 49, 1 << 20};
    static char in[3 << 20];
    struct pool *pool = pool_of(2);
    char *data = pool_alloc(pool, 3 * 40), *out = malloc(1 << 20);
    size_t sizes[2], of_items[3 * 2];
    for (size_t i = 0; i < COUNT(in_sizes) * COUNT(rooms); i++) {
        size_t in_size = in_sizes[i % COUNT(in_sizes)], room = rooms[i / COUNT(in_sizes)];
        assert_ok(finish(submit(pool, sizes_task, in_size ? in : NULL, in_size, room), out));
        memcpy(sizes, out, sizeof sizes);
        assert_true(sizes[0] == in_size && sizes[1] == room);
    }
    assert_ok(pool_map(pool, &(struct pool_job){.fn = sizes_task, .in = in, .in_size = 7, .out = of_items,
                                                .out_size = sizeof sizes, .count = 3}));
    for (int i = 0; i < 3; i++) assert_true(of_items[2 * i] == 7 && of_items[2 * i + 1] == sizeof sizes);
    for (int in_arena = 0; in_arena < 2; in_arena++) {
        struct stream *stream;
        struct pool_stream options = {.fn = sizes_task, .in = in_arena ? data : in, .in_size = 40, .count = 3,
                                      .out_size = sizeof sizes};
        assert_ok(pool_imap(pool, &options, &stream));
        assert_ok(stream_next(stream, sizes, PATIENCE));
        assert_true(sizes[0] == 40 && sizes[1] == sizeof sizes);
        stream_free(stream);
    }
    struct pool_reduction reduction = {.fn = sizes_task, .combine = first_sizes, .in = in, .in_size = 5, .count = 1,
                                       .out = sizes, .out_size = sizeof sizes};
    assert_ok(pool_reduce(pool, &reduction));
    assert_true(sizes[0] == 5 && sizes[1] == sizeof sizes);
    reduction.count = 9;
    assert_ok(pool_reduce(pool, &reduction));
    assert_true(sizes[0] == sizeof sizes && sizes[1] == sizeof sizes);
    assert_true(task_in_size() == 0 && task_out_size() == 0);
    free(out);
    pool_destroy(pool);
}

static atomic_int *attempts;

static int die_first_task(const void *in, void *out) {
    (void)in;
    *(uint64_t *)out = task_seed();
    if (task_index() % 10 == 0 && atomic_fetch_add(&attempts[task_index()], 1) == 0) raise(SIGKILL);
    return 0;
}

TEST_CASE(a_retry_has_the_same_seed) {
    attempts = shared(100 * sizeof *attempts);
    struct pool *pool = pool_of(2);
    uint64_t first[100], again[100];
    struct pool_job job = {.fn = seed_task, POOL_OUT(first), .count = 100, .seed = 7};
    assert_ok(pool_map(pool, &job));
    job.fn = die_first_task;
    job.out = again;
    job.retries = 1;
    job.chunk = 7;
    assert_ok(pool_map(pool, &job));
    assert_memory_equal(first, again, sizeof first);
    pool_destroy(pool);
}

static int message_task(const void *in, void *out) {
    (void)out;
    switch (*(const int *)in) {
    case 0:
        return task_fail(3, "no header in %s", "file.dat");
    case 1:
        return 4;
    case 2:
        task_fail(3, "said and thought better of it");
        return 0;
    case 3:
        task_fail(3, "another code than was said");
        return 5;
    case 4:
        return task_fail(0, "nothing is wrong: %d", 1);
    case 5:
        task_fail(3, "the first");
        return task_fail(6, "the %s", "second");
    case 6:
        return task_fail(8, "%d%% of %s, %.2f", 50, "it", 1.5);
    case 7:
        return task_fail(9, "%s", "");
    default:
        return 0;
    }
}

static struct pool_failure failure_of(struct pool *pool, int which) {
    struct pool_failure failure = {.error = 12345};
    struct future *future = submit(pool, message_task, &which, sizeof which, 0);
    assert_ok(future_wait(future, PATIENCE));
    assert_ok(future_failure(future, &failure));
    future_free(future);
    return failure;
}

TEST_CASE(task_fail_sets_code_and_message) {
    struct pool *pool = pool_of(1);
    struct pool_failure failure = failure_of(pool, 0);
    assert_code(failure.error, POOL_EFAILED);
    assert_int_equal(failure.code, 3);
    assert_contains(failure.message, "no header in file.dat");
    failure = failure_of(pool, 3);
    assert_int_equal(failure.code, 5);
    assert_contains(failure.message, "another code than was said");
    failure = failure_of(pool, 5);
    assert_int_equal(failure.code, 6);
    assert_contains(failure.message, "the second");
    assert_null(strstr(failure.message, "the first"));
    failure = failure_of(pool, 6);
    assert_contains(failure.message, "50% of it, 1.50");
    failure = failure_of(pool, 7);
    assert_int_equal(failure.code, 9);
    pool_destroy(pool);
}

TEST_CASE(task_fail_with_code_0_fails_nothing) {
    struct pool *pool = pool_of(1);
    assert_ok(failure_of(pool, 4).error);
    assert_ok(failure_of(pool, 2).error);
    pool_destroy(pool);
}

TEST_CASE(a_message_belongs_to_its_own_task_alone) {
    struct pool *pool = pool_of(1);
    for (int before = 0; before < 8; before++) {
        failure_of(pool, before);
        struct pool_failure failure = failure_of(pool, 1);
        assert_code(failure.error, POOL_EFAILED);
        assert_int_equal(failure.code, 4);
        assert_true(failure.message[0] != 0); /* the message of the library */
        static const char *const others[] = {"header", "said", "thought", "wrong", "first", "second", "50%"};
        for (size_t i = 0; i < COUNT(others); i++) assert_null(strstr(failure.message, others[i]));
    }
    pool_destroy(pool);
}

static int long_message_task(const void *in, void *out) {
    (void)out;
    int length = *(const int *)in;
    char text[1000];
    for (int i = 0; i < length; i++) text[i] = (char)('a' + i % 26);
    text[length] = 0;
    return task_fail(1, "%s", text);
}

TEST_CASE(a_message_is_cut_at_255_bytes) {
    struct pool *pool = pool_of(1);
    static const int lengths[] = {1, 100, 254, 255, 256, 257, 999};
    for (size_t i = 0; i < COUNT(lengths); i++) {
        struct pool_failure failure;
        struct future *future = submit(pool, long_message_task, &lengths[i], sizeof(int), 0);
        assert_code(future_get(future, NULL, PATIENCE), POOL_EFAILED);
        assert_ok(future_failure(future, &failure));
        int length = lengths[i] < 255 ? lengths[i] : 255;
        assert_int_equal(strlen(failure.message), length);
        for (int k = 0; k < length; k++) assert_int_equal(failure.message[k], 'a' + k % 26);
        future_free(future);
    }
    pool_destroy(pool);
}

static int odd_message_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return task_index() % 2 ? task_fail((int)task_index(), "item %zu is odd", task_index()) : 0;
}

TEST_CASE(the_message_of_a_job_is_that_of_the_lowest_failed_item) {
    struct pool *pool = pool_of(3);
    for (size_t chunk = 0; chunk < 4; chunk++) {
        struct pool_failure failure;
        struct pool_job job = {.fn = odd_message_task, .count = 300, .chunk = chunk, .failure = &failure};
        assert_code(pool_map(pool, &job), POOL_EFAILED);
        assert_int_equal(failure.index, 1);
        assert_int_equal(failure.code, 1);
        assert_contains(failure.message, "item 1 is odd");
    }
    pool_destroy(pool);
}

static int speak_in_lines(const void *in, void *out) {
    (void)in, (void)out;
    return task_fail(4, "one\ntwo\t\x1b[1mthree");
}

static int join_nothing(void *result, const void *right) {
    (void)result, (void)right;
    return 0;
}

TEST_CASE(a_message_is_one_readable_line_wherever_it_is_told) {
    static const char line[] = "one\\ntwo\\t\\x1b[1mthree";
    struct pool *pool = pool_of(2);
    struct pool_failure failure, failures[3];
    struct future *future = submit(pool, speak_in_lines, NULL, 0, 0), *after;
    assert_code(future_get(future, NULL, PATIENCE), POOL_EFAILED);
    assert_ok(future_failure(future, &failure));
    assert_contains(failure.message, line);
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = pid_task, .after = &future, .after_count = 1}, &after));
    assert_code(future_get(after, NULL, PATIENCE), POOL_EDEPENDENCY);
    assert_ok(future_failure(after, &failure));
    assert_contains(failure.message, line);
    future_free(after);
    future_free(future);
    assert_code(pool_map(pool, &(struct pool_job){.fn = speak_in_lines, .count = 3, .failure = &failure,
                                                  .failures = failures, .failures_room = 3}), POOL_EFAILED);
    assert_contains(failure.message, line);
    assert_contains(failures[2].message, line);
    struct stream *stream;
    assert_ok(pool_imap(pool, &(struct pool_stream){.fn = speak_in_lines, .count = 1}, &stream));
    assert_code(stream_next(stream, NULL, PATIENCE), POOL_EFAILED);
    assert_ok(stream_failure(stream, &failure));
    assert_contains(failure.message, line);
    stream_free(stream);
    char part;
    assert_code(pool_reduce(pool, &(struct pool_reduction){.fn = speak_in_lines, .combine = join_nothing, .count = 2,
                                                           POOL_OUT(&part), .failure = &failure}), POOL_EFAILED);
    assert_contains(failure.message, line);
    pool_destroy(pool);
}

TEST_CASE(task_fail_outside_of_tasks_returns_its_code) {
    assert_int_equal(task_fail(12, "%s", "nobody hears"), 12);
    assert_int_equal(task_fail(0, "%s", "nobody hears"), 0);
    assert_int_equal(task_fail(-3, "%s", "nobody hears"), -3);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(task_index_is_the_index_of_the_item_and_0_elsewhere),
        TEST(seeds_do_not_depend_on_workers_or_chunks),
        TEST(seeds_of_different_items_differ),
        TEST(a_submitted_task_has_the_seed_of_item_0),
        TEST(a_task_knows_the_sizes_of_its_argument_and_its_room),
        TEST(a_retry_has_the_same_seed),
        TEST(task_fail_sets_code_and_message),
        TEST(task_fail_with_code_0_fails_nothing),
        TEST(a_message_belongs_to_its_own_task_alone),
        TEST(a_message_is_cut_at_255_bytes),
        TEST(the_message_of_a_job_is_that_of_the_lowest_failed_item),
        TEST(a_message_is_one_readable_line_wherever_it_is_told),
        TEST(task_fail_outside_of_tasks_returns_its_code),
    };
    return run_group("task", tests, COUNT(tests), argc, argv);
}
