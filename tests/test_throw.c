/* Exceptions that leave a function of the program which the library has called, in the program's own process: they pass
 * through the library to the program's handler, and leave a pool that works, in each backend. An exception is here a
 * forced unwinding that ends in a longjmp(): it runs the same clean-ups as one of C++. */
#include "support.h"

#include <pthread.h>
#include <unwind.h>

#include "base/sys.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define HAS_ASAN
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* ---- Exceptions -------------------------------------------------------------------------------------------------- */

struct handler {
    jmp_buf here;
    uintptr_t frame; /* frames above this address are the handler's and its callers' */
};

static _Thread_local struct handler *handler;
static _Thread_local struct _Unwind_Exception exception;

/* AddressSanitizer does not see frames go that are unwound in this way. What they forbade, in the stack below the frame
 * that comes next, would be taken for that of the functions which its clean-ups call. */
static void forget_frames_below(uintptr_t frame) {
#ifdef HAS_ASAN
    enum { FRAMES = 65536 }; /* bytes below this frame: those of what has looked for this frame's clean-ups */
    uintptr_t lowest = (uintptr_t)__builtin_frame_address(0) - FRAMES;
    __asan_unpoison_memory_region((const void *)lowest, frame - lowest);
#else
    (void)frame;
#endif
}

static _Unwind_Reason_Code at_each_frame(int version, _Unwind_Action actions, _Unwind_Exception_Class class,
                                         struct _Unwind_Exception *thrown, struct _Unwind_Context *context,
                                         void *argument) {
    (void)version, (void)class, (void)thrown, (void)argument;
    forget_frames_below(_Unwind_GetCFA(context));
    if ((actions & _UA_END_OF_STACK) || _Unwind_GetCFA(context) > handler->frame) longjmp(handler->here, 1);
    return _URC_NO_REASON;
}

static void throw(void) {
    memset(&exception, 0, sizeof exception);
    _Unwind_ForcedUnwind(&exception, at_each_frame, NULL);
    abort();
}

/* Whether body(argument) throws. */
static __attribute__((noinline)) bool throws(void (*body)(void *argument), void *argument) {
    struct handler mine, *outer = handler;
    mine.frame = (uintptr_t)__builtin_frame_address(0);
    handler = &mine;
    bool thrown = setjmp(mine.here) != 0;
    if (!thrown) body(argument);
    handler = outer;
    return thrown;
}

/* ---- What the tests share ---------------------------------------------------------------------------------------- */

static const int backends[] = {POOL_PROCESSES, POOL_THREADS, POOL_INLINE};

struct program {
    int backend;
    struct pool *pool;
    struct gate *gate;
    struct future *future, *other;
    struct stream *stream;
    int calls, throws_at; /* calls of the program's function, and the one that throws; -1: none */
    int told;             /* calls of tell() */
    long items;
    long out[40];
};

static void call_that_may_throw(struct program *p) {
    if (p->calls++ == p->throws_at) throw();
}

static void throwing_callback(struct future *future, void *arg) {
    (void)future;
    call_that_may_throw(arg);
}

static void tell(struct future *future, void *arg) {
    (void)future;
    ((struct program *)arg)->told++;
}

static void throwing_progress(const struct pool_progress *progress, void *arg) {
    (void)progress;
    gate_open(((struct program *)arg)->gate);
    call_that_may_throw(arg);
}

static int throwing_input(void *arg, void *in) {
    struct program *p = arg;
    if (p->items == 20) return POOL_END;
    call_that_may_throw(p);
    *(long *)in = p->items++;
    return 0;
}

/* Runs the test with a pool of each backend, which must then work and end, and leave no memory behind. */
static void in_each_backend(void (*test)(struct program *program), bool inline_too) {
    for (size_t b = 0; b < COUNT(backends); b++) {
        if (backends[b] == POOL_INLINE && !inline_too) continue;
        long held = pp_held;
        struct pool_options options = test_options(2);
        options.backend = backends[b];
        struct program p = {.backend = backends[b], .gate = shared(sizeof *p.gate), .throws_at = -1};
        p.pool = pool_from(&options);
        test(&p);
        assert_map_squares(p.pool, 100, 0);
        assert_squares_at_once(p.pool, 50);
        assert_ok(pool_shutdown(p.pool, 0, PATIENCE));
        pool_destroy(p.pool);
        assert_int_equal(pp_held, held);
    }
}

/* ---- Callbacks of futures ---------------------------------------------------------------------------------------- */

static void get(void *arg) {
    struct program *p = arg;
    assert_ok(future_get(p->future, NULL, PATIENCE));
}

static void wait_for_all(void *arg) {
    struct program *p = arg;
    struct future *both[] = {p->future, p->future};
    assert_ok(future_wait_many(both, 2, POOL_ALL_COMPLETED, PATIENCE));
}

static void wait_for_first(void *arg) {
    struct program *p = arg;
    assert_ok(future_wait_many(&p->future, 1, POOL_FIRST_COMPLETED, PATIENCE));
}

static void next_future(void *arg) {
    struct program *p = arg;
    struct future *next;
    assert_ok(stream_next_future(p->stream, &next, PATIENCE));
}

static void poll_pool(void *arg) {
    struct program *p = arg;
    while (p->told < 1) assert_true(pool_poll(p->pool, PATIENCE) >= 0);
}

static void map_others(void *arg) {
    struct program *p = arg;
    long x = 2, y;
    for (int64_t start = now_ms(); p->told < 1;) {
        assert_ok(pool_map(p->pool, &(struct pool_job){.fn = square_task, POOL_IN(&x), POOL_OUT(&y), .count = 1}));
        assert_true(now_ms() - start < PATIENCE);
    }
}

static void look_at_future(void *arg) {
    struct program *p = arg;
    for (int64_t start = now_ms(); !future_done(p->future) || p->told < 1;) assert_true(now_ms() - start < PATIENCE);
}

static void submit_others(void *arg) {
    struct program *p = arg;
    for (int64_t start = now_ms(); p->told < 1;) {
        long x = 2;
        assert_ok(pool_submit(p->pool, &(struct pool_task){.fn = square_task, POOL_IN(&x), .out_size = sizeof x},
                              &p->other));
        struct future *other = p->other;
        p->other = NULL;
        future_free(other);
        assert_true(now_ms() - start < PATIENCE);
    }
}

static void *open_later(void *gate) {
    sleep_ms(20);
    gate_open(gate);
    return NULL;
}

/* A callback throws in the call. The one after it is run by another call, and the future keeps its outcome. */
static void leave_call(struct program *p, void (*call)(void *argument)) {
    pthread_t thread;
    *p->gate = (struct gate){0};
    struct future *future = p->future = block_worker(p->pool, p->gate);
    assert_ok(future_as_completed(&future, 1, &p->stream));
    p->told = 0;
    p->throws_at = p->calls;
    assert_ok(future_on_done(future, throwing_callback, p));
    assert_ok(future_on_done(future, tell, p));
    assert_int_equal(pthread_create(&thread, NULL, open_later, p->gate), 0);
    assert_true(throws(call, p));
    assert_int_equal(p->told, 0);
    future_free(p->other); /* a pool_submit() that has thrown has submitted */
    p->other = NULL;
    pthread_join(thread, NULL);
    assert_ok(future_get(future, NULL, PATIENCE));
    assert_true(future_done(future));
    pool_poll(p->pool, 0);
    assert_int_equal(p->told, 1);
    stream_free(p->stream);
    future_free(future);
}

static void leave_each_call(struct program *p) {
    void (*const calls[])(void *) = {get, wait_for_all, wait_for_first, next_future,
                                     poll_pool, look_at_future, submit_others, map_others};
    for (size_t i = 0; i < COUNT(calls); i++) leave_call(p, calls[i]);
}

TEST_CASE(a_callback_may_throw_in_each_call_that_runs_callbacks) {
    in_each_backend(leave_each_call, false);
}

static void add_callback(void *arg) {
    struct program *p = arg;
    assert_ok(future_on_done(p->future, throwing_callback, p));
}

static void leave_call_at_once(struct program *p) {
    p->future = submit_square(p->pool, 3);
    assert_ok(future_wait(p->future, PATIENCE));
    p->throws_at = 0;
    assert_true(throws(add_callback, p));
    assert_ok(future_on_done(p->future, tell, p));
    assert_int_equal(p->told, 1);
    assert_square(p->future, 3);
}

TEST_CASE(a_callback_that_runs_at_once_may_throw) {
    in_each_backend(leave_call_at_once, true);
}

static void shut_down(void *arg) {
    assert_ok(pool_shutdown(((struct program *)arg)->pool, 0, PATIENCE));
}

static void destroy(void *arg) {
    pool_destroy(((struct program *)arg)->pool);
}

static void square_with_callback(void *arg) {
    struct program *p = arg;
    p->future = submit_square(p->pool, 3);
    assert_ok(future_on_done(p->future, throwing_callback, p));
    assert_ok(future_wait(p->future, PATIENCE));
}

TEST_CASE(a_callback_may_throw_in_the_last_call_before_the_pools_end) {
    for (size_t i = 0; i < COUNT(backends); i++) {
        long held = pp_held;
        struct pool_options options = test_options(1);
        options.backend = backends[i];
        struct program p = {.pool = pool_from(&options)};
        assert_true(throws(square_with_callback, &p));
        future_free(p.future);
        pool_destroy(p.pool);
        assert_int_equal(pp_held, held);
    }
}

TEST_CASE(a_callback_may_throw_while_the_pool_ends) {
    void (*const calls[])(void *) = {shut_down, destroy};
    for (size_t i = 0; i < 2 * COUNT(calls); i++) {
        long held = pp_held;
        struct pool_options options = test_options(1);
        options.backend = backends[i / COUNT(calls)];
        struct program p = {.gate = shared(sizeof *p.gate)};
        p.pool = pool_from(&options);
        struct future *running = block_worker(p.pool, p.gate), *pending = submit_square(p.pool, 2);
        assert_ok(future_on_done(pending, throwing_callback, &p));
        assert_ok(future_on_done(running, tell, &p));
        gate_open(p.gate);
        assert_true(throws(calls[i % COUNT(calls)], &p));
        if (calls[i % COUNT(calls)] != destroy) {
            assert_ok(pool_shutdown(p.pool, 0, PATIENCE));
            pool_destroy(p.pool);
        }
        future_free(running);
        future_free(pending);
        assert_int_equal(pp_held, held);
    }
}

/* ---- Progress ---------------------------------------------------------------------------------------------------- */

/* Items in the second half wait until there was a report, if the gate is there. */
static int slow_square(const void *in, void *out) {
    struct gate *gate = *(struct gate *const *)task_context();
    if (gate && task_index() >= COUNT(((struct program *)0)->out) / 2 && gate_pass(gate)) return 1;
    sleep_ms(2);
    return square_task(in, out);
}

static struct pool_job squares_with_progress(struct program *p) {
    static long in[COUNT(((struct program *)0)->out)];
    for (size_t i = 0; i < COUNT(in); i++) in[i] = (long)i;
    memset(p->out, 0, sizeof p->out);
    *p->gate = (struct gate){0};
    return (struct pool_job){.fn = slow_square, POOL_IN(in), POOL_OUT(p->out), .count = COUNT(in), .chunk = 1,
                             .progress = throwing_progress, .progress_arg = p, .progress_interval = 1,
                             .context = &p->gate, .context_size = sizeof p->gate};
}

static void map(void *arg) {
    struct program *p = arg;
    struct pool_job job = squares_with_progress(p);
    assert_ok(pool_map(p->pool, &job));
}

static void map_alone(void *arg) {
    struct pool_job job = squares_with_progress(arg);
    job.workers = 2;
    assert_ok(pool_map(NULL, &job));
}

static void leave_map(struct program *p) {
    void (*const maps[])(void *) = {map, map_alone};
    for (size_t i = 0; i < COUNT(maps); i++) {
        p->calls = 0;
        p->throws_at = 0;
        assert_true(throws(maps[i], p));
        assert_int_equal(p->calls, 1); /* there is no report after the exception */
        struct pool_stats stats = {0};
        assert_ok(pool_stats(p->pool, &stats));
        assert_int_equal(stats.queued + stats.running, 0); /* the job has ended */
    }
}

TEST_CASE(progress_may_throw_out_of_a_map_which_ends_its_job) {
    in_each_backend(leave_map, true);
}

/* The job of a future goes on. Whichever report throws, the last one included, the results are complete. */
static void leave_job(struct program *p) {
    for (int throws_at = 0; throws_at < 2; throws_at++) {
        struct pool_job job = squares_with_progress(p);
        struct gate *none = NULL;
        if (throws_at) { /* there is the last report alone */
            job.progress_interval = 1000000;
            job.context = &none;
        }
        p->calls = p->throws_at = 0;
        p->future = NULL;
        if (p->backend == POOL_INLINE) continue; /* the reports are made in pool_map_async() */
        assert_ok(pool_map_async(p->pool, &job, &p->future));
        assert_true(throws(get, p));
        assert_ok(future_get(p->future, NULL, PATIENCE));
        assert_true(p->calls >= (throws_at ? 1 : 2));
        for (size_t i = 0; i < COUNT(p->out); i++) assert_int_equal(p->out[i], (long)(i * i));
        future_free(p->future);
    }
}

TEST_CASE(the_job_of_a_future_goes_on_when_its_progress_throws) {
    in_each_backend(leave_job, true);
}

/* ---- Inputs ------------------------------------------------------------------------------------------------------ */

static void next_item(void *arg) {
    struct program *p = arg;
    p->told = stream_next(p->stream, p->out, PATIENCE);
}

static void leave_input(struct program *p) {
    for (int unordered = 0; unordered < 2; unordered++) {
        struct pool_stream options = {.fn = square_task, .next = throwing_input, .next_arg = p,
                                      .in_size = sizeof(long), .out_size = sizeof(long)};
        assert_ok((unordered ? pool_imap_unordered : pool_imap)(p->pool, &options, &p->stream));
        long sum = 0, expected = 0;
        int exceptions = 0;
        p->items = p->calls = 0;
        p->throws_at = 3;
        for (long i = 0; i < 20; i++) expected += i * i;
        for (;;) {
            bool thrown = throws(next_item, p);
            exceptions += thrown;
            if (thrown) continue;
            if (p->told == POOL_END) break;
            assert_ok(p->told);
            sum += p->out[0];
        }
        assert_int_equal(exceptions, 1);
        assert_int_equal(sum, expected); /* each item once */
        stream_free(p->stream);
    }
}

TEST_CASE(an_input_that_throws_is_asked_again_and_loses_no_item) {
    in_each_backend(leave_input, true);
}

static int add(void *result, const void *right) {
    *(long *)result += *(const long *)right;
    return 0;
}

static void reduce(void *arg) {
    struct program *p = arg;
    assert_ok(pool_reduce(p->pool, &(struct pool_reduction){.combine = add, .next = throwing_input, .next_arg = p,
                                                            .in_size = sizeof(long), .out_size = sizeof(long),
                                                            .out = p->out}));
}

static void leave_reduction(struct program *p) {
    for (int throws_at = 0; throws_at < 15; throws_at += 7) {
        p->items = p->calls = 0;
        p->throws_at = throws_at;
        assert_true(throws(reduce, p));
        struct pool_stats stats = {0};
        assert_ok(pool_stats(p->pool, &stats));
        assert_int_equal(stats.queued + stats.running, 0);
    }
    p->items = 0;
    reduce(p);
    assert_int_equal(p->out[0], 190);
}

TEST_CASE(the_input_of_a_reduction_may_throw) {
    in_each_backend(leave_reduction, true);
}

/* ---- Tasks in the program's own calls ---------------------------------------------------------------------------- */

static int throwing_task(const void *in, void *out) {
    (void)in, (void)out;
    if (task_index() == 2) throw();
    return 0;
}

static int throw_always(const void *in, void *out) {
    (void)in, (void)out;
    throw();
    return 0;
}

static void submit_throwing(void *arg) {
    struct program *p = arg;
    pool_submit(p->pool, &(struct pool_task){.fn = throw_always}, &p->future);
}

static void map_throwing(void *arg) {
    struct program *p = arg;
    pool_map(p->pool, &(struct pool_job){.fn = throwing_task, .count = 5});
}

static void map_async_throwing(void *arg) {
    struct program *p = arg;
    pool_map_async(p->pool, &(struct pool_job){.fn = throwing_task, .count = 5}, &p->future);
}

TEST_CASE(a_task_in_the_programs_own_call_may_throw_and_costs_no_other) {
    long held = pp_held;
    struct pool_options options = test_options(1);
    options.backend = POOL_INLINE;
    struct program p = {.pool = pool_from(&options)};
    assert_true(throws(submit_throwing, &p));
    assert_code(finish(p.future, NULL), POOL_EDIED);
    assert_true(throws(map_throwing, &p));
    assert_map_squares(p.pool, 100, 0);
    assert_true(throws(map_async_throwing, &p));
    assert_code(future_get(p.future, NULL, PATIENCE), POOL_EDIED);
    struct pool_failure why;
    assert_ok(future_failure(p.future, &why));
    assert_int_equal(why.index, 2);
    future_free(p.future);
    assert_squares_in_turn(p.pool, 20);
    pool_destroy(p.pool);
    assert_int_equal(pp_held, held);
}

static int throws_left;

static int throwing_initializer(void *arg) {
    (void)arg;
    if (throws_left-- > 0) throw();
    return 0;
}

static void throwing_finalizer(void *arg) {
    (void)arg;
    if (throws_left-- > 0) throw();
}

static void create(void *arg) {
    struct program *p = arg;
    p->pool = pool_from(&(struct pool_options){.backend = POOL_INLINE, .arena_size = (size_t)1 << 20,
                                               .initializer = throwing_initializer, .max_tasks_per_worker = 1});
}

TEST_CASE(an_initializer_or_finalizer_in_the_programs_own_call_may_throw) {
    long held = pp_held;
    struct program p = {.gate = shared(sizeof *p.gate)};
    throws_left = 1;
    assert_true(throws(create, &p));
    assert_int_equal(pp_held, held);
    create(&p);
    throws_left = 1;
    assert_true(throws(map, &p)); /* the first replacement */
    assert_squares_in_turn(p.pool, 5);
    pool_destroy(p.pool);
    p.pool = pool_from(&(struct pool_options){.backend = POOL_INLINE, .arena_size = (size_t)1 << 20,
                                              .finalizer = throwing_finalizer});
    throws_left = 1;
    assert_true(throws(shut_down, &p));
    assert_ok(pool_shutdown(p.pool, 0, PATIENCE));
    pool_destroy(p.pool);
    assert_int_equal(pp_held, held);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_callback_may_throw_in_each_call_that_runs_callbacks),
        TEST(a_callback_that_runs_at_once_may_throw),
        TEST(a_callback_may_throw_in_the_last_call_before_the_pools_end),
        TEST(a_callback_may_throw_while_the_pool_ends),
        TEST(progress_may_throw_out_of_a_map_which_ends_its_job),
        TEST(the_job_of_a_future_goes_on_when_its_progress_throws),
        TEST(an_input_that_throws_is_asked_again_and_loses_no_item),
        TEST(the_input_of_a_reduction_may_throw),
        TEST(a_task_in_the_programs_own_call_may_throw_and_costs_no_other),
        TEST(an_initializer_or_finalizer_in_the_programs_own_call_may_throw),
    };
    return run_group("throw", tests, COUNT(tests), argc, argv);
}
