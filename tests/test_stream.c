/* Streams: pool_imap() and pool_imap_unordered(), and results whose size the task decides. */
#include "support.h"

#include <pthread.h>
#include <signal.h>

/* An input of `count` longs, 0, 1, 2, …, that ends with `end`. */
struct counting {
    long next, count;
    int end;
};

static int count_on(void *arg, void *in) {
    struct counting *c = arg;
    if (c->next == c->count) return c->end;
    *(long *)in = c->next++;
    return 0;
}

static struct pool_stream squares_from(int (*next)(void *arg, void *in), void *arg) {
    return (struct pool_stream){
        .fn = square_task, .next = next, .next_arg = arg, .in_size = sizeof(long), .out_size = sizeof(long)};
}

static struct pool_stream squares_of(struct counting *input) {
    return squares_from(count_on, input);
}

/* Takes all results up to POOL_END and returns their number; asserts that they come in order and that none fails. */
static long drain_squares(struct stream *stream) {
    long result = -1, i = 0;
    int error;
    for (; (error = stream_next(stream, &result, PATIENCE)) == 0; i++)
        if (result != i * i || stream_size(stream) != sizeof result) assert_int_equal(result, i * i);
    assert_code(error, POOL_END);
    return i;
}

TEST_CASE(the_results_of_a_callback_come_in_order) {
    struct pool *pool = pool_of(2);
    static const size_t windows[] = {0, 1, 2, 3, 1000, SIZE_MAX};
    for (size_t w = 0; w < COUNT(windows); w++) {
        struct counting input = {.count = windows[w] == 1 ? 500 : 20000, .end = POOL_END};
        struct pool_stream options = squares_of(&input);
        struct stream *stream;
        options.window = windows[w];
        assert_ok(pool_imap(pool, &options, &stream));
        assert_int_equal(input.next, 0); /* no item is taken yet */
        assert_int_equal(drain_squares(stream), input.count);
        assert_code(stream_next(stream, NULL, -1), POOL_END);
        stream_free(stream);
    }
    pool_destroy(pool);
}

TEST_CASE(the_results_of_an_array_come_in_order_wherever_it_lies) {
    enum { ITEMS = 5000 };
    struct pool *pool = pool_of(2);
    long *arrays[2] = {malloc(ITEMS * sizeof(long)), pool_alloc(pool, ITEMS * sizeof(long))};
    for (int a = 0; a < 2; a++) {
        for (long i = 0; i < ITEMS; i++) arrays[a][i] = i;
        struct stream *stream;
        assert_ok(pool_imap(pool,
                            &(struct pool_stream){.fn = square_task, .in = arrays[a], .in_size = sizeof(long),
                                                  .count = ITEMS, .out_size = sizeof(long)},
                            &stream));
        assert_int_equal(drain_squares(stream), ITEMS);
        stream_free(stream);
    }
    free(arrays[0]);
    pool_destroy(pool);
}

struct numbered {
    size_t index;
    uint64_t seed;
};

static int number_task(const void *in, void *out) {
    if (in) return 1;
    *(struct numbered *)out = (struct numbered){task_index(), task_seed()};
    return 0;
}

TEST_CASE(tasks_without_arguments_have_their_index_and_its_seed) {
    enum { ITEMS = 3000 };
    struct pool *pool = pool_of(2);
    struct numbered *of_job = malloc(ITEMS * sizeof *of_job), one;
    assert_ok(pool_map(pool, &(struct pool_job){.fn = number_task, .out = of_job, .out_size = sizeof one,
                                                .count = ITEMS, .seed = 7}));
    struct stream *stream;
    struct pool_stream options = {.fn = number_task, .count = ITEMS, .out_size = sizeof one, .seed = 7};
    assert_ok(pool_imap(pool, &options, &stream));
    for (size_t i = 0; i < ITEMS; i++) {
        assert_ok(stream_next(stream, &one, PATIENCE));
        if (one.index != i || one.seed != of_job[i].seed) assert_int_equal(one.index, i);
    }
    assert_code(stream_next(stream, &one, PATIENCE), POOL_END);
    stream_free(stream);
    options.count = 0;
    assert_ok(pool_imap(pool, &options, &stream));
    assert_code(stream_next(stream, &one, PATIENCE), POOL_END);
    stream_free(stream);
    free(of_job);
    pool_destroy(pool);
}

static struct gate *gate;

/* The first item is held back by the gate; the others pass. */
static int first_waits_task(const void *in, void *out) {
    memcpy(out, in, sizeof(long));
    return *(const long *)in == 0 ? gate_pass(gate) : 0;
}

TEST_CASE(unordered_results_come_as_they_are_done_and_ordered_ones_wait_for_the_first) {
    gate = shared(sizeof *gate);
    struct pool *pool = pool_of(2);
    struct counting input = {.count = 50, .end = POOL_END};
    struct pool_stream options = squares_of(&input);
    struct stream *stream;
    struct pool_failure about;
    long result = -1, sum = 0;
    options.fn = first_waits_task;
    options.window = 8;
    assert_ok(pool_imap_unordered(pool, &options, &stream));
    for (int i = 1; i < 50; i++) {
        assert_ok(stream_next(stream, &result, PATIENCE));
        assert_ok(stream_failure(stream, &about));
        assert_true(result > 0 && about.index == (size_t)result && about.error == 0);
        sum += result;
    }
    assert_code(stream_next(stream, &result, 20), POOL_ETIMEDOUT);
    gate_open(gate);
    assert_ok(stream_next(stream, &result, PATIENCE));
    assert_int_equal(result, 0);
    assert_int_equal(sum, 49 * 50 / 2);
    assert_code(stream_next(stream, &result, PATIENCE), POOL_END);
    stream_free(stream);

    gate = NULL;
    pool_destroy(pool);
    gate = shared(sizeof *gate);
    pool = pool_of(2);
    input.next = 0;
    assert_ok(pool_imap(pool, &options, &stream));
    for (int i = 0; i < 3; i++) {
        int64_t start = now_ms();
        assert_code(stream_next(stream, &result, i * 20), POOL_ETIMEDOUT);
        assert_took(start, i * 20, PATIENCE);
    }
    assert_int_equal(input.next, 8); /* the window and no more */
    gate_open(gate);
    for (long i = 0; i < 50; i++) {
        assert_ok(stream_next(stream, &result, PATIENCE));
        assert_int_equal(result, i);
    }
    stream_free(stream);
    pool_destroy(pool);
}

TEST_CASE(the_window_limits_the_items_that_are_taken_and_not_delivered) {
    struct pool *pool = pool_of(2);
    for (int unordered = 0; unordered < 2; unordered++) {
        for (size_t window = 1; window < 20; window += 6) {
            struct counting input = {.count = 300, .end = POOL_END};
            struct pool_stream options = squares_of(&input);
            struct stream *stream;
            options.window = window;
            assert_ok((unordered ? pool_imap_unordered : pool_imap)(pool, &options, &stream));
            long delivered = 0;
            while (stream_next(stream, NULL, PATIENCE) == 0) {
                assert_true(input.next - delivered <= (long)window);
                delivered++;
            }
            assert_int_equal(delivered, 300);
            stream_free(stream);
        }
    }
    pool_destroy(pool);
}

TEST_CASE(an_inline_pool_does_not_read_its_input_ahead) {
    struct pool_options inline_options = test_options(1);
    inline_options.backend = POOL_INLINE;
    struct pool *pool = pool_from(&inline_options);
    struct counting input = {.count = 10, .end = POOL_END};
    struct pool_stream options = squares_of(&input);
    struct stream *stream;
    assert_ok(pool_imap(pool, &options, &stream));
    for (long i = 0; i < 10; i++) {
        assert_ok(stream_next(stream, NULL, PATIENCE));
        assert_int_equal(input.next, i + 1);
    }
    assert_code(stream_next(stream, NULL, PATIENCE), POOL_END);
    stream_free(stream);
    pool_destroy(pool);
}

TEST_CASE(large_arguments_and_results_make_the_default_window_small) {
    enum { KIB = 1024, MIB = 1024 * 1024 };
    static const struct {
        size_t in_size, out_size;
        long window;
    } cases[] = {{8, 8, 256},         {8 * KIB, 8, 256},  {64 * KIB, 8, 64}, {512 * KIB, 8, 8},
                 {16 * MIB, 8, 4},    {8, 64 * KIB, 128}, {8, MIB, 8},       {8, 20 * MIB, 4},
                 {64 * KIB, MIB, 8}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        gate = shared(sizeof *gate);
        struct pool *pool = pool_of(1);
        struct counting input = {.count = 1000, .end = POOL_END};
        struct pool_stream options = squares_of(&input);
        struct stream *stream;
        options.fn = first_waits_task;
        options.in_size = cases[i].in_size;
        options.out_size = cases[i].out_size;
        assert_ok(pool_imap(pool, &options, &stream));
        assert_code(stream_next(stream, NULL, 0), POOL_ETIMEDOUT);
        assert_int_equal(input.next, cases[i].window);
        gate_open(gate);
        assert_ok(stream_next(stream, NULL, PATIENCE));
        stream_free(stream);
        pool_destroy(pool);
    }
}

/* Writes i bytes; the 50th claims more than there is room for. */
static int grow(void *arg, void *in, size_t *size) {
    size_t *calls = arg, room = *size;
    *size = ++*calls;
    if (*calls == 50) return *size = room + 1, 0;
    memset(in, (int)*calls, *size);
    return room == 40000 ? 0 : 9;
}

static int length_task(const void *in, void *out) {
    const unsigned char *bytes = in;
    size_t size = task_in_size();
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != size) return 1;
    *(size_t *)out = size;
    return 0;
}

TEST_CASE(an_input_may_have_items_of_different_sizes) {
    struct pool *pool = pool_of(2);
    struct stream *stream;
    size_t calls = 0, size;
    struct pool_stream options = {.fn = length_task, .next_sized = grow, .next_arg = &calls, .in_size = 40000,
                                  .out_size = sizeof size};
    assert_ok(pool_imap(pool, &options, &stream));
    for (size_t i = 1; i < 50; i++) {
        assert_ok(stream_next(stream, &size, PATIENCE));
        assert_int_equal(size, i);
    }
    assert_code(stream_next(stream, &size, PATIENCE), POOL_EINVAL);
    assert_code(stream_next(stream, &size, PATIENCE), POOL_END);
    stream_free(stream);
    options.next = count_on;
    assert_code(pool_imap(pool, &options, &stream), POOL_EINVAL);
    pool_destroy(pool);
}

/* The results are as long as the item's number, and more than a page for some. */
static int ramp_task(const void *in, void *out) {
    (void)in;
    fill(out, 20000, task_index());
    return task_index() == 7 ? 1 : task_resize(task_index() * 100);
}

TEST_CASE(a_result_can_be_read_where_it_lies_until_the_next_call) {
    struct pool *pool = pool_of(2);
    struct stream *stream;
    size_t size = 1;
    char copy[20000];
    struct pool_stream options = {.fn = ramp_task, .count = 150, .out_size = 20000};
    assert_ok(pool_imap(pool, &options, &stream));
    assert_null(stream_data(stream, &size));
    for (size_t i = 0; i < 150; i++) {
        int error = stream_next(stream, i % 10 == 3 ? copy : NULL, PATIENCE);
        assert_code(error, i == 7 ? POOL_EFAILED : 0);
        const char *data = stream_data(stream, &size);
        assert_true(stream_size(stream) == (i == 7 ? 0 : i * 100));
        if (i == 0 || i == 7 || i % 10 == 3) assert_null(data);
        else assert_true(data && size == i * 100 && filled(data, size, i));
        if (i == 149) pool_destroy(pool);
    }
    const char *data = stream_data(stream, &size); /* it outlives the pool */
    assert_true(data && size == 14900 && filled(data, size, 149));
    assert_code(stream_next(stream, NULL, PATIENCE), POOL_END);
    assert_null(stream_data(stream, &size));
    assert_null(stream_data(NULL, &size));
    stream_free(stream);
}

static int moody_task(const void *in, void *out) {
    long x = *(const long *)in;
    *(long *)out = x;
    if (x % 10 == 3) return task_fail((int)x, "item %ld", x);
    if (x % 100 == 7) raise(SIGKILL);
    return 0;
}

TEST_CASE(a_failed_item_costs_no_other) {
    struct pool *pool = pool_of(2);
    for (int unordered = 0; unordered < 2; unordered++) {
        struct counting input = {.count = 500, .end = POOL_END};
        struct pool_stream options = squares_of(&input);
        struct stream *stream;
        bool seen[500] = {false};
        options.fn = moody_task;
        assert_ok((unordered ? pool_imap_unordered : pool_imap)(pool, &options, &stream));
        for (size_t i = 0; i < 500; i++) {
            long result = -1;
            struct pool_failure failure;
            int error = stream_next(stream, &result, PATIENCE);
            assert_ok(stream_failure(stream, &failure));
            assert_int_equal(failure.error, error);
            size_t item = failure.index;
            assert_true(item < 500 && !seen[item] && (unordered || item == i));
            seen[item] = true;
            assert_code(error, item % 10 == 3 ? POOL_EFAILED : item % 100 == 7 ? POOL_EDIED : 0);
            assert_int_equal(result, error ? -1 : (long)item);
            assert_int_equal(stream_size(stream), error ? 0 : sizeof result);
            if (error == POOL_EFAILED) {
                assert_int_equal(failure.code, item);
                assert_contains(failure.message, "item ");
            }
            if (error == POOL_EDIED) assert_int_equal(failure.signal, SIGKILL);
            if (error == 0) assert_true(failure.message[0] == 0 && failure.code == 0);
        }
        assert_code(stream_next(stream, NULL, PATIENCE), POOL_END);
        stream_free(stream);
    }
    pool_destroy(pool);
}

static int sleep_at_3_task(const void *in, void *out) {
    (void)out;
    return *(const long *)in == 3 ? forever_task(NULL, NULL) : 0;
}

static atomic_int *tries;

static int die_twice_task(const void *in, void *out) {
    *(long *)out = *(const long *)in * *(const long *)in;
    if (*(const long *)in == 4 && atomic_fetch_add(tries, 1) < 2) raise(SIGSEGV);
    return 0;
}

TEST_CASE(items_have_time_outs_and_retries) {
    tries = shared(sizeof *tries);
    struct pool *pool = pool_of(2);
    struct counting input = {.count = 10, .end = POOL_END};
    struct pool_stream options = squares_of(&input);
    struct stream *stream;
    options.fn = sleep_at_3_task;
    options.out_size = 0;
    options.timeout = 50;
    assert_ok(pool_imap(pool, &options, &stream));
    for (int i = 0; i < 10; i++) {
        int error = stream_next(stream, NULL, PATIENCE);
        if (i != 3) assert_any_of(error, 0, POOL_EDEADLINE); /* on a busy machine another item may take as long */
        else assert_code(error, POOL_EDEADLINE);
    }
    stream_free(stream);

    input.next = 0;
    options = squares_of(&input);
    options.fn = die_twice_task;
    options.retries = 2;
    assert_ok(pool_imap(pool, &options, &stream));
    assert_int_equal(drain_squares(stream), 10);
    assert_int_equal(*tries, 3);
    stream_free(stream);
    pool_destroy(pool);
}

TEST_CASE(the_failure_of_an_input_is_told_after_all_earlier_results) {
    struct pool *pool = pool_of(2);
    static const int ends[] = {POOL_EDIED, -77, POOL_ETIMEDOUT, 42, 1};
    for (size_t e = 0; e < COUNT(ends); e++) {
        for (int unordered = 0; unordered < 2; unordered++) {
            struct counting input = {.count = e == 1 ? 0 : 100, .end = ends[e]};
            struct pool_stream options = squares_of(&input);
            struct pool_failure failure;
            struct stream *stream;
            assert_ok((unordered ? pool_imap_unordered : pool_imap)(pool, &options, &stream));
            for (long i = 0; i < input.count; i++) assert_ok(stream_next(stream, NULL, PATIENCE));
            int error = ends[e] > 0 ? POOL_EFAILED : ends[e];
            assert_code(stream_next(stream, NULL, PATIENCE), error);
            assert_ok(stream_failure(stream, &failure));
            assert_int_equal(failure.error, error);
            assert_int_equal(failure.code, ends[e]);
            assert_int_equal(failure.index, input.count);
            char message[64] = "the input failed";
            if (ends[e] > 0) snprintf(message, sizeof message, "the input failed: it returned %d", ends[e]);
            assert_contains(failure.message, message);
            for (int i = 0; i < 3; i++) assert_code(stream_next(stream, NULL, PATIENCE), POOL_END);
            assert_ok(stream_failure(stream, &failure));
            assert_int_equal(failure.error, 0);
            stream_free(stream);
        }
    }
    pool_destroy(pool);
}

/* ---- Ending ------------------------------------------------------------------------------------------------------ */

static atomic_int *begun;

static int begin_and_stay_task(const void *in, void *out) {
    (void)in;
    (void)out;
    atomic_fetch_add(begun, 1);
    return forever_task(NULL, NULL);
}

TEST_CASE(stream_free_stops_the_work_of_the_stream) {
    begun = shared(sizeof *begun);
    struct pool *pool = pool_of(2);
    for (int unordered = 0; unordered < 2; unordered++) {
        atomic_store(begun, 0);
        struct stream *stream;
        struct pool_stream options = {.fn = begin_and_stay_task, .count = 1000, .window = 100};
        assert_ok((unordered ? pool_imap_unordered : pool_imap)(pool, &options, &stream));
        assert_code(stream_next(stream, NULL, 0), POOL_ETIMEDOUT);
        assert_true(becomes(begun, 2));
        stream_free(stream);
        assert_squares_in_turn(pool, 10); /* the workers are free again */
        assert_int_equal(*begun, 2);
    }
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
}

TEST_CASE(an_endless_input_takes_constant_memory) {
    enum { LARGE = 4096 };
    struct pool_options limits = test_options(2);
    limits.arena_size = 1 << 20; /* enough for the window, not for all of the input */
    struct pool *pool = pool_from(&limits);
    for (int large = 0; large < 2; large++) {
        struct counting input = {.count = -1};
        struct pool_stream options = squares_of(&input);
        struct stream *stream;
        static char result[LARGE];
        options.window = 64;
        if (large) options.out_size = LARGE;
        assert_ok((large ? pool_imap_unordered : pool_imap)(pool, &options, &stream));
        size_t items = scaled(large ? 50000 : 1000000);
        long before = 0;
        for (size_t i = 0; i < items; i++) {
            int error = stream_next(stream, result, PATIENCE);
            if (error) assert_ok(error);
            if (i == items / 2) before = resident_kib(); /* by then each page of the ring of tickets has been used */
        }
        long after = resident_kib();
        if (!is_brief() && before >= 0) assert_true(after - before < 300);
        stream_free(stream);
    }
    pool_destroy(pool);
}

TEST_CASE(a_stream_waits_for_room_and_ends_if_an_item_can_never_have_it) {
    struct pool_options limits = test_options(2);
    limits.arena_size = 1 << 20;
    struct pool *pool = pool_from(&limits);
    char *result = malloc(2 << 20);
    for (int unordered = 0; unordered < 2; unordered++) {
        struct counting input = {.count = 40, .end = POOL_END};
        struct pool_stream options = squares_of(&input);
        struct stream *stream;
        options.window = 100;
        options.out_size = 300000; /* the arena has room for three */
        assert_ok((unordered ? pool_imap_unordered : pool_imap)(pool, &options, &stream));
        for (int i = 0; i < 40; i++) assert_ok(stream_next(stream, result, PATIENCE));
        assert_code(stream_next(stream, result, PATIENCE), POOL_END);
        stream_free(stream);

        input.next = 0;
        options.out_size = 2 << 20;
        assert_ok(pool_imap(pool, &options, &stream));
        assert_code(stream_next(stream, result, PATIENCE), POOL_ENOMEM);
        assert_code(stream_next(stream, result, PATIENCE), POOL_END);
        assert_int_equal(input.next, 0);
        stream_free(stream);
    }
    free(result);
    pool_destroy(pool);
}

TEST_CASE(shutdown_ends_the_input_and_delivers_the_items_taken) {
    struct pool *pool = pool_of(2);
    struct counting input = {.count = -1};
    struct pool_stream options = squares_of(&input);
    struct stream *stream, *none;
    long result;
    options.window = 20;
    assert_ok(pool_imap(pool, &options, &stream));
    assert_ok(stream_next(stream, &result, PATIENCE));
    long taken = input.next;
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    for (long i = 1; i < taken; i++) {
        assert_ok(stream_next(stream, &result, PATIENCE));
        assert_int_equal(result, i * i);
    }
    assert_int_equal(input.next, taken);
    assert_code(stream_next(stream, &result, PATIENCE), POOL_ECLOSED);
    assert_code(stream_next(stream, &result, PATIENCE), POOL_END);
    assert_code(pool_imap(pool, &options, &none), POOL_ECLOSED);
    stream_free(stream);
    pool_destroy(pool);
}

static int pages_task(const void *in, void *out) {
    fill(out, 20000, (uint64_t)*(const long *)in);
    return *(const long *)in == 5 ? forever_task(NULL, NULL) : 0;
}

TEST_CASE(a_stream_outlives_its_pool) {
    for (int free_at_once = 0; free_at_once < 2; free_at_once++) {
        struct pool *pool = pool_of(1);
        struct counting input = {.count = -1};
        struct pool_stream options = squares_of(&input);
        struct stream *stream;
        static char result[20000];
        options.fn = pages_task;
        options.out_size = sizeof result;
        options.window = 10;
        assert_ok(pool_imap(pool, &options, &stream));
        assert_ok(stream_next(stream, result, PATIENCE));
        while (pool_poll(pool, 0) >= 0 && input.next < 10) stream_next(stream, NULL, 0);
        sleep_ms(20);
        pool_destroy(pool);
        int error = 0, done = 0, cancelled = 0;
        while (!free_at_once && (error = stream_next(stream, result, 0)) != POOL_END) {
            done += error == 0;
            cancelled += error == POOL_ECANCELLED;
            assert_true(error == 0 || error == POOL_ECANCELLED || error == POOL_ECLOSED);
            struct pool_failure about;
            assert_ok(stream_failure(stream, &about));
            if (error == 0) assert_true(filled(result, sizeof result, about.index));
        }
        if (!free_at_once) assert_true(cancelled >= 5 && done + cancelled <= 10);
        stream_free(stream);
    }
}

/* ---- Callbacks of the input that use the pool -------------------------------------------------------------------- */

struct meddler {
    struct pool *pool;
    struct stream *stream;
    long calls;
    int nested[4];
};

static int meddle(void *arg, void *in) {
    struct meddler *m = arg;
    if (m->calls == 20) return POOL_END;
    long value = m->calls++, result = -1;
    struct pool_failure failure;
    /* Other work on the same pool, to its end. */
    if (finish(submit_square(m->pool, value), &result) || result != value * value) return -99;
    m->nested[0] = stream_next(m->stream, &result, 0);
    m->nested[1] = stream_failure(m->stream, &failure);
    struct stream *other;
    if (pool_imap(m->pool, &(struct pool_stream){.fn = number_task, .count = 3, .out_size = sizeof(struct numbered)},
                  &other))
        return -98;
    while (stream_next(other, NULL, PATIENCE) == 0) continue;
    stream_free(other);
    *(long *)in = value;
    return 0;
}

TEST_CASE(an_input_may_use_the_pool_but_not_its_own_stream) {
    struct meddler m = {.pool = pool_of(2)};
    struct pool_stream options = squares_from(meddle, &m);
    assert_ok(pool_imap(m.pool, &options, &m.stream));
    assert_int_equal(drain_squares(m.stream), 20);
    assert_code(m.nested[0], POOL_EBUSY);
    assert_code(m.nested[1], POOL_EBUSY);
    stream_free(m.stream);
    pool_destroy(m.pool);
}

static int free_itself(void *arg, void *in) {
    struct meddler *m = arg;
    *(long *)in = m->calls++;
    if (m->calls == 5) stream_free(m->stream);
    return m->calls == 5 && !m->pool ? POOL_END : 0;
}

TEST_CASE(an_input_may_free_its_own_stream) {
    struct pool *pool = pool_of(2);
    for (int ends = 0; ends < 2; ends++) {
        struct meddler m = {.pool = ends ? NULL : pool};
        struct pool_stream options = squares_from(free_itself, &m);
        assert_ok(pool_imap(pool, &options, &m.stream));
        int error;
        while ((error = stream_next(m.stream, NULL, PATIENCE)) == 0) continue;
        assert_code(error, POOL_ECANCELLED);
        assert_int_equal(m.calls, 5);
    }
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
}

static int shut_down(void *arg, void *in) {
    struct meddler *m = arg;
    *(long *)in = m->calls;
    return ++m->calls == 5 ? pool_shutdown(m->pool, 0, PATIENCE) : 0;
}

TEST_CASE(an_input_may_shut_the_pool_down) {
    struct meddler m = {.pool = pool_of(2)};
    struct pool_stream options = squares_from(shut_down, &m);
    assert_ok(pool_imap(m.pool, &options, &m.stream));
    long result;
    for (long i = 0; i < 4; i++) {
        assert_ok(stream_next(m.stream, &result, PATIENCE));
        assert_int_equal(result, i * i);
    }
    assert_code(stream_next(m.stream, &result, PATIENCE), POOL_ECLOSED);
    stream_free(m.stream);
    pool_destroy(m.pool);
}

/* ---- Callbacks of futures ---------------------------------------------------------------------------------------- */

struct ender {
    struct pool *pool;
    struct stream *stream;
    bool ends_pool;
};

static void end_it(struct future *future, void *arg) {
    struct ender *e = arg;
    future_free(future);
    if (e->ends_pool) pool_destroy(e->pool);
    else stream_free(e->stream);
}

/* Returns the first item, which never ends by itself, and opens the gate for the task whose callback is then due,
 * while stream_next() waits. */
static int open_gate(void *arg, void *in) {
    gate_open(arg);
    *(long *)in = 0;
    return 0;
}

static int first_is_endless_task(const void *in, void *out) {
    (void)out;
    return *(const long *)in == 0 ? forever_task(NULL, NULL) : 0;
}

TEST_CASE(a_callback_may_end_the_stream_or_the_pool_during_stream_next) {
    for (int ends_pool = 0; ends_pool < 2; ends_pool++) {
        for (int unordered = 0; unordered < 2; unordered++) {
            gate = shared(sizeof *gate);
            struct ender e = {.pool = pool_of(2), .ends_pool = ends_pool};
            struct pool_stream options = {.fn = first_is_endless_task, .next = open_gate, .next_arg = gate,
                                          .in_size = sizeof(long), .out_size = sizeof(long), .window = 1};
            assert_ok((unordered ? pool_imap_unordered : pool_imap)(e.pool, &options, &e.stream));
            struct future *late = submit_gated(e.pool, gate);
            assert_ok(future_on_done(late, end_it, &e));
            int error = stream_next(e.stream, NULL, PATIENCE);
            if (error == POOL_ETIMEDOUT) assert_ok(error);
            assert_code(error, POOL_ECANCELLED);
            if (!ends_pool) {
                pool_destroy(e.pool);
                continue;
            }
            assert_code(stream_next(e.stream, NULL, PATIENCE), POOL_ECLOSED);
            assert_code(stream_next(e.stream, NULL, PATIENCE), POOL_END);
            stream_free(e.stream);
        }
    }
}

TEST_CASE(every_backend_has_streams) {
    static const int backends[] = {POOL_INLINE, POOL_THREADS};
    for (size_t b = 0; b < COUNT(backends); b++) {
        struct pool_options with = test_options(2);
        with.backend = backends[b];
        struct pool *pool = pool_from(&with);
        for (int timeout = 0; timeout < 2; timeout++) {
            struct counting input = {.count = 1000, .end = POOL_END};
            struct pool_stream options = squares_of(&input);
            struct stream *stream;
            assert_ok(pool_imap(pool, &options, &stream));
            long result, i = 0;
            int error;
            while ((error = stream_next(stream, &result, timeout ? PATIENCE : 0)) == 0 || error == POOL_ETIMEDOUT) {
                if (error == 0) assert_int_equal(result, i * i);
                i += error == 0;
            }
            assert_code(error, POOL_END);
            assert_int_equal(i, 1000);
            stream_free(stream);
            input.next = 0;
            assert_ok(pool_imap_unordered(pool, &options, &stream));
            assert_ok(stream_next(stream, &result, PATIENCE));
            stream_free(stream); /* while items are left */
        }
        pool_destroy(pool);
    }
}

static size_t drain_one_of_many(struct pool *pool, uint64_t number) {
    (void)number;
    struct counting input = {.count = 5000, .end = POOL_END};
    struct pool_stream options = squares_of(&input);
    struct stream *stream;
    long result, i = 0;
    size_t errors = 0;
    if (pool_imap(pool, &options, &stream)) return 1;
    for (; stream_next(stream, &result, PATIENCE) == 0; i++) errors += result != i * i;
    stream_free(stream);
    return errors + (i != 5000);
}

TEST_CASE(streams_of_several_threads_share_a_pool) {
    struct pool *pool = pool_of(2);
    assert_no_errors_in_threads(4, drain_one_of_many, pool);
    pool_destroy(pool);
}

struct traffic {
    struct pool *pool;
    atomic_bool stop;
};

static void *make_traffic(void *argument) {
    struct traffic *traffic = argument;
    while (!atomic_load(&traffic->stop)) {
        struct future *future;
        if (pool_submit(traffic->pool, &(struct pool_task){.fn = pid_task, .out_size = sizeof(pid_t)}, &future))
            continue;
        future_wait(future, PATIENCE);
        future_free(future);
    }
    return NULL;
}

TEST_CASE(stream_next_ends_with_its_time_out_however_busy_the_pool_is) {
    gate = shared(sizeof *gate);
    struct traffic traffic = {.pool = pool_of(2)};
    struct counting input = {.count = 1, .end = POOL_END};
    struct pool_stream options = squares_of(&input);
    struct stream *stream;
    pthread_t thread;
    options.fn = first_waits_task;
    assert_ok(pool_imap_unordered(traffic.pool, &options, &stream));
    assert_code(stream_next(stream, NULL, 0), POOL_ETIMEDOUT);
    assert_true(gate_reached(gate, 1));
    assert_int_equal(pthread_create(&thread, NULL, make_traffic, &traffic), 0);
    for (int ms = 0; ms < 40; ms += 10) {
        int64_t start = now_ms();
        assert_code(stream_next(stream, NULL, ms), POOL_ETIMEDOUT);
        assert_took(start, ms, PATIENCE / 2);
    }
    atomic_store(&traffic.stop, true);
    pthread_join(thread, NULL);
    gate_open(gate);
    assert_ok(stream_next(stream, NULL, PATIENCE));
    stream_free(stream);
    pool_destroy(traffic.pool);
}

/* ---- Results of varying size ------------------------------------------------------------------------------------- */

/* Uses as much of 1 MiB of room as its argument says. */
static int as_long_as_task(const void *in, void *out) {
    size_t size = *(const size_t *)in;
    if (task_resize((1 << 20) + 1) != POOL_EINVAL) return 1;
    if (task_resize(5) || task_resize(size)) return 2;
    fill(out, size, size);
    return 0;
}

static int small_as_task(const void *in, void *out) {
    size_t size = *(const size_t *)in;
    fill(out, size, size);
    return task_resize(41) == POOL_EINVAL ? task_resize(size) : 1;
}

TEST_CASE(a_result_is_as_long_as_its_task_says) {
    static const size_t large[] = {0, 1, 48, 49, 4095, 4096, 4097, 100000, 1 << 20}, small[] = {0, 1, 39, 40};
    struct pool *pool = pool_of(2);
    char *result = malloc(1 << 20);
    for (int is_small = 0; is_small < 2; is_small++) {
        const size_t *sizes = is_small ? small : large;
        for (size_t i = 0; i < (is_small ? COUNT(small) : COUNT(large)); i++) {
            struct future *future = submit(pool, is_small ? small_as_task : as_long_as_task, &sizes[i], sizeof *sizes,
                                           is_small ? 40 : 1 << 20);
            memset(result, 'x', 1 << 20);
            assert_ok(future_get(future, result, PATIENCE));
            assert_int_equal(future_size(future), sizes[i]);
            assert_true(filled(result, sizes[i], sizes[i]));
            if (sizes[i] < 1 << 20) assert_int_equal(result[sizes[i]], 'x');
            future_free(future);
        }
    }
    struct stream *stream;
    assert_ok(pool_imap(pool,
                        &(struct pool_stream){.fn = as_long_as_task, POOL_IN(large), .count = COUNT(large),
                                              .out_size = 1 << 20},
                        &stream));
    for (size_t i = 0; i < COUNT(large); i++) {
        memset(result, 'x', 1 << 20);
        assert_ok(stream_next(stream, result, PATIENCE));
        assert_int_equal(stream_size(stream), large[i]);
        assert_true(filled(result, large[i], large[i]));
        if (large[i] < 1 << 20) assert_int_equal(result[large[i]], 'x');
    }
    assert_code(stream_next(stream, result, PATIENCE), POOL_END);
    stream_free(stream);
    free(result);
    pool_destroy(pool);
}

static int resize_in_job_task(const void *in, void *out) {
    (void)in;
    *(int *)out = task_resize(1);
    return 0;
}

static int resize_and_fail_task(const void *in, void *out) {
    (void)in;
    (void)out;
    return task_resize(1) ? 1 : 2;
}

TEST_CASE(a_size_belongs_to_its_own_task) {
    struct pool *pool = pool_of(1);
    size_t size = 3;
    char room[64];
    int codes[4], whole;
    for (int round = 0; round < 3; round++) {
        struct future *future = submit(pool, small_as_task, &size, sizeof size, 40);
        assert_int_equal(future_size(NULL), 0);
        assert_ok(future_get(future, room, PATIENCE));
        assert_int_equal(future_size(future), 3);
        future_free(future);
        future = submit(pool, pid_task, NULL, 0, sizeof(pid_t)); /* the same slot */
        assert_ok(future_get(future, room, PATIENCE));
        assert_int_equal(future_size(future), sizeof(pid_t));
        future_free(future);
        future = submit(pool, resize_and_fail_task, NULL, 0, 4);
        assert_code(future_get(future, room, PATIENCE), POOL_EFAILED);
        struct pool_failure failure;
        assert_ok(future_failure(future, &failure));
        assert_int_equal(failure.code, 2);
        assert_int_equal(future_size(future), 0);
        future_free(future);
        assert_ok(pool_map(pool, &(struct pool_job){.fn = resize_in_job_task, POOL_OUT(codes), .count = 4}));
        for (int i = 0; i < 4; i++) assert_code(codes[i], POOL_EINVAL);
        assert_ok(finish(submit(pool, resize_in_job_task, NULL, 0, sizeof whole), &whole));
    }
    assert_code(task_resize(0), POOL_EINVAL);
    pool_destroy(pool);
}

TEST_CASE(resized_results_outlive_the_pool) {
    static const size_t sizes[] = {0, 1, 48, 5000};
    struct future *futures[COUNT(sizes)];
    struct pool *pool = pool_of(2);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        futures[i] = submit(pool, as_long_as_task, &sizes[i], sizeof *sizes, 1 << 20);
        assert_ok(future_wait(futures[i], PATIENCE));
    }
    pool_destroy(pool);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char result[5000];
        assert_int_equal(future_size(futures[i]), sizes[i]);
        assert_ok(future_get(futures[i], result, 0));
        assert_true(filled(result, sizes[i], sizes[i]));
        future_free(futures[i]);
    }
}

/* A kept result takes the room of its size, not the room that was reserved for it. */
TEST_CASE(room_that_a_task_did_not_need_is_given_back) {
    struct pool_options limits = test_options(1);
    limits.arena_size = 4 << 20;
    struct pool *pool = pool_from(&limits);
    struct future *futures[100];
    size_t size = 5000;
    for (size_t i = 0; i < COUNT(futures); i++) {
        futures[i] = submit(pool, as_long_as_task, &size, sizeof size, 1 << 20);
        assert_ok(future_wait(futures[i], PATIENCE));
    }
    static char result[5000];
    for (size_t i = 0; i < COUNT(futures); i++) {
        assert_ok(finish(futures[i], result));
        assert_true(filled(result, size, size));
    }
    void *all = pool_alloc(pool, 4 << 20); /* nothing was lost */
    assert_non_null(all);
    pool_free(pool, all);
    pool_destroy(pool);
}

static int huge_task(const void *in, void *out) {
    size_t size = *(const size_t *)in;
    if (task_resize(((size_t)5 << 30) + 1) != POOL_EINVAL) return 1;
    if (task_resize((size_t)5 << 30) || task_resize(size)) return 2;
    ((char *)out)[size - 1] = 'z';
    return 0;
}

TEST_CASE(room_may_be_more_than_4_gib) {
    if (instrumented() || sizeof(size_t) < 8) return;
    struct pool_options limits = test_options(1);
    limits.arena_size = (size_t)6 << 30;
    struct pool *pool;
    int error = pool_create(&limits, &pool);
    if (error == POOL_ENOMEM) return; /* there is no address space for it */
    assert_ok(error);
    size_t size = 3;
    char result[4] = "";
    struct future *future = submit(pool, huge_task, &size, sizeof size, (size_t)5 << 30);
    assert_ok(future_get(future, result, PATIENCE));
    assert_int_equal(future_size(future), 3);
    assert_int_equal(result[2], 'z');
    future_free(future);
    pool_destroy(pool);
}

/* ---- Wrong arguments --------------------------------------------------------------------------------------------- */

static int use_foreign_stream(void *argument) {
    struct stream *stream = argument;
    struct pool_failure failure;
    struct future *future;
    EXPECT(stream_next(stream, NULL, 0) == POOL_EFOREIGN);
    EXPECT(stream_failure(stream, &failure) == POOL_EFOREIGN);
    EXPECT(stream_size(stream) == 0);
    EXPECT(stream_next_future(stream, &future, 0) == POOL_EINVAL); /* the kind of the stream is checked first */
    stream_free(stream);
    return 0;
}

TEST_CASE(wrong_arguments_have_their_codes) {
    struct pool *pool = pool_of(1);
    struct stream *stream = NULL, *untouched = NULL;
    struct future *future = NULL;
    struct pool_failure failure;
    long one = 1;
    struct pool_stream good = {.fn = square_task, POOL_IN(&one), .count = 1, .out_size = sizeof one};
    struct pool_stream bad[] = {good, good, good, good};
    bad[0].fn = NULL;
    bad[1].timeout = -1;
    bad[2].in_size = 0;
    bad[3].count = SIZE_MAX / 2;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_code(pool_imap(pool, &bad[i], &untouched), POOL_EINVAL);
        assert_code(pool_imap_unordered(pool, &bad[i], &untouched), POOL_EINVAL);
    }
    assert_code(pool_imap(NULL, &good, &untouched), POOL_EINVAL);
    assert_code(pool_imap(pool, NULL, &untouched), POOL_EINVAL);
    assert_code(pool_imap(pool, &good, NULL), POOL_EINVAL);
    assert_null(untouched);

    assert_ok(pool_imap(pool, &good, &stream));
    assert_code(stream_next(NULL, &one, 0), POOL_EINVAL);
    assert_code(stream_next(stream, &one, -2), POOL_EINVAL);
    assert_code(stream_failure(NULL, &failure), POOL_EINVAL);
    assert_code(stream_failure(stream, NULL), POOL_EINVAL);
    assert_code(stream_next_future(stream, &future, 0), POOL_EINVAL);
    assert_int_equal(stream_size(NULL), 0);
    stream_free(NULL);
    assert_child_passes(use_foreign_stream, stream);
    assert_ok(stream_next(stream, &one, PATIENCE));
    assert_int_equal(one, 1);
    stream_free(stream);
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(the_results_of_a_callback_come_in_order),
        TEST(the_results_of_an_array_come_in_order_wherever_it_lies),
        TEST(tasks_without_arguments_have_their_index_and_its_seed),
        TEST(unordered_results_come_as_they_are_done_and_ordered_ones_wait_for_the_first),
        TEST(the_window_limits_the_items_that_are_taken_and_not_delivered),
        TEST(an_inline_pool_does_not_read_its_input_ahead),
        TEST(large_arguments_and_results_make_the_default_window_small),
        TEST(an_input_may_have_items_of_different_sizes),
        TEST(a_result_can_be_read_where_it_lies_until_the_next_call),
        TEST(a_failed_item_costs_no_other),
        TEST(items_have_time_outs_and_retries),
        TEST(the_failure_of_an_input_is_told_after_all_earlier_results),
        TEST(stream_free_stops_the_work_of_the_stream),
        TEST(an_endless_input_takes_constant_memory),
        TEST(a_stream_waits_for_room_and_ends_if_an_item_can_never_have_it),
        TEST(shutdown_ends_the_input_and_delivers_the_items_taken),
        TEST(a_stream_outlives_its_pool),
        TEST(an_input_may_use_the_pool_but_not_its_own_stream),
        TEST(an_input_may_free_its_own_stream),
        TEST(an_input_may_shut_the_pool_down),
        TEST(a_callback_may_end_the_stream_or_the_pool_during_stream_next),
        TEST(every_backend_has_streams),
        TEST(streams_of_several_threads_share_a_pool),
        TEST(stream_next_ends_with_its_time_out_however_busy_the_pool_is),
        TEST(a_result_is_as_long_as_its_task_says),
        TEST(a_size_belongs_to_its_own_task),
        TEST(resized_results_outlive_the_pool),
        TEST(room_that_a_task_did_not_need_is_given_back),
        TEST(room_may_be_more_than_4_gib),
        TEST(wrong_arguments_have_their_codes),
    };
    return run_group("stream", tests, COUNT(tests), argc, argv);
}
