/* Block functions: many items a call, and still each item has an outcome of its own, as if it had been called alone. */
#include "support.h"

#include <ctype.h>
#include <signal.h>
#include <time.h>

/* ---- Items that misbehave ---------------------------------------------------------------------------------------- */

/* An item is KINDS * x + kind; its result is x * x. */
enum kind { FINE, FAILS, SAYS, CRASHES, EXITS, HANGS, BURNS, SLEEPS, KINDS };

/* Counts of calls, in shared memory. */
struct calls {
    atomic_long several, alone, items, most;
};
static struct calls *calls;

static void note_call(size_t count) {
    atomic_fetch_add(count > 1 ? &calls->several : &calls->alone, 1);
    atomic_fetch_add(&calls->items, (long)count);
    long most = atomic_load(&calls->most);
    while ((long)count > most && !atomic_compare_exchange_weak(&calls->most, &most, (long)count)) continue;
}

static void forget_calls(void) {
    memset((void *)calls, 0, sizeof *calls);
}

/* `i` < 0: it is the item of a pool_fn. */
static int behave(long item, long *out, long i) {
    long x = item / KINDS;
    switch ((enum kind)(item % KINDS)) {
    case FAILS: return task_fail(3, "bad item %zu", i < 0 ? task_index() : task_index() + (size_t)i);
    case SAYS: return i < 0 ? task_fail(4, "poor %ld", x) : (task_fail_item((size_t)i, 4, "poor %ld", x), 0);
    case CRASHES: raise(SIGSEGV); break;
    case EXITS: _exit(7);
    case HANGS: for (;;) pause();
    case BURNS: for (;;) atomic_load(&calls->items);
    case SLEEPS: sleep_ms(300); break;
    default: break;
    }
    *out = x * x;
    return 0;
}

static int item_fn(const void *in, void *out) {
    return behave(*(const long *)in, out, -1);
}

static int items_fn(const void *in, void *out, size_t count) {
    const long *items = in;
    long *results = out;
    note_call(count);
    for (size_t i = 0; i < count; i++) {
        int code = behave(items[i], &results[i], (long)i);
        if (code) return code;
    }
    return 0;
}

enum { ROOM = 2000 };
struct work {
    size_t count;
    long *in, *out;
    int *status;
    struct pool_failure *failures;
    size_t failed;
};

/* pool: whose arena the data is to lie in; NULL: in memory from malloc(). */
static struct work make_work(struct pool *pool, size_t count) {
    struct work work = {.count = count, .status = malloc((count + 1) * sizeof *work.status),
                        .failures = malloc(ROOM * sizeof *work.failures)};
    work.in = pool ? pool_alloc(pool, (count + 1) * sizeof *work.in) : malloc((count + 1) * sizeof *work.in);
    work.out = pool ? pool_alloc(pool, (count + 1) * sizeof *work.out) : malloc((count + 1) * sizeof *work.out);
    assert_true(work.in && work.out && work.status && work.failures);
    for (size_t i = 0; i < count; i++) work.in[i] = (long)(i % 1000) * KINDS;
    return work;
}

static void free_work(struct pool *pool, struct work *work) {
    if (pool) {
        pool_free(pool, work->in);
        pool_free(pool, work->out);
    } else {
        free(work->in);
        free(work->out);
    }
    free(work->status);
    free(work->failures);
}

static struct pool_job job_of(struct work *work) {
    memset(work->out, 0xee, work->count * sizeof *work->out);
    memset(work->status, 0xee, work->count * sizeof *work->status);
    return (struct pool_job){.block = items_fn, POOL_IN(work->in), POOL_OUT(work->out), .count = work->count,
                             .status = work->status, .failures = work->failures, .failures_room = ROOM,
                             .failed = &work->failed};
}

static void make_bad(struct work *work, size_t first, size_t count, size_t step, enum kind kind) {
    for (size_t i = first; count > 0; count--, i += step) work->in[i] += (long)kind;
}

static int outcome_of(enum kind kind) {
    switch (kind) {
    case FINE: return 0;
    case FAILS:
    case SAYS: return POOL_EFAILED;
    case CRASHES:
    case EXITS: return POOL_EDIED;
    default: return POOL_EDEADLINE;
    }
}

/* Exactly the culprits have failed, each by what it did, and all other results are there. */
static void check_work(const struct work *work, int returned) {
    size_t failed = 0;
    int first = 0;
    for (size_t i = 0; i < work->count; i++) {
        enum kind kind = (enum kind)(work->in[i] % KINDS);
        long x = work->in[i] / KINDS;
        if (work->status[i] != outcome_of(kind)) print_error("item %zu of kind %d\n", i, (int)kind);
        assert_code(work->status[i], outcome_of(kind));
        if (kind == FINE && work->out[i] != x * x) print_error("item %zu\n", i);
        if (kind == FINE) assert_int_equal(work->out[i], x * x);
        if (kind == FINE) continue;
        if (failed == 0) first = work->status[i];
        const struct pool_failure *failure = &work->failures[failed++];
        if (failed > ROOM) continue;
        char text[64];
        assert_int_equal(failure->index, i);
        assert_code(failure->error, outcome_of(kind));
        assert_int_equal(failure->code, kind == FAILS ? 3 : kind == SAYS ? 4 : kind == EXITS ? 7 : 0);
        assert_int_equal(failure->signal, kind == CRASHES ? SIGSEGV : 0);
        snprintf(text, sizeof text, kind == FAILS ? "bad item %zu" : "poor %zu", kind == FAILS ? i : (size_t)x);
        if ((kind == FAILS || kind == SAYS) && failed <= 900) assert_contains(failure->message, text);
    }
    assert_int_equal(work->failed, failed);
    assert_code(returned, first);
}

static void run_work(struct pool *pool, struct work *work, struct pool_job job) {
    check_work(work, pool_map(pool, &job));
}

static const int backends[] = {POOL_PROCESSES, POOL_THREADS, POOL_INLINE};

static struct pool *pool_in(int backend, int workers) {
    struct pool_options options = test_options(workers);
    options.backend = backend;
    return pool_from(&options);
}

/* Runs a test's body in a pool of each backend. */
static void in_each_backend(void (*body)(struct pool *pool)) {
    calls = shared(sizeof *calls);
    for (size_t b = 0; b < COUNT(backends); b++) {
        struct pool *pool = pool_in(backends[b], 2);
        forget_calls();
        body(pool);
        pool_destroy(pool);
    }
}

/* ---- What is run ------------------------------------------------------------------------------------------------- */

static void run_sizes(struct pool *pool) {
    static const size_t counts[] = {0, 1, 2, 63, 64, 65, 1000, 70000}, chunks[] = {0, 1, 7, 64, 1000, 1000000};
    for (size_t c = 0; c < COUNT(counts); c++)
        for (size_t k = 0; k < COUNT(chunks); k++)
            for (int arena = 0; arena < 2; arena++) {
                struct work work = make_work(arena ? pool : NULL, counts[c]);
                struct pool_job job = job_of(&work);
                job.chunk = chunks[k];
                forget_calls();
                run_work(pool, &work, job);
                assert_int_equal(calls->items, counts[c]);
                assert_true(job.chunk == 0 || calls->most <= (long)job.chunk);
                free_work(arena ? pool : NULL, &work);
            }
}

TEST_CASE(each_item_is_in_one_call) {
    in_each_backend(run_sizes);
}

TEST_CASE(a_null_pool_runs_blocks) {
    calls = shared(sizeof *calls);
    struct work work = make_work(NULL, 50000);
    make_bad(&work, 17, 3, 10000, CRASHES);
    run_work(NULL, &work, job_of(&work));
    free_work(NULL, &work);
}

static void run_large(struct pool *pool) {
    struct work work = make_work(pool, 1000000);
    run_work(pool, &work, job_of(&work));
    assert_true(calls->most > 64 && calls->most <= 16384);
    assert_true(instrumented() || calls->several + calls->alone < 20000);
    free_work(pool, &work);
}

TEST_CASE(calls_grow_to_as_many_items_as_the_clock_allows) {
    in_each_backend(run_large);
}

struct place {
    const void *in;
    void *out;
};

static int place_fn(const void *in, void *out, size_t count) {
    const struct place *place = task_context();
    size_t first = task_index();
    if (place->in ? (const char *)in != (const char *)place->in + first : in != NULL) return 1;
    if (place->out ? (char *)out != (char *)place->out + first * sizeof(long) : out != NULL) return 2;
    for (size_t i = 0; out && i < count; i++) ((long *)out)[i] = (long)(first + i);
    return 0;
}

static void run_places(struct pool *pool) {
    enum { N = 30000 };
    struct place place = {pool_alloc(pool, N), pool_alloc(pool, N * sizeof(long))};
    struct pool_job job = {.block = place_fn, .in = place.in, .in_size = 1, .out = place.out, .out_size = sizeof(long),
                           .count = N, .context = &place, .context_size = sizeof place};
    assert_ok(pool_map(pool, &job));
    for (long i = 0; i < N; i++) assert_int_equal(((long *)place.out)[i], i);
    place = (struct place){NULL, NULL};
    job.in = job.out = NULL;
    job.out_size = 0;
    assert_ok(pool_map(pool, &job));
}

TEST_CASE(arguments_and_results_of_a_call_lie_side_by_side_from_its_index_on) {
    in_each_backend(run_places);
}

static int scribble_fn(const void *in, void *out, size_t count) {
    (void)in;
    memset(out, 0x55, count * task_out_size());
    return 0;
}

static void run_unwanted(struct pool *pool) {
    static const size_t sizes[] = {1, 8, 1000, 300000};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct pool_job job = {.block = scribble_fn, .count = sizes[i] > 1000 ? 50 : 20000, .out_size = sizes[i]};
        assert_ok(pool_map(pool, &job));
    }
}

TEST_CASE(results_that_are_not_wanted_have_room_all_the_same) {
    in_each_backend(run_unwanted);
}

static int seed_fn(const void *in, void *out) {
    (void)in;
    *(uint64_t *)out = task_seed();
    return 0;
}

static int seeds_fn(const void *in, void *out, size_t count) {
    (void)in;
    for (size_t i = 0; i < count; i++) ((uint64_t *)out)[i] = task_seed_item(i);
    return task_seed() != *(uint64_t *)out;
}

static void run_seeds(struct pool *pool) {
    static uint64_t one[5000], many[5000];
    struct pool_job job = {.fn = seed_fn, POOL_OUT(one), .count = COUNT(one), .seed = 42};
    assert_ok(pool_map(pool, &job));
    job = (struct pool_job){.block = seeds_fn, POOL_OUT(many), .count = COUNT(many), .seed = 42};
    assert_ok(pool_map(pool, &job));
    assert_memory_equal(one, many, sizeof one);
}

TEST_CASE(an_item_has_the_same_seed_in_a_block) {
    in_each_backend(run_seeds);
}

static int upper_fn(const void *in, void *out, size_t count) {
    const unsigned char *from = in;
    unsigned char *to = out;
    for (size_t i = 0; i < count; i++) {
        if (from[i] == '!') task_fail_item(i, 9, NULL);
        if (from[i] == '?') raise(SIGKILL);
        to[i] = (unsigned char)toupper(from[i]);
    }
    return 0;
}

TEST_CASE(items_of_one_byte_have_outcomes_of_their_own) {
    enum { N = 3000000 };
    struct pool *pool = pool_of(3);
    char *in = malloc(N), *out = malloc(N);
    int *status = malloc(N * sizeof *status);
    for (size_t i = 0; i < N; i++) in[i] = (char)('a' + i % 26);
    for (size_t i = 5; i < N; i += N / 7) in[i] = '!';
    for (size_t i = 0; i < N; i += N / 5) in[i] = '?';
    struct pool_job job = {.block = upper_fn, POOL_IN(in), POOL_OUT(out), .count = N, .status = status};
    assert_code(pool_map(pool, &job), POOL_EDIED);
    for (size_t i = 0; i < N; i++) {
        int expected = in[i] == '!' ? POOL_EFAILED : in[i] == '?' ? POOL_EDIED : 0;
        if (status[i] != expected || (expected == 0 && out[i] != in[i] - 32)) print_error("item %zu\n", i);
        assert_code(status[i], expected);
        if (expected == 0) assert_int_equal(out[i], in[i] - 32);
    }
    free(in);
    free(out);
    free(status);
    pool_destroy(pool);
}

/* ---- What is refused --------------------------------------------------------------------------------------------- */

TEST_CASE(a_job_has_one_function_and_does_not_write_over_its_arguments) {
    calls = shared(sizeof *calls);
    struct pool *pool = pool_of(1);
    static long data[100];
    static size_t sizes[50];
    struct future *future;
    struct pool_job right = {.block = items_fn, POOL_IN(data), POOL_OUT(data + 50), .count = 50};
    assert_ok(pool_map(pool, &right));
    struct pool_job wrong[] = {right, right, right, right, right};
    wrong[0].fn = item_fn;
    wrong[1].block = NULL;
    wrong[2].out = data + 49;
    wrong[3].out_sizes = sizes;
    wrong[4].in = data + 1;
    wrong[4].out = data;
    for (size_t i = 0; i < COUNT(wrong); i++) {
        assert_code(pool_map(pool, &wrong[i]), POOL_EINVAL);
        assert_code(pool_map(NULL, &wrong[i]), POOL_EINVAL);
        assert_code(pool_map_async(pool, &wrong[i], &future), POOL_EINVAL);
    }
    pool_destroy(pool);
}

static int resize_fn(const void *in, void *out, size_t count) {
    (void)in, (void)out, (void)count;
    return task_resize(1) == POOL_EINVAL ? 0 : 5;
}

TEST_CASE(an_item_of_a_block_is_not_resized) {
    struct pool *pool = pool_of(1);
    static long out[10];
    assert_ok(pool_map(pool, &(struct pool_job){.block = resize_fn, POOL_OUT(out), .count = 10}));
    pool_destroy(pool);
}

static int fail_item_in_item(const void *in, void *out) {
    (void)in, (void)out;
    return task_fail_item(0, 6, "no block") == 6 ? 0 : 1;
}

TEST_CASE(only_a_block_function_tells_of_its_items) {
    struct pool *pool = pool_of(1);
    assert_int_equal(task_fail_item(0, 8, "%s", "outside"), 8);
    assert_ok(pool_map(pool, &(struct pool_job){.fn = fail_item_in_item, .count = 10}));
    assert_ok(finish(submit(pool, fail_item_in_item, NULL, 0, 0), NULL));
    pool_destroy(pool);
}

/* ---- Failures ---------------------------------------------------------------------------------------------------- */

enum { MANY = 40000 };

/* Culprits at the beginning, at the end, in the middle, and many side by side; chunks that are given, too. */
static void run_culprits(struct pool *pool, enum kind kind, size_t side_by_side, struct pool_job limits) {
    const struct {
        size_t first, count, step;
    } places[] = {{0, 1, 1}, {MANY - 1, 1, 1}, {MANY / 2, 1, 1}, {MANY / 3, side_by_side, 1}, {100, 5, MANY / 6}};
    for (size_t i = 0; i < COUNT(places); i++)
        for (size_t chunk = 0; chunk < 30000; chunk += 10001) {
            struct work work = make_work(pool, MANY);
            make_bad(&work, places[i].first, places[i].count, places[i].step, kind);
            struct pool_job job = job_of(&work);
            job.timeout = limits.timeout;
            job.cpu_timeout = limits.cpu_timeout;
            job.chunk = chunk;
            run_work(pool, &work, job);
            free_work(pool, &work);
        }
}

static void run_failing(struct pool *pool) {
    run_culprits(pool, FAILS, 1000, (struct pool_job){.timeout = 0});
    run_culprits(pool, FAILS, 1000, (struct pool_job){.timeout = 100000});
}

TEST_CASE(a_call_that_fails_is_searched_for_those_that_did) {
    in_each_backend(run_failing);
}

static void run_saying(struct pool *pool) {
    forget_calls();
    run_culprits(pool, SAYS, 1000, (struct pool_job){.timeout = 0});
    assert_int_equal(calls->items, 15L * MANY);
}

TEST_CASE(a_call_tells_which_items_failed_and_none_is_run_again) {
    in_each_backend(run_saying);
}

/* Says so of items in any order, and twice. */
static int disorder_fn(const void *in, void *out, size_t count) {
    (void)in, (void)out;
    for (size_t i = 0; i < count; i++)
        if ((task_index() + i) % 3 == 0) task_fail_item(i, 1, "first %zu", i);
    for (size_t i = count; i-- > 0;)
        if ((task_index() + i) % 3 == 0) task_fail_item(i, 2, "item %zu", task_index() + i);
    task_fail_item(count, 5, "there is none");
    return 0;
}

static void run_disorder(struct pool *pool) {
    enum { N = 900 };
    static struct pool_failure failures[N];
    static int status[N];
    size_t failed;
    struct pool_job job = {.block = disorder_fn, .count = N, .status = status, .failures = failures,
                           .failures_room = N, .failed = &failed};
    assert_code(pool_map(pool, &job), POOL_EFAILED);
    assert_int_equal(failed, N / 3);
    for (size_t i = 0; i < N; i++) assert_code(status[i], i % 3 == 0 ? POOL_EFAILED : 0);
    for (size_t i = 0; i < N / 3; i++) {
        char text[32];
        snprintf(text, sizeof text, "item %zu", 3 * i);
        assert_int_equal(failures[i].index, 3 * i);
        assert_int_equal(failures[i].code, 2);
        assert_contains(failures[i].message, text);
    }
}

TEST_CASE(what_a_call_says_last_of_an_item_counts_in_any_order) {
    in_each_backend(run_disorder);
}

/* Of several items it says that all have failed, and fails; alone each succeeds. */
static int withdraw_fn(const void *in, void *out, size_t count) {
    (void)in, (void)out;
    for (size_t i = 0; count > 1 && i < count; i++) task_fail_item(i, 1, "not so");
    return count > 1 ? task_fail(2, "nor this") : 0;
}

static void run_withdrawn(struct pool *pool) {
    assert_ok(pool_map(pool, &(struct pool_job){.block = withdraw_fn, .count = 5000}));
}

TEST_CASE(what_a_failed_call_has_said_counts_for_nothing) {
    in_each_backend(run_withdrawn);
}

static int withdraw_by_death(const void *in, void *out, size_t count) {
    if (count > 1 && task_index() % 5 == 0) {
        withdraw_fn(in, out, count);
        raise(SIGKILL);
    }
    return withdraw_fn(in, out, count);
}

TEST_CASE(what_a_dead_call_has_said_counts_for_nothing) {
    struct pool *pool = pool_of(2);
    assert_ok(pool_map(pool, &(struct pool_job){.block = withdraw_by_death, .count = 5000}));
    pool_destroy(pool);
}

TEST_CASE(of_a_call_whose_worker_dies_exactly_the_culprits_fail) {
    allow_seconds(240);
    calls = shared(sizeof *calls);
    struct pool *pool = pool_of(2);
    run_culprits(pool, CRASHES, scaled(1000), (struct pool_job){.timeout = 0});
    run_culprits(pool, EXITS, 10, (struct pool_job){.timeout = 100000});
    run_culprits(pool, CRASHES, 10, (struct pool_job){.cpu_timeout = 100000});
    pool_destroy(pool);
}

/* In each chunk one of the first items is a culprit: what is left of the chunks are items that are no neighbours. */
TEST_CASE(a_culprit_costs_two_deaths_and_what_no_call_had_begun_goes_on_in_calls) {
    enum { CULPRITS = 10, EACH = 1000 };
    calls = shared(sizeof *calls);
    struct pool *pool = pool_of(2);
    for (size_t bad = 1; bad <= CULPRITS; bad += CULPRITS - 1) {
        struct pool_stats before = {0}, after = {0};
        struct work work = make_work(pool, CULPRITS * EACH);
        make_bad(&work, 10, bad, EACH, CRASHES);
        struct pool_job job = job_of(&work);
        job.chunk = EACH;
        forget_calls();
        assert_ok(pool_stats(pool, &before));
        run_work(pool, &work, job);
        assert_ok(pool_stats(pool, &after));
        assert_true(after.died - before.died >= bad && after.died - before.died <= 2 * bad);
        assert_true(calls->several > 0);
        free_work(pool, &work);
    }
    pool_destroy(pool);
}

TEST_CASE(of_a_call_past_its_time_out_exactly_the_culprits_fail) {
    allow_seconds(240);
    calls = shared(sizeof *calls);
    struct pool *pool = pool_of(2);
    run_culprits(pool, HANGS, 3, (struct pool_job){.timeout = 200});
    run_culprits(pool, BURNS, 3, (struct pool_job){.cpu_timeout = 40});
    pool_destroy(pool);
}

TEST_CASE(a_message_says_which_limit_an_item_has_exceeded) {
    calls = shared(sizeof *calls);
    struct pool *pool = pool_of(2);
    struct work work = make_work(pool, MANY);
    make_bad(&work, MANY / 2, 1, 1, HANGS);
    struct pool_job job = job_of(&work);
    job.timeout = 500;
    run_work(pool, &work, job);
    assert_contains(work.failures[0].message, "it ran longer than 500 ms");
    work.in[MANY / 2] += BURNS - HANGS;
    job = job_of(&work);
    job.cpu_timeout = 60;
    run_work(pool, &work, job);
    assert_contains(work.failures[0].message, "it used more than 60 ms of CPU time");
    free_work(pool, &work);
    pool_destroy(pool);
}

static void run_slow(struct pool *pool) {
    struct work work = make_work(pool, 20000);
    make_bad(&work, 10000, 2, 7, SLEEPS);
    struct pool_job job = job_of(&work);
    job.timeout = 100;
    run_work(pool, &work, job);
    free_work(pool, &work);
}

TEST_CASE(an_item_past_its_time_out_is_found_in_each_backend) {
    in_each_backend(run_slow);
}

TEST_CASE(random_culprits_have_the_outcomes_that_they_have_alone) {
    allow_seconds(240);
    calls = shared(sizeof *calls);
    static const enum kind kinds[] = {FAILS, SAYS, CRASHES, EXITS};
    struct pool *pool = pool_of(3);
    for (size_t round = 0; round < scaled(30); round++) {
        size_t count = 1 + (size_t)(scramble(round) % 50000), bad = (size_t)(scramble(round + 1000) % 60);
        struct work work = make_work(round % 2 ? pool : NULL, count), alone = make_work(NULL, count);
        for (size_t i = 0; i < bad; i++) {
            long *item = &work.in[scramble(round * 1000 + i) % count];
            if (*item % KINDS == 0) *item += (long)kinds[scramble(i) % COUNT(kinds)];
        }
        memcpy(alone.in, work.in, count * sizeof *work.in);
        struct pool_job job = job_of(&work), item_job = job_of(&alone);
        item_job.block = NULL;
        item_job.fn = item_fn;
        if (scramble(round + 500) % 3 == 0) job.chunk = 1 + (size_t)(scramble(round) % 5000);
        if (round % 5 == 4) job.timeout = 60000;
        int by_items = pool_map(pool, &item_job);
        assert_code(pool_map(pool, &job), by_items);
        check_work(&work, by_items);
        assert_memory_equal(work.status, alone.status, count * sizeof *work.status);
        for (size_t i = 0; i < work.failed; i++) {
            const struct pool_failure *a = &work.failures[i], *b = &alone.failures[i];
            assert_true(a->index == b->index && a->code == b->code && a->signal == b->signal);
            assert_true(a->signal || strcmp(a->message, b->message) == 0); /* a crash is told with its function */
        }
        free_work(round % 2 ? pool : NULL, &work);
        free_work(NULL, &alone);
    }
    pool_destroy(pool);
}

/* ---- Retries and deaths from outside ----------------------------------------------------------------------------- */

static atomic_int *deaths_left;

/* Item 5000 ends its worker in each call of several, and a few times alone. */
static int mortal_fn(const void *in, void *out, size_t count) {
    (void)in, (void)out;
    bool has_it = task_index() <= 5000 && 5000 < task_index() + count;
    if (has_it && (count > 1 || atomic_fetch_sub(deaths_left, 1) > 0)) raise(SIGKILL);
    return 0;
}

TEST_CASE(retries_count_the_deaths_of_an_item_alone) {
    deaths_left = shared(sizeof *deaths_left);
    struct pool *pool = pool_of(2);
    for (int deaths = 0; deaths < 4; deaths++) {
        struct pool_stats before = {0}, after = {0};
        struct pool_failure failure;
        size_t failed;
        atomic_store(deaths_left, deaths);
        assert_ok(pool_stats(pool, &before));
        struct pool_job job = {.block = mortal_fn, .count = 10000, .retries = 2, .failure = &failure,
                               .failed = &failed};
        assert_code(pool_map(pool, &job), deaths > 2 ? POOL_EDIED : 0);
        assert_ok(pool_stats(pool, &after));
        assert_int_equal(after.retried - before.retried, deaths > 2 ? 2 : deaths);
        assert_int_equal(failed, deaths > 2);
        if (failed) assert_int_equal(failure.index, 5000);
    }
    pool_destroy(pool);
}

static int slow_square_fn(const void *in, void *out, size_t count) {
    for (volatile int i = 0; i < 20000; i++) continue;
    return items_fn(in, out, count);
}

/* Kills workers of the pool again and again until it is killed. */
static int kill_workers(void *supervisor) {
    pid_t root = *(pid_t *)supervisor, workers[64];
    for (uint64_t random = 1; random != 0; random++) {
        size_t count = descendants(root, workers, COUNT(workers));
        if (count > 0) kill(workers[scramble(random) % count], SIGKILL);
        sleep_ms(2 + (int)(scramble(random + 7) % 10));
    }
    return 0;
}

TEST_CASE(workers_that_are_killed_from_outside_cost_the_items_that_they_ran_alone) {
    if (!have_proc()) return;
    allow_seconds(240);
    calls = shared(sizeof *calls);
    struct pool *pool = pool_of(4);
    pid_t supervisor = supervisor_of(pool), killer = start_child(kill_workers, &supervisor);
    struct work work = make_work(pool, 200000);
    for (size_t round = 0; round < scaled(20); round++) {
        struct pool_job job = job_of(&work);
        job.block = slow_square_fn;
        job.retries = round % 2 ? 1000 : 0;
        job.timeout = round % 3 ? 0 : 60000;
        job.chunk = round % 4 == 3 ? 20000 : 0;
        int returned = pool_map(pool, &job);
        size_t died = 0;
        for (size_t i = 0; i < work.count; i++) {
            died += work.status[i] == POOL_EDIED;
            assert_true(work.status[i] == 0 || work.status[i] == POOL_EDIED);
            if (work.status[i] == 0) assert_int_equal(work.out[i], (long)(i % 1000) * (long)(i % 1000));
        }
        assert_code(returned, died ? POOL_EDIED : 0);
        assert_true(died == work.failed && (died == 0 || !job.retries));
    }
    kill(killer, SIGKILL);
    end_child(killer, PATIENCE);
    free_work(pool, &work);
    pool_destroy(pool);
}

/* ---- Cancelling, progress, bounds of workers --------------------------------------------------------------------- */

static struct gate *gate;

static int gated_fn(const void *in, void *out, size_t count) {
    size_t first = task_index();
    if (first <= 3000 && 3000 < first + count) gate_pass(gate);
    return items_fn(in, out, count);
}

static int held_fn(const void *in, void *out, size_t count) {
    gate_pass(gate);
    return items_fn(in, out, count);
}

/* Both workers are in a call, so the other chunks are not begun. */
static void run_killed(struct pool *pool) {
    struct future *future;
    struct work work = make_work(pool, MANY);
    struct pool_job job = job_of(&work);
    job.block = held_fn;
    job.chunk = 10000;
    memset((void *)gate, 0, sizeof *gate);
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(gate, 2));
    assert_code(future_cancel(future), POOL_EBUSY);
    assert_ok(future_kill(future));
    gate_open(gate); /* threads cannot be killed */
    assert_code(future_get(future, NULL, PATIENCE), POOL_ECANCELLED);
    assert_true(work.failed > 0);
    for (size_t i = 0; i < work.count; i++) {
        assert_any_of(work.status[i], 0, POOL_ECANCELLED);
        if (work.status[i] == 0) assert_int_equal(work.out[i], (long)(i % 1000) * (long)(i % 1000));
    }
    future_free(future);
    run_work(pool, &work, job_of(&work));
    free_work(pool, &work);
}

TEST_CASE(a_job_that_is_killed_ends_its_calls_and_leaves_the_rest) {
    calls = shared(sizeof *calls);
    gate = shared(sizeof *gate);
    for (int b = 0; b < 2; b++) {
        struct pool *pool = pool_in(backends[b], 2);
        run_killed(pool);
        pool_destroy(pool);
    }
}

/* What runs is killed, and the rest goes on. */
TEST_CASE(all_items_of_a_call_that_is_killed_are_cancelled) {
    calls = shared(sizeof *calls);
    gate = shared(sizeof *gate);
    struct pool *pool = pool_of(1);
    struct work work = make_work(pool, MANY);
    struct pool_job job = job_of(&work);
    job.block = gated_fn;
    struct future *future;
    assert_ok(pool_map_async(pool, &job, &future));
    assert_true(gate_reached(gate, 1));
    assert_ok(pool_shutdown(pool, POOL_KILL_RUNNING, PATIENCE));
    assert_code(future_get(future, NULL, PATIENCE), POOL_ECANCELLED);
    assert_true(work.status[3000] == POOL_ECANCELLED && work.failed <= 16384);
    for (size_t i = 1; i < work.count; i++) /* side by side */
        if (work.status[i] && !work.status[i - 1]) assert_true(i <= 3000);
    assert_int_equal(atomic_load(&gate->arrived), 1);
    future_free(future);
    free_work(pool, &work);
    pool_destroy(pool);
}

struct reports {
    struct future *future;
    size_t calls, last, count;
};

static void report(const struct pool_progress *progress, void *arg) {
    struct reports *reports = arg;
    if (progress->done >= reports->last) reports->calls++;
    reports->last = progress->done;
    reports->count = progress->count;
}

static void run_progress(struct pool *pool) {
    struct reports reports = {.calls = 0};
    struct work work = make_work(pool, 300000);
    make_bad(&work, 1000, 3, 100000, SAYS);
    struct pool_job job = job_of(&work);
    job.progress = report;
    job.progress_arg = &reports;
    job.progress_interval = 1;
    run_work(pool, &work, job);
    assert_true(reports.calls > 0 && reports.last == work.count && reports.count == work.count);
    free_work(pool, &work);
}

TEST_CASE(progress_is_told_of_blocks) {
    in_each_backend(run_progress);
}

/* A worker has run this many items; one that runs more than its quota fails. */
static int quota_fn(const void *in, void *out, size_t count) {
    static size_t ran;
    (void)in, (void)out;
    ran += count;
    return ran > 100 ? task_fail(1, "%zu items", ran) : 0;
}

TEST_CASE(a_worker_ends_when_it_has_run_its_number_of_items) {
    struct pool_options options = test_options(2);
    options.max_tasks_per_worker = 100;
    struct pool *pool = pool_from(&options);
    assert_ok(pool_map(pool, &(struct pool_job){.block = quota_fn, .count = 10000}));
    assert_ok(pool_map(pool, &(struct pool_job){.block = quota_fn, .count = 3000, .chunk = 77}));
    pool_destroy(pool);
}

/* The worker that has failed must run nothing more. */
static int spoilt_fn(const void *in, void *out, size_t count) {
    static bool spoilt;
    (void)in, (void)out;
    if (spoilt) raise(SIGKILL);
    for (size_t i = 0; i < count; i++)
        if ((task_index() + i) % 1000 == 999) {
            task_fail_item(i, 1, NULL);
            spoilt = true;
        }
    return 0;
}

TEST_CASE(a_worker_whose_item_has_failed_is_replaced_if_the_pool_says_so) {
    struct pool_options options = test_options(2);
    options.fresh_after_failure = true;
    struct pool *pool = pool_from(&options);
    size_t failed;
    struct pool_stats stats = {0};
    assert_code(pool_map(pool, &(struct pool_job){.block = spoilt_fn, .count = 20000, .failed = &failed}),
                POOL_EFAILED);
    assert_int_equal(failed, 20);
    assert_ok(pool_stats(pool, &stats));
    assert_int_equal(stats.died, 0);
    pool_destroy(pool);
}

/* ---- The rest of a chunk goes to others -------------------------------------------------------------------------- */

enum { CHUNK = 4000, AWAITED = CHUNK / 2 };
static struct rest {
    atomic_int finished, runs[CHUNK];
} *rest;

/* A call in the middle of the only chunk waits until others have finished what was not begun. */
static int waiting_fn(const void *in, void *out, size_t count) {
    (void)in, (void)out;
    size_t first = task_index();
    for (size_t i = 0; i < count; i++) atomic_fetch_add(&rest->runs[first + i], 1);
    int code = first <= 300 && 300 < first + count && !becomes(&rest->finished, AWAITED) ? 5 : 0;
    atomic_fetch_add(&rest->finished, (int)count);
    return code;
}

TEST_CASE(what_a_slow_call_has_not_begun_is_run_by_others_and_nothing_twice) {
    for (int b = 0; b < 2; b++)
        for (size_t round = 0; round < scaled(20); round++) {
            rest = shared(sizeof *rest);
            struct pool *pool = pool_in(backends[b], 3);
            struct pool_job job = {.block = waiting_fn, .count = CHUNK, .chunk = CHUNK,
                                   .timeout = round % 2 ? 200000 : 0};
            assert_ok(pool_map(pool, &job));
            for (size_t i = 0; i < CHUNK; i++) assert_int_equal(rest->runs[i], 1);
            pool_destroy(pool);
        }
}

/* ---- Reductions -------------------------------------------------------------------------------------------------- */

/* Adds up x * x of each item, and counts calls. */
static int add_block(const void *in, size_t count, void *part) {
    const long *items = in;
    long sum = 0, square;
    note_call(count);
    for (size_t i = 0; i < count; i++) {
        int code = behave(items[i], &square, (long)i);
        if (code) return code;
        sum += square;
    }
    *(long *)part = sum;
    return 0;
}

static int add_indices(const void *in, size_t count, void *part) {
    long sum = 0;
    for (size_t i = 0; i < count; i++) sum += (long)(task_index() + i);
    *(long *)part = sum;
    return in != NULL;
}

static int add_parts(void *result, const void *right) {
    *(long *)result += *(const long *)right;
    return 0;
}

static int next_item(void *next_arg, void *in) {
    long *next = next_arg;
    if (*next == 5000) return POOL_END;
    *(long *)in = *next * KINDS;
    ++*next;
    return 0;
}

static struct pool_reduction sum_of(const struct work *work, long *sum, struct pool_failure *failure) {
    return (struct pool_reduction){.block = add_block, .combine = add_parts, POOL_IN(work->in), .count = work->count,
                                   .out = sum, .out_size = sizeof *sum, .failure = failure};
}

static void run_sums(struct pool *pool) {
    static const size_t chunks[] = {0, 1, 7, 1000, 100000};
    for (int arena = 0; arena < 2; arena++)
        for (size_t c = 0; c < COUNT(chunks); c++) {
            struct work work = make_work(arena ? pool : NULL, 12345);
            long sum = 0, right = 0, next = 0;
            struct pool_failure failure;
            struct pool_reduction r = sum_of(&work, &sum, &failure);
            for (size_t i = 0; i < work.count; i++) right += (long)(i % 1000) * (long)(i % 1000);
            r.chunk = chunks[c];
            forget_calls();
            assert_ok(pool_reduce(pool, &r));
            assert_int_equal(sum, right);
            size_t chunk = chunks[c] ? chunks[c] : (work.count + 127) / 128;
            assert_int_equal(calls->several + calls->alone, (work.count + chunk - 1) / chunk);
            r = (struct pool_reduction){.block = add_indices, .combine = add_parts, .count = 5000, .out = &sum,
                                        .out_size = sizeof sum, .chunk = chunks[c]};
            assert_ok(pool_reduce(pool, &r));
            assert_int_equal(sum, 5000L * 4999 / 2);
            r = (struct pool_reduction){.block = add_block, .combine = add_parts, .next = next_item,
                                        .next_arg = &next, .in_size = sizeof(long), .out = &sum,
                                        .out_size = sizeof sum, .chunk = chunks[c]};
            assert_ok(pool_reduce(pool, &r));
            assert_true(sum == (long)(5000LL * 4999 * 9999 / 6)); /* on 32 bits modulo 2^32 */
            free_work(arena ? pool : NULL, &work);
        }
}

TEST_CASE(a_reduction_makes_one_part_of_each_chunk) {
    in_each_backend(run_sums);
    struct work work = make_work(NULL, 5000);
    long sum;
    struct pool_reduction r = sum_of(&work, &sum, NULL);
    assert_ok(pool_reduce(NULL, &r));
    r.fn = item_fn;
    assert_code(pool_reduce(NULL, &r), POOL_EINVAL);
    free_work(NULL, &work);
}

static void run_failing_sums(struct pool *pool) {
    static const size_t places[] = {0, 99, 100, 5678, 9999};
    for (size_t i = 0; i < COUNT(places); i++)
        for (int says = 0; says < 2; says++) {
            struct work work = make_work(pool, 10000);
            make_bad(&work, places[i], 1, 1, says ? SAYS : FAILS);
            if (places[i] + 3 < work.count) make_bad(&work, places[i] + 3, 1, 1, says ? FAILS : SAYS);
            struct pool_failure failure;
            long sum = 77;
            char text[32];
            struct pool_reduction r = sum_of(&work, &sum, &failure);
            r.chunk = 100;
            snprintf(text, sizeof text, says ? "poor %zu" : "bad item %zu", says ? places[i] % 1000 : places[i]);
            assert_code(pool_reduce(pool, &r), POOL_EFAILED);
            assert_int_equal(sum, 77);
            assert_int_equal(failure.index, places[i]);
            assert_int_equal(failure.code, says ? 4 : 3);
            assert_contains(failure.message, text);
            free_work(pool, &work);
        }
}

TEST_CASE(a_reduction_names_the_item_that_failed_in_a_block) {
    in_each_backend(run_failing_sums);
}

TEST_CASE(a_reduction_names_the_chunk_whose_worker_has_died) {
    calls = shared(sizeof *calls);
    struct pool *pool = pool_of(2);
    static const enum kind kinds[] = {CRASHES, HANGS, BURNS};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        struct work work = make_work(pool, 10000);
        make_bad(&work, 5678, 1, 1, kinds[k]);
        struct pool_failure failure;
        long sum;
        struct pool_reduction r = sum_of(&work, &sum, &failure);
        r.chunk = 100;
        r.timeout = kinds[k] == HANGS ? 500 : 0;
        r.cpu_timeout = kinds[k] == BURNS ? 100 : 0;
        assert_code(pool_reduce(pool, &r), outcome_of(kinds[k]));
        assert_int_equal(failure.index, 5600);
        free_work(pool, &work);
    }
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        TEST(each_item_is_in_one_call),
        TEST(a_null_pool_runs_blocks),
        TEST(calls_grow_to_as_many_items_as_the_clock_allows),
        TEST(arguments_and_results_of_a_call_lie_side_by_side_from_its_index_on),
        TEST(results_that_are_not_wanted_have_room_all_the_same),
        TEST(an_item_has_the_same_seed_in_a_block),
        TEST(items_of_one_byte_have_outcomes_of_their_own),
        TEST(a_job_has_one_function_and_does_not_write_over_its_arguments),
        TEST(an_item_of_a_block_is_not_resized),
        TEST(only_a_block_function_tells_of_its_items),
        TEST(a_call_that_fails_is_searched_for_those_that_did),
        TEST(a_call_tells_which_items_failed_and_none_is_run_again),
        TEST(what_a_call_says_last_of_an_item_counts_in_any_order),
        TEST(what_a_failed_call_has_said_counts_for_nothing),
        TEST(what_a_dead_call_has_said_counts_for_nothing),
        TEST(of_a_call_whose_worker_dies_exactly_the_culprits_fail),
        TEST(a_culprit_costs_two_deaths_and_what_no_call_had_begun_goes_on_in_calls),
        TEST(of_a_call_past_its_time_out_exactly_the_culprits_fail),
        TEST(a_message_says_which_limit_an_item_has_exceeded),
        TEST(an_item_past_its_time_out_is_found_in_each_backend),
        TEST(random_culprits_have_the_outcomes_that_they_have_alone),
        TEST(retries_count_the_deaths_of_an_item_alone),
        TEST(workers_that_are_killed_from_outside_cost_the_items_that_they_ran_alone),
        TEST(a_job_that_is_killed_ends_its_calls_and_leaves_the_rest),
        TEST(all_items_of_a_call_that_is_killed_are_cancelled),
        TEST(progress_is_told_of_blocks),
        TEST(a_worker_ends_when_it_has_run_its_number_of_items),
        TEST(a_worker_whose_item_has_failed_is_replaced_if_the_pool_says_so),
        TEST(what_a_slow_call_has_not_begun_is_run_by_others_and_nothing_twice),
        TEST(a_reduction_makes_one_part_of_each_chunk),
        TEST(a_reduction_names_the_item_that_failed_in_a_block),
        TEST(a_reduction_names_the_chunk_whose_worker_has_died),
    };
    return run_group("blocks", tests, COUNT(tests), argc, argv);
}
