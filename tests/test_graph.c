/* Tasks that depend on others and read their results. */
#include "support.h"

#include <poll.h>

static struct future *after(struct pool *pool, pool_fn *fn, size_t out_size, struct future *const *futures,
                            size_t count) {
    struct pool_task task = {.fn = fn, .out_size = out_size, .after = futures, .after_count = count};
    struct future *future = NULL;
    assert_ok(pool_submit(pool, &task, &future));
    return future;
}

/* The sum of all inputs, and of the argument if there is one. */
static int sum_task(const void *in, void *out) {
    long sum = in ? *(const long *)in : 0;
    for (size_t i = 0; i < task_input_count(); i++) {
        size_t size = 0;
        const long *input = task_input(i, &size);
        if (!input || size != sizeof *input) return task_fail(1, "input %zu has %zu bytes", i, size);
        sum += *input;
    }
    *(long *)out = sum;
    return 0;
}

static int one_more_task(const void *in, void *out) {
    (void)in;
    const long *before = task_input(0, NULL);
    if (!before) return 1;
    *(long *)out = *before + 1;
    return 0;
}

/* Appends a chain of so many one_more_task() to a task, whose handle it frees; returns the end of the chain. */
static struct future *lengthen(struct pool *pool, struct future *last, size_t length) {
    for (size_t i = 0; i < length; i++) {
        struct future *next = after(pool, one_more_task, sizeof(long), &last, 1);
        future_free(last);
        last = next;
    }
    return last;
}

static int fail_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return task_fail(42, "no data today");
}

static int crash_task(const void *in, void *out) {
    (void)in;
    (void)out;
    abort();
}

TEST_CASE(a_task_reads_the_results_of_those_it_depends_on) {
    struct pool *pool = pool_of(2);
    struct future *parts[3] = {submit_square(pool, 2), submit_square(pool, 3), submit_square(pool, 4)}, *sum;
    long hundred = 100, result = 0;
    struct pool_task task = {.fn = sum_task, POOL_IN(&hundred), .out_size = sizeof(long), .after = parts,
                             .after_count = 3};
    assert_ok(pool_submit(pool, &task, &sum));
    assert_ok(finish(sum, &result));
    assert_int_equal(result, 100 + 4 + 9 + 16);
    /* The dependencies may be done already. */
    assert_ok(finish(after(pool, sum_task, sizeof(long), parts, 3), &result));
    assert_int_equal(result, 4 + 9 + 16);
    for (int i = 0; i < 3; i++) future_free(parts[i]);
    pool_destroy(pool);
}

TEST_CASE(a_task_starts_when_the_last_that_it_depends_on_is_done) {
    struct gate *gates = shared(2 * sizeof *gates), *first = &gates[0], *second = &gates[1];
    struct pool *pool = pool_of(3);
    struct future *two[2] = {submit_gated(pool, first), submit_gated(pool, second)};
    struct future *last = after(pool, sum_task, sizeof(long), NULL, 0);
    assert_ok(finish(last, NULL));
    last = after(pool, pid_task, sizeof(pid_t), two, 2);
    gate_open(second);
    assert_ok(future_wait(two[1], PATIENCE));
    assert_code(future_wait(last, 50), POOL_ETIMEDOUT);
    assert_false(future_running(last));
    gate_open(first);
    pid_t pid = 0;
    assert_ok(finish(last, &pid));
    assert_true(pid > 0);
    for (int i = 0; i < 2; i++) future_free(two[i]);
    pool_destroy(pool);
}

/* A large result is not copied: its dependents find it at the address that its task has written into it. */
enum { LARGE = 1 << 20 };

static int make_large(const void *in, void *out) {
    (void)in;
    memcpy(out, &out, sizeof out);
    return 0;
}

static int take_large(const void *in, void *out) {
    (void)in;
    char *made_at;
    size_t size = 0;
    const char *found = task_input(0, &size);
    if (size != LARGE) return 1;
    memcpy(&made_at, found, sizeof made_at);
    *(bool *)out = made_at == found && ((uintptr_t)found & 15) == 0;
    return 0;
}

TEST_CASE(a_large_result_stays_in_place_for_dependents_after_its_handle_is_freed) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *blocker = submit_gated(pool, gate);
    struct future *first[2] = {submit(pool, make_large, NULL, 0, LARGE), blocker};
    struct future *taker = after(pool, take_large, sizeof(bool), first, 2);
    assert_ok(future_wait(first[0], PATIENCE));
    future_free(first[0]); /* done, but still needed */
    future_free(first[1]); /* not done */
    first[0] = first[1] = NULL;
    struct future *more = submit(pool, make_large, NULL, 0, LARGE); /* would get the memory, were it free */
    assert_ok(finish(more, NULL));
    gate_open(gate);
    bool same = false;
    assert_ok(finish(taker, &same));
    assert_true(same);
    pool_destroy(pool);
}

TEST_CASE(a_chain_of_100000_tasks_runs_with_only_its_last_handle_left) {
    size_t length = scaled(100000);
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *blocker = submit_gated(pool, gate);
    long zero = 0, result = -1;
    struct pool_task task = {.fn = sum_task, POOL_IN(&zero), .out_size = sizeof zero};
    struct future *last;
    assert_ok(pool_submit(pool, &task, &last));
    future_free(blocker);
    last = lengthen(pool, last, length);
    gate_open(gate);
    assert_ok(finish(last, &result));
    assert_int_equal(result, (long)length);
    pool_destroy(pool);
}

TEST_CASE(a_failure_at_the_start_of_a_chain_of_100000_tasks_reaches_its_end) {
    size_t length = scaled(100000);
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *blocker = submit_gated(pool, gate);
    struct future *last = submit(pool, fail_task, NULL, 0, 0);
    last = lengthen(pool, last, length);
    gate_open(gate);
    struct pool_failure failure;
    assert_code(future_wait(last, PATIENCE), 0);
    assert_ok(future_failure(last, &failure));
    assert_code(failure.error, POOL_EDEPENDENCY);
    assert_code(failure.cause, POOL_EFAILED);
    assert_int_equal(failure.code, 42);
    assert_contains(failure.message, "POOL_EFAILED: no data today");
    assert_ok(finish(blocker, NULL));
    future_free(last);
    pool_destroy(pool);
}

TEST_CASE(one_task_may_have_10000_dependents_and_10000_dependencies) {
    size_t width = scaled(10000);
    struct pool *pool = pool_of(2);
    struct future **leaves = calloc(width, sizeof(struct future *)), *root = submit_square(pool, 3);
    assert_non_null(leaves);
    for (size_t i = 0; i < width; i++) leaves[i] = after(pool, one_more_task, sizeof(long), &root, 1);
    struct future *sum = after(pool, sum_task, sizeof(long), leaves, width);
    for (size_t i = 0; i < width; i++) future_free(leaves[i]);
    long result = -1;
    assert_ok(finish(sum, &result));
    assert_int_equal(result, 10 * (long)width);
    future_free(root);
    free(leaves);
    pool_destroy(pool);
}

TEST_CASE(graphs_may_have_diamonds_and_name_a_dependency_twice) {
    struct pool *pool = pool_of(2);
    struct future *top = submit_square(pool, 1);
    for (int i = 0; i < 27; i++) { /* each doubles and adds 2: 2^27 paths, 27 diamonds */
        struct future *sides[2] = {after(pool, one_more_task, sizeof(long), &top, 1),
                                   after(pool, one_more_task, sizeof(long), &top, 1)};
        future_free(top);
        top = after(pool, sum_task, sizeof(long), sides, 2);
        future_free(sides[0]);
        future_free(sides[1]);
    }
    struct future *twice[3] = {top, top, top};
    struct future *sum = after(pool, sum_task, sizeof(long), twice, 3);
    long result = -1;
    assert_ok(finish(sum, &result));
    assert_int_equal(result, 3 * ((3L << 27) - 2));
    future_free(top);
    pool_destroy(pool);
}

TEST_CASE(the_failure_of_a_task_tells_which_dependency_failed_first) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct pool_failure failure;
    struct future *running = block_worker(pool, gate);
    struct future *roots[4] = {submit_square(pool, 2), submit_square(pool, 3), submit(pool, fail_task, NULL, 0, 0),
                               submit(pool, crash_task, NULL, 0, 0)};
    struct future *middle = after(pool, sum_task, sizeof(long), roots, 4);
    struct future *both[2] = {roots[0], middle}, *last = after(pool, sum_task, sizeof(long), both, 2);
    gate_open(gate);
    assert_code(future_get(last, NULL, PATIENCE), POOL_EDEPENDENCY);
    assert_ok(future_failure(middle, &failure));
    assert_int_equal(failure.dependency, 2);
    assert_ok(future_failure(last, &failure));
    assert_int_equal(failure.dependency, 1); /* its own, although the rest is about the root's failure */
    assert_code(failure.cause, POOL_EFAILED);
    assert_ok(future_wait(roots[3], PATIENCE));
    struct future *late = after(pool, sum_task, sizeof(long), roots, 4); /* both have failed */
    assert_ok(future_failure(late, &failure));
    assert_int_equal(failure.dependency, 2);
    assert_ok(finish(running, NULL));
    for (int i = 0; i < 4; i++) future_free(roots[i]);
    for (int i = 0; i < 3; i++) future_free((struct future *[]){middle, last, late}[i]);
    pool_destroy(pool);
}

TEST_CASE(the_failure_of_a_task_names_that_of_its_dependency) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct pool_failure failure;
    struct future *root, *last;

    root = submit(pool, crash_task, NULL, 0, 0);
    last = after(pool, sum_task, sizeof(long), &root, 1);
    assert_code(future_get(last, NULL, PATIENCE), POOL_EDEPENDENCY);
    assert_ok(future_failure(last, &failure));
    assert_code(failure.cause, POOL_EDIED);
    assert_true(failure.signal != 0 && failure.worker > 0);
    assert_contains(failure.message, "POOL_EDIED: killed by SIGABRT");
    future_free(last);
    /* A dependency that has failed already. */
    last = after(pool, sum_task, sizeof(long), &root, 1);
    assert_true(future_done(last));
    assert_code(finish(last, NULL), POOL_EDEPENDENCY);
    future_free(root);

    struct future *running = submit_gated(pool, gate);
    root = submit_square(pool, 1);
    last = after(pool, sum_task, sizeof(long), &root, 1);
    assert_ok(future_cancel(root));
    assert_true(future_done(last));
    assert_ok(future_failure(last, &failure));
    assert_code(failure.cause, POOL_ECANCELLED);
    assert_contains(failure.message, "POOL_ECANCELLED");
    assert_null(strstr(failure.message, "POOL_ECANCELLED: POOL_ECANCELLED"));
    future_free(root);
    future_free(last);

    /* One dependency that fails is enough; the others go on. */
    struct future *two[2] = {running, submit(pool, square_task, NULL, 0, 0)};
    last = after(pool, sum_task, sizeof(long), two, 2);
    assert_ok(future_cancel(two[1]));
    assert_true(future_done(last));
    assert_false(future_done(running));
    assert_code(finish(last, NULL), POOL_EDEPENDENCY);
    gate_open(gate);
    assert_ok(finish(running, NULL));
    future_free(two[1]);
    pool_destroy(pool);
}

static int fail_at_three(const void *in, void *out) {
    (void)in;
    (void)out;
    return task_index() == 3 ? task_fail(9, "three") : 0;
}

TEST_CASE(tasks_may_depend_on_jobs) {
    struct pool *pool = pool_of(2);
    long in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, *out = pool_alloc(pool, sizeof in);
    struct pool_job work = {.fn = square_task, POOL_IN(in), POOL_OUT(out), .count = 8};
    struct future *job, *last;
    struct pool_failure failure;
    assert_ok(pool_map_async(pool, &work, &job));
    struct pool_task task = {.fn = square_task, .in = &in[2], .in_size = sizeof *in, .out_size = sizeof(long),
                             .after = &job, .after_count = 1};
    assert_ok(pool_submit(pool, &task, &last));
    long result = -1;
    assert_ok(finish(last, &result));
    assert_int_equal(result, 9);
    assert_int_equal(out[7], 64);
    future_free(job);

    assert_ok(pool_map_async(pool, &(struct pool_job){.fn = fail_at_three, .count = 8}, &job));
    last = after(pool, sum_task, sizeof(long), &job, 1);
    future_free(job);
    assert_code(future_get(last, NULL, PATIENCE), POOL_EDEPENDENCY);
    assert_ok(future_failure(last, &failure));
    assert_int_equal(failure.index, 3);
    assert_int_equal(failure.code, 9);
    assert_contains(failure.message, "POOL_EFAILED: three");
    future_free(last);
    pool_destroy(pool);
}

static int count_inputs(const void *in, void *out) {
    (void)in;
    size_t size = 1;
    const void *beyond = task_input(2, &size);
    ((size_t *)out)[0] = task_input_count();
    ((size_t *)out)[1] = !task_input(0, NULL) && !beyond && size == 0;
    return 0;
}

TEST_CASE(a_dependency_without_a_result_gives_no_input) {
    struct pool *pool = pool_of(1);
    struct future *empty = submit_square(pool, 1), *job;
    assert_ok(pool_map_async(pool, &(struct pool_job){.fn = fail_at_three, .count = 2}, &job));
    struct future *two[2] = {job, empty};
    size_t seen[2] = {9, 9};
    assert_ok(finish(after(pool, count_inputs, sizeof seen, two, 2), seen));
    assert_int_equal(seen[0], 2);
    assert_int_equal(seen[1], 1);
    /* The next task in the same worker has no inputs. */
    assert_ok(finish(submit(pool, count_inputs, NULL, 0, sizeof seen), seen));
    assert_int_equal(seen[0], 0);
    size_t size = 1;
    assert_null(task_input(0, &size));
    assert_int_equal(size, 0);
    assert_int_equal(task_input_count(), 0);
    future_free(empty);
    future_free(job);
    pool_destroy(pool);
}

static int shrink_task(const void *in, void *out) {
    size_t size = *(const size_t *)in;
    fill(out, size, size);
    return task_resize(size);
}

static int check_shrunk(const void *in, void *out) {
    (void)in;
    (void)out;
    for (size_t i = 0; i < task_input_count(); i++) {
        size_t size = 1;
        const void *input = task_input(i, &size);
        if (size != i || (size && !filled(input, size, size))) return task_fail(1, "input %zu has %zu bytes", i, size);
    }
    return 0;
}

TEST_CASE(an_input_is_as_long_as_the_result_of_its_task) {
    struct pool *pool = pool_of(2);
    for (size_t most = 48; most <= 480; most *= 10) { /* results in the caller's memory; in shared memory */
        struct future *parts[48];
        for (size_t i = 0; i < COUNT(parts); i++) parts[i] = submit(pool, shrink_task, &i, sizeof i, most);
        struct future *early = after(pool, check_shrunk, 0, parts, COUNT(parts));
        assert_ok(finish(early, NULL));
        assert_ok(finish(after(pool, check_shrunk, 0, parts, COUNT(parts)), NULL));
        for (size_t i = 0; i < COUNT(parts); i++) future_free(parts[i]);
    }
    pool_destroy(pool);
}

TEST_CASE(tasks_held_by_dependencies_can_be_cancelled_killed_and_freed) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *root = submit_gated(pool, gate), *held[4];
    for (int i = 0; i < 4; i++) held[i] = after(pool, i == 3 ? count_inputs : crash_task, 16, &root, 1);
    struct future *child = after(pool, crash_task, 0, &held[0], 1);
    assert_ok(future_cancel(held[0]));
    assert_code(finish(held[0], NULL), POOL_ECANCELLED);
    assert_code(finish(child, NULL), POOL_EDEPENDENCY);
    assert_ok(future_kill(held[1]));
    assert_code(finish(held[1], NULL), POOL_ECANCELLED);
    assert_ok(future_cancel(held[2]));
    future_free(held[2]);
    future_free(held[3]); /* the task still runs */
    gate_open(gate);
    assert_ok(finish(root, NULL));
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
}

TEST_CASE(shutdown_finishes_or_cancels_graphs_and_destroy_ends_them) {
    for (int way = 0; way < 3; way++) {
        struct gate *gate = shared(sizeof *gate);
        struct pool *pool = pool_of(1);
        struct future *root = block_worker(pool, gate);
        struct future *second = after(pool, pid_task, sizeof(pid_t), &root, 1);
        struct future *third = after(pool, pid_task, sizeof(pid_t), &second, 1);
        if (way == 0) {
            gate_open(gate);
            assert_ok(pool_shutdown(pool, 0, PATIENCE));
        } else if (way == 1) {
            assert_code(pool_shutdown(pool, POOL_CANCEL_PENDING, 0), POOL_ETIMEDOUT);
            gate_open(gate);
        }
        int outcome = way == 0 ? 0 : POOL_ECANCELLED;
        if (way == 2) pool_destroy(pool);
        assert_code(finish(third, NULL), outcome);
        assert_code(finish(second, NULL), outcome);
        assert_code(finish(root, NULL), way == 2 ? POOL_ECANCELLED : 0);
        if (way != 2) pool_destroy(pool);
    }
}

static int die_once(const void *in, void *out) {
    atomic_int *tries = *(atomic_int *const *)in;
    if (atomic_fetch_add(tries, 1) == 0) abort();
    *(long *)out = *(const long *)task_input(0, NULL);
    return 0;
}

TEST_CASE(a_retry_has_the_same_inputs) {
    atomic_int *tries = shared(sizeof *tries);
    struct pool *pool = pool_of(1);
    struct future *root = submit_square(pool, 9), *last;
    struct pool_task task = {.fn = die_once, POOL_IN(&tries), .out_size = sizeof(long), .retries = 1, .after = &root,
                             .after_count = 1};
    assert_ok(pool_submit(pool, &task, &last));
    future_free(root);
    long result = -1;
    assert_ok(finish(last, &result));
    assert_int_equal(result, 81);
    pool_destroy(pool);
}

TEST_CASE(pool_poll_moves_graphs_on) {
    struct pool *pool = pool_of(1);
    struct pollfd fd = {.fd = pool_fd(pool), .events = POLLIN};
    struct future *last = submit_square(pool, 1);
    last = lengthen(pool, last, 50);
    int done = 0;
    while (done < 51) {
        assert_int_equal(poll(&fd, 1, PATIENCE), 1);
        done += pool_poll(pool, 0);
    }
    long result = -1;
    assert_ok(finish(last, &result));
    assert_int_equal(result, 51);
    pool_destroy(pool);
}

TEST_CASE(wrong_arguments_have_their_codes) {
    struct pool *pool = pool_of(1), *other = pool_of(1);
    struct future *mine = submit_square(pool, 1), *foreign = submit_square(other, 1), *future = NULL;
    struct future *list[2] = {mine, NULL};
    struct pool_task task = {.fn = pid_task, .out_size = sizeof(pid_t), .after = NULL, .after_count = 1};
    assert_code(pool_submit(pool, &task, &future), POOL_EINVAL);
    task.after = list;
    task.after_count = 2;
    assert_code(pool_submit(pool, &task, &future), POOL_EINVAL);
    list[1] = foreign;
    assert_code(pool_submit(pool, &task, &future), POOL_EINVAL);
    assert_null(future);
    assert_ok(finish(mine, NULL));
    assert_ok(finish(foreign, NULL));
    pool_destroy(pool);
    pool_destroy(other);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_task_reads_the_results_of_those_it_depends_on),
        TEST(a_task_starts_when_the_last_that_it_depends_on_is_done),
        TEST(a_large_result_stays_in_place_for_dependents_after_its_handle_is_freed),
        TEST(a_chain_of_100000_tasks_runs_with_only_its_last_handle_left),
        TEST(a_failure_at_the_start_of_a_chain_of_100000_tasks_reaches_its_end),
        TEST(one_task_may_have_10000_dependents_and_10000_dependencies),
        TEST(graphs_may_have_diamonds_and_name_a_dependency_twice),
        TEST(the_failure_of_a_task_tells_which_dependency_failed_first),
        TEST(the_failure_of_a_task_names_that_of_its_dependency),
        TEST(tasks_may_depend_on_jobs),
        TEST(a_dependency_without_a_result_gives_no_input),
        TEST(an_input_is_as_long_as_the_result_of_its_task),
        TEST(tasks_held_by_dependencies_can_be_cancelled_killed_and_freed),
        TEST(shutdown_finishes_or_cancels_graphs_and_destroy_ends_them),
        TEST(a_retry_has_the_same_inputs),
        TEST(pool_poll_moves_graphs_on),
        TEST(wrong_arguments_have_their_codes),
    };
    return run_group("graph", tests, COUNT(tests), argc, argv);
}
