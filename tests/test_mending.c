/* One word in shared memory is wrong, as if a worker had written over it, while that worker and all others are well:
 * what it belongs to ends all the same, and soon; nothing waits for what will never come. */
#include "support.h"

#include <signal.h>

#include "pool/dispatch.h"
#include "pool/integrity.h"
#include "shared/plan.h"
#include "pool/job.h"
#include "pool/pool.h"
#include "pool/round.h"
#include "shared/ring.h"
#include "pool/slots.h"
#include "shared/state.h"
#include "worker/task.h"

enum { WORKERS = 2, SOON = 15000 };

static pid_t process_of(struct pool *pool, uint32_t worker) {
    return (pid_t)atomic_load(&pool->shared.control->pids[worker]);
}

static uint32_t life_of(struct pool *pool, uint32_t worker) {
    return atomic_load(&pool->shared.control->lives[worker]);
}

/* Until all sleep: then each word is as they left it. */
static void let_them_sleep(struct pool *pool) {
    for (int64_t start = now_ms(); now_ms() - start < PATIENCE; sleep_ms(1))
        if (atomic_load(&pool->shared.status->asleep[0]) == (1U << WORKERS) - 1) break;
    sleep_ms(5);
}

static void signal_workers(struct pool *pool, int number) {
    for (uint32_t w = 0; w < WORKERS; w++) kill(process_of(pool, w), number);
    if (number == SIGSTOP) sleep_ms(20);
}

static struct pool *sleeping_pool(void) {
    struct pool *pool = pool_of(WORKERS);
    let_them_sleep(pool);
    return pool;
}

static uint64_t ticket_of(struct future *future) {
    return pp_slot_ticket(future->pool, future->slot);
}

static int end_soon(struct future *future) {
    int code = future_get(future, NULL, SOON);
    assert_true(code != POOL_ETIMEDOUT);
    future_free(future);
    return code;
}

/* The pool does its work as before. */
static void check_and_destroy(struct pool *pool) {
    long values[100], squares[100];
    for (long i = 0; i < 100; i++) values[i] = i;
    struct pool_job job = {.fn = square_task, .in = values, .in_size = sizeof *values, .out = squares,
                           .out_size = sizeof *squares, .count = 100};
    assert_ok(pool_map(pool, &job));
    for (long i = 0; i < 100; i++) assert_int_equal(squares[i], i * i);
    long x = 12, result = 0;
    assert_ok(finish(submit(pool, square_task, &x, sizeof x, sizeof x), &result));
    assert_int_equal(result, 144);
    pool_destroy(pool);
}

/* The words that a state may have been overwritten with. */
static uint64_t wrong_state(struct pool *pool, uint32_t generation, size_t i) {
    switch (i) {
    case 0: return pp_state(generation, PP_RUNNING, 1, life_of(pool, 1));
    case 1: return pp_state(generation, PP_KILLED, 1, life_of(pool, 1));
    case 2: return pp_state(generation, PP_OVERDUE, 1, life_of(pool, 1));
    case 3: return pp_state(generation, PP_RUNNING, 1, life_of(pool, 1) + 1);
    case 4: return pp_state(generation, PP_RUNNING, 4095, 1);
    case 5: return pp_state(generation, PP_CANCELLED, 0, 0);
    case 6: return pp_state(generation, PP_FREE, 0, 0);
    case 7: return pp_state(generation, PP_PENDING, 3, 0);
    case 8: return pp_state(generation + 1, PP_PENDING, 0, 0);
    case 9: return pp_state(generation, (enum pp_phase)15, 1, 1);
    case 10: return pp_state(generation, PP_DONE, 1, 1);
    case 11: return 0;
    default: return UINT64_MAX;
    }
}
enum { WRONG_STATES = 13 };

TEST_CASE(a_task_with_a_wrong_state_ends) {
    for (size_t i = 0; i < WRONG_STATES; i++) {
        struct pool *pool = sleeping_pool();
        signal_workers(pool, SIGSTOP);
        long x = 3;
        struct future *future = submit(pool, square_task, &x, sizeof x, sizeof x);
        atomic_store(&pool->shared.outcomes[future->slot].state,
                     wrong_state(pool, pp_ticket_generation(ticket_of(future)), i));
        signal_workers(pool, SIGCONT);
        end_soon(future);
        check_and_destroy(pool);
    }
}

TEST_CASE(a_task_that_is_done_and_says_it_runs_ends) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = sleeping_pool();
    struct future *future = submit(pool, gate_task, &gate, sizeof gate, 0);
    assert_true(gate_reached(gate, 1));
    _Atomic uint64_t *word = &pool->shared.outcomes[future->slot].state;
    uint64_t running = atomic_load(word);
    gate_open(gate);
    let_them_sleep(pool);
    assert_int_equal(pp_phase_of(atomic_load(word)), PP_DONE);
    atomic_store(word, running);
    end_soon(future);
    check_and_destroy(pool);
}

static struct future *map_squares(struct pool *pool, long *values, long *squares) {
    struct pool_job job = {.fn = square_task, .in = values, .in_size = sizeof *values, .out = squares,
                           .out_size = sizeof *squares, .count = 50, .chunk = 1};
    for (long i = 0; i < 50; i++) values[i] = i, squares[i] = -1;
    struct future *future = NULL;
    assert_ok(pool_map_async(pool, &job, &future));
    return future;
}

TEST_CASE(a_job_with_a_wrong_state_is_run) {
    long values[50], squares[50];
    for (size_t i = 0; i < WRONG_STATES; i++) {
        struct pool *pool = sleeping_pool();
        signal_workers(pool, SIGSTOP);
        struct future *future = map_squares(pool, values, squares);
        atomic_store(&pool->shared.outcomes[future->slot].state,
                     wrong_state(pool, pp_ticket_generation(ticket_of(future)), i));
        signal_workers(pool, SIGCONT);
        assert_ok(end_soon(future));
        for (long k = 0; k < 50; k++) assert_int_equal(squares[k], k * k);
        check_and_destroy(pool);
    }
}

TEST_CASE(a_sleeper_that_is_said_to_be_in_a_job_does_not_hold_it_up) {
    long values[50], squares[50];
    struct pool *pool = sleeping_pool();
    kill(process_of(pool, 1), SIGSTOP);
    sleep_ms(20);
    struct future *future = map_squares(pool, values, squares);
    atomic_store(&pool->shared.records[1].job, ticket_of(future));
    atomic_store(&pool->shared.records[1].item, pp_state(5, PP_RUNNING, 1, life_of(pool, 1)));
    assert_code(future_wait(future, 300), POOL_ETIMEDOUT);
    kill(process_of(pool, 1), SIGCONT);
    assert_ok(end_soon(future));
    check_and_destroy(pool);
}

TEST_CASE(a_job_whose_cursor_was_set_back_ends_and_runs_nothing_twice) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = sleeping_pool();
    struct gate *gates[2] = {gate, gate};
    struct pool_job job = {.fn = gate_task, .in = gates, .in_size = sizeof *gates, .count = 2, .chunk = 1};
    struct future *future = NULL;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(gate, 2));
    const struct pp_job_plan *plan = pool->shared.descs[future->slot].in;
    gate_open(gate);
    let_them_sleep(pool); /* and both have noted that nothing is left */
    pp_plan_begin(plan);
    assert_ok(end_soon(future));
    assert_int_equal(gate->arrived, 2);
    check_and_destroy(pool);
}

/* Then something is left that no worker begins. */
TEST_CASE(a_job_that_was_killed_and_whose_cursor_was_set_back_ends) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = sleeping_pool();
    struct gate *gates[10];
    for (size_t i = 0; i < COUNT(gates); i++) gates[i] = gate;
    struct pool_job job = {.fn = gate_task, .in = gates, .in_size = sizeof *gates, .count = COUNT(gates), .chunk = 1};
    struct future *future = NULL;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(gate, 2));
    const struct pp_job_plan *plan = pool->shared.descs[future->slot].in;
    assert_ok(future_kill(future));
    if (!atomic_load(&future->done)) pp_plan_begin(plan); /* or it is over, and its plan is gone */
    assert_code(end_soon(future), POOL_ECANCELLED);
    assert_int_equal(gate->arrived, 2);
    check_and_destroy(pool);
}

/* The round is closed while the notices of the deaths are still to be read, and only then is the cursor set back. */
TEST_CASE(a_job_whose_cursor_was_set_back_after_its_round_was_closed_ends) {
    struct gate *gate = shared(sizeof *gate), *gates[10];
    struct pool *pool = sleeping_pool();
    for (size_t i = 0; i < COUNT(gates); i++) gates[i] = gate;
    struct pool_job job = {.fn = gate_task, POOL_IN(gates), .count = COUNT(gates), .chunk = 1};
    struct future *future = NULL;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(gate, WORKERS));
    uint64_t ticket = ticket_of(future);
    const struct pp_job_plan *plan = pool->shared.descs[future->slot].in;
    future->job->stopped = true; /* as by a kill */
    pp_plan_use_up(plan);
    for (uint32_t w = 0; w < WORKERS; w++) kill(process_of(pool, w), SIGKILL);
    for (int64_t start = now_ms(); pp_record_anybody_in(&pool->shared, ticket) && now_ms() - start < PATIENCE;)
        sleep_ms(1);
    assert_false(pp_round_is_over(pool, future->job));
    pp_plan_begin(plan);
    assert_any_of(end_soon(future), POOL_EDIED, POOL_ECANCELLED);
    assert_int_equal(gate->arrived, WORKERS);
    check_and_destroy(pool);
}

TEST_CASE(a_kill_that_was_lost_is_sent_again) {
    struct gate *gate = shared(sizeof *gate), *gates[WORKERS] = {gate, gate};
    struct pool *pool = sleeping_pool();
    struct pool_job job = {.fn = forever_task, .in = gates, .in_size = sizeof *gates, .count = WORKERS, .chunk = 1};
    struct future *future = NULL;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(gate, WORKERS));
    for (uint32_t w = 0; w < WORKERS; w++) {
        _Atomic uint64_t *item = &pool->shared.records[w].item;
        assert_true(pp_state_kill(item, atomic_load(item), PP_KILLED));
    }
    assert_code(end_soon(future), POOL_ECANCELLED);
    check_and_destroy(pool);
}

TEST_CASE(wrong_cursors_cost_no_item) {
    long values[50], squares[50];
    uint64_t random = 1;
    for (int i = 0; i < 6; i++) {
        struct pool *pool = sleeping_pool();
        signal_workers(pool, SIGSTOP);
        struct future *future = map_squares(pool, values, squares);
        const struct pp_job_plan *plan = pool->shared.descs[future->slot].in;
        atomic_store(&plan->cursors[i % 2].word, i < 2 ? 0 : i < 4 ? UINT64_MAX : (random = scramble(random)));
        signal_workers(pool, SIGCONT);
        int code = end_soon(future);
        assert_true(code == 0 || code == POOL_ECORRUPT);
        for (long k = 0; code == 0 && k < 50; k++) assert_int_equal(squares[k], k * k);
        check_and_destroy(pool);
    }
}

struct once {
    struct gate *gate;
    atomic_int runs;
};

static int die_once_task(const void *in, void *out) {
    struct once *once = *(struct once *const *)in;
    if (atomic_fetch_add(&once->runs, 1) == 0) raise(SIGKILL);
    *(int *)out = atomic_load(&once->runs);
    return 0;
}

TEST_CASE(a_task_that_dies_while_its_ticket_waits_to_be_sent_again_is_queued_once) {
    struct once *once = shared(sizeof *once);
    once->gate = shared(sizeof *once->gate);
    struct pool *pool = pool_of(1);
    struct future *holder = submit(pool, gate_task, &once->gate, sizeof once->gate, 0), *future;
    assert_true(gate_reached(once->gate, 1));
    struct pool_task task = {.fn = die_once_task, .in = &once, .in_size = sizeof once, .out_size = sizeof(int),
                             .retries = 2};
    assert_ok(pool_submit(pool, &task, &future));
    pthread_mutex_lock(&pool->lock); /* a look finds the ring full of what no worker takes, and its ticket perhaps
                                        lost */
    while (pp_ring_push(&pool->shared, ticket_of(future))) continue;
    pp_ticket_again(pool, future->slot);
    assert_true(future->queued);
    gate_open(once->gate);
    assert_true(becomes(&once->runs, 1)); /* the old one is taken before the queue is looked at */
    sleep_ms(50);
    pthread_mutex_unlock(&pool->lock);
    assert_ok(end_soon(holder));
    int runs = 0;
    assert_ok(future_get(future, &runs, SOON));
    assert_int_equal(runs, 2);
    assert_int_equal(pool->open, 0);
    assert_int_equal(pool->queue.count, 0);
    future_free(future);
    check_and_destroy(pool);
}

TEST_CASE(wrong_notes_of_who_sleeps_and_what_was_taken_delay_only) {
    for (int i = 0; i < 6; i++) {
        struct pool *pool = sleeping_pool();
        signal_workers(pool, SIGSTOP);
        struct pp_status *status = pool->shared.status;
        if (i == 0) atomic_store(&status->asleep[0], 0);
        if (i == 1) atomic_store(&status->woken, UINT64_MAX / 2);
        if (i == 2) atomic_store(&status->head, 1000);
        if (i == 3) atomic_store(&status->head, UINT64_MAX - 3);
        long x = 5, result = 0;
        struct future *future = submit(pool, square_task, &x, sizeof x, sizeof x);
        if (i == 4) atomic_store(&status->head, 1); /* as if it had been taken */
        if (i == 5) atomic_store(&pool->shared.records[1].claimed[0], ticket_of(future));
        signal_workers(pool, SIGCONT);
        assert_ok(future_get(future, &result, SOON));
        assert_int_equal(result, 25);
        future_free(future);
        check_and_destroy(pool);
    }
}

TEST_CASE(wrong_done_rings_hide_nothing) {
    const uint64_t tails[] = {0, 1, 100, 1U << PP_DONE_BITS, (1U << PP_DONE_BITS) + 7, UINT64_MAX};
    for (size_t i = 0; i < COUNT(tails); i++) {
        struct pool *pool = sleeping_pool();
        struct future *futures[20];
        for (long k = 0; k < 20; k++) futures[k] = submit(pool, square_task, &k, sizeof k, sizeof k);
        let_them_sleep(pool);
        for (uint32_t w = 0; w < WORKERS; w++) atomic_store(&pool->shared.records[w].done_tail, tails[i]);
        for (long k = 0; k < 20; k++) {
            long result = -1;
            assert_ok(future_get(futures[k], &result, SOON));
            assert_int_equal(result, k * k);
            future_free(futures[k]);
        }
        check_and_destroy(pool);
    }
}

TEST_CASE(a_wrong_start_does_not_lift_a_time_out) {
    const uint64_t starts[] = {0, UINT64_MAX, (uint64_t)1 << 62};
    for (size_t i = 0; i < COUNT(starts); i++) {
        struct gate *gate = shared(sizeof *gate);
        struct pool *pool = sleeping_pool();
        struct pool_task task = {.fn = forever_task, .in = &gate, .in_size = sizeof gate, .timeout = 300};
        struct future *future = NULL;
        assert_ok(pool_submit(pool, &task, &future));
        assert_true(gate_reached(gate, 1));
        for (uint32_t w = 0; w < WORKERS; w++) atomic_store(&pool->shared.records[w].started, starts[i]);
        assert_code(end_soon(future), POOL_EDEADLINE);
        check_and_destroy(pool);
    }
}

/* ---- the same wrong words, whenever it runs */

enum hiding { STATE, STATE_AND_RECORD, NO_STATE, OTHERS_STATE, BEGIN, END, PROGRESS, UNTIL, ITEM, CURSORS };
enum leaving { DIES, RETURNS, HANGS };

struct hider {
    enum hiding what;
    enum leaving how;
    enum pp_phase phase; /* of OTHERS_STATE: of the other worker of two */
    atomic_int runs;
};

static struct pp_record *own_record(const struct pp_shared *memory) {
    uint32_t worker = 0;
    while ((pid_t)atomic_load(&memory->control->pids[worker]) != getpid()) worker++;
    return &memory->records[worker];
}

static void set_cursors_back(const struct pp_shared *memory, const struct pp_record *record) {
    const struct pp_job_plan *plan = memory->descs[pp_ticket_slot(atomic_load(&record->job))].in;
    pp_plan_begin(plan);
}

/* in: struct hider *, or NULL: nothing is done. Hides from others that it runs. */
static int hide_task(const void *in, void *out) {
    (void)out;
    struct hider *hider = *(struct hider *const *)in;
    if (!hider) return 0;
    atomic_fetch_add(&hider->runs, 1);
    const struct pp_shared *memory = pp_call_here()->shared;
    struct pp_record *record = own_record(memory);
    if (hider->what == CURSORS) set_cursors_back(memory, record);
    if (hider->what <= OTHERS_STATE) {
        _Atomic uint64_t *word = &memory->outcomes[pp_call_here()->desc - memory->descs].state;
        uint32_t generation = pp_generation_of(atomic_load(word)), other = record == memory->records;
        uint64_t others = pp_state(generation, hider->phase, other, atomic_load(&memory->control->lives[other]));
        uint64_t pending = pp_state(generation, PP_PENDING, 0, 0);
        atomic_store(word, hider->what == NO_STATE ? 0 : hider->what == OTHERS_STATE ? others : pending);
    }
    if (hider->what == STATE_AND_RECORD) memset(record, 0, offsetof(struct pp_record, last));
    if (hider->what == BEGIN) atomic_store(&record->begin, UINT64_MAX);
    if (hider->what == END) atomic_store(&record->end, 0);
    if (hider->what == PROGRESS) atomic_store(&record->progress, UINT64_MAX);
    if (hider->what == UNTIL) atomic_store(&record->until, atomic_load(&record->progress));
    if (hider->what == ITEM) atomic_store(&record->item, 0);
    if (hider->how == DIES) raise(SIGKILL);
    while (hider->how == HANGS) pause();
    return 0;
}

static void await_runs(const struct hider *hider, int runs) {
    for (int64_t start = now_ms(); hider->runs < runs; sleep_ms(1)) assert_true(now_ms() - start < PATIENCE);
}

/* The same with each worker: none is left where it was. */
static void check_all_and_destroy(struct pool *pool) {
    struct pool_stats stats = {.busy = 1};
    for (int64_t start = now_ms(); stats.busy > 0; sleep_ms(1)) {
        assert_true(now_ms() - start < PATIENCE);
        assert_ok(pool_stats(pool, &stats));
    }
    check_and_destroy(pool);
}

TEST_CASE(a_task_that_hides_that_it_runs_ends) {
    static const struct hider hiders[] = {{.what = STATE, .how = DIES}, {.what = STATE, .how = RETURNS},
                                          {.what = STATE, .how = HANGS}, {.what = STATE_AND_RECORD, .how = DIES}};
    for (size_t i = 0; i < COUNT(hiders); i++) {
        struct hider *hider = shared(sizeof *hider);
        *hider = hiders[i];
        struct pool *pool = pool_of(WORKERS);
        allow_seconds(120);
        assert_code(finish(submit(pool, hide_task, &hider, sizeof hider, 0), NULL), POOL_ECORRUPT);
        assert_in_range(hider->runs, 2, 200);
        check_all_and_destroy(pool);
    }
}

/* An idle worker takes over what another holds, and seems not to have begun. */
TEST_CASE(all_who_hang_in_a_task_that_hides_are_freed) {
    struct hider *hider = shared(sizeof *hider);
    *hider = (struct hider){.what = STATE, .how = HANGS};
    struct pool *pool = pool_of(WORKERS);
    struct future *future = submit(pool, hide_task, &hider, sizeof hider, 0);
    await_runs(hider, 1);
    assert_ok(finish(submit(pool, hide_task, &(struct hider *){NULL}, sizeof hider, 0), NULL));
    await_runs(hider, WORKERS);
    assert_code(end_soon(future), POOL_ECORRUPT);
    check_all_and_destroy(pool);
}

/* No worker could begin what has such a word: it has run, and does not run again. */
TEST_CASE(a_task_that_overwrites_its_state_frees_its_worker) {
    for (enum leaving how = DIES; how <= HANGS; how++) {
        struct hider *hider = shared(sizeof *hider);
        *hider = (struct hider){.what = NO_STATE, .how = how};
        struct pool *pool = pool_of(1);
        assert_code(end_soon(submit(pool, hide_task, &hider, sizeof hider, 0)), POOL_ECORRUPT);
        assert_int_equal(hider->runs, 1);
        check_all_and_destroy(pool);
    }
}

/* The other has not been started, or has nothing to do with it; and is killed, where it lives. */
TEST_CASE(a_task_that_says_that_another_worker_has_it_frees_its_own) {
    static const enum pp_phase phases[] = {PP_RUNNING, PP_KILLED, PP_OVERDUE};
    for (int lazy = 0; lazy <= 1; lazy++)
        for (size_t i = 0; i < COUNT(phases); i++) {
            struct hider *hider = shared(sizeof *hider);
            *hider = (struct hider){.what = OTHERS_STATE, .how = HANGS, .phase = phases[i]};
            struct pool_options options = test_options(2);
            options.lazy = lazy;
            struct pool *pool;
            assert_ok(pool_create(&options, &pool));
            assert_code(end_soon(submit(pool, hide_task, &hider, sizeof hider, 0)), POOL_ECORRUPT);
            assert_int_equal(hider->runs, 1);
            check_all_and_destroy(pool);
        }
}

static bool examine(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    bool found = pp_examine(pool);
    pthread_mutex_unlock(&pool->lock);
    sleep_ms(100); /* the next one counts as another */
    return found;
}

static uint64_t died(struct pool *pool) {
    struct pool_stats stats = {.room = 0};
    assert_ok(pool_stats(pool, &stats));
    return stats.died;
}

TEST_CASE(looks_at_an_honest_pool_find_nothing) {
    struct gate *gate = shared(sizeof *gate), *gates[2] = {gate, gate};
    struct pool *pool = pool_of(3);
    struct pool_job job = {.fn = gate_task, POOL_IN(gates), .count = 2, .chunk = 1};
    struct future *map, *task = submit(pool, gate_task, &gate, sizeof gate, 0);
    assert_ok(pool_map_async(pool, &job, &map));
    assert_true(gate_reached(gate, 3));
    struct future *waiting = submit(pool, gate_task, &gate, sizeof gate, 0);
    for (int i = 0; i < 4; i++) assert_false(examine(pool));
    gate_open(gate);
    assert_ok(end_soon(map));
    assert_ok(end_soon(task));
    assert_ok(end_soon(waiting));
    /* A worker that has no CPU between two steps at two looks may be taken for one that hangs. */
    for (int64_t start = now_ms(); atomic_load(&pool->shared.status->asleep[0]) != 7; sleep_ms(1))
        assert_true(now_ms() - start < PATIENCE);
    for (int i = 0; i < 4; i++) assert_false(examine(pool));
    assert_int_equal(died(pool), 0);
    pool_destroy(pool);
}

TEST_CASE(a_worker_that_is_at_nothing_is_killed_at_the_second_look_and_no_other_is) {
    struct hider *hider = shared(sizeof *hider);
    *hider = (struct hider){.what = STATE, .how = HANGS};
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct future *honest = submit(pool, gate_task, &gate, sizeof gate, 0);
    assert_true(gate_reached(gate, 1));
    struct future *future = submit(pool, hide_task, &hider, sizeof hider, 0);
    await_runs(hider, 1);
    kill(pool->supervisor, SIGSTOP); /* it would start another worker */
    assert_false(examine(pool));
    assert_true(examine(pool));
    kill(pool->supervisor, SIGCONT);
    /* Its word says that it has not started, so it runs once more, in a new worker. */
    while (hider->runs < 2) assert_code(future_wait(future, 50), POOL_ETIMEDOUT);
    assert_int_equal(died(pool), 1);
    assert_ok(future_kill(future));
    assert_code(end_soon(future), POOL_ECANCELLED);
    gate_open(gate);
    assert_ok(end_soon(honest));
    check_and_destroy(pool);
}

/* How many looks there are at most in so many ms, if each pause is twice as long as the one before. */
static int looks_within(int64_t ms) {
    int looks = 1;
    for (int64_t pause = 100, at = 100; at <= ms; pause *= 2, at += pause) looks++;
    return looks;
}

/* Returns how many ms a look took on average: each finds something, until the task has its outcome. */
static int64_t time_of_looks(struct pool *pool, struct hider *hider) {
    pool->looks.number = 0;
    int64_t start = now_ms();
    assert_code(end_soon(submit(pool, hide_task, &hider, sizeof hider, 0)), POOL_ECORRUPT);
    assert_true(pool->looks.number >= 2);
    return (now_ms() - start) / pool->looks.number;
}

/* 100 ms after one that found something; after one that did not, each time twice as long. */
TEST_CASE(looks_follow_each_other_as_long_as_they_find_something) {
    struct hider *hider = shared(sizeof *hider);
    *hider = (struct hider){.what = STATE, .how = RETURNS};
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    int64_t least = PATIENCE;
    for (int tries = 0; tries < 8 && least >= 800; tries++) { /* a busy machine may be slow once, but not each time */
        int64_t took = time_of_looks(pool, hider);
        if (took < least) least = took;
    }
    assert_true(least < 800);
    struct future *honest = submit(pool, forever_task, &gate, sizeof gate, 0);
    pool->looks.number = 0;
    int64_t start = now_ms();
    assert_code(future_get(honest, NULL, 1000), POOL_ETIMEDOUT);
    assert_in_range(pool->looks.number, 1, looks_within(now_ms() - start));
    assert_ok(future_kill(honest));
    assert_code(end_soon(honest), POOL_ECANCELLED);
    check_all_and_destroy(pool);
}

TEST_CASE(a_kill_of_a_task_that_was_lost_is_sent_again) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct future *future = submit(pool, forever_task, &gate, sizeof gate, 0);
    assert_true(gate_reached(gate, 1));
    _Atomic uint64_t *word = &pool->shared.outcomes[future->slot].state;
    assert_true(pp_state_kill(word, atomic_load(word), PP_KILLED));
    assert_code(end_soon(future), POOL_ECANCELLED);
    check_all_and_destroy(pool);
}

static int current_task(const void *in, void *out) {
    (void)in;
    *(uint64_t *)out = atomic_load(&own_record(pp_call_here()->shared)->current);
    return 0;
}

TEST_CASE(who_is_in_a_job_says_that_it_is_at_no_task) {
    struct pool *pool = pool_of(1);
    uint64_t current = 0;
    struct pool_job job = {.fn = current_task, .out = &current, .out_size = sizeof current, .count = 1};
    for (int i = 0; i < 20; i++) {
        assert_ok(finish(submit(pool, current_task, NULL, 0, sizeof current), &current));
        assert_true(current != 0);
        assert_ok(pool_map(pool, &job));
        assert_int_equal(current, 0);
    }
    pool_destroy(pool);
}

TEST_CASE(a_task_that_hides_that_it_runs_and_is_killed_does_not_run_again) {
    struct hider *hider = shared(sizeof *hider);
    *hider = (struct hider){.what = STATE, .how = HANGS};
    struct pool *pool = pool_of(1);
    struct future *future = submit(pool, hide_task, &hider, sizeof hider, 0);
    await_runs(hider, 1);
    assert_ok(future_kill(future));
    assert_code(end_soon(future), POOL_ECANCELLED);
    check_and_destroy(pool);
    assert_int_equal(hider->runs, 1);
}

/* Such a worker would be started again only when it is asked for, and in this pool no worker ever is. */
static int rest_task(const void *in, void *out) {
    (void)in, (void)out;
    atomic_store(&own_record(pp_call_here()->shared)->retired, PP_RETIRED_IDLE);
    return raise(SIGKILL);
}

TEST_CASE(whether_a_worker_rests_is_not_for_tasks_to_say) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_of(WORKERS);
    for (int i = 0; i < WORKERS; i++) assert_code(end_soon(submit(pool, rest_task, NULL, 0, 0)), POOL_EDIED);
    struct future *futures[WORKERS];
    for (int i = 0; i < WORKERS; i++) futures[i] = submit(pool, gate_task, &gate, sizeof gate, 0);
    assert_true(gate_reached(gate, WORKERS));
    gate_open(gate);
    for (int i = 0; i < WORKERS; i++) assert_ok(end_soon(futures[i]));
    check_and_destroy(pool);
}

/* Its life counts as one that never began, if what says so can be overwritten: ten such in a row break a pool. */
static int vanish_task(const void *in, void *out) {
    (void)out;
    struct pp_record *record = own_record(pp_call_here()->shared);
    memset(record, *(const int *)in, sizeof *record);
    raise(SIGKILL);
    return 0;
}

TEST_CASE(tasks_that_overwrite_their_workers_record_do_not_break_the_pool) {
    struct pool *pool = pool_of(WORKERS);
    for (int i = 0; i < 40; i++) {
        struct pool_task task = {.fn = vanish_task, .in = &(int){i % 2 ? -1 : 0}, .in_size = sizeof(int)};
        struct future *future;
        assert_ok(pool_submit(pool, &task, &future));
        int code = end_soon(future);
        assert_true(code == POOL_EDIED || code == POOL_ECORRUPT);
    }
    check_and_destroy(pool);
}

static int unfit_task(const void *in, void *out) {
    (void)in, (void)out;
    atomic_store(&pp_call_here()->shared->starts[0].ready, 0);
    return 0;
}

TEST_CASE(whether_a_worker_began_well_is_not_for_tasks_to_say) {
    struct pool *pool = pool_of(WORKERS);
    assert_code(finish(submit(pool, unfit_task, NULL, 0, 0), NULL), POOL_EDIED);
    check_and_destroy(pool);
}

TEST_CASE(an_item_that_hides_that_it_runs_ends_and_costs_no_other) {
    static const struct hider hiders[] = {{.what = BEGIN, .how = DIES}, {.what = END, .how = DIES},
                                          {.what = PROGRESS, .how = DIES}, {.what = UNTIL, .how = DIES},
                                          {.what = ITEM, .how = DIES}, {.what = ITEM, .how = HANGS}};
    for (size_t i = 0; i < COUNT(hiders); i++)
        for (int timeout = 0; timeout <= 60000; timeout += 60000) {
            if (timeout && hiders[i].what == UNTIL) continue; /* which is of no account then */
            struct hider *hider = shared(sizeof *hider), *items[20] = {[7] = hider};
            *hider = hiders[i];
            int status[COUNT(items)];
            struct pool *pool = pool_of(WORKERS);
            struct pool_job job = {.fn = hide_task, .in = items, .in_size = sizeof *items, .count = COUNT(items),
                                   .chunk = 1, .timeout = timeout, .status = status};
            allow_seconds(120);
            assert_code(pool_map(pool, &job), POOL_ECORRUPT);
            for (size_t k = 0; k < COUNT(items); k++) assert_int_equal(status[k], k == 7 ? POOL_ECORRUPT : 0);
            assert_in_range(hider->runs, 2, 12);
            check_and_destroy(pool);
        }
}

TEST_CASE(an_item_that_sets_cursors_back_runs_once) {
    struct hider *hider = shared(sizeof *hider), *items[20] = {[7] = hider};
    *hider = (struct hider){.what = CURSORS, .how = RETURNS};
    struct pool *pool = pool_of(WORKERS);
    struct pool_job job = {.fn = hide_task, .in = items, .in_size = sizeof *items, .count = COUNT(items), .chunk = 1};
    assert_ok(pool_map(pool, &job));
    assert_in_range(hider->runs, 1, 2); /* again only before its mark is made */
    check_and_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_task_with_a_wrong_state_ends),
        TEST(a_task_that_is_done_and_says_it_runs_ends),
        TEST(a_job_with_a_wrong_state_is_run),
        TEST(a_sleeper_that_is_said_to_be_in_a_job_does_not_hold_it_up),
        TEST(a_job_whose_cursor_was_set_back_ends_and_runs_nothing_twice),
        TEST(a_job_that_was_killed_and_whose_cursor_was_set_back_ends),
        TEST(a_job_whose_cursor_was_set_back_after_its_round_was_closed_ends),
        TEST(a_kill_that_was_lost_is_sent_again),
        TEST(wrong_cursors_cost_no_item),
        TEST(a_task_that_dies_while_its_ticket_waits_to_be_sent_again_is_queued_once),
        TEST(wrong_notes_of_who_sleeps_and_what_was_taken_delay_only),
        TEST(wrong_done_rings_hide_nothing),
        TEST(a_wrong_start_does_not_lift_a_time_out),
        TEST(a_task_that_hides_that_it_runs_ends),
        TEST(all_who_hang_in_a_task_that_hides_are_freed),
        TEST(a_task_that_overwrites_its_state_frees_its_worker),
        TEST(a_task_that_says_that_another_worker_has_it_frees_its_own),
        TEST(looks_at_an_honest_pool_find_nothing),
        TEST(a_worker_that_is_at_nothing_is_killed_at_the_second_look_and_no_other_is),
        TEST(looks_follow_each_other_as_long_as_they_find_something),
        TEST(a_kill_of_a_task_that_was_lost_is_sent_again),
        TEST(who_is_in_a_job_says_that_it_is_at_no_task),
        TEST(a_task_that_hides_that_it_runs_and_is_killed_does_not_run_again),
        TEST(whether_a_worker_rests_is_not_for_tasks_to_say),
        TEST(tasks_that_overwrite_their_workers_record_do_not_break_the_pool),
        TEST(whether_a_worker_began_well_is_not_for_tasks_to_say),
        TEST(an_item_that_hides_that_it_runs_ends_and_costs_no_other),
        TEST(an_item_that_sets_cursors_back_runs_once),
    };
    return run_group("mending", tests, COUNT(tests), argc, argv);
}
