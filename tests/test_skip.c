/* Reductions with skip_failed: what they tell is as if the items that fail were not there. */
#include "support.h"

#include <signal.h>

enum { TEXT = 4000, COUNT_MOST = 200 };

/* How an item fails, by a number that it is made of; the same in every run. */
enum way { WELL, RETURNS, CRASHES, HANGS };

struct plan {
    uint64_t seed;
    unsigned one_in; /* of so many items one fails; 1: all do */
    enum way most;   /* ways up to this one */
};

static enum way way_of(const struct plan *plan, size_t i) {
    uint64_t number = scramble(plan->seed * 1000 + i);
    if (number % plan->one_in) return WELL;
    return (enum way)(1 + (number >> 20) % (uint64_t)plan->most);
}

static int fail_as(enum way way, size_t i) {
    if (way == CRASHES) abort();
    if (way == HANGS) sleep_ms(PATIENCE);
    return way == RETURNS ? task_fail(100 + (int)(i % 7), "item %zu\tis bad", i) : 0;
}

static int text_of(const void *in, void *out) {
    size_t i = in ? *(const size_t *)in : task_index();
    if (i != task_index()) return 99;
    enum way way = way_of(task_context(), i);
    snprintf(out, TEXT, "%zu,", way == WELL ? i : 77777);
    return fail_as(way, i);
}

static int text_of_block(const void *in, size_t count, void *out) {
    const size_t *numbers = in;
    char *text = out;
    int code = 0;
    *text = '\0';
    for (size_t i = 0; i < count; i++) {
        size_t number = numbers ? numbers[i] : task_index() + i;
        enum way way = way_of(task_context(), number);
        if (way == WELL) text += snprintf(text, 8, "%zu,", number);
        else if ((code = fail_as(way, number)) != 0 && number % 2) return code;
    }
    return code;
}

static int concatenate(void *result, const void *right) {
    size_t length = strlen(result);
    if (length + strlen(right) >= TEXT) return 1;
    strcpy((char *)result + length, right);
    return 0;
}

/* The result shows the tree: "((0, 1,) 3,)". */
static int in_brackets(void *result, const void *right) {
    char both[2 * TEXT];
    int length = snprintf(both, sizeof both, "(%s %s)", (char *)result, (const char *)right);
    if (length >= TEXT) return 1;
    memcpy(result, both, (size_t)length + 1);
    return 0;
}

struct expected {
    char text[TEXT];
    size_t failed, lowest;
    enum way way;
};

static struct expected expect(const struct plan *plan, size_t count) {
    struct expected e = {.text = ""};
    for (size_t i = 0; i < count; i++) {
        enum way way = way_of(plan, i);
        size_t end = strlen(e.text);
        if (way == WELL) snprintf(e.text + end, sizeof e.text - end, "%zu,", i);
        else if (e.failed++ == 0) e.lowest = i, e.way = way;
    }
    return e;
}

static int next_number(void *arg, void *in) {
    size_t *state = arg;
    if (state[0] == state[1]) return POOL_END;
    *(size_t *)in = state[0]++;
    return 0;
}

static void check_failure(const struct pool_failure *failure, const struct expected *e) {
    static const int errors[] = {0, POOL_EFAILED, POOL_EDIED, POOL_EDEADLINE}; /* by the way */
    assert_code(failure->error, errors[e->way]);
    if (e->way == WELL) return;
    assert_int_equal(failure->index, e->lowest);
    if (e->way == CRASHES) assert_int_equal(failure->signal, SIGABRT);
    if (e->way != RETURNS) return;
    char message[64];
    snprintf(message, sizeof message, "item %zu\\tis bad", e->lowest);
    assert_int_equal(failure->code, 100 + e->lowest % 7);
    assert_int_equal(strcmp(failure->message, message), 0);
    assert_true(failure->worker > 0);
}

static bool blocks;

/* kind: 0: indices, 1: an array, 2: next. */
static void check(struct pool *pool, const struct plan *plan, size_t count, size_t chunk, int kind) {
    static size_t numbers[COUNT_MOST];
    for (size_t i = 0; i < COUNT_MOST; i++) numbers[i] = i;
    size_t state[] = {0, count}, failed = 99;
    struct expected e = expect(plan, count);
    char got[TEXT] = "untouched";
    struct pool_failure failure;
    struct pool_reduction sum = {.fn = text_of, .combine = concatenate, .chunk = chunk, .out = got,
                                 .out_size = sizeof got, .context = plan, .context_size = sizeof *plan,
                                 .skip_failed = true, .failed = &failed, .failure = &failure,
                                 .timeout = plan->most == HANGS ? 800 : 0};
    if (kind != 2) sum.count = count;
    if (kind == 1) sum.in = numbers, sum.in_size = sizeof *numbers;
    if (kind == 2) sum.next = next_number, sum.next_arg = state, sum.in_size = sizeof *numbers;
    if (blocks) sum.fn = NULL, sum.block = text_of_block;
    int error = pool_reduce(pool, &sum);
    assert_int_equal(failed, e.failed);
    check_failure(&failure, &e);
    if (e.failed == count) {
        assert_code(error, failure.error);
        assert_int_equal(strcmp(got, "untouched"), 0);
    } else {
        assert_ok(error);
        assert_int_equal(strcmp(got, e.text), 0);
    }
}

TEST_CASE(items_that_return_a_failure_are_left_out_in_each_backend) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct pool_options options = test_options(3);
        options.backend = backend;
        struct pool *pool = pool_from(&options);
        for (uint64_t seed = 1; seed <= scaled(100); seed++) {
            struct plan plan = {seed, 1 + (unsigned)(seed % 9), RETURNS};
            check(pool, &plan, 1 + (size_t)(scramble(seed) % COUNT_MOST), (size_t)(seed % 4) * 5, (int)(seed % 3));
        }
        pool_destroy(pool);
    }
}

TEST_CASE(items_that_crash_are_left_out_and_the_rest_of_their_chunks_is_not) {
    struct pool *pool = pool_of(3);
    for (uint64_t seed = 1; seed <= scaled(100); seed++) {
        struct plan plan = {seed, 2 + (unsigned)(seed % 40), CRASHES};
        check(pool, &plan, 1 + (size_t)(scramble(seed) % 60), (size_t)(seed % 4) * 5, (int)(seed % 3));
    }
    pool_destroy(pool);
}

TEST_CASE(items_of_blocks_are_left_out_one_by_one) {
    struct pool *pool = pool_of(3);
    blocks = true;
    for (uint64_t seed = 1; seed <= scaled(100); seed++) {
        struct plan plan = {seed, 2 + (unsigned)(seed % 40), seed % 2 ? CRASHES : RETURNS};
        check(pool, &plan, 1 + (size_t)(scramble(seed) % 60), (size_t)(seed % 4) * 5, (int)(seed % 3));
    }
    blocks = false;
    pool_destroy(pool);
}

TEST_CASE(items_that_run_for_too_long_are_left_out) {
    struct pool *pool = pool_of(4);
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct plan plan = {seed, 5, HANGS};
        check(pool, &plan, 20, (size_t)(seed % 3) * 5, (int)(seed % 3));
    }
    pool_destroy(pool);
}

TEST_CASE(without_a_pool_it_is_the_same) {
    struct plan plan = {3, 4, CRASHES};
    for (int kind = 0; kind < 3; kind++) check(NULL, &plan, 50, 7, kind);
}

TEST_CASE(items_that_do_not_fail_are_reduced_as_ever) {
    struct pool *pool = pool_of(3);
    struct plan plan = {1, UINT32_MAX, RETURNS};
    for (size_t chunk = 0; chunk < 8; chunk += 3)
        for (int kind = 0; kind < 3; kind++) check(pool, &plan, 150, chunk, kind);
    pool_destroy(pool);
}

/* Which items are left out decides, not how they failed, nor how many workers there are. */
TEST_CASE(the_tree_is_the_same_in_each_run) {
    for (uint64_t seed = 1; seed <= 10; seed++) {
        char first[TEXT] = "", got[TEXT];
        for (int workers = 1; workers <= 4; workers++) {
            struct pool *pool = pool_of(workers);
            /* The number that decides whether an item fails does not depend on the ways. */
            struct plan plan = {seed, 6, workers % 2 ? RETURNS : CRASHES};
            struct pool_reduction tree = {.fn = text_of, .combine = in_brackets, .count = 70, .chunk = (size_t)seed % 5,
                                          .out = got, .out_size = sizeof got, .context = &plan,
                                          .context_size = sizeof plan, .skip_failed = true};
            assert_ok(pool_reduce(pool, &tree));
            if (workers == 1) strcpy(first, got);
            assert_int_equal(strcmp(first, got), 0);
            pool_destroy(pool);
        }
    }
}

TEST_CASE(no_items_that_are_left_are_no_items) {
    struct pool *pool = pool_of(2);
    struct plan plan = {1, 1, RETURNS};
    for (int kind = 0; kind < 3; kind++) check(pool, &plan, 30, 4, kind);
    char identity[TEXT] = "nothing", got[TEXT];
    size_t failed;
    struct pool_failure failure;
    struct pool_reduction sum = {.fn = text_of, .combine = concatenate, .count = 30, .chunk = 4, .out = got,
                                 .out_size = sizeof got, .context = &plan, .context_size = sizeof plan,
                                 .skip_failed = true, .failed = &failed, .failure = &failure, .identity = identity};
    assert_ok(pool_reduce(pool, &sum));
    assert_int_equal(strcmp(got, "nothing"), 0);
    assert_int_equal(failed, 30);
    assert_code(failure.error, POOL_EFAILED);
    assert_int_equal(failure.index, 0);
    pool_destroy(pool);
}

static int die_in_combine(void *result, const void *right) {
    (void)result, (void)right;
    abort();
}

static int fail_in_combine(void *result, const void *right) {
    (void)result, (void)right;
    return task_fail(5, "cannot");
}

TEST_CASE(a_combine_that_fails_fails_the_reduction) {
    struct pool *pool = pool_of(2);
    struct plan plan = {1, 5, RETURNS};
    char got[TEXT];
    struct pool_failure failure;
    struct pool_reduction sum = {.fn = text_of, .combine = fail_in_combine, .count = 30, .out = got,
                                 .out_size = sizeof got, .context = &plan, .context_size = sizeof plan,
                                 .skip_failed = true, .failure = &failure};
    for (sum.chunk = 1; sum.chunk < 9; sum.chunk += 4) {
        assert_code(pool_reduce(pool, &sum), POOL_EFAILED);
        assert_int_equal(failure.code, 5);
    }
    sum.combine = die_in_combine;
    sum.chunk = 1;
    assert_code(pool_reduce(pool, &sum), POOL_EDIED);
    pool_destroy(pool);
}

static atomic_int *tries;

static int die_once(const void *in, void *out) {
    (void)in;
    if (task_index() % 5 == 2 && atomic_fetch_add(&tries[task_index()], 1) == 0) raise(SIGKILL);
    snprintf(out, TEXT, "%zu,", task_index());
    return 0;
}

TEST_CASE(retries_come_before_an_item_is_left_out) {
    tries = shared(40 * sizeof *tries);
    struct pool *pool = pool_of(2);
    char got[TEXT];
    size_t failed = 99;
    struct plan plan = {1, UINT32_MAX, RETURNS};
    struct pool_reduction sum = {.fn = die_once, .combine = concatenate, .count = 40, .chunk = 4, .out = got,
                                 .out_size = sizeof got, .retries = 1, .skip_failed = true, .failed = &failed};
    assert_ok(pool_reduce(pool, &sum));
    assert_int_equal(failed, 0);
    assert_int_equal(strcmp(got, expect(&plan, 40).text), 0);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(items_that_return_a_failure_are_left_out_in_each_backend),
        TEST(items_that_crash_are_left_out_and_the_rest_of_their_chunks_is_not),
        TEST(items_of_blocks_are_left_out_one_by_one),
        TEST(items_that_run_for_too_long_are_left_out),
        TEST(without_a_pool_it_is_the_same),
        TEST(items_that_do_not_fail_are_reduced_as_ever),
        TEST(the_tree_is_the_same_in_each_run),
        TEST(no_items_that_are_left_are_no_items),
        TEST(a_combine_that_fails_fails_the_reduction),
        TEST(retries_come_before_an_item_is_left_out),
    };
    return run_group("skip", tests, COUNT(tests), argc, argv);
}
