/* The queue of waiting tasks: the highest priority first, equal ones in the order of submission. */
#include "support.h"

#include "pool/pool.h"

enum { FUTURES = 400 };

static struct future futures[FUTURES];

/* The model: the waiting futures, in order within each priority. */
static struct future *waiting[FUTURES];
static size_t count;

static struct future *expected_first(void) {
    struct future *first = count ? waiting[0] : NULL;
    for (size_t i = 1; i < count; i++)
        if (waiting[i]->task.priority > first->task.priority) first = waiting[i];
    return first;
}

static void model_add(struct future *future, bool in_front) {
    size_t at = in_front ? 0 : count;
    memmove(waiting + at + 1, waiting + at, (count - at) * sizeof *waiting);
    waiting[at] = future;
    count++;
}

static void model_remove(struct future *future) {
    size_t at = 0;
    while (waiting[at] != future) at++;
    memmove(waiting + at, waiting + at + 1, (--count - at) * sizeof *waiting);
}

TEST_CASE(the_first_is_the_oldest_of_the_highest_priority) {
    struct pp_queue queue = {.buckets = NULL};
    uint64_t random = 1;
    count = 0;
    memset(futures, 0, sizeof futures);
    for (size_t step = 0; step < scaled(100000); step++) {
        struct future *future = &futures[(random = scramble(random)) % FUTURES];
        if (future->queued) {
            if (step % 3 == 0) future = pp_queue_first(&queue);
            model_remove(future);
            pp_queue_remove(&queue, future);
            assert_false(future->queued);
        } else {
            future->task.priority = (int)(scramble(random) % 12) * (step % 2 ? -178956970 : 178956970);
            bool in_front = scramble(random + 1) % 4 == 0;
            model_add(future, in_front);
            assert_true(pp_queue_add(&queue, future, in_front));
            assert_true(future->queued);
        }
        assert_true(pp_queue_first(&queue) == expected_first());
    }
    while (count) {
        struct future *first = pp_queue_first(&queue);
        assert_true(first == expected_first());
        model_remove(first);
        pp_queue_remove(&queue, first);
    }
    assert_null(pp_queue_first(&queue));
    assert_int_equal(queue.count, 0);
    pp_queue_end(&queue);
}

TEST_CASE(the_extreme_priorities_are_ordered_too) {
    static const int priorities[] = {INT32_MIN, -1, 0, 1, INT32_MAX};
    struct pp_queue queue = {.buckets = NULL};
    memset(futures, 0, sizeof futures);
    for (size_t i = 0; i < COUNT(priorities); i++) {
        futures[i].task.priority = priorities[(i * 3) % COUNT(priorities)];
        assert_true(pp_queue_add(&queue, &futures[i], false));
    }
    for (size_t i = COUNT(priorities); i-- > 0;) {
        struct future *first = pp_queue_first(&queue);
        assert_int_equal(first->task.priority, priorities[i]);
        pp_queue_remove(&queue, first);
    }
    pp_queue_end(&queue);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(the_first_is_the_oldest_of_the_highest_priority),
        TEST(the_extreme_priorities_are_ordered_too),
    };
    return run_group("queue", tests, COUNT(tests), argc, argv);
}
