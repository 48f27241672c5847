/* Each call that waits, in each backend, is ended by each call of another thread that is to end it, while the only
 * worker is held by a task: so nothing but that call can end the wait. */
#include "support.h"

#include <pthread.h>

struct scene {
    struct pool *pool;
    struct gate *gate;
    struct future *held, *pending; /* the task at the gate, and the one that waits behind it */
    struct stream *stream, *completed;
    const struct wait *wait;
    atomic_int begun, ended;
    int code; /* of the call that waited */
};

/* ---- Calls that wait --------------------------------------------------------------------------------------------- */

static int get(struct scene *s) {
    return future_get(s->pending, NULL, -1);
}

static int wait_for_one(struct scene *s) {
    return future_wait(s->pending, -1);
}

static int wait_for(struct scene *s, int until) {
    struct future *both[] = {s->pending, s->pending};
    return future_wait_many(both, 2, until, -1);
}

static int wait_for_first(struct scene *s) {
    return wait_for(s, POOL_FIRST_COMPLETED);
}

static int wait_for_failure(struct scene *s) {
    return wait_for(s, POOL_FIRST_FAILED);
}

static int wait_for_all(struct scene *s) {
    return wait_for(s, POOL_ALL_COMPLETED);
}

static int next_completed(struct scene *s) {
    struct future *future;
    return stream_next_future(s->completed, &future, -1);
}

static int next_result(struct scene *s) {
    return stream_next(s->stream, NULL, -1);
}

static int poll_pool(struct scene *s) {
    int count = pool_poll(s->pool, -1);
    return count > 0 ? 0 : count;
}

static int next_done(struct scene *s) {
    struct future *future;
    return pool_next_done(s->pool, &future, -1);
}

static int map(struct scene *s) {
    long in[] = {1, 2, 3};
    return pool_map(s->pool, &(struct pool_job){.fn = square_task, POOL_IN(in), .count = COUNT(in)});
}

static int add(void *result, const void *right) {
    *(long *)result += *(const long *)right;
    return 0;
}

static int reduce(struct scene *s) {
    long in[] = {1, 2, 3}, sum;
    return pool_reduce(s->pool, &(struct pool_reduction){.fn = square_task, .combine = add, POOL_IN(in), POOL_OUT(&sum),
                                                         .count = COUNT(in)});
}

static int shut_down(struct scene *s) {
    return pool_shutdown(s->pool, 0, -1);
}

/* ---- Calls that end a wait --------------------------------------------------------------------------------------- */

static void cancel(struct scene *s) {
    (void)future_cancel(s->pending);
}

static void kill_it(struct scene *s) {
    (void)future_kill(s->pending);
}

static void free_stream(struct scene *s) {
    struct stream **stream = s->stream ? &s->stream : &s->completed;
    stream_free(*stream);
    *stream = NULL;
}

static void free_future(struct scene *s) {
    future_free(s->pending);
    s->pending = NULL;
}

static void cancel_all(struct scene *s) {
    (void)pool_shutdown(s->pool, POOL_CANCEL_PENDING, 0);
}

static void kill_all(struct scene *s) {
    (void)pool_shutdown(s->pool, POOL_CANCEL_PENDING | POOL_KILL_RUNNING, 0);
}

static void interrupt(struct scene *s) {
    (void)pool_interrupt(s->pool);
}

static void wake(struct scene *s) {
    (void)pool_wake(s->pool);
}

/* ---- Which ends which -------------------------------------------------------------------------------------------- */

enum {
    BY_FUTURE = 1, /* future_cancel() and future_kill() of what it waits for */
    BY_STREAM = 2, /* stream_free() */
    BY_FREE = 4,   /* future_free() of the last that it waits for */
    BY_POOL = 8,   /* the pool's end, and an interrupt */
    BY_WAKE = 16,
    BY_KILL = 32,  /* only if the task that runs can be killed */
};

static const struct wait {
    const char *name;
    int (*call)(struct scene *scene);
    int by;
    int code; /* if the work was cancelled */
} waits[] = {
    {"future_get", get, BY_FUTURE | BY_POOL, POOL_ECANCELLED},
    {"future_wait", wait_for_one, BY_FUTURE | BY_POOL, 0},
    {"future_wait_many, first", wait_for_first, BY_FUTURE | BY_POOL, 0},
    {"future_wait_many, first failure", wait_for_failure, BY_FUTURE | BY_POOL, 0},
    {"future_wait_many, all", wait_for_all, BY_FUTURE | BY_POOL, 0},
    {"stream_next_future", next_completed, BY_FUTURE | BY_STREAM | BY_FREE | BY_POOL, 0},
    {"stream_next", next_result, BY_STREAM | BY_POOL, POOL_ECANCELLED},
    {"pool_poll", poll_pool, BY_FUTURE | BY_POOL | BY_WAKE, 0},
    {"pool_next_done", next_done, BY_FUTURE | BY_FREE | BY_POOL | BY_WAKE, 0},
    {"pool_map", map, BY_POOL, POOL_ECANCELLED},
    {"pool_reduce", reduce, BY_POOL, POOL_ECANCELLED},
    {"pool_shutdown", shut_down, BY_KILL, 0},
};

static const struct ender {
    const char *name;
    void (*call)(struct scene *scene);
    int by;
    int code; /* of what it ends; 0: that of the work */
} enders[] = {
    {"future_cancel", cancel, BY_FUTURE, 0},
    {"future_kill", kill_it, BY_FUTURE, 0},
    {"stream_free", free_stream, BY_STREAM, POOL_ECANCELLED},
    {"future_free", free_future, BY_FREE, POOL_END},
    {"pool_shutdown, cancel", cancel_all, BY_POOL, 0},
    {"pool_shutdown, kill", kill_all, BY_POOL | BY_KILL, 0},
    {"pool_interrupt", interrupt, BY_POOL | BY_KILL, 0},
    {"pool_wake", wake, BY_WAKE, POOL_ETIMEDOUT},
};

/* ---- The scene --------------------------------------------------------------------------------------------------- */

static void *hold_worker(void *arg) {
    struct scene *s = arg;
    struct future *held;
    struct pool_task task = {.fn = gate_task, .in = &s->gate, .in_size = sizeof s->gate};
    if (pool_submit(s->pool, &task, &held) == 0) s->held = held;
    return NULL;
}

static void *wait_there(void *arg) {
    struct scene *s = arg;
    atomic_store(&s->begun, 1);
    s->code = s->wait->call(s);
    atomic_store(&s->ended, 1);
    return NULL;
}

static void submit_pending(struct scene *s, bool unordered) {
    static long x = 3; /* a stream reads its input later */
    struct pool_task task = {.fn = square_task, POOL_IN(&x), .out_size = sizeof x, .notify = true};
    assert_ok(pool_submit(s->pool, &task, &s->pending));
    if (s->wait->call == next_completed) assert_ok(future_as_completed(&s->pending, 1, &s->completed));
    if (s->wait->call != next_result) return;
    struct pool_stream options = {.fn = square_task, POOL_IN(&x), .count = 1, .out_size = sizeof x};
    assert_ok((unordered ? pool_imap_unordered : pool_imap)(s->pool, &options, &s->stream));
}

/* Returns how long the wait went on after the call that ended it, ms. */
static int64_t end_wait(int backend, const struct wait *wait, const struct ender *ender, bool unordered) {
    struct scene s = {.gate = shared(sizeof *s.gate), .wait = wait};
    struct pool_options options = test_options(1);
    options.backend = backend;
    s.pool = pool_from(&options);
    pthread_t holder, waiter;
    assert_int_equal(pthread_create(&holder, NULL, hold_worker, &s), 0);
    assert_true(gate_reached(s.gate, 1));
    submit_pending(&s, unordered);
    assert_int_equal(pthread_create(&waiter, NULL, wait_there, &s), 0);
    assert_true(becomes(&s.begun, 1));
    sleep_ms(5); /* mostly it waits then; it ends as well if it does not yet */
    int64_t begin = now_ms();
    ender->call(&s);
    bool has_ended = becomes(&s.ended, 1);
    int64_t took = now_ms() - begin;
    gate_open(s.gate);
    pthread_join(waiter, NULL);
    pthread_join(holder, NULL);
    if (!has_ended) fail_msg("%s does not end %s in backend %d", ender->name, wait->name, backend);
    int code = ender->code ? ender->code : wait->code;
    if (s.code != code) fail_msg("%s ends %s with %s", ender->name, wait->name, pool_error_name(s.code));
    stream_free(s.stream);
    stream_free(s.completed);
    future_free(s.pending);
    pool_destroy(s.pool);
    future_free(s.held);
    return took;
}

static void end_each_wait(int backend) {
    int64_t longest = 0;
    for (size_t w = 0; w < COUNT(waits); w++)
        for (size_t e = 0; e < COUNT(enders); e++) {
            int by = waits[w].by & enders[e].by;
            if (!by || (by == BY_KILL && backend != POOL_PROCESSES)) continue;
            for (int again = 0; again < (waits[w].call == next_result ? 2 : 1); again++) {
                int64_t took = end_wait(backend, &waits[w], &enders[e], again);
                if (took > longest) longest = took;
            }
        }
    print_message("the longest wait went on for %ld ms\n", (long)longest);
}

TEST_CASE(each_wait_is_ended_while_the_worker_is_busy) {
    end_each_wait(POOL_PROCESSES);
}

TEST_CASE(each_wait_is_ended_while_the_thread_is_busy) {
    end_each_wait(POOL_THREADS);
}

TEST_CASE(each_wait_is_ended_while_another_thread_runs_the_task) {
    end_each_wait(POOL_INLINE);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(each_wait_is_ended_while_the_worker_is_busy),
        TEST(each_wait_is_ended_while_the_thread_is_busy),
        TEST(each_wait_is_ended_while_another_thread_runs_the_task),
    };
    return run_group("enders", tests, COUNT(tests), argc, argv);
}
