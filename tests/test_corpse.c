/* A worker that the system does not end though it was killed: what it ran has its outcome all the same, the pool goes
 * on in another process, and no room is used twice that the system may still write to for the corpse.
 *
 * A tracer holds the worker at its end, which needs no rights: SIGKILL does not end the stop at PTRACE_EVENT_EXIT. So
 * does a frozen control group, for root. */
#include "support.h"

#if LINUX
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

#include "pool/pool.h"

/* ms: LIMIT is a time-out, A_CORPSE what it takes at least until a worker is given up. */
enum { SOON = PATIENCE / 2, A_CORPSE = 900, LIMIT = 500 };

/* ---- holding a worker */

struct holder {
    atomic_int worker; /* to be held */
    atomic_int held;   /* 1; -1: the system does not allow it */
    struct gate end;   /* the corpse may go */
    void *_Atomic out; /* room that was given to the task */
    atomic_long steps; /* that the worker has made */
};
static struct holder *holder;
static pid_t tracer;

static int hold(void *unused) {
    (void)unused;
    if (!becomes(&holder->worker, 1)) return 1;
    void *options = (void *)(intptr_t)PTRACE_O_TRACEEXIT; /* NOLINT: so ptrace() takes them */
    bool held = ptrace(PTRACE_SEIZE, (pid_t)atomic_load(&holder->worker), NULL, options) == 0;
    atomic_store(&holder->held, held ? 1 : -1);
    return gate_pass(&holder->end);
}

/* From now on a worker in be_held() will not go when it is killed, until end_hold(). */
static void begin_hold(void) {
    holder = shared(sizeof *holder);
    tracer = start_child(hold, NULL);
}

/* In a worker. Returns 0 once it is held. */
static int be_held(void) {
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    atomic_store(&holder->worker, getpid());
    for (int i = 0; i < PATIENCE && atomic_load(&holder->held) == 0; i++) sleep_ms(1);
    return atomic_load(&holder->held) == 1 ? 0 : 98;
}

static bool is_held(void) {
    for (int i = 0; i < PATIENCE && atomic_load(&holder->held) == 0; i++) sleep_ms(1);
    if (atomic_load(&holder->held) == 1) return true;
    print_error("skipped: processes may not be traced here\n");
    return false;
}

static pid_t corpse(void) {
    return (pid_t)atomic_load(&holder->worker);
}

/* The corpse goes, if there is one. */
static void end_hold(void) {
    gate_open(&holder->end);
    if (corpse() == 0) kill(tracer, SIGKILL);
    (void)end_child(tracer, PATIENCE);
    if (corpse() != 0) assert_true(gone_within(corpse(), PATIENCE));
}

static int held_task(const void *in, void *out) {
    (void)in;
    if (holder) atomic_store(&holder->out, out);
    int code = be_held();
    if (code) return code;
    for (;;) pause();
}

static int where_task(const void *in, void *out) {
    (void)in;
    *(void **)out = out;
    return 0;
}

static struct future *submit_held(struct pool *pool, size_t out_size, int timeout) {
    struct future *future;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = held_task, .out_size = out_size, .timeout = timeout},
                          &future));
    return future;
}

static struct pool *pool_with(int workers, void (*finalizer)(void *)) {
    struct pool_options options = test_options(workers);
    options.finalizer = finalizer;
    return pool_from(&options);
}

static void do_nothing(void *arg) {
    (void)arg;
}

/* ---- outcomes */

TEST_CASE(a_time_out_ends_a_task_whose_worker_does_not_go) {
    begin_hold();
    struct pool *pool = pool_of(1);
    int64_t start = now_ms();
    struct future *future = submit_held(pool, 0, LIMIT);
    if (is_held()) {
        assert_code(future_get(future, NULL, SOON), POOL_EDEADLINE);
        assert_took(start, A_CORPSE, SOON);
        assert_true(alive(corpse()));
        assert_true(worker_of(pool) != corpse());
        assert_squares_at_once(pool, 100);
        assert_map_squares(pool, 100, 0);
    }
    end_hold();
    assert_squares_at_once(pool, 100);
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(a_kill_ends_a_task_whose_worker_does_not_go) {
    begin_hold();
    struct pool *pool = pool_of(2);
    struct future *future = submit_held(pool, 0, 0);
    if (is_held()) {
        assert_ok(future_kill(future));
        assert_code(future_get(future, NULL, SOON), POOL_ECANCELLED);
        struct pool_failure failure;
        assert_ok(future_failure(future, &failure));
        assert_int_equal(failure.worker, corpse());
        assert_true(alive(corpse()));
        assert_squares_at_once(pool, 100);
        struct pool_stats stats = {0};
        assert_ok(pool_stats(pool, &stats));
        assert_int_equal(stats.died, 1);
    }
    end_hold();
    future_free(future);
    pool_destroy(pool);
}

/* Fewer workers and more, while one of them is a corpse, and while one is about to be. */
TEST_CASE(a_pool_is_resized_beside_a_worker_that_does_not_go) {
    for (int early = 0; early <= 1; early++) {
        begin_hold();
        struct pool *pool = pool_of(3);
        struct future *future = submit_held(pool, 0, 0);
        bool held = is_held();
        if (held) {
            assert_ok(future_kill(future));
            if (early) assert_ok(pool_resize(pool, 1));
            assert_code(future_get(future, NULL, SOON), POOL_ECANCELLED);
            assert_ok(pool_resize(pool, 1));
            assert_squares_at_once(pool, 100);
            assert_ok(pool_resize(pool, 4));
            assert_map_squares(pool, 100, 0);
            assert_true(alive(corpse()));
            assert_ok(pool_resize(pool, 2));
        }
        end_hold();
        assert_squares_at_once(pool, 100);
        struct pool_stats stats = {0};
        assert_ok(pool_stats(pool, &stats));
        assert_int_equal(stats.workers, held ? 2 : 3);
        future_free(future);
        pool_destroy(pool);
    }
}

static int third_held_task(const void *in, void *out) {
    if (task_index() == 3) return held_task(in, out);
    return square_task(in, out);
}

enum { ITEMS = 40 };
static const struct chunks {
    size_t chunk;
    int timeout;
} chunks[] = {{1, LIMIT}, {8, LIMIT}, {0, LIMIT}, {1, 0}, {8, 0}};

/* With chunk 8 one worker has claimed items that come after the one that hangs. */
TEST_CASE(only_the_item_is_lost_whose_worker_does_not_go) {
    long in[ITEMS], out[ITEMS];
    for (long i = 0; i < ITEMS; i++) in[i] = i;
    for (size_t c = 0; c < COUNT(chunks); c++) {
        bool timed = chunks[c].timeout > 0;
        begin_hold();
        struct pool *pool = pool_of(2);
        int status[ITEMS];
        struct pool_job job = {.fn = third_held_task, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .status = status,
                               .chunk = chunks[c].chunk, .timeout = chunks[c].timeout};
        struct future *future;
        assert_ok(pool_map_async(pool, &job, &future));
        if (is_held()) {
            if (!timed) assert_ok(future_kill(future));
            assert_code(future_get(future, NULL, SOON), timed ? POOL_EDEADLINE : POOL_ECANCELLED);
            for (long i = 0; timed && i < ITEMS; i++) assert_code(status[i], i == 3 ? POOL_EDEADLINE : 0);
            for (long i = 0; timed && i < ITEMS; i++) assert_int_equal(i == 3 ? 9 : out[i], i * i);
            assert_code(status[3], timed ? POOL_EDEADLINE : POOL_ECANCELLED);
            assert_true(alive(corpse()));
            assert_map_squares(pool, 100, 1);
        }
        end_hold();
        future_free(future);
        pool_destroy(pool);
    }
}

TEST_CASE(a_stream_goes_on_after_an_item_whose_worker_does_not_go) {
    begin_hold();
    struct pool *pool = pool_of(2);
    long in[ITEMS], result;
    for (long i = 0; i < ITEMS; i++) in[i] = i;
    struct pool_stream options = {.fn = third_held_task, POOL_IN(in), .count = ITEMS, .out_size = sizeof result,
                                  .timeout = LIMIT};
    struct stream *stream;
    assert_ok(pool_imap(pool, &options, &stream));
    for (long i = 0; i < ITEMS; i++) {
        int code = stream_next(stream, &result, SOON);
        if (i == 3 && !is_held()) break;
        assert_code(code, i == 3 ? POOL_EDEADLINE : 0);
        if (i != 3) assert_int_equal(result, i * i);
    }
    stream_free(stream);
    end_hold();
    pool_destroy(pool);
}

static int add(void *sum, const void *right) {
    *(long *)sum += *(const long *)right;
    return 0;
}

TEST_CASE(a_reduction_ends_with_the_item_whose_worker_does_not_go) {
    begin_hold();
    struct pool *pool = pool_of(2);
    long in[ITEMS], sum = 0;
    for (long i = 0; i < ITEMS; i++) in[i] = i;
    struct pool_reduction reduction = {.fn = third_held_task, POOL_IN(in), POOL_OUT(&sum), .count = ITEMS, .chunk = 1,
                                       .combine = add, .timeout = LIMIT};
    int code = pool_reduce(pool, &reduction);
    if (is_held()) {
        assert_code(code, POOL_EDEADLINE);
        assert_true(alive(corpse()));
        reduction.fn = square_task;
        assert_ok(pool_reduce(pool, &reduction));
        assert_int_equal(sum, (ITEMS - 1) * ITEMS * (2 * ITEMS - 1) / 6);
    }
    end_hold();
    pool_destroy(pool);
}

/* All workers are killed because shared memory was overwritten. The task that ran is not run again where the corpse may
 * still write. */
TEST_CASE(a_reset_does_not_wait_for_a_worker_that_does_not_go) {
    begin_hold();
    struct pool *pool = pool_of(2);
    struct future *future;
    struct pool_task task = {.fn = held_task, .out_size = 100, .retries = 1};
    assert_ok(pool_submit(pool, &task, &future));
    if (is_held()) {
        atomic_store(&pool->shared.status->head, UINT64_MAX / 3);
        assert_code(future_get(future, NULL, SOON), POOL_ECORRUPT);
        assert_true(alive(corpse()));
        assert_squares_at_once(pool, 100);
        assert_int_equal(pool->corpses.count, 1);
    }
    end_hold();
    future_free(future);
    pool_destroy(pool);
}

/* ---- the end */

static void end_with_corpse(void (*finalizer)(void *), bool shuts_down) {
    begin_hold();
    struct pool *pool = pool_with(2, finalizer);
    struct future *future = submit_held(pool, 0, 0);
    if (is_held()) {
        int64_t start = now_ms();
        if (shuts_down) assert_ok(pool_shutdown(pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, SOON));
        if (shuts_down) assert_code(future_get(future, NULL, 0), POOL_ECANCELLED);
        pool_destroy(pool);
        assert_took(start, A_CORPSE, SOON);
        assert_code(future_get(future, NULL, 0), POOL_ECANCELLED);
        assert_true(alive(corpse()));
    } else {
        pool_destroy(pool);
    }
    end_hold();
    future_free(future);
}

TEST_CASE(the_end_of_a_pool_does_not_wait_for_a_worker_that_does_not_go) {
    end_with_corpse(NULL, false);
    end_with_corpse(NULL, true);
    end_with_corpse(do_nothing, true);
}

static int be_held_once(void *arg) {
    (void)arg;
    return atomic_load(&holder->worker) == 0 ? held_task(NULL, NULL) : 0;
}

static void be_held_last(void *arg) {
    if (be_held_once(arg) != 0) return;
}

TEST_CASE(destroy_does_not_wait_for_a_worker_in_its_initializer_or_finalizer_that_does_not_go) {
    for (int finalizes = 0; finalizes <= 1; finalizes++) {
        begin_hold();
        struct pool_options options = test_options(1);
        options.initializer = finalizes ? NULL : be_held_once;
        options.finalizer = finalizes ? be_held_last : NULL;
        struct pool *pool = pool_from(&options);
        if (finalizes) assert_code(pool_shutdown(pool, 0, 500), POOL_ETIMEDOUT);
        (void)is_held();
        int64_t start = now_ms();
        pool_destroy(pool);
        assert_took(start, 0, SOON);
        end_hold();
    }
}

/* ---- room */

/* Whether any of many tasks is given this room. */
static bool is_given_again(struct pool *pool, const void *room, size_t out_size) {
    enum { TASKS = 300 };
    struct future *futures[TASKS];
    bool again = false;
    for (size_t i = 0; i < TASKS; i++) futures[i] = submit(pool, where_task, NULL, 0, out_size);
    for (size_t i = 0; i < TASKS; i++) {
        struct { void *is; char rest[1000]; } where;
        assert_ok(future_get(futures[i], &where, PATIENCE));
        again |= where.is == room;
    }
    for (size_t i = 0; i < TASKS; i++) future_free(futures[i]);
    return again;
}

/* A small result lies in the task's slot. */
TEST_CASE(the_room_for_a_result_is_not_given_to_others_before_the_corpse_has_gone) {
    static const size_t sizes[] = {sizeof(void *), 1000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        begin_hold();
        struct pool *pool = pool_of(1);
        (void)is_given_again(pool, NULL, sizes[i]);
        size_t left = pool->memory.arena_left;
        struct future *future = submit_held(pool, sizes[i], LIMIT);
        if (is_held()) {
            assert_code(future_get(future, NULL, SOON), POOL_EDEADLINE);
            future_free(future);
            assert_false(is_given_again(pool, atomic_load(&holder->out), sizes[i]));
            end_hold();
            int64_t start = now_ms();
            for (; pool->corpses.count > 0; (void)pool_poll(pool, 10)) assert_took(start, 0, SOON);
            assert_null(pool->corpses.withheld);
            assert_int_equal(pool->memory.arena_left, left);
            if (i == 0) assert_true(is_given_again(pool, atomic_load(&holder->out), sizes[i]));
        } else {
            end_hold();
            future_free(future);
        }
        pool_destroy(pool);
    }
}

/* What waits for room ends if nothing runs that could make some; a corpse does not run. */
TEST_CASE(a_task_does_not_wait_for_a_corpse_to_make_room) {
    enum { ARENA = 16 << 20, MUCH = 10 << 20 };
    begin_hold();
    struct pool_options options = test_options(1);
    options.arena_size = ARENA;
    struct pool *pool = pool_from(&options);
    struct future *held = submit_held(pool, 0, LIMIT);
    if (is_held()) {
        assert_code(future_get(held, NULL, SOON), POOL_EDEADLINE);
        struct future *first = submit(pool, where_task, NULL, 0, MUCH);
        struct future *second = submit(pool, where_task, NULL, 0, MUCH);
        assert_ok(future_wait(first, PATIENCE));
        assert_code(future_get(second, NULL, -1), POOL_ENOMEM);
        future_free(first);
        future_free(second);
        assert_ok(finish(submit(pool, where_task, NULL, 0, MUCH), NULL));
    }
    end_hold();
    future_free(held);
    pool_destroy(pool);
}

static void *_Atomic *scratch_of; /* each item */

static int scratch_task(const void *in, void *out) {
    atomic_store(&scratch_of[task_index()], out);
    return task_index() == 3 ? held_task(in, out) : 0;
}

/* Results that are not wanted are written to room of the worker's own number. */
TEST_CASE(items_after_a_corpse_do_not_write_where_it_may_still_write) {
    enum { COUNT_OF_ITEMS = 8 };
    scratch_of = shared(COUNT_OF_ITEMS * sizeof *scratch_of);
    begin_hold();
    struct pool *pool = pool_of(1);
    struct pool_job job = {.fn = scratch_task, .out_size = 100, .count = COUNT_OF_ITEMS, .chunk = 1, .timeout = LIMIT};
    int code = pool_map(pool, &job);
    if (is_held()) {
        assert_code(code, POOL_EDEADLINE);
        assert_true(atomic_load(&scratch_of[0]) == atomic_load(&scratch_of[3]));
        for (int i = 4; i < COUNT_OF_ITEMS; i++) {
            assert_non_null(atomic_load(&scratch_of[i]));
            assert_true(atomic_load(&scratch_of[i]) != atomic_load(&scratch_of[3]));
        }
    }
    end_hold();
    pool_destroy(pool);
}

/* ---- a frozen control group */

static char group[128];

static bool put(const char *file, const char *text) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", group, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool done = fd >= 0 && write(fd, text, strlen(text)) > 0;
    if (fd >= 0) close(fd);
    return done;
}

static int frozen_task(const void *in, void *out) {
    (void)in;
    (void)out;
    char pid[20];
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    atomic_store(&holder->worker, getpid());
    if (!put("cgroup.procs", pid) || !put("freezer.state", "FROZEN")) return 1;
    for (;;) atomic_fetch_add(&holder->steps, 1);
}

/* And none of its instructions is executed after that. */
TEST_CASE(a_time_out_ends_a_task_whose_worker_is_frozen) {
    snprintf(group, sizeof group, "/sys/fs/cgroup/freezer/parpool-test-%d", (int)getpid());
    if (mkdir(group, 0700)) {
        print_error("skipped: no control group can be frozen here\n");
        return;
    }
    holder = shared(sizeof *holder);
    struct pool *pool = pool_of(2);
    struct future *future;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = frozen_task, .timeout = LIMIT}, &future));
    assert_code(future_get(future, NULL, SOON), POOL_EDEADLINE);
    long steps = atomic_load(&holder->steps);
    assert_true(alive(corpse()));
    assert_squares_at_once(pool, 100);
    int64_t start = now_ms();
    pool_destroy(pool);
    assert_took(start, 0, SOON);
    assert_true(put("freezer.state", "THAWED"));
    assert_true(gone_within(corpse(), PATIENCE));
    assert_true(atomic_load(&holder->steps) == steps);
    start = now_ms();
    while (rmdir(group)) assert_took(start, 0, SOON); /* a zombie is in it until it is waited for */
    future_free(future);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_time_out_ends_a_task_whose_worker_does_not_go),
        TEST(a_kill_ends_a_task_whose_worker_does_not_go),
        TEST(a_pool_is_resized_beside_a_worker_that_does_not_go),
        TEST(only_the_item_is_lost_whose_worker_does_not_go),
        TEST(a_stream_goes_on_after_an_item_whose_worker_does_not_go),
        TEST(a_reduction_ends_with_the_item_whose_worker_does_not_go),
        TEST(a_reset_does_not_wait_for_a_worker_that_does_not_go),
        TEST(the_end_of_a_pool_does_not_wait_for_a_worker_that_does_not_go),
        TEST(destroy_does_not_wait_for_a_worker_in_its_initializer_or_finalizer_that_does_not_go),
        TEST(the_room_for_a_result_is_not_given_to_others_before_the_corpse_has_gone),
        TEST(a_task_does_not_wait_for_a_corpse_to_make_room),
        TEST(items_after_a_corpse_do_not_write_where_it_may_still_write),
        TEST(a_time_out_ends_a_task_whose_worker_is_frozen),
    };
    return run_group("corpse", tests, COUNT(tests), argc, argv);
}
#else
int main(void) {
    return 0; /* no way to hold a process that was killed */
}
#endif
