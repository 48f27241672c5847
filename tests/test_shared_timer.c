/* Time-outs as the supervisor checks them, with records, state words and a clock that the test makes up. */
#include "threads.h"


#include "shared/command.h"
#include "shared/plan.h"
#include "shared/record.h"
#include "shared/notice.h"
#include "shared/state.h"
#include "shared/stretch.h"
#include "base/sys.h"
#include "shared/timer.h"

#define MS ((uint64_t)1000000)
#define NOW ((uint64_t)1000000000000)

enum { WORKERS = 3 };

static struct pp_shared memory;
static struct pp_timer timer;
static unsigned kills[WORKERS];
static uint64_t cpu_times[WORKERS];

static void count_kill(void *context, uint32_t worker) {
    assert_true(context == kills && worker < WORKERS);
    kills[worker]++;
}

static uint64_t cpu_time(void *context, uint32_t worker) {
    assert_true(context == kills && worker < WORKERS);
    return cpu_times[worker];
}

static uint64_t check_at(uint64_t now) {
    static const struct pp_timer_hands hands = {.kill = count_kill, .cpu_time = cpu_time, .context = kills};
    return pp_timer_check(&memory, now, &timer, &hands);
}

/* Makes a worker of life 9 that runs the task of generation 3 in slot 5 since `started`. */
static _Atomic uint64_t *run_task(uint32_t worker, int32_t timeout, uint64_t started) {
    atomic_store(&memory.control->lives[worker], 9);
    atomic_store(&memory.records[worker].current, pp_ticket(5, 3));
    atomic_store(&memory.records[worker].started, started);
    memory.descs[5].timeout = timeout;
    atomic_store(&memory.outcomes[5].state, pp_state(3, PP_RUNNING, worker, 9));
    return &memory.outcomes[5].state;
}

static void begin(void) {
    memory = make_memory(WORKERS);
    memset(kills, 0, sizeof kills);
    atomic_store(&memory.control->timed, 1);
    atomic_store(&memory.control->timers_on, 1);
    memset(&timer, 0, sizeof timer);
    timer.shortest = 50;
    for (int w = 0; w < WORKERS; w++) cpu_times[w] = 7000 * MS;
}

static unsigned all_kills(void) {
    return kills[0] + kills[1] + kills[2];
}

TEST_CASE(an_overdue_task_is_marked_and_then_its_worker_killed_once) {
    begin();
    _Atomic uint64_t *word = run_task(1, 20, NOW);
    assert_true(check_at(NOW) == NOW + 20 * MS);
    assert_true(check_at(NOW + 19 * MS) == NOW + 20 * MS);
    assert_int_equal(all_kills(), 0);
    assert_true(check_at(NOW + 20 * MS) == NOW + 70 * MS); /* when a task that starts now would be due */
    assert_int_equal(kills[1], 1);
    assert_true(*word == pp_state(3, PP_OVERDUE, 1, 9));
    check_at(NOW + 90 * MS);
    assert_int_equal(all_kills(), 1);
    pp_shared_unmake(&memory);
}

TEST_CASE(a_task_that_the_worker_does_not_run_is_left_alone) {
    static const struct {
        uint32_t generation, worker, life;
        enum pp_phase phase;
        int32_t timeout;
    } cases[] = {{3, 1, 9, PP_PENDING, 20}, {3, 1, 9, PP_DONE, 20},    {3, 1, 9, PP_KILLED, 20},
                 {3, 1, 9, PP_OVERDUE, 20}, {3, 1, 9, PP_FREE, 20},    {3, 1, 9, PP_CANCELLED, 20},
                 {4, 1, 9, PP_RUNNING, 20}, {3, 2, 9, PP_RUNNING, 20}, {3, 1, 8, PP_RUNNING, 20},
                 {3, 1, 9, PP_RUNNING, 0},  {3, 1, 9, PP_RUNNING, -7}, {3, 4095, 9, PP_RUNNING, 20}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        begin();
        _Atomic uint64_t *word = run_task(1, cases[i].timeout, NOW);
        uint64_t held = pp_state(cases[i].generation, cases[i].phase, cases[i].worker, cases[i].life);
        atomic_store(word, held);
        assert_true(check_at(NOW + 1000 * MS) == NOW + 1050 * MS);
        assert_int_equal(all_kills(), 0);
        assert_true(*word == held);
        pp_shared_unmake(&memory);
    }
}

/* A worker may not have written its start yet, or have written no time of the past: it has not started later than
 * now. */
TEST_CASE(an_unknown_start_counts_from_the_first_check) {
    const uint64_t starts[] = {0, UINT64_MAX, NOW + 1, NOW + 1000000 * MS, (uint64_t)1 << 63};
    for (size_t i = 0; i < COUNT(starts); i++) {
        begin();
        _Atomic uint64_t *word = run_task(0, 20, starts[i]);
        assert_true(check_at(NOW) == NOW + 20 * MS);
        check_at(NOW + 19 * MS);
        assert_int_equal(all_kills(), 0);
        check_at(NOW + 20 * MS);
        assert_int_equal(kills[0], 1);
        assert_int_equal(pp_phase_of(*word), PP_OVERDUE);
        pp_shared_unmake(&memory);
    }
}

static struct pp_job_plan *run_item(uint32_t worker, int32_t timeout, uint64_t started) {
    struct pp_job_plan *plan = (void *)memory.inputs;
    plan->timeout = timeout;
    memory.descs[6].timeout = PP_IS_JOB;
    memory.descs[6].in = plan;
    atomic_store(&memory.control->lives[worker], 9);
    atomic_store(&memory.records[worker].job, pp_ticket(6, 1));
    atomic_store(&memory.records[worker].started, started);
    atomic_store(&memory.records[worker].item, pp_state(77, PP_RUNNING, worker, 9));
    return plan;
}

TEST_CASE(an_item_of_a_job_is_timed_by_the_word_of_its_worker) {
    begin();
    run_item(2, 30, NOW);
    assert_true(check_at(NOW + 1 * MS) == NOW + 30 * MS);
    /* The worker goes on to the next item. */
    atomic_store(&memory.records[2].started, NOW + 25 * MS);
    atomic_store(&memory.records[2].item, pp_state(78, PP_RUNNING, 2, 9));
    assert_true(check_at(NOW + 30 * MS) == NOW + 55 * MS);
    assert_int_equal(all_kills(), 0);
    check_at(NOW + 55 * MS);
    assert_int_equal(kills[2], 1);
    assert_true(memory.records[2].item == pp_state(78, PP_OVERDUE, 2, 9));
    pp_shared_unmake(&memory);
}

/* ---- CPU time, by a clock for each worker that the test makes up */

static _Atomic uint64_t *run_limited_task(uint32_t worker, uint32_t slot, int32_t cpu_timeout) {
    atomic_store(&memory.control->lives[worker], 9);
    atomic_store(&memory.records[worker].current, pp_ticket(slot, 3));
    memory.descs[slot].timeout = cpu_timeout ? PP_HAS_LIMITS : 0;
    if (cpu_timeout) memory.limits[slot] = (struct pp_limits){.cpu_timeout = cpu_timeout};
    atomic_store(&memory.outcomes[slot].state, pp_state(3, PP_RUNNING, worker, 9));
    return &memory.outcomes[slot].state;
}

/* A look at this time of the worker's CPU clock, in ms. */
static void look_at(uint32_t worker, uint64_t cpu) {
    cpu_times[worker] = cpu * MS;
    check_at(NOW);
}

TEST_CASE(cpu_time_counts_from_the_first_look_at_a_task) {
    begin();
    _Atomic uint64_t *word = run_limited_task(1, 5, 20);
    look_at(1, 100); /* it may have been started just now */
    look_at(1, 119);
    assert_int_equal(all_kills(), 0);
    look_at(1, 120);
    assert_int_equal(kills[1], 1);
    assert_true(*word == pp_state(3, PP_SPENT, 1, 9));
    look_at(1, 500);
    assert_int_equal(all_kills(), 1);
    pp_shared_unmake(&memory);
}

TEST_CASE(cpu_time_of_another_task_or_life_or_an_unknown_clock_does_not_count) {
    begin();
    _Atomic uint64_t *first = run_limited_task(1, 5, 20);
    look_at(1, 100);
    atomic_store(first, pp_state(3, PP_DONE, 1, 9));
    run_limited_task(1, 6, 20); /* the slot differs, the word does not */
    look_at(1, 130);
    atomic_store(&memory.outcomes[6].state, pp_state(4, PP_RUNNING, 1, 9));
    atomic_store(&memory.records[1].current, pp_ticket(6, 4));
    look_at(1, 160);
    atomic_store(&memory.control->lives[1], 10);
    atomic_store(&memory.outcomes[6].state, pp_state(4, PP_RUNNING, 1, 10));
    look_at(1, 3); /* another process */
    look_at(1, 22);
    cpu_times[1] = 0;
    check_at(NOW);
    look_at(1, 50);
    look_at(1, 69);
    run_limited_task(2, 7, 0); /* no limit; the table has an old one */
    memory.limits[7].cpu_timeout = 1;
    look_at(2, 100);
    look_at(2, 9000);
    assert_int_equal(all_kills(), 0);
    look_at(1, 70);
    assert_int_equal(kills[1], 1);
    pp_shared_unmake(&memory);
}

TEST_CASE(a_task_runs_until_its_word_has_ended_whatever_the_record_says) {
    begin();
    _Atomic uint64_t *word = run_limited_task(1, 5, 20);
    look_at(1, 100);
    atomic_store(&memory.records[1].current, 0);
    look_at(1, 119);
    atomic_store(&memory.records[1].current, pp_ticket(6, 3));
    assert_int_equal(all_kills(), 0);
    look_at(1, 120);
    assert_int_equal(kills[1], 1);
    assert_true(*word == pp_state(3, PP_SPENT, 1, 9));
    pp_shared_unmake(&memory);
}

TEST_CASE(the_first_limit_that_is_passed_is_told) {
    begin();
    _Atomic uint64_t *word = run_limited_task(0, 5, 20);
    memory.limits[5].timeout = 30;
    atomic_store(&memory.records[0].started, NOW);
    look_at(0, 100);
    cpu_times[0] = 119 * MS;
    check_at(NOW + 30 * MS);
    assert_true(*word == pp_state(3, PP_OVERDUE, 0, 9));
    word = run_limited_task(0, 6, 20);
    memory.limits[6].timeout = 30;
    look_at(0, 100);
    look_at(0, 120);
    assert_true(*word == pp_state(3, PP_SPENT, 0, 9));
    assert_int_equal(kills[0], 2);
    pp_shared_unmake(&memory);
}

TEST_CASE(cpu_time_of_an_item_counts_from_the_first_look_at_it) {
    begin();
    run_item(2, 0, NOW)->cpu_timeout = 20;
    look_at(2, 100);
    look_at(2, 119);
    atomic_store(&memory.records[2].item, pp_state(78, PP_RUNNING, 2, 9)); /* the next item */
    look_at(2, 125);
    look_at(2, 144);
    assert_int_equal(all_kills(), 0);
    look_at(2, 145);
    assert_int_equal(kills[2], 1);
    assert_true(memory.records[2].item == pp_state(78, PP_SPENT, 2, 9));
    pp_shared_unmake(&memory);
}

/* A worker in a visit, at a position of a stretch of 100. */
static struct pp_record *stay_at(uint32_t worker, uint64_t position, uint64_t shift) {
    struct pp_record *record = &memory.records[worker];
    atomic_store(&record->single, PP_WHOLE_VISIT);
    atomic_store(&record->shift[0], shift);
    atomic_store(&record->progress, position);
    atomic_store(&record->bound, (100 + shift) << PP_BOUND_BITS | PP_BOUND_FENCED | PP_BOUND_OPEN);
    return record;
}

TEST_CASE(an_item_of_a_visit_is_due_once_it_was_seen_for_its_time) {
    begin();
    run_item(2, 30, 0);
    struct pp_record *record = stay_at(2, 7, 5000);
    assert_true(check_at(NOW) == NOW + 30 * MS);
    stay_at(2, 8, 5000); /* the next item */
    check_at(NOW + 30 * MS);
    stay_at(2, 8, 6000); /* the same position of another round */
    assert_true(check_at(NOW + 59 * MS) == NOW + 89 * MS);
    check_at(NOW + 88 * MS);
    assert_int_equal(all_kills(), 0);
    check_at(NOW + 89 * MS);
    assert_int_equal(kills[2], 1);
    assert_int_equal(pp_phase_of(record->item), PP_OVERDUE);
    assert_int_equal(pp_bound_state(record->bound), PP_BOUND_CLOSED);
    /* It has finished the item meanwhile. */
    struct pp_notice death = {.worker = 2, .life = 9};
    death.left = pp_record_snapshot(&memory, 2);
    death.left.progress = 9;
    pp_timer_amend(&timer, &death);
    assert_int_equal(death.left.progress, 8);
    death.life = 10;
    death.left.progress = 9;
    pp_timer_amend(&timer, &death);
    assert_int_equal(death.left.progress, 9);
    pp_shared_unmake(&memory);
}

/* A task has overwritten its worker's bound. */
TEST_CASE(a_worker_that_hides_where_it_is_is_overdue_a_second_later) {
    begin();
    run_item(2, 30, 0);
    atomic_store(&stay_at(2, 7, 5000)->bound, 0);
    check_at(NOW);
    check_at(NOW + 1029 * MS);
    assert_int_equal(all_kills(), 0);
    check_at(NOW + 1030 * MS);
    assert_int_equal(kills[2], 1);
    pp_shared_unmake(&memory);
}

TEST_CASE(the_supervisor_looks_often_enough_for_each_limit) {
    static const struct {
        int32_t timeout, cpu_timeout, interval;
    } cases[] = {{0, 0, 0},     {80, 0, 10},  {0, 1, 1},       {0, 7, 1},          {0, 80, 10},
                 {0, 3000, 100}, {5, 800, 1}, {500, 160, 20}, {0, INT32_MAX, 100}, {INT32_MAX, 0, 100}};
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(pp_timer_interval(cases[i].timeout, cases[i].cpu_timeout), cases[i].interval);
}

TEST_CASE(a_senseless_job_ticket_is_ignored) {
    const uint64_t tickets[] = {0, pp_ticket(7, 1), pp_ticket(PP_SLOTS, 1), pp_ticket(UINT32_MAX, 1), UINT64_MAX};
    for (size_t i = 0; i < COUNT(tickets); i++) {
        begin();
        run_item(2, 30, NOW);
        atomic_store(&memory.records[2].job, tickets[i]);
        atomic_store(&memory.records[2].current, tickets[i] & ~(uint64_t)1 << 32);
        check_at(NOW + 1000 * MS);
        assert_int_equal(all_kills(), 0);
        pp_shared_unmake(&memory);
    }
}

TEST_CASE(the_clock_stops_without_tasks_that_have_a_time_out) {
    begin();
    atomic_store(&memory.control->timed, 0);
    assert_true(check_at(NOW) == UINT64_MAX);
    assert_int_equal(timer.shortest, 0);
    assert_int_equal(memory.control->timers_on, 0);
    atomic_store(&memory.control->timed, 1); /* the clock starts again only upon a command */
    assert_true(check_at(NOW) == UINT64_MAX);
    pp_shared_unmake(&memory);
}

TEST_CASE(random_records_cause_no_more_than_two_kills_a_worker) {
    uint64_t random = 3;
    begin();
    for (size_t round = 0; round < scaled(20000); round++) {
        unsigned before[WORKERS];
        memcpy(before, kills, sizeof before);
        for (uint32_t w = 0; w < WORKERS; w++) {
            struct pp_record *r = &memory.records[w];
            uint32_t slot = (uint32_t)(next_random(&random) % 16 ? next_random(&random) % 8 : random);
            atomic_store(&r->current, pp_ticket(slot, (uint32_t)next_random(&random) % 4));
            atomic_store(&r->job, pp_ticket(next_random(&random) % 2 ? 6 : slot, 1));
            atomic_store(&r->item, pp_state((uint32_t)random, (enum pp_phase)(next_random(&random) % 16), w, 9));
            atomic_store(&r->started, next_random(&random) % 2 ? NOW - random % (100 * MS) : random);
            if (slot < 8) atomic_store(&memory.outcomes[slot].state, next_random(&random) % 4 << 32 | random % 256);
        }
        run_item(2, 30, NOW)->timeout = (int32_t)(next_random(&random) % 60) - 20;
        uint64_t next = check_at(NOW);
        assert_true(next > NOW && next <= NOW + 50 * MS);
        for (uint32_t w = 0; w < WORKERS; w++) assert_true(kills[w] <= before[w] + 2);
    }
    pp_shared_unmake(&memory);
}

/* ---- The clock starts with the first timed task and stops after the last; no start may be lost between */

static struct {
    int control[2];
    atomic_uint kills;
} clock_;

static void swap_only(void *context, uint32_t worker) {
    (void)context, (void)worker;
    atomic_fetch_add(&clock_.kills, 1);
}

/* The supervisor's loop, without its processes. */
static void *supervise(void *unused) {
    (void)unused;
    static struct pp_timer told;
    static const struct pp_timer_hands hands = {.kill = swap_only};
    memset(&told, 0, sizeof told);
    uint64_t next_check = UINT64_MAX;
    for (;;) {
        if (next_check == 0 || pp_now() >= next_check)
            next_check = pp_timer_check(&memory, pp_now(), &told, &hands);
        struct pollfd fd = {.fd = clock_.control[0], .events = POLLIN};
        if (pp_poll(&fd, 1, next_check) <= 0) continue;
        struct pp_command command;
        int got;
        while ((got = pp_command_receive(clock_.control[0], &command)) > 0) {
            if (told.shortest == 0 || command.value < told.shortest) told.shortest = command.value;
            next_check = 0;
        }
        if (got < 0) return NULL;
    }
}

TEST_CASE(no_time_out_is_forgotten) {
    begin();
    atomic_store(&memory.control->timed, 0);
    atomic_store(&memory.control->timers_on, 0);
    atomic_store(&clock_.kills, 0);
    assert_int_equal(pp_pipe(clock_.control), 0);
    for (int32_t timeout = 1; timeout <= 5; timeout++) memory.descs[5 + timeout].timeout = timeout;
    atomic_store(&memory.control->lives[1], 9);
    struct threads threads = {.count = 0};
    start_thread(&threads, supervise, NULL);
    uint64_t random = 12;
    int32_t caller_shortest = 0;
    unsigned overdue = 0;
    for (size_t round = 0; round < scaled(3000); round++) {
        int32_t timeout = next_random(&random) % 4 ? 1 : 1 + (int32_t)(random % 5);
        struct pp_command command = {.kind = PP_TIMER, .value = (uint32_t)timeout};
        if (pp_timer_begin(&memory, &caller_shortest, timeout, 0)) pp_command_send(clock_.control[1], &command);
        bool ends = next_random(&random) % 3 == 0;
        uint32_t slot = 5 + (uint32_t)timeout;
        _Atomic uint64_t *word = &memory.outcomes[slot].state;
        atomic_store(&memory.records[1].started, pp_now());
        atomic_store(&memory.records[1].current, pp_ticket(slot, 3));
        atomic_store(word, pp_state(3, PP_RUNNING, 1, 9));
        if (ends) {
            for (uint64_t i = next_random(&random) % 20; i; i--) stumble(&random);
            ends = pp_state_end(word, pp_state(3, PP_RUNNING, 1, 9));
        }
        int64_t start = now_ms();
        while (!ends && pp_phase_of(atomic_load(word)) != PP_OVERDUE) {
            assert_true(now_ms() - start < PATIENCE / 2);
            sched_yield();
        }
        overdue += !ends;
        pp_timer_end(&memory);
        for (uint64_t i = next_random(&random) % 200; i; i--) stumble(&random);
        if (next_random(&random) % 16 == 0) sleep_ms((int)(random % 8)); /* the clock stops */
    }
    pp_close(&clock_.control[1]);
    join_all(&threads);
    pp_close(&clock_.control[0]);
    assert_int_equal(clock_.kills, overdue);
    assert_int_equal(memory.control->timed, 0);
    pp_shared_unmake(&memory);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(an_overdue_task_is_marked_and_then_its_worker_killed_once),
        TEST(a_task_that_the_worker_does_not_run_is_left_alone),
        TEST(an_unknown_start_counts_from_the_first_check),
        TEST(an_item_of_a_job_is_timed_by_the_word_of_its_worker),
        TEST(cpu_time_counts_from_the_first_look_at_a_task),
        TEST(cpu_time_of_another_task_or_life_or_an_unknown_clock_does_not_count),
        TEST(a_task_runs_until_its_word_has_ended_whatever_the_record_says),
        TEST(the_first_limit_that_is_passed_is_told),
        TEST(cpu_time_of_an_item_counts_from_the_first_look_at_it),
        TEST(an_item_of_a_visit_is_due_once_it_was_seen_for_its_time),
        TEST(a_worker_that_hides_where_it_is_is_overdue_a_second_later),
        TEST(the_supervisor_looks_often_enough_for_each_limit),
        TEST(a_senseless_job_ticket_is_ignored),
        TEST(the_clock_stops_without_tasks_that_have_a_time_out),
        TEST(random_records_cause_no_more_than_two_kills_a_worker),
        TEST(no_time_out_is_forgotten),
    };
    return run_group("shared_timer", tests, COUNT(tests), argc, argv);
}
