/* One function over many items: pool_map() and pool_map_async(). */
#include "support.h"

#include <limits.h>
#include <signal.h>

static const size_t counts[] = {0, 1, 2, 7, 1000, 100000};
static const size_t chunks[] = {0, 1, 3, SIZE_MAX};

TEST_CASE(results_are_those_of_a_loop_for_every_count_and_chunk) {
    struct pool *pool = pool_of(3);
    for (size_t c = 0; c < COUNT(counts); c++)
        for (size_t k = 0; k < COUNT(chunks); k++) assert_map_squares(pool, counts[c], chunks[k]);
    pool_destroy(pool);
}

TEST_CASE(items_in_the_arena_give_the_same_results) {
    struct pool *pool = pool_of(2);
    long *in = pool_alloc(pool, 100000 * sizeof *in), *out = pool_alloc(pool, 100000 * sizeof *out);
    long *plain = malloc(100000 * sizeof *plain);
    int *status = malloc(100000 * sizeof *status), *shared_status = pool_alloc(pool, 100000 * sizeof *status);
    assert_non_null(in);
    assert_non_null(out);
    assert_non_null(shared_status);
    for (size_t c = 0; c < COUNT(counts); c++) {
        for (size_t k = 0; k < COUNT(chunks); k++) {
            assert_map_squares_in(((struct map_memory){in, out, status}), pool, counts[c], chunks[k]);
            assert_map_squares_in(((struct map_memory){plain, out, shared_status}), pool, counts[c], chunks[k]);
            assert_map_squares_in(((struct map_memory){in, plain, status}), pool, counts[c], chunks[k]);
        }
    }
    free(plain);
    free(status);
    pool_free(pool, in);
    pool_free(pool, out);
    pool_free(pool, shared_status);
    pool_destroy(pool);
}

TEST_CASE(a_pool_may_have_one_worker_or_more_workers_than_items) {
    static const int workers[] = {1, 2, 16};
    for (size_t w = 0; w < COUNT(workers); w++) {
        struct pool *pool = pool_of(workers[w]);
        for (size_t count = 0; count <= 100; count += count < 5 ? 1 : 19) assert_map_squares(pool, count, 0);
        pool_destroy(pool);
    }
}

/* Item i has a result of i % 11 bytes; every 7th one fails, and every 13th dies at its first try, of another size. */
static atomic_int *first_tries;

static int short_task(const void *in, void *out) {
    (void)in;
    size_t i = task_index(), size = i % 11;
    if (i % 13 == 0 && atomic_fetch_add(&first_tries[i], 1) == 0) {
        task_resize(10);
        abort();
    }
    memset(out, (int)i, 10);
    if (i % 7 == 0) return task_resize(3), 1;
    if (size == 10) return task_resize(11) == POOL_EINVAL ? 0 : 2;
    return task_resize(size);
}

TEST_CASE(items_may_have_results_of_different_sizes) {
    enum { COUNT_OF = 1000, ROOM = 10 };
    first_tries = shared(COUNT_OF * sizeof *first_tries);
    struct pool *pool = pool_of(2);
    char *in_arena = pool_alloc(pool, COUNT_OF * ROOM), *elsewhere = malloc(COUNT_OF * ROOM);
    size_t sizes[COUNT_OF];
    for (int chunk = 0; chunk < 3; chunk++) {
        char *out = chunk == 1 ? in_arena : elsewhere;
        struct pool_job job = {.fn = short_task, .out = out, .out_size = ROOM, .count = COUNT_OF, .retries = 1,
                               .chunk = (size_t)chunk, .out_sizes = sizes};
        for (int i = 0; i < COUNT_OF; i++) first_tries[i] = 0;
        assert_code(pool_map(pool, &job), POOL_EFAILED);
        for (size_t i = 0; i < COUNT_OF; i++) {
            assert_int_equal(sizes[i], i % 7 == 0 ? 0 : i % 11);
            for (size_t b = 0; b < sizes[i]; b++) assert_int_equal((unsigned char)out[i * ROOM + b], i % 256);
        }
    }
    struct pool_job without = {.fn = short_task, .out = elsewhere, .out_size = ROOM, .count = 2};
    assert_code(pool_map(pool, &without), POOL_EFAILED); /* task_resize() is refused */
    without.out = NULL;
    without.out_sizes = sizes;
    assert_code(pool_map(pool, &without), POOL_EINVAL);
    free(elsewhere);
    pool_destroy(pool);
}

TEST_CASE(results_may_take_the_place_of_their_arguments) {
    struct pool *pool = pool_of(2);
    long *memory[2] = {malloc(5000 * sizeof(long)), pool_alloc(pool, 5000 * sizeof(long))};
    for (size_t m = 0; m < 2; m++) {
        long *items = memory[m];
        for (long i = 0; i < 5000; i++) items[i] = i;
        struct pool_job job = {.fn = square_task, POOL_IN(items), POOL_OUT(items), .count = 5000};
        assert_ok(pool_map(pool, &job));
        for (long i = 0; i < 5000; i++) assert_int_equal(items[i], i * i);
    }
    free(memory[0]);
    pool_free(pool, memory[1]);
    pool_destroy(pool);
}

/* Item 123 writes to its argument. */
static int overwrite_argument(const void *in, void *out) {
    if (task_index() == 123) *(volatile long *)(uintptr_t)in = -1;
    *(long *)out = *(const long *)in;
    return 0;
}

TEST_CASE(copied_arguments_are_read_only) {
    long in[500], out[500];
    int status[500];
    for (long i = 0; i < 500; i++) in[i] = i;
    struct pool *pool = pool_of(2);
    struct pool_job job = {.fn = overwrite_argument, POOL_IN(in), POOL_OUT(out), .count = 500, .status = status};
    assert_code(pool_map(pool, &job), POOL_EDIED);
    for (long i = 0; i < 500; i++) assert_true(in[i] == i && (i == 123 || out[i] == i));
    for (long i = 0; i < 500; i++) assert_code(status[i], i == 123 ? POOL_EDIED : 0);
    pool_destroy(pool);
}

/* The sum of a row of three. */
static int sum_row(const void *in, void *out) {
    const long *row = in;
    *(long *)out = row[0] + row[1] + row[2];
    return 0;
}

static int add_long(void *result, const void *right) {
    *(long *)result += *(const long *)right;
    return 0;
}

TEST_CASE(pool_in_and_pool_out_take_arrays_pointers_rows_and_single_objects) {
    static const long in[] = {2, -3, 4}, rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
    struct pool *pool = pool_of(2);
    long out[3], *last = out + 2;
    assert_ok(pool_map(pool, &(struct pool_job){.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 3}));
    assert_true(out[0] == 4 && out[1] == 9 && out[2] == 16);
    assert_ok(pool_map(pool, &(struct pool_job){.fn = square_task, POOL_IN(in + 1), POOL_OUT(last), .count = 1}));
    assert_int_equal(out[2], 9);
    assert_ok(pool_map(pool, &(struct pool_job){.fn = sum_row, POOL_IN(rows), POOL_OUT(out), .count = 2}));
    assert_true(out[0] == 6 && out[1] == 15);

    struct future *future;
    long x = 12, total = 0;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = square_task, POOL_IN(&x), .out_size = sizeof x}, &future));
    assert_ok(future_get(future, &x, -1));
    assert_int_equal(x, 144);
    future_free(future);
    struct pool_reduction sum = {.combine = add_long, POOL_IN(in), POOL_OUT(&total), .count = 3};
    assert_ok(pool_reduce(pool, &sum));
    assert_int_equal(total, 3);
    pool_destroy(pool);
}

static int index_task(const void *in, void *out) {
    if (in) return 1;
    *(size_t *)out = task_index() * 3;
    return 0;
}

TEST_CASE(tasks_without_arguments_have_their_index) {
    struct pool *pool = pool_of(3);
    size_t *out = malloc(20000 * sizeof *out);
    for (size_t k = 0; k < COUNT(chunks); k++) {
        memset(out, 0xff, 20000 * sizeof *out);
        struct pool_job job = {.fn = index_task, POOL_OUT(out), .count = 20000, .chunk = chunks[k]};
        assert_ok(pool_map(pool, &job));
        for (size_t i = 0; i < 20000; i++) assert_int_equal(out[i], 3 * i);
    }
    free(out);
    pool_destroy(pool);
}

static int no_result_task(const void *in, void *out) {
    return *(const long *)in >= 0 && out == NULL ? 0 : 1;
}

static int scratch_task(const void *in, void *out) {
    if (!out) return 1;
    fill(out, 100, (uint64_t) * (const long *)in);
    return filled(out, 100, (uint64_t) * (const long *)in) ? 0 : 2;
}

static int nothing_task(const void *in, void *out) {
    return in || out ? 1 : 0;
}

TEST_CASE(tasks_without_results_have_null_or_scratch_memory) {
    struct pool *pool = pool_of(2);
    long in[1000];
    for (long i = 0; i < 1000; i++) in[i] = i;
    assert_ok(pool_map(pool, &(struct pool_job){.fn = no_result_task, POOL_IN(in), .count = 1000}));
    assert_ok(pool_map(
        pool, &(struct pool_job){.fn = scratch_task, POOL_IN(in), .out_size = 100, .count = 1000}));
    assert_ok(pool_map(pool, &(struct pool_job){.fn = nothing_task, .count = 1000}));
    pool_destroy(pool);
}

static int odd_fails_task(const void *in, void *out) {
    long x = *(const long *)in;
    *(long *)out = 2 * x;
    return x % 2 ? 7 : 0;
}

TEST_CASE(a_failed_item_costs_no_other_and_its_result_is_not_written) {
    struct pool *pool = pool_of(3);
    for (size_t k = 0; k < COUNT(chunks); k++) {
        long in[500], out[500];
        int status[500];
        for (long i = 0; i < 500; i++) {
            in[i] = i;
            out[i] = -5;
            status[i] = 12345;
        }
        struct pool_failure failure;
        memset(&failure, 0x5a, sizeof failure);
        struct pool_job job = {.fn = odd_fails_task, POOL_IN(in), POOL_OUT(out), .count = 500, .chunk = chunks[k],
                               .status = status, .failure = &failure};
        assert_code(pool_map(pool, &job), POOL_EFAILED);
        for (long i = 0; i < 500; i++) {
            assert_code(status[i], i % 2 ? POOL_EFAILED : 0);
            assert_int_equal(out[i], i % 2 ? -5 : 2 * i);
        }
        assert_code(failure.error, POOL_EFAILED);
        assert_int_equal(failure.index, 1);
        assert_int_equal(failure.code, 7);
        assert_int_equal(failure.signal, 0);
        assert_true(failure.worker > 0 && failure.worker != getpid());
        assert_true(failure.message[0] != 0);
        assert_non_null(memchr(failure.message, 0, sizeof failure.message));
    }
    pool_destroy(pool);
}

static struct gate *late;

static int low_fails_late_task(const void *in, void *out) {
    (void)in;
    (void)out;
    if (task_index() == 3) return gate_pass(late) ? 99 : 33;
    if (task_index() == 50) atomic_fetch_add(&late->arrived, 1);
    return task_index() == 50 ? 5 : 0;
}

TEST_CASE(the_failure_of_a_job_is_that_of_the_lowest_index_whenever_it_failed) {
    late = shared(sizeof *late);
    struct pool *pool = pool_of(2);
    struct pool_failure failure;
    struct pool_job job = {.fn = low_fails_late_task, .count = 100, .chunk = 1, .failure = &failure};
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(late, 2));
    gate_open(late);
    assert_code(future_get(future, NULL, PATIENCE), POOL_EFAILED);
    assert_int_equal(failure.index, 3);
    assert_int_equal(failure.code, 33);
    struct pool_failure same;
    assert_ok(future_failure(future, &same));
    assert_code(same.error, POOL_EFAILED);
    assert_int_equal(same.index, 3);
    assert_int_equal(same.code, 33);
    future_free(future);
    pool_destroy(pool);
}

/* The index says what happens to the item. */
static int unlucky_task(const void *in, void *out) {
    (void)in;
    (void)out;
    switch (task_index() % 100) {
    case 17: return task_fail((int)task_index(), "item %zu is no good", task_index());
    case 40: return -5;
    case 63: return raise(SIGKILL);
    default: return 0;
    }
}

static void check_unlucky(const struct pool_failure *failure, size_t index) {
    char words[64];
    assert_int_equal(failure->index, index);
    if (index % 100 == 63) {
        assert_code(failure->error, POOL_EDIED);
        assert_int_equal(failure->signal, SIGKILL);
        assert_contains(failure->message, "SIGKILL");
        return;
    }
    assert_code(failure->error, POOL_EFAILED);
    assert_int_equal(failure->code, index % 100 == 17 ? (int)index : -5);
    snprintf(words, sizeof words, "item %zu is no good", index);
    assert_contains(failure->message, index % 100 == 17 ? words : "returned -5");
    assert_true(failure->worker > 0 || index % 100 != 17);
}

TEST_CASE(each_failed_item_is_listed_with_its_reason) {
    enum { ITEMS = 1000, FAILED = 30 };
    static const size_t digits[] = {17, 40, 63};
    struct pool *pool = pool_of(3);
    for (size_t room = 1; room <= 2 * FAILED; room += room < FAILED - 1 ? 7 : 1) {
        struct pool_failure failure, failures[2 * FAILED];
        size_t failed = 0;
        memset(failures, 0x5a, sizeof failures);
        struct pool_job job = {.fn = unlucky_task, .count = ITEMS, .chunk = room % 4, .failure = &failure,
                               .failures = failures, .failures_room = room, .failed = &failed};
        assert_code(pool_map(pool, &job), POOL_EFAILED);
        assert_int_equal(failed, FAILED);
        assert_memory_equal(&failure, &failures[0], sizeof failure);
        for (size_t i = 0; i < FAILED && i < room; i++) check_unlucky(&failures[i], 100 * (i / 3) + digits[i % 3]);
        for (size_t i = FAILED; i < room; i++) assert_int_equal(failures[i].error, 0);
    }
    pool_destroy(pool);
}

TEST_CASE(a_job_without_failures_lists_none) {
    struct pool *pool = pool_of(2);
    struct pool_failure failures[3];
    for (size_t count = 0; count < 20; count += 10) {
        size_t failed = 5;
        memset(failures, 0x5a, sizeof failures);
        struct pool_job job = {.fn = nothing_task, .count = count, .failures = failures, .failures_room = 3,
                               .failed = &failed};
        assert_ok(pool_map(count ? pool : NULL, &job));
        assert_int_equal(failed, 0);
        for (int i = 0; i < 3; i++) assert_int_equal(failures[i].error, 0);
    }
    pool_destroy(pool);
}

/* More jobs than the job table has entries: the last of them wait in the queue. */
enum { CROWD = 300, CROWD_ITEMS = 5 };

struct crowd {
    struct pool *pool;
    struct gate *gate;
    struct future *first, *jobs[CROWD];
    int status[CROWD][CROWD_ITEMS];
    long out[CROWD][CROWD_ITEMS];
};

static int number_task(const void *in, void *out) {
    (void)in;
    *(long *)out = (long)task_index() + 1;
    return 0;
}

static void make_crowd(struct crowd *c) {
    memset(c, 0, sizeof *c);
    c->gate = shared(sizeof *c->gate);
    c->pool = pool_of(1);
    c->first = submit_gated(c->pool, c->gate); /* nothing else starts before it ends */
    assert_true(gate_reached(c->gate, 1));
    for (int i = 0; i < CROWD; i++) {
        struct pool_job job = {.fn = number_task, POOL_OUT(c->out[i]), .count = CROWD_ITEMS, .status = c->status[i]};
        assert_ok(pool_map_async(c->pool, &job, &c->jobs[i]));
        assert_false(future_running(c->jobs[i]));
    }
}

static void check_crowd(struct crowd *c, int i, int expected) {
    assert_code(future_get(c->jobs[i], NULL, PATIENCE), expected);
    for (int k = 0; k < CROWD_ITEMS; k++) {
        assert_code(c->status[i][k], expected);
        assert_int_equal(c->out[i][k], expected ? 0 : k + 1);
    }
}

static void end_crowd(struct crowd *c) {
    future_free(c->first);
    for (int i = 0; i < CROWD; i++) future_free(c->jobs[i]);
    pool_destroy(c->pool);
}

TEST_CASE(jobs_beyond_the_job_table_wait_in_the_queue) {
    static struct crowd c;
    make_crowd(&c);
    assert_ok(future_cancel(c.jobs[3])); /* makes room for the next in the queue */
    assert_ok(future_cancel(c.jobs[CROWD - 2]));
    assert_ok(future_kill(c.jobs[CROWD - 1]));
    gate_open(c.gate);
    for (int i = 0; i < CROWD; i++) check_crowd(&c, i, i == 3 || i >= CROWD - 2 ? POOL_ECANCELLED : 0);
    end_crowd(&c);
}

TEST_CASE(jobs_that_wait_in_the_queue_end_with_their_pool) {
    static struct crowd c;
    make_crowd(&c);
    assert_ok(pool_shutdown(c.pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, PATIENCE));
    for (int i = 0; i < CROWD; i++) check_crowd(&c, i, POOL_ECANCELLED);
    end_crowd(&c);
}

enum { LARGE = 1 << 20 };

static int large_task(const void *in, void *out) {
    uint64_t seed = 1000 * task_index();
    if (!filled(in, LARGE, seed)) return 1;
    fill(out, LARGE, seed + 1);
    return 0;
}

TEST_CASE(large_items_arrive_whole) {
    struct pool *pool = pool_of(2);
    size_t count = 8;
    for (int in_arena = 0; in_arena < 2; in_arena++) {
        for (int out_arena = 0; out_arena < 2; out_arena++) {
            char *in = in_arena ? pool_alloc(pool, count * LARGE) : malloc(count * LARGE);
            char *out = out_arena ? pool_alloc(pool, count * LARGE) : malloc(count * LARGE);
            assert_non_null(in);
            assert_non_null(out);
            for (size_t i = 0; i < count; i++) fill(in + i * LARGE, LARGE, 1000 * i);
            struct pool_job job = {
                .fn = large_task, .in = in, .in_size = LARGE, .out = out, .out_size = LARGE, .count = count};
            assert_ok(pool_map(pool, &job));
            for (size_t i = 0; i < count; i++) assert_true(filled(out + i * LARGE, LARGE, 1000 * i + 1));
            if (in_arena)
                pool_free(pool, in);
            else
                free(in);
            if (out_arena)
                pool_free(pool, out);
            else
                free(out);
        }
    }
    pool_destroy(pool);
}

struct sizes {
    size_t in, out;
};

static struct sizes *sizes;

/* Returns 0 if both are aligned as items of their size can be: to the largest power of two that divides the size, at
 * most 16. */
static int aligned_task(const void *in, void *out) {
    size_t in_size = sizes->in, out_size = sizes->out;
    size_t in_alignment = in_size & (0 - in_size), out_alignment = out_size & (0 - out_size);
    if (in_alignment > 16) in_alignment = 16;
    if (out_alignment > 16) out_alignment = 16;
    if ((uintptr_t)in % in_alignment || (uintptr_t)out % out_alignment) return 1;
    if (!filled(in, in_size, task_index())) return 2;
    fill(out, out_size, task_index() + 77);
    return 0;
}

TEST_CASE(items_of_any_size_are_aligned_and_do_not_overlap) {
    static const size_t some[] = {1, 2, 3, 5, 8, 12, 16, 17, 24, 40, 48, 63, 64, 65, 100, 255, 1000, 4096, 5000};
    sizes = shared(sizeof *sizes);
    struct pool *pool = pool_of(2);
    char *in = malloc(200 * 5000 + 1), *out = malloc(200 * 5000 + 1);
    for (size_t a = 0; a < COUNT(some); a++) {
        for (size_t b = 0; b < COUNT(some); b++) {
            *sizes = (struct sizes){some[a], some[b]};
            char *odd_in = in + 1, *odd_out = out + 1; /* the caller's arrays need not be aligned */
            for (size_t i = 0; i < 200; i++) fill(odd_in + i * sizes->in, sizes->in, i);
            struct pool_job job = {.fn = aligned_task, .in = odd_in, .in_size = sizes->in, .out = odd_out,
                                   .out_size = sizes->out, .count = 200};
            assert_ok(pool_map(pool, &job));
            for (size_t i = 0; i < 200; i++) assert_true(filled(odd_out + i * sizes->out, sizes->out, i + 77));
        }
    }
    free(in);
    free(out);
    pool_destroy(pool);
}

static long set_before_the_call;

static int sees_memory_task(const void *in, void *out) {
    *(long *)out = **(const long *const *)in + set_before_the_call;
    return 0;
}

TEST_CASE(workers_see_all_memory_of_the_caller_in_a_map_without_a_pool) {
    set_before_the_call = 1000;
    long *values = malloc(3000 * sizeof *values), *out = malloc(3000 * sizeof *out);
    const long **in = malloc(3000 * sizeof *in);
    for (long i = 0; i < 3000; i++) {
        values[i] = 5 * i;
        in[i] = &values[i];
    }
    struct pool_job job = {.fn = sees_memory_task, POOL_IN(in), POOL_OUT(out), .count = 3000};
    assert_ok(pool_map(NULL, &job));
    for (long i = 0; i < 3000; i++) assert_int_equal(out[i], 1000 + 5 * i);
    free(values);
    free(in);
    free(out);
}

TEST_CASE(empty_and_failing_jobs_without_a_pool_end_as_with_one) {
    assert_ok(pool_map(NULL, &(struct pool_job){.fn = nothing_task}));
    long in[4] = {0, 2, 3, 4}, out[4] = {-1, -1, -1, -1};
    int status[4];
    struct pool_failure failure;
    struct pool_job job = {.fn = odd_fails_task, POOL_IN(in), POOL_OUT(out), .count = 4, .status = status,
                           .failure = &failure};
    assert_code(pool_map(NULL, &job), POOL_EFAILED);
    assert_int_equal(failure.index, 2);
    assert_int_equal(failure.code, 7);
    assert_code(status[2], POOL_EFAILED);
    assert_ok(status[3]);
    assert_int_equal(out[2], -1);
    assert_int_equal(out[3], 8);
}

TEST_CASE(an_empty_job_is_done_at_once) {
    struct pool *pool = pool_of(1);
    struct pool_failure failure = {.error = 12345};
    struct pool_job job = {.fn = nothing_task, .failure = &failure};
    assert_ok(pool_map(pool, &job));
    assert_ok(failure.error);
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(future_done(future));
    assert_false(future_running(future));
    assert_ok(future_get(future, NULL, 0));
    assert_code(future_cancel(future), POOL_EBUSY);
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(five_hundred_jobs_at_once_have_the_right_results) {
    enum { JOBS = 500, ITEMS = 20 };
    struct pool *pool = pool_of(3);
    static long in[JOBS][ITEMS], out[JOBS][ITEMS];
    static struct future *futures[JOBS];
    for (size_t j = 0; j < JOBS; j++) {
        for (size_t i = 0; i < ITEMS; i++) in[j][i] = (long)(j * ITEMS + i);
        struct pool_job job = {.fn = square_task, POOL_IN(in[j]), POOL_OUT(out[j]), .count = ITEMS, .chunk = j % 4};
        assert_ok(pool_map_async(pool, &job, &futures[j]));
        memset(&job, 0xee, sizeof job); /* the library has copied it */
    }
    for (size_t k = 0; k < JOBS; k++) {
        size_t j = k * 7 % JOBS;
        assert_ok(future_get(futures[j], NULL, PATIENCE));
        for (size_t i = 0; i < ITEMS; i++) assert_int_equal(out[j][i], in[j][i] * in[j][i]);
        future_free(futures[j]);
    }
    pool_destroy(pool);
}

static atomic_uchar *runs;

static int count_run_task(const void *in, void *out) {
    (void)in;
    (void)out;
    atomic_fetch_add(&runs[task_index()], 1);
    return 0;
}

TEST_CASE(every_item_runs_exactly_once) {
    enum { ITEMS = 100000 };
    runs = shared(ITEMS);
    struct pool *pool = pool_of(4);
    for (size_t k = 0; k < COUNT(chunks); k++) {
        assert_ok(pool_map(pool, &(struct pool_job){.fn = count_run_task, .count = ITEMS, .chunk = chunks[k]}));
        for (size_t i = 0; i < ITEMS; i++) {
            if (runs[i] != k + 1) assert_int_equal(i, -1);
        }
    }
    pool_destroy(pool);
}

static int meet_task(const void *in, void *out) {
    (void)out;
    struct gate *gate = *(struct gate *const *)in;
    atomic_fetch_add(&gate->arrived, 1);
    return becomes(&gate->arrived, 3) ? 0 : 1;
}

TEST_CASE(items_run_at_the_same_time) {
    struct gate *gate = shared(sizeof *gate);
    struct gate *in[3] = {gate, gate, gate};
    struct pool *pool = pool_of(3);
    struct pool_job job = {.fn = meet_task, POOL_IN(in), .count = 3};
    assert_ok(pool_map(pool, &job));
    pool_destroy(pool);
}

static struct gate *blocker;

static int block_one_task(const void *in, void *out) {
    (void)in;
    (void)out;
    if (task_index() == 10) return gate_pass(blocker);
    atomic_fetch_add(&runs[0], 1);
    return 0;
}

/* With chunk 1 no item may wait behind a long one while another worker is idle. */
TEST_CASE(a_long_item_holds_no_other_back) {
    blocker = shared(sizeof *blocker);
    runs = shared(1);
    struct pool *pool = pool_of(2);
    struct future *future;
    struct pool_job job = {.fn = block_one_task, .count = 200, .chunk = 1};
    assert_ok(pool_map_async(pool, &job, &future));
    int64_t start = now_ms();
    while (runs[0] < 199 && now_ms() - start < PATIENCE) sleep_ms(2);
    assert_int_equal(runs[0], 199);
    assert_false(future_done(future));
    assert_true(future_running(future));
    gate_open(blocker);
    assert_ok(finish(future, NULL));
    pool_destroy(pool);
}

static size_t map_often(struct pool *pool, uint64_t number) {
    size_t errors = 0;
    long in[300], out[300];
    for (int round = 0; round < 50; round++) {
        for (long i = 0; i < 300; i++) in[i] = 10000 * (long)number + i + round;
        struct pool_job job = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = (size_t)(round * 6),
                               .chunk = (size_t)round % 5};
        errors += pool_map(pool, &job) != 0;
        for (long i = 0; i < round * 6; i++) errors += out[i] != in[i] * in[i];
    }
    return errors;
}

TEST_CASE(threads_may_map_on_one_pool_at_once) {
    struct pool *pool = pool_of(2);
    assert_no_errors_in_threads(4, map_often, pool);
    pool_destroy(pool);
}

static int touch_task(const void *in, void *out) {
    *(char *)out = (char)(*(const char *)in + 1);
    return 0;
}

TEST_CASE(sizes_that_overflow_are_refused_and_sizes_without_room_return_enomem) {
    struct pool *pool = pool_of(1);
    char byte = 1;
    int status = 12345;
    struct pool_failure failure = {.error = 12345};
    struct pool_job overflow = {.fn = touch_task,
                                .in = &byte,
                                .in_size = SIZE_MAX / 2,
                                .out = &byte,
                                .out_size = 1,
                                .count = 3,
                                .status = &status,
                                .failure = &failure};
    assert_code(pool_map(pool, &overflow), POOL_EINVAL);
    assert_code(pool_map(NULL, &overflow), POOL_EINVAL);
    overflow.in_size = 1;
    overflow.out_size = SIZE_MAX / 2;
    assert_code(pool_map(pool, &overflow), POOL_EINVAL);
    overflow.count = SIZE_MAX;
    overflow.out_size = 16;
    assert_code(pool_map(pool, &overflow), POOL_EINVAL);
    assert_int_equal(status, 12345);
    struct future *future = (struct future *)&byte;
    assert_code(pool_map_async(pool, &overflow, &future), POOL_EINVAL);
    assert_true((char *)future == &byte);

    struct pool_job large = {.fn = touch_task, .in = &byte, .in_size = SIZE_MAX / 8, .count = 1};
    assert_code(pool_map(pool, &large), POOL_ENOMEM); /* without a read of the argument */
    assert_code(pool_map_async(pool, &large, &future), POOL_ENOMEM);
    assert_true((char *)future == &byte);

    char in[10] = {0}, out[10] = {0};
    struct pool_job fits = {.fn = touch_task, .in = in, .in_size = 1, .out = out, .out_size = 1, .count = 10};
    assert_ok(pool_map(pool, &fits));
    assert_int_equal(out[9], 1);
    pool_destroy(pool);
}

static int third_fails_task(const void *in, void *out) {
    (void)in, (void)out;
    return task_index() % 3 == 2 ? -(int)task_index() : 0;
}

TEST_CASE(each_of_many_failed_items_has_its_code) {
    enum { FAILED = 2500, ROOM = FAILED + 1 };
    struct pool *pool = pool_of(3);
    struct pool_failure *failures = calloc(ROOM, sizeof *failures);
    assert_non_null(failures);
    for (size_t chunk = 0; chunk < 200; chunk = 3 * chunk + 1) {
        struct pool_job job = {.fn = third_fails_task, .count = 3 * FAILED, .chunk = chunk, .failures = failures,
                               .failures_room = ROOM};
        assert_code(pool_map(pool, &job), POOL_EFAILED);
        for (size_t i = 0; i < FAILED; i++) {
            char words[64];
            snprintf(words, sizeof words, "returned -%zu", 3 * i + 2);
            assert_int_equal(failures[i].index, 3 * i + 2);
            assert_int_equal(failures[i].code, -(int)(3 * i + 2));
            assert_contains(failures[i].message, words);
        }
        assert_int_equal(failures[FAILED].error, 0);
    }
    free(failures);
    pool_destroy(pool);
}

enum { MANY = 80 * 1000 * 1000 };

static int few_of_many_fail_task(const void *in, void *out) {
    (void)in, (void)out;
    return task_index() % (MANY / 4) == MANY / 4 - 1 ? 1 + (int)(task_index() / (MANY / 4)) : 0;
}

/* The arena is so small that each item must do with fewer than four bytes. */
TEST_CASE(a_job_may_have_so_many_items_that_there_is_no_room_for_a_code_each) {
    struct pool *pool;
    assert_ok(pool_create(&(struct pool_options){.workers = 2, .arena_size = 1 << 20}, &pool));
    struct pool_failure failures[4];
    size_t failed;
    struct pool_job job = {.fn = few_of_many_fail_task, .count = MANY, .failures = failures, .failures_room = 4,
                           .failed = &failed};
    assert_code(pool_map(pool, &job), POOL_EFAILED);
    assert_int_equal(failed, 4);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(failures[i].index, (i + 1) * (MANY / 4) - 1);
        assert_int_equal(failures[i].code, i + 1);
    }
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(results_are_those_of_a_loop_for_every_count_and_chunk),
        TEST(items_in_the_arena_give_the_same_results),
        TEST(a_pool_may_have_one_worker_or_more_workers_than_items),
        TEST(items_may_have_results_of_different_sizes),
        TEST(results_may_take_the_place_of_their_arguments),
        TEST(copied_arguments_are_read_only),
        TEST(pool_in_and_pool_out_take_arrays_pointers_rows_and_single_objects),
        TEST(tasks_without_arguments_have_their_index),
        TEST(tasks_without_results_have_null_or_scratch_memory),
        TEST(a_failed_item_costs_no_other_and_its_result_is_not_written),
        TEST(the_failure_of_a_job_is_that_of_the_lowest_index_whenever_it_failed),
        TEST(each_failed_item_is_listed_with_its_reason),
        TEST(a_job_without_failures_lists_none),
        TEST(jobs_beyond_the_job_table_wait_in_the_queue),
        TEST(jobs_that_wait_in_the_queue_end_with_their_pool),
        TEST(large_items_arrive_whole),
        TEST(items_of_any_size_are_aligned_and_do_not_overlap),
        TEST(workers_see_all_memory_of_the_caller_in_a_map_without_a_pool),
        TEST(empty_and_failing_jobs_without_a_pool_end_as_with_one),
        TEST(an_empty_job_is_done_at_once),
        TEST(five_hundred_jobs_at_once_have_the_right_results),
        TEST(every_item_runs_exactly_once),
        TEST(items_run_at_the_same_time),
        TEST(a_long_item_holds_no_other_back),
        TEST(threads_may_map_on_one_pool_at_once),
        TEST(sizes_that_overflow_are_refused_and_sizes_without_room_return_enomem),
        TEST(each_of_many_failed_items_has_its_code),
        TEST(a_job_may_have_so_many_items_that_there_is_no_room_for_a_code_each),
    };
    return run_group("map", tests, COUNT(tests), argc, argv);
}
