/* Parking and waking: a task that is published while workers fall asleep is found by one of them. */
#include "threads.h"

#include "shared/park.h"
#include "shared/ring.h"
#include "base/sys.h"

#ifndef GROUP
#define GROUP "shared_park"
#define FUTEX LINUX /* whether workers sleep on a futex */
#endif

enum { SLEEPERS = 4 };

static struct {
    struct pp_shared memory;
    int pipe[2];
    atomic_size_t taken, taken_by[SLEEPERS];
    atomic_bool over;
    bool hesitates; /* whether workers are delayed between their last look and the sleep */
} bed;

static void *sleep_and_take(void *argument) {
    uint32_t number = (uint32_t)(uintptr_t)argument;
    struct pp_record *record = &bed.memory.records[number];
    uint64_t tickets[PP_CLAIMED_MOST], random = number;
    while (!atomic_load(&bed.over)) {
        unsigned count = pp_ring_take(&bed.memory, record, PP_CLAIMED_MOST, tickets);
        atomic_fetch_add(&bed.taken_by[number], count);
        atomic_fetch_add(&bed.taken, count);
        if (count) continue;
        if (bed.hesitates) stumble(&random);
        uint32_t seen = pp_park_begin(&bed.memory, number);
        bool stay = true;
        if (pp_ring_is_empty(&bed.memory) && !atomic_load(&bed.over)) {
            if (bed.hesitates) stumble(&random);
            stay = pp_park(&bed.memory, number, bed.pipe[0], seen, UINT64_MAX) != PP_ORPHANED;
        }
        pp_park_end(&bed.memory, number);
        if (!stay) return NULL;
    }
    return NULL;
}

static void begin_bed(struct threads *threads, bool hesitates) {
    memset(&bed, 0, sizeof bed);
    bed.memory = make_memory(SLEEPERS);
    bed.hesitates = hesitates;
    assert_int_equal(pp_pipe(bed.pipe), 0);
    for (uintptr_t i = 0; i < SLEEPERS; i++) start_thread(threads, sleep_and_take, (void *)i);
}

static void end_bed(struct threads *threads) {
    atomic_store(&bed.over, true);
    atomic_thread_fence(memory_order_seq_cst);
    for (int i = 0; i < 20; i++) {
        pp_wake_all(&bed.memory, bed.pipe[1]);
        sleep_ms(1);
    }
    pp_close(&bed.pipe[1]);
    join_all(threads);
    pp_close(&bed.pipe[0]);
    pp_shared_unmake(&bed.memory);
}

static void wait_for(size_t published) {
    int64_t start = now_ms();
    for (unsigned i = 0; atomic_load(&bed.taken) < published; i++) {
        if (i % 1000 == 999) assert_true(now_ms() - start < PATIENCE / 2);
        sched_yield();
    }
}

/* Publishes tickets and waits until they are claimed: a lost wake-up would leave them there for ever. */
static void publish(size_t count, uint64_t most_at_once) {
    uint64_t random = 21;
    struct pp_wakes wakes = {0};
    size_t published = 0;
    while (published < count) {
        uint64_t burst = 1 + next_random(&random) % most_at_once;
        for (uint64_t i = 0; i < burst; i++) assert_true(pp_ring_push(&bed.memory, ticket_number(++published)));
        pp_wake(&bed.memory, bed.pipe[1], &wakes, (uint32_t)burst);
        wait_for(published);
        if (next_random(&random) % 8 == 0) sleep_ms(1); /* all workers are asleep */
        else for (uint64_t i = next_random(&random) % 8; i; i--) stumble(&random); /* some are about to sleep */
    }
}

TEST_CASE(no_wake_up_is_lost) {
    struct threads threads = {.count = 0};
    begin_bed(&threads, false);
    publish(scaled(20000), 1);
    end_bed(&threads);
}

TEST_CASE(no_wake_up_of_several_is_lost) {
    struct threads threads = {.count = 0};
    begin_bed(&threads, true);
    publish(scaled(50000), 6);
    end_bed(&threads);
}

static uint64_t taken_by_all(void) {
    return atomic_load(&bed.memory.status->woken);
}

static bool all_are_asleep(void) {
    for (int64_t start = now_ms(); now_ms() - start < PATIENCE;) {
        if (atomic_load(&bed.memory.status->asleep[0]) == (1U << SLEEPERS) - 1) {
            sleep_ms(5); /* the sleep comes after the bit */
            return true;
        }
        sleep_ms(1);
    }
    return false;
}

TEST_CASE(one_task_wakes_one_worker) {
    struct threads threads = {.count = 0};
    begin_bed(&threads, false);
    struct pp_wakes wakes = {0};
    uint64_t before;
    assert_true(all_are_asleep());
    before = taken_by_all();
    for (int i = 1; i <= 20; i++) {
        assert_true(pp_ring_push(&bed.memory, ticket_number((uint64_t)i)));
        pp_wake(&bed.memory, bed.pipe[1], &wakes, 1);
        wait_for((size_t)i);
        assert_true(all_are_asleep());
    }
    assert_true(taken_by_all() - before <= 20); /* a worker that was about to sleep is not counted */
    /* With a futex it is always the same worker, whose memory is in the CPU's caches. */
    if (FUTEX) assert_true(atomic_load(&bed.taken_by[0]) > 10);
    end_bed(&threads);
}

/* The kernel would find no sleeper, and each system call costs the caller more than most tasks. */
TEST_CASE(a_worker_that_is_about_to_sleep_is_woken_once) {
    struct pp_shared memory = make_memory(1);
    struct pp_wakes wakes = {0};
    int pipe[2];
    assert_int_equal(pp_pipe(pipe), 0);
    uint32_t seen[3];
    for (int i = 0; i < 3; i++) {
        seen[0] = pp_park_begin(&memory, 0);
        pp_wake(&memory, pipe[1], &wakes, 1);
        seen[1] = memory.control->wakes;
        for (int j = 0; j < 5; j++) pp_wake(&memory, pipe[1], &wakes, 1);
        seen[2] = memory.control->wakes;
        assert_int_equal(seen[1] - seen[0], FUTEX);
        assert_int_equal(seen[2] - seen[1], 0);
        assert_int_equal(pp_park(&memory, 0, pipe[0], seen[0], UINT64_MAX), PP_WOKEN);
        pp_park_end(&memory, 0);
    }
    char byte;
    assert_int_equal(pp_read(pipe[0], &byte, 1), -1); /* wake-ups through the pipe: one byte was written for each */
    pp_close(&pipe[0]);
    pp_close(&pipe[1]);
    pp_shared_unmake(&memory);
}

TEST_CASE(a_wake_up_given_to_a_dead_worker_is_given_again) {
    struct pp_shared memory = make_memory(1);
    int pipe[2];
    struct pp_wakes wakes = {.given = 1}; /* to worker 0, which sleeps and dies before it takes the wake-up */
    assert_int_equal(pp_pipe(pipe), 0);
    pp_park_begin(&memory, 0);
    pp_park_died(&memory, 0);
    pp_park_begin(&memory, 0); /* the worker that replaces it */
    uint32_t before = memory.control->wakes;
    char byte;
    pp_wake(&memory, pipe[1], &wakes, 1);
    assert_true(memory.control->wakes != before || pp_read(pipe[0], &byte, 1) == 1);
    pp_close(&pipe[0]);
    pp_close(&pipe[1]);
    pp_shared_unmake(&memory);
}

/* Each worker in turn is the only one that sleeps, so that its bit is the only one of many words. */
TEST_CASE(each_sleeping_worker_is_found) {
    struct pp_shared memory = make_memory(PP_WORKERS);
    for (uint32_t worker = 0; worker < PP_WORKERS; worker += 61) {
        struct pp_wakes wakes = {0};
        int pipe[2];
        assert_int_equal(pp_pipe(pipe), 0);
        pp_park_begin(&memory, worker);
        uint32_t before = memory.control->wakes;
        pp_wake(&memory, pipe[1], &wakes, 1);
        char byte;
        assert_true(memory.control->wakes != before || pp_read(pipe[0], &byte, 1) == 1);
        pp_park_end(&memory, worker);
        before = memory.control->wakes;
        pp_wake(&memory, pipe[1], &wakes, 1);
        assert_int_equal(memory.control->wakes, before);
        pp_close(&pipe[0]);
        pp_close(&pipe[1]);
    }
    pp_shared_unmake(&memory);
}

TEST_CASE(a_wake_up_lost_by_wrong_counts_is_made_up_for) {
    struct threads threads = {.count = 0};
    begin_bed(&threads, false);
    struct pp_wakes wakes = {0};
    uint64_t random = 31;
    for (uint64_t i = 1; i <= scaled(200); i++) {
        sleep_ms(2); /* most workers are asleep */
        /* A task scribbles on the counts. */
        atomic_store(&bed.memory.status->woken, next_random(&random) % 2 ? random : wakes.given);
        atomic_store(&bed.memory.status->asleep[0], next_random(&random));
        if (next_random(&random) % 2) atomic_store(&bed.memory.status->parkings, wakes.spent);
        assert_true(pp_ring_push(&bed.memory, ticket_number(i)));
        pp_wake(&bed.memory, bed.pipe[1], &wakes, 1);
        sleep_ms(1);
        pp_wake_all(&bed.memory, bed.pipe[1]); /* as a look at shared memory does */
        wait_for((size_t)i);
        atomic_fetch_and(&bed.memory.status->asleep[0], (1U << SLEEPERS) - 1);
    }
    end_bed(&threads);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(no_wake_up_is_lost),
        TEST(no_wake_up_of_several_is_lost),
        TEST(one_task_wakes_one_worker),
        TEST(a_worker_that_is_about_to_sleep_is_woken_once),
        TEST(a_wake_up_given_to_a_dead_worker_is_given_again),
        TEST(each_sleeping_worker_is_found),
        TEST(a_wake_up_lost_by_wrong_counts_is_made_up_for),
    };
    return run_group(GROUP, tests, COUNT(tests), argc, argv);
}
