/* pool_reduce(): the same tree in every run. */
#include "support.h"

#include <math.h>
#include <signal.h>

/* ---- Strings: combining them is associative and not commutative, so each mistake of order shows */

enum { TEXT = 4000 };

static int index_text(const void *in, void *out) {
    (void)in;
    snprintf(out, TEXT, "%zu,", task_index());
    return 0;
}

static int concatenate(void *result, const void *right) {
    size_t length = strlen(result);
    if (length + strlen(right) >= TEXT) return 1;
    strcpy((char *)result + length, right);
    return 0;
}

/* The result shows the tree: "((0 1) (2 3))". */
static int in_brackets(void *result, const void *right) {
    char both[2 * TEXT];
    int length = snprintf(both, sizeof both, "(%s %s)", (char *)result, (const char *)right);
    if (length >= TEXT) return 1;
    memcpy(result, both, (size_t)length + 1);
    return 0;
}

static int number_text(const void *in, void *out) {
    (void)in;
    snprintf(out, TEXT, "%zu", task_index());
    return 0;
}

TEST_CASE(a_reduction_keeps_the_order_of_its_items) {
    struct pool *pool = pool_of(3);
    for (size_t count = 1; count < 300; count += 1 + count / 7) {
        char expected[TEXT] = "", got[TEXT];
        for (size_t i = 0; i < count; i++) snprintf(expected + strlen(expected), 8, "%zu,", i);
        for (size_t chunk = 0; chunk < 8; chunk += 3) {
            struct pool_reduction sum = {.fn = index_text, .combine = concatenate, .count = count, .chunk = chunk,
                                         .out = got, .out_size = sizeof got};
            assert_ok(pool_reduce(pool, &sum));
            assert_int_equal(strcmp(got, expected), 0);
        }
    }
    pool_destroy(pool);
}

TEST_CASE(the_tree_is_that_of_a_binary_counter) {
    struct pool *pool = pool_of(2);
    static const struct {
        size_t count, chunk;
        const char *tree;
    } cases[] = {{1, 0, "0"},
                 {2, 0, "(0 1)"},
                 {3, 0, "((0 1) 2)"},
                 {4, 0, "((0 1) (2 3))"},
                 {7, 1, "(((0 1) (2 3)) ((4 5) 6))"},
                 {7, 3, "((((0 1) 2) ((3 4) 5)) 6)"},
                 {5, 9, "((((0 1) 2) 3) 4)"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        char got[TEXT];
        struct pool_reduction tree = {.fn = number_text, .combine = in_brackets, .count = cases[i].count,
                                      .chunk = cases[i].chunk, .out = got, .out_size = sizeof got};
        assert_ok(pool_reduce(pool, &tree));
        assert_int_equal(strcmp(got, cases[i].tree), 0);
    }
    pool_destroy(pool);
}

/* What depends on the shape of the tree, in few bytes or in many. */
struct shape {
    uint64_t hash;
    char rest[1000];
};

static int leaf_shape(const void *in, void *out) {
    (void)in;
    ((struct shape *)out)->hash = task_index() + 1;
    return 0;
}

static int join_shapes(void *result, const void *right) {
    struct shape *left = result;
    left->hash = left->hash * 1000003 + ((const struct shape *)right)->hash * 8191 + 1;
    return 0;
}

static uint64_t shape_of(uint64_t first, uint64_t count) {
    if (count == 1) return first + 1;
    uint64_t left = 1;
    while (2 * left < count) left *= 2;
    struct shape whole = {.hash = shape_of(first, left)}, right = {.hash = shape_of(first + left, count - left)};
    join_shapes(&whole, &right);
    return whole.hash;
}

TEST_CASE(the_tree_is_the_same_where_a_task_combines_many_parts) {
    static const size_t counts[] = {15, 16, 17, 31, 32, 33, 47, 100, 255, 256, 257, 272, 273, 511, 1000, 4095, 4113};
    struct pool *pool = pool_of(2);
    for (size_t i = 0; i < COUNT(counts) * 4; i++) {
        struct shape got;
        struct pool_reduction tree = {.fn = leaf_shape, .combine = join_shapes, .count = counts[i / 4], .chunk = 1,
                                      .skip_failed = i & 2, .out = &got, .out_size = i & 1 ? sizeof got : 8};
        assert_ok(pool_reduce(pool, &tree));
        assert_true(got.hash == shape_of(0, counts[i / 4]));
    }
    pool_destroy(pool);
}

/* ---- Floating point: the last bit depends on the order of additions */

static int root_of(const void *in, void *out) {
    *(double *)out = sqrt((double)*(const long *)in) * 1e-3 + 1.0 / (double)(*(const long *)in + 1);
    return 0;
}

static int root_of_index(const void *in, void *out) {
    (void)in;
    return root_of(&(long){(long)task_index()}, out);
}

static int add(void *result, const void *right) {
    *(double *)result += *(const double *)right;
    return 0;
}

struct numbers {
    long next, end;
    int after; /* the code after the last number */
};

static int next_number(void *arg, void *in) {
    struct numbers *numbers = arg;
    if (numbers->next == numbers->end) return numbers->after;
    *(long *)in = numbers->next++;
    return 0;
}

TEST_CASE(a_sum_is_the_same_to_the_last_bit_in_every_run) {
    size_t count = 30011;
    long *in = malloc(count * sizeof *in);
    for (size_t i = 0; i < count; i++) in[i] = (long)i;
    double first = 0;
    for (int workers = 1; workers <= 7; workers += workers == 3 ? 4 : 1) {
        struct pool *pool = pool_of(workers);
        long *arena = pool_alloc(pool, count * sizeof *arena);
        memcpy(arena, in, count * sizeof *in);
        struct numbers numbers = {0, (long)count, POOL_END};
        struct pool_reduction sums[] = {
            {.fn = root_of, POOL_IN(in), .count = count},
            {.fn = root_of, .in = arena, .in_size = sizeof *in, .count = count},
            {.fn = root_of_index, .count = count},
            {.fn = root_of, .next = next_number, .next_arg = &numbers, .in_size = sizeof(long), .chunk = 30},
            {.fn = root_of, POOL_IN(in), .count = count, .workers = workers}};
        for (size_t i = 0; i < COUNT(sums); i++) {
            double sum = -1;
            sums[i].combine = add;
            sums[i].out = &sum;
            sums[i].out_size = sizeof sum;
            if (i == 3) sums[i].chunk = count / 1024 + 1;
            assert_ok(pool_reduce(i == 4 ? NULL : pool, &sums[i]));
            if (first == 0) first = sum;
            assert_memory_equal(&sum, &first, sizeof sum);
        }
        pool_destroy(pool);
    }
    free(in);
}

TEST_CASE(items_may_be_parts_themselves) {
    struct pool *pool = pool_of(2);
    static double in[5000];
    for (int i = 0; i < 5000; i++) in[i] = 0.5 * i;
    double sum = 0;
    struct pool_reduction parts = {.combine = add, POOL_IN(in), .count = 5000, POOL_OUT(&sum)};
    assert_ok(pool_reduce(pool, &parts));
    assert_true(sum == 0.5 * 4999 * 5000 / 2);
    pool_destroy(pool);
}

/* A count of bytes, as in a histogram of 1 MiB. */
enum { BINS = 1 << 17 };

static int bin(const void *in, void *out) {
    uint64_t *bins = out;
    memset(bins, 0, BINS * sizeof *bins);
    bins[*(const long *)in % BINS] = 1;
    return 0;
}

static int add_bins(void *result, const void *right) {
    uint64_t *bins = result;
    const uint64_t *more = right;
    for (size_t i = 0; i < BINS; i++) bins[i] += more[i];
    return 0;
}

TEST_CASE(a_reduction_keeps_few_parts_in_memory) {
    /* 400 parts of 1 MiB. At most 32 tasks of 2 MiB are in flight, and a few parts wait to be combined. */
    size_t arena = 120u << 20;
    struct pool *pool;
    assert_ok(pool_create(&(struct pool_options){.workers = 2, .arena_size = arena}, &pool));
    struct numbers numbers = {0, 400, POOL_END};
    uint64_t *bins = calloc(BINS, sizeof *bins);
    struct pool_reduction histogram = {.fn = bin, .combine = add_bins, .next = next_number, .next_arg = &numbers,
                                       .in_size = sizeof(long), .out = bins, .out_size = BINS * sizeof *bins};
    assert_ok(pool_reduce(pool, &histogram));
    for (size_t i = 0; i < BINS; i++) assert_int_equal(bins[i], i < 400);
    pool_destroy(pool);
    /* With hardly any memory it is slow, but still succeeds. */
    assert_ok(pool_create(&(struct pool_options){.workers = 2, .arena_size = 24u << 20}, &pool));
    numbers.next = 300;
    assert_ok(pool_reduce(pool, &histogram));
    for (size_t i = 0; i < BINS; i++) assert_int_equal(bins[i], i >= 300 && i < 400);
    pool_destroy(pool);
    free(bins);
}

/* ---- Failures */

static long bad[2] = {-1, -1}; /* set before the workers are forked */

static int fail_at_bad(const void *in, void *out) {
    long index = (long)task_index();
    (void)in;
    if (index == bad[0]) return task_fail(5, "item %ld", index);
    if (index == bad[1]) abort();
    *(double *)out = 1;
    return 0;
}

static int one(const void *in, void *out) {
    (void)in;
    *(double *)out = 1;
    return 0;
}

static int refuse_17(void *result, const void *right) {
    if (task_index() == 17) return task_fail(6, "cannot combine");
    return add(result, right);
}

static int die_at_40(void *result, const void *right) {
    if (task_index() == 40) raise(SIGKILL);
    return add(result, right);
}

static int hang_at_40(void *result, const void *right) {
    if (task_index() == 40) forever_task(NULL, NULL);
    return add(result, right);
}

TEST_CASE(a_call_of_combine_that_dies_or_hangs_is_told_by_the_first_item_on_its_right) {
    struct pool *pool = pool_of(2);
    struct pool_failure failure;
    double sum;
    struct pool_reduction tree = {.fn = one, .combine = die_at_40, .count = 300, .chunk = 1, POOL_OUT(&sum),
                                  .failure = &failure};
    assert_code(pool_reduce(pool, &tree), POOL_EDIED);
    assert_int_equal(failure.index, 40);
    tree.combine = hang_at_40;
    tree.timeout = 1000;
    assert_code(pool_reduce(pool, &tree), POOL_EDEADLINE);
    assert_int_equal(failure.index, 40);
    pool_destroy(pool);
}

TEST_CASE(a_reduction_reports_the_first_failure_in_every_run) {
    bad[0] = 700;
    bad[1] = 300;
    struct pool *pool = pool_of(2);
    for (size_t chunk = 1; chunk < 100; chunk *= 4) {
        for (int run = 0; run < 3; run++) {
            struct pool_failure failure;
            double sum = -1;
            struct pool_reduction tree = {.fn = fail_at_bad, .combine = add, .count = 2000, .chunk = chunk,
                                          POOL_OUT(&sum), .failure = &failure};
            assert_code(pool_reduce(pool, &tree), POOL_EDIED);
            assert_code(failure.error, POOL_EDIED);
            assert_int_equal(failure.index, 300);
            assert_int_equal(failure.signal, SIGABRT);
            tree.count = 300;
            tree.combine = refuse_17;
            tree.chunk = 1;
            assert_code(pool_reduce(pool, &tree), POOL_EFAILED);
            assert_int_equal(failure.index, 17);
            assert_int_equal(failure.code, 6);
            assert_contains(failure.message, "cannot combine");
            assert_true(sum == -1);
            tree.combine = add;
            assert_ok(pool_reduce(pool, &tree));
            assert_code(failure.error, 0);
            assert_true(sum == 300);
        }
    }
    pool_destroy(pool);
    bad[1] = -1;
    pool = pool_of(2);
    struct pool_failure failure;
    double sum = -1;
    struct pool_reduction tree = {.fn = fail_at_bad, .combine = add, .count = 2000, POOL_OUT(&sum),
                                  .failure = &failure};
    assert_code(pool_reduce(pool, &tree), POOL_EFAILED);
    assert_int_equal(failure.index, 700);
    assert_contains(failure.message, "item 700");
    pool_destroy(pool);
}

TEST_CASE(an_input_that_fails_ends_the_reduction_with_its_code) {
    struct pool *pool = pool_of(2);
    double sum = -1;
    struct pool_failure failure;
    struct numbers numbers = {0, 100, POOL_EBUSY};
    struct pool_reduction tree = {.fn = root_of, .combine = add, .next = next_number, .next_arg = &numbers,
                                  .in_size = sizeof(long), POOL_OUT(&sum), .failure = &failure};
    assert_code(pool_reduce(pool, &tree), POOL_EBUSY);
    assert_code(failure.error, POOL_EBUSY);
    assert_int_equal(failure.index, 100);
    tree.chunk = 4;
    for (int code = 1; code < 8; code += 6) {
        numbers = (struct numbers){0, 10, code};
        assert_code(pool_reduce(pool, &tree), POOL_EFAILED);
        assert_int_equal(failure.code, code);
        assert_int_equal(failure.index, 10);
    }
    assert_true(sum == -1);
    pool_destroy(pool);
}

static int leave_part(const void *in, void *out) {
    (void)in, (void)out;
    return 0;
}

static int join_nothing(void *result, const void *right) {
    (void)result, (void)right;
    return 0;
}

TEST_CASE(the_default_chunk_makes_fewer_tasks_where_parts_are_large) {
    enum { MIB = 1024 * 1024 };
    static const struct {
        size_t count, out_size;
        uint64_t leaves, joins; /* of two parts each where these are large, else of up to 16 */
    } cases[] = {{1024, 8, 1024, 64 + 4 + 1}, {1025, 8, 513, 32 + 2 + 1}, {1024, 2 * MIB, 128, 127},
                 {1000, 2 * MIB, 125, 124}, {1024, 5 * MIB, 64, 63}, {3, 5 * MIB, 3, 2}};
    void *out = malloc(5 * MIB);
    assert_non_null(out);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pool *pool = pool_of(2);
        struct pool_reduction tree = {.fn = leave_part, .combine = join_nothing, .count = cases[i].count, .out = out,
                                      .out_size = cases[i].out_size};
        struct pool_stats stats = {.room = 0};
        assert_ok(pool_reduce(pool, &tree));
        assert_ok(pool_stats(pool, &stats));
        assert_int_equal(stats.done, cases[i].leaves + cases[i].joins);
        pool_destroy(pool);
    }
    free(out);
}

static int hang_at_5(const void *in, void *out) {
    if (task_index() == 5) forever_task(NULL, NULL);
    (void)in;
    *(double *)out = 1;
    return 0;
}

static int die_first(const void *in, void *out) {
    atomic_int *tries = (atomic_int *)(uintptr_t)task_context();
    (void)in;
    if (task_index() == 77 && atomic_fetch_add(tries, 1) == 0) abort();
    *(double *)out = (double)(task_seed() % 1000);
    return 0;
}

TEST_CASE(reductions_have_time_outs_retries_contexts_and_seeds) {
    atomic_int *tries = shared(sizeof *tries);
    struct pool *pool = pool_of(2);
    double sum = -1, again = -2;
    struct pool_failure failure;
    struct pool_reduction tree = {.fn = hang_at_5, .combine = add, .count = 10, .timeout = 1000, POOL_OUT(&sum),
                                  .failure = &failure};
    assert_code(pool_reduce(pool, &tree), POOL_EDEADLINE);
    assert_int_equal(failure.index, 5);
    tree = (struct pool_reduction){.fn = die_first, .combine = add, .count = 200, .chunk = 7, .retries = 1, .seed = 3,
                                   .context = tries, POOL_OUT(&sum)};
    assert_ok(pool_reduce(pool, &tree));
    assert_int_equal(atomic_load(tries), 2);
    tree.out = &again;
    tree.chunk = 1;
    assert_ok(pool_reduce(pool, &tree));
    assert_true(again == sum); /* the sums are of whole numbers, and exact */
    tree.seed = 4;
    assert_ok(pool_reduce(pool, &tree));
    assert_true(again != sum);
    pool_destroy(pool);
}

/* ---- Misuse */

struct mischief {
    struct pool *pool;
    int calls;
};

static int close_pool(void *arg, void *in) {
    struct mischief *mischief = arg;
    *(long *)in = 1;
    if (++mischief->calls == 10) pool_destroy(mischief->pool);
    return mischief->calls > 1000 ? POOL_END : 0;
}

static int submit_more(void *arg, void *in) {
    struct mischief *mischief = arg;
    *(long *)in = 1;
    if (finish(submit(mischief->pool, square_task, in, sizeof(long), sizeof(long)), in)) return POOL_EBUSY;
    return ++mischief->calls > 100 ? POOL_END : 0;
}

TEST_CASE(an_input_may_use_and_even_destroy_the_pool) {
    struct mischief mischief = {.pool = pool_of(2)};
    double sum = -1;
    struct pool_reduction tree = {.fn = root_of, .combine = add, .next = submit_more, .next_arg = &mischief,
                                  .in_size = sizeof(long), POOL_OUT(&sum)};
    assert_ok(pool_reduce(mischief.pool, &tree));
    mischief.calls = 0;
    tree.next = close_pool;
    sum = -1;
    assert_any_of(pool_reduce(mischief.pool, &tree), POOL_ECLOSED, POOL_ECANCELLED);
    assert_true(sum == -1);
}

static int reduce_in_a_child(void *pool) {
    double sum;
    struct pool_reduction tree = {.fn = root_of_index, .combine = add, .count = 3, POOL_OUT(&sum)};
    EXPECT(pool_reduce(pool, &tree) == POOL_EFOREIGN);
    return 0;
}

TEST_CASE(wrong_arguments_have_their_codes_and_no_items_give_the_identity) {
    struct pool *pool = pool_of(1);
    double sum = -1, zero = 0.25;
    struct numbers none = {0, 0, POOL_END};
    const struct pool_reduction good = {.fn = root_of_index, .combine = add, .count = 3, POOL_OUT(&sum)};
    struct pool_reduction bad_ones[12];
    for (size_t i = 0; i < COUNT(bad_ones); i++) bad_ones[i] = good;
    bad_ones[0].combine = NULL;
    bad_ones[1].out = NULL;
    bad_ones[2].out_size = 0;
    bad_ones[3].timeout = -1;
    bad_ones[4].in = &zero;
    bad_ones[5].fn = NULL;
    bad_ones[6].next = next_number; /* in addition to a count */
    bad_ones[7].count = 0;
    bad_ones[8].in = &zero, bad_ones[8].in_size = SIZE_MAX / 2;
    bad_ones[9].context_size = 1;
    bad_ones[10].out_size = SIZE_MAX;
    bad_ones[11].next = next_number, bad_ones[11].next_arg = &none, bad_ones[11].count = 0,
    bad_ones[11].in_size = sizeof(long); /* no items, no identity */
    for (size_t i = 0; i < COUNT(bad_ones); i++) assert_code(pool_reduce(pool, &bad_ones[i]), POOL_EINVAL);
    assert_code(pool_reduce(pool, NULL), POOL_EINVAL);
    assert_code(pool_reduce(NULL, &bad_ones[0]), POOL_EINVAL);
    assert_true(sum == -1);
    for (size_t i = 7; i < 12; i += 4) {
        bad_ones[i].identity = &zero;
        sum = -1;
        assert_ok(pool_reduce(pool, &bad_ones[i]));
        assert_true(sum == 0.25);
    }
    sum = -1;
    assert_ok(pool_reduce(NULL, &bad_ones[7]));
    assert_true(sum == 0.25);
    assert_child_passes(reduce_in_a_child, pool);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    assert_code(pool_reduce(pool, &good), POOL_ECLOSED);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_reduction_keeps_the_order_of_its_items),
        TEST(the_tree_is_that_of_a_binary_counter),
        TEST(the_tree_is_the_same_where_a_task_combines_many_parts),
        TEST(a_sum_is_the_same_to_the_last_bit_in_every_run),
        TEST(items_may_be_parts_themselves),
        TEST(a_reduction_keeps_few_parts_in_memory),
        TEST(a_call_of_combine_that_dies_or_hangs_is_told_by_the_first_item_on_its_right),
        TEST(a_reduction_reports_the_first_failure_in_every_run),
        TEST(an_input_that_fails_ends_the_reduction_with_its_code),
        TEST(the_default_chunk_makes_fewer_tasks_where_parts_are_large),
        TEST(reductions_have_time_outs_retries_contexts_and_seeds),
        TEST(an_input_may_use_and_even_destroy_the_pool),
        TEST(wrong_arguments_have_their_codes_and_no_items_give_the_identity),
    };
    return run_group("reduce", tests, COUNT(tests), argc, argv);
}
