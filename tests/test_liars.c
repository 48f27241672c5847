/* Workers that lie on purpose, and know how: a task does to shared memory what serves it best, and keeps doing it. What
 * it costs the caller is at most time in proportion to the work that was given.
 *
 * A liar writes plausible words, while the tasks of test_distrust and test_scribble overwrite at random, and once.
 * Where the caller itself could be brought down, it runs in a child. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "pool/vain.h"
#include "shared/plan.h"
#include "shared/record.h"
#include "shared/shared.h"
#include "shared/state.h"
#include "shared/ticket.h"
#include "worker/task.h"

/* ---- what a liar finds */

static struct pp_shared *memory(void) {
    return (struct pp_shared *)(uintptr_t)pp_call_here()->shared;
}

static uint32_t own_number(void) {
    uint32_t worker = 0;
    while ((pid_t)atomic_load(&memory()->control->pids[worker]) != getpid()) worker++;
    return worker;
}

static struct pp_record *own_record(void) {
    return &memory()->records[own_number()];
}

/* The plan of the job that the worker is in. */
static const struct pp_job_plan *own_plan(void) {
    return memory()->descs[pp_ticket_slot(atomic_load(&own_record()->job))].in;
}

enum { DESCRIPTORS = 64, SMALL = 1 << 22 /* bytes of an arena */ };
static bool open_before[DESCRIPTORS]; /* the pool was made */

/* ---- the half that workers may only read */

static bool makes_writable(char *begin, size_t size) {
    return mprotect(begin, size, PROT_READ | PROT_WRITE) == 0;
}

#if LINUX

enum { REMOVE = 9 /* MADV_REMOVE */ };

static bool makes_copy_writable(char *begin, size_t size) {
    void *copy = mremap(begin, 0, size, MREMAP_MAYMOVE);
    return copy != MAP_FAILED && makes_writable(copy, size);
}

static int change_otherwise(char *begin, size_t size) {
    return makes_copy_writable(begin, size) + (madvise(begin, size, REMOVE) == 0);
}

#else

static int change_otherwise(char *begin, size_t size) {
    (void)begin, (void)size;
    return 0;
}

#endif

/* Returns how many of the ways to change it are open. */
static int change_what_is_read(const void *in, void *out) {
    (void)in, (void)out;
    const struct pp_shared *s = memory();
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *const places[] = {s->base, (char *)s->descs, s->inputs, (char *)s->starts};
    int open_ways = 0;
    for (size_t i = 0; i < COUNT(places); i++) {
        open_ways += change_otherwise(places[i], page);
        open_ways += makes_writable(places[i], page);
    }
    return open_ways;
}

/* A small pool: without Linux's extensions a file system must have room for the half. */
TEST_CASE(what_workers_may_only_read_they_cannot_make_writable) {
    struct pool_options options = {.workers = 1, .arena_size = SMALL};
    struct pool *pool = pool_from(&options);
    for (int i = 0; i < 2; i++) assert_ok(finish(submit(pool, change_what_is_read, NULL, 0, 0), NULL));
    pool_destroy(pool);
}

/* The caller, to kill the job, follows the pointer to the cursors and writes there. */
static int rewrite_plan(const void *in, void *out) {
    (void)out;
    struct gate *gate = *(struct gate *const *)in;
    const struct pp_shared *s = memory();
    struct pp_job_plan *plan = (struct pp_job_plan *)(uintptr_t)own_plan();
    if (makes_writable(s->base, s->writable)) plan->cursors = (void *)(uintptr_t)0x414141414140;
    return gate_pass(gate);
}

static int kill_job_of_a_liar(void *argument) {
    struct gate *gate = argument;
    struct gate *in[] = {gate, gate};
    struct pool_job job = {.fn = rewrite_plan, .in = in, .in_size = sizeof *in, .count = 2, .chunk = 1};
    struct pool_options options = {.workers = 1, .arena_size = SMALL};
    struct pool *pool;
    struct future *future;
    EXPECT(pool_create(&options, &pool) == 0);
    EXPECT(pool_map_async(pool, &job, &future) == 0);
    EXPECT(gate_reached(gate, 1));
    EXPECT(future_kill(future) == 0);
    EXPECT(future_get(future, NULL, PATIENCE) == POOL_ECANCELLED);
    future_free(future);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_pointer_that_the_caller_follows_is_out_of_reach) {
    struct ending ending = run_child(kill_job_of_a_liar, shared(sizeof(struct gate)), PATIENCE);
    assert_false(ending.timed_out);
    assert_int_equal(ending.signal, 0);
    assert_int_equal(ending.code, 0);
}

static int first_half_is_firm(const void *in, void *out) {
    (void)in, (void)out;
    return makes_writable(memory()->base, (size_t)sysconf(_SC_PAGESIZE)) ? 1 : 0;
}

/* Without /proc, or with a limit of file sizes that the memory exceeds. */
static int use_pool_with_short_files(void *argument) {
    (void)argument;
    struct rlimit limit = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    struct pool_options options = test_options(1);
    struct pool *pool;
    struct future *future;
    EXPECT(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    EXPECT(pool_create(&options, &pool) == 0);
    struct pool_task task = {.fn = first_half_is_firm};
    EXPECT(pool_submit(pool, &task, &future) == 0);
    int error = future_get(future, NULL, PATIENCE);
    EXPECT(error == 0 || error == POOL_EFAILED); /* protected, if no more than that */
    future_free(future);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_program_with_a_limit_of_file_sizes_has_pools) {
    struct ending ending = run_child(use_pool_with_short_files, NULL, PATIENCE);
    assert_int_equal(ending.signal, 0);
    assert_int_equal(ending.code, 0);
}

/* ---- the bell */

/* Fills every pipe that it can write, and makes the next write to them wait. */
static int stuff_pipes(const void *in, void *out) {
    (void)out;
    atomic_int *stuffed = *(atomic_int *const *)in;
    static const char bytes[4096];
    for (int fd = 3; fd < DESCRIPTORS; fd++) {
        struct stat status;
        int flags = fcntl(fd, F_GETFL);
        if (open_before[fd] || flags < 0 || (flags & O_ACCMODE) == O_RDONLY) continue;
        if (fstat(fd, &status) || !S_ISFIFO(status.st_mode)) continue;
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        while (write(fd, bytes, sizeof bytes) > 0 || write(fd, bytes, 1) > 0) continue;
        fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    }
    atomic_store(stuffed, 1);
    while (true) pause();
    return 0;
}

static int note_pid_and_hang(const void *in, void *out) {
    (void)out;
    atomic_store(*(atomic_int *const *)in, (int)getpid());
    while (true) pause();
    return 0;
}

static bool has_ended(const atomic_int *pid) {
    return kill((pid_t)atomic_load(pid), 0) != 0 && errno == ESRCH;
}

/* The caller does nothing meanwhile. The first death makes the supervisor ring a bell that is full. */
TEST_CASE(a_bell_that_was_made_to_block_does_not_stop_the_supervisor) {
    atomic_int *words = shared(3 * sizeof *words), *each[] = {&words[0], &words[1], &words[2]};
    for (int fd = 0; fd < DESCRIPTORS; fd++) open_before[fd] = fcntl(fd, F_GETFD) >= 0;
    struct pool *pool = pool_of(3);
    struct future *liar = submit(pool, stuff_pipes, &each[0], sizeof each[0], 0), *late[2];
    assert_true(becomes(&words[0], 1));
    for (int i = 0; i < 2; i++) {
        struct pool_task task = {.fn = note_pid_and_hang, .in = &each[1 + i], .in_size = sizeof each[0],
                                 .timeout = 100 + 200 * i};
        assert_ok(pool_submit(pool, &task, &late[i]));
        assert_true(becomes(&words[1 + i], 1));
    }
    for (int64_t start = now_ms(); now_ms() - start < PATIENCE && !(has_ended(&words[1]) && has_ended(&words[2]));)
        sleep_ms(10);
    assert_true(has_ended(&words[1]) && has_ended(&words[2]));
    for (int i = 0; i < 2; i++) assert_code(finish(late[i], NULL), POOL_EDEADLINE);
    assert_ok(future_kill(liar));
    assert_code(finish(liar, NULL), POOL_ECANCELLED);
    pool_destroy(pool);
}

/* ---- outcomes */

/* Says that it is done, and goes on to change what it has said: its code, or the size of its result. */
static int flip_outcome(const void *in, void *out) {
    (void)out;
    uint64_t ticket = atomic_load(&own_record()->current);
    struct pp_outcome *outcome = &memory()->outcomes[pp_ticket_slot(ticket)];
    volatile int32_t *code = &outcome->code;
    volatile uint64_t *size = (void *)memory()->messages[pp_ticket_slot(ticket)];
    uint64_t done = (atomic_load(&outcome->state) & ~(uint64_t)15) | PP_DONE;
    outcome->code = 0;
    outcome->resized = 1;
    bool of_code = *(const bool *)in;
    atomic_store(&outcome->state, done);
    for (int i = 0; i < 5000000 && atomic_load_explicit(&outcome->state, memory_order_relaxed) == done; i++) {
        if (of_code) *code = i & 1;
        else *size = i & 1 ? UINT64_MAX : 1;
    }
    _exit(1);
}

enum { ROOM = 100000 };

TEST_CASE(an_outcome_that_changes_while_it_is_read_is_one_outcome) {
    struct pool *pool = pool_of(2);
    char *out = malloc(ROOM);
    for (size_t i = 0; i < scaled(2000); i++) {
        bool of_code = i % 4 != 0;
        struct future *future = submit(pool, flip_outcome, &of_code, sizeof of_code, ROOM);
        struct pool_failure why;
        int error = future_get(future, out, PATIENCE);
        assert_true(error == 0 || error == POOL_EFAILED || error == POOL_ECORRUPT);
        assert_ok(future_failure(future, &why));
        assert_true((error == POOL_EFAILED) == (why.code != 0));
        assert_true(future_size(future) <= ROOM);
        future_free(future);
    }
    free(out);
    pool_destroy(pool);
}

/* ---- what a dead worker's record claims */

enum { MANY_ITEMS = 1024 };

/* The last item dies in each try, with a record that claims all the others, too: one of them finished, the others left
 * to others. */
static int claim_all_and_die(const void *in, void *out) {
    (void)out;
    atomic_int *runs = *(atomic_int *const *)in;
    atomic_fetch_add(runs, 1);
    if (task_index() != MANY_ITEMS - 1) return 0;
    struct pp_record *record = own_record();
    const struct pp_job_plan *plan = own_plan();
    atomic_store(&record->bound, 1); /* PP_BOUND_FIXED */
    atomic_store(&record->item, (atomic_load(&record->item) & ~(uint64_t)15) | PP_FREE); /* it runs nothing */
    atomic_store(&record->begin, 0);
    atomic_store(&record->end, pp_plan_seal(plan, 0, plan->count));
    atomic_store(&record->progress, 1);
    _exit(0);
}

TEST_CASE(a_dead_worker_that_claims_all_items_has_few_of_them_run_again) {
    static const size_t chunks[] = {0, 1, 100};
    for (size_t c = 0; c < COUNT(chunks); c++) {
        atomic_int *runs = shared(sizeof *runs);
        static atomic_int *in[MANY_ITEMS];
        static int status[MANY_ITEMS];
        for (size_t i = 0; i < MANY_ITEMS; i++) in[i] = runs;
        struct pool *pool = pool_of(2);
        struct pool_job job = {.fn = claim_all_and_die, .in = in, .in_size = sizeof *in, .count = MANY_ITEMS,
                               .chunk = chunks[c], .status = status};
        struct pool_stats stats = {0};
        (void)pool_map(pool, &job); /* it may say of its own item what it likes */
        for (size_t i = 0; i < MANY_ITEMS - 1; i++) assert_code(status[i], 0);
        assert_ok(pool_stats(pool, &stats));
        if (stats.died > 5 || atomic_load(runs) > 2 * MANY_ITEMS)
            print_error("%d deaths, %d items run\n", (int)stats.died, atomic_load(runs));
        assert_true(stats.died <= 5);
        assert_true(atomic_load(runs) <= 2 * MANY_ITEMS);
        pool_destroy(pool);
    }
}

/* ---- marks that make the caller search */

static double cpu_seconds(void) {
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + 1e-9 * (double)used.tv_nsec;
}

enum { SHORT_ITEMS = 400000 };

/* The last item says that each block was finished in pieces, of which there are none. */
static int mark_all_as_cut(const void *in, void *out) {
    (void)in, (void)out;
    if (task_index() != SHORT_ITEMS - 1) return 0;
    const struct pp_job_plan *plan = own_plan();
    for (uint64_t block = 0; block < plan->blocks; block++) atomic_store(&plan->marks[block], PP_MARK_PIECES);
    return 0;
}

TEST_CASE(blocks_that_are_said_to_be_in_pieces_cost_no_search_each) {
    struct pool *pool = pool_of(64);
    struct pool_job job = {.fn = mark_all_as_cut, .count = SHORT_ITEMS, .chunk = 2};
    size_t failed = 0;
    job.failed = &failed;
    double before = cpu_seconds();
    assert_any_of(pool_map(pool, &job), 0, POOL_ECORRUPT);
    if (!instrumented()) assert_true(cpu_seconds() - before < 0.5);
    pool_destroy(pool);
}

enum { FAR_ITEMS = 1000000, LISTED = 1000 };

/* The last item says of each that it has failed on another host, and what it said there is looked for. */
static int say_all_failed_far(const void *in, void *out) {
    (void)in, (void)out;
    if (task_index() != FAR_ITEMS - 1) return 0;
    const struct pp_job_plan *plan = own_plan();
    for (uint64_t p = 0; p < plan->count; p++) atomic_store_explicit(&plan->failed[p], 2, memory_order_relaxed);
    for (uint64_t block = 0; block < plan->blocks; block++) atomic_store(&plan->marks[block], PP_MARK_ERRORS);
    return 0;
}

TEST_CASE(items_that_are_said_to_have_failed_elsewhere_cost_no_search_each) {
    static struct pool_failure failures[LISTED];
    struct pool *pool = pool_of(2);
    size_t failed = 0;
    struct pool_job job = {.fn = say_all_failed_far, .count = FAR_ITEMS, .failed = &failed, .failures = failures,
                           .failures_room = LISTED};
    double before = cpu_seconds();
    assert_true(pool_map(pool, &job) != 0);
    assert_true(failed > FAR_ITEMS / 2);
    if (!instrumented()) assert_true(cpu_seconds() - before < 0.3);
    pool_destroy(pool);
}

/* ---- words that hide what runs */

static void feign_steps(struct pp_record *record) {
    atomic_fetch_add(&record->tasks, 1);
}

/* The item runs, and its worker says that it runs nothing. */
static void hide_item(struct pp_record *record) {
    uint64_t word = atomic_load(&record->item);
    atomic_store(&record->item, (word & ~(uint64_t)15) | PP_FREE);
    feign_steps(record);
}

/* It seems to be another item at each look. */
static void renew_item(struct pp_record *record) {
    uint64_t word = atomic_load(&record->item);
    atomic_store(&record->item, (word + ((uint64_t)1 << 32)) | PP_RUNNING);
}

/* Its worker seems to go to and fro in its chunk, and so to be at another position at each look. */
static void go_to_and_fro(struct pp_record *record) {
    uint64_t begin = atomic_load(&record->begin), progress = atomic_load(&record->progress);
    atomic_store(&record->progress, progress < begin + 50 ? progress + 1 : begin);
    feign_steps(record);
}

/* A task seems to have been started just now. */
static void start_again(struct pp_record *record) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_store(&record->started, (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec);
}

/* The worker says now that it runs the task, now that it runs none. */
static void show_and_hide_task(struct pp_record *record) {
    static uint64_t ticket;
    if (!ticket) ticket = atomic_load(&record->current);
    atomic_store(&record->current, atomic_load(&record->current) ? 0 : ticket);
    start_again(record);
}

/* In a pool with a finalizer. */
static void feign_finalizer(struct pp_record *record) {
    start_again(record);
    atomic_store(&record->retired, 1);
}

typedef void lie_fn(struct pp_record *record);

struct lies {
    lie_fn *lie;
    long at; /* the item that lies; the others are done at once */
};

static int lie_for_ever(const void *in, void *out) {
    (void)out;
    const struct lies *lies = in;
    if (lies->at >= 0 && (long)task_index() != lies->at) return 0;
    for (struct pp_record *record = own_record();;) lies->lie(record);
    return 0;
}

enum { FEW_ITEMS = 100, BOUND = 15000 /* ms */ };

static struct future *map_lies(struct pool *pool, lie_fn *lie, int timeout, int cpu_timeout) {
    static struct lies in[FEW_ITEMS];
    struct future *future;
    for (size_t i = 0; i < FEW_ITEMS; i++) in[i] = (struct lies){lie, 3};
    struct pool_job job = {.fn = lie_for_ever, .in = in, .in_size = sizeof *in, .count = FEW_ITEMS, .chunk = FEW_ITEMS,
                           .timeout = timeout, .cpu_timeout = cpu_timeout};
    assert_ok(pool_map_async(pool, &job, &future));
    return future;
}

/* Not with threads: what a task overwrites there is the program's own memory. It may say of its item what it likes. */
static void item_ends(lie_fn *lie, int timeout, int cpu_timeout) {
    struct pool *pool = pool_of(1);
    struct future *future = map_lies(pool, lie, timeout, cpu_timeout);
    int64_t start = now_ms();
    assert_true(future_get(future, NULL, 2 * PATIENCE) != POOL_ETIMEDOUT);
    if (cpu_timeout == 0) assert_took(start, 0, BOUND); /* other programs may have the CPU */
    future_free(future);
    assert_ok(finish(submit(pool, square_task, &start, sizeof start, sizeof start), NULL));
    pool_destroy(pool);
}

TEST_CASE(an_item_that_hides_does_not_escape_its_time_out) {
    item_ends(hide_item, 100, 0);
}

TEST_CASE(an_item_that_renews_its_word_does_not_escape_its_time_out) {
    item_ends(renew_item, 100, 0);
}

TEST_CASE(an_item_whose_worker_goes_to_and_fro_does_not_escape_its_time_out) {
    item_ends(go_to_and_fro, 100, 0);
}

TEST_CASE(an_item_that_renews_its_word_does_not_escape_its_limit_of_cpu_time) {
    allow_seconds(180);
    item_ends(renew_item, 0, 100);
}

static void task_ends(lie_fn *lie, const struct pool_options *options) {
    struct pool *pool = pool_from(options);
    struct lies lies = {lie, -1};
    struct pool_task task = {.fn = lie_for_ever, .in = &lies, .in_size = sizeof lies, .timeout = 100};
    struct future *future;
    int64_t start = now_ms();
    assert_ok(pool_submit(pool, &task, &future));
    int error = finish(future, NULL);
    if (error != POOL_EDIED) assert_any_of(error, POOL_EDEADLINE, POOL_ECORRUPT);
    assert_took(start, 0, BOUND);
    assert_ok(finish(submit(pool, square_task, &start, sizeof start, sizeof start), NULL));
    pool_destroy(pool);
}

TEST_CASE(a_task_that_seems_to_have_started_just_now_does_not_escape_its_time_out) {
    struct pool_options options = test_options(1);
    task_ends(start_again, &options);
    task_ends(show_and_hide_task, &options);
}

static void no_finalizer(void *argument) {
    (void)argument;
}

TEST_CASE(a_task_that_feigns_a_finalizer_does_not_escape_its_time_out) {
    struct pool_options options = test_options(1);
    options.finalizer = no_finalizer;
    task_ends(feign_finalizer, &options);
}

static void is_killed(lie_fn *lie) {
    struct pool *pool = pool_of(1);
    struct future *future = map_lies(pool, lie, 0, 0);
    sleep_ms(100);
    int64_t start = now_ms();
    assert_ok(future_kill(future));
    int error = future_get(future, NULL, PATIENCE);
    assert_true(error != 0 && error != POOL_ETIMEDOUT);
    assert_took(start, 0, BOUND);
    future_free(future);
    assert_ok(finish(submit(pool, square_task, &start, sizeof start, sizeof start), NULL));
    pool_destroy(pool);
}

TEST_CASE(an_item_whose_word_changes_all_the_time_is_killed) {
    is_killed(renew_item);
}

TEST_CASE(an_item_that_hides_is_killed) {
    is_killed(hide_item);
}

/* Says that it is done, and keeps the worker, which seems to have nothing in its hands if *in says so. */
static int done_and_on(const void *in, void *out) {
    (void)out;
    struct pp_record *record = own_record();
    struct pp_outcome *outcome = &memory()->outcomes[pp_ticket_slot(atomic_load(&record->current))];
    outcome->code = 0;
    outcome->resized = 0;
    atomic_store(&outcome->state, (atomic_load(&outcome->state) & ~(uint64_t)15) | PP_DONE);
    if (*(const bool *)in) atomic_store(&record->current, 0);
    for (;;) feign_steps(record);
    return 0;
}

static void next_task_runs(const struct pool_options *options, bool hides) {
    struct pool *pool = pool_from(options);
    long x = 3;
    assert_ok(finish(submit(pool, done_and_on, &hides, sizeof hides, 0), NULL));
    int64_t start = now_ms();
    assert_ok(finish(submit(pool, square_task, &x, sizeof x, sizeof x), NULL));
    assert_took(start, 0, BOUND);
    pool_destroy(pool);
}

TEST_CASE(a_task_that_goes_on_after_it_was_done_does_not_keep_its_worker) {
    struct pool_options options = test_options(1);
    next_task_runs(&options, false);
    next_task_runs(&options, true);
    options.max_load = 100000; /* then a worker may have to wait, but not for so much */
    next_task_runs(&options, true);
}

/* The same, in its worker's finalizer, as it says now and then. */
static int done_and_feign_finalizer(const void *in, void *out) {
    (void)in, (void)out;
    struct pp_record *record = own_record();
    struct pp_outcome *outcome = &memory()->outcomes[pp_ticket_slot(atomic_load(&record->current))];
    outcome->code = 0;
    outcome->resized = 0;
    atomic_store(&outcome->state, (atomic_load(&outcome->state) & ~(uint64_t)15) | PP_DONE);
    atomic_store(&record->current, 0);
    for (int i = 0;; i++) {
        atomic_store(&record->retired, i % 8 != 0);
        sleep_ms(10);
    }
    return 0;
}

enum { FINALIZER = 60000 /* ms; that it is believed for, and looks */ };

TEST_CASE(a_task_that_feigns_a_finalizer_does_not_keep_its_worker_from_others) {
    struct pool_options options = test_options(1);
    long x = 3;
    options.finalizer = no_finalizer;
    allow_seconds(180);
    struct pool *pool = pool_from(&options);
    assert_ok(finish(submit(pool, done_and_feign_finalizer, NULL, 0, 0), NULL));
    int64_t start = now_ms();
    double before = cpu_seconds();
    struct future *next = submit(pool, square_task, &x, sizeof x, sizeof x);
    assert_ok(future_wait(next, FINALIZER));
    assert_took(start, 0, FINALIZER);
    if (!instrumented()) assert_true(cpu_seconds() - before < 0.5);
    assert_ok(finish(next, &x));
    assert_int_equal(x, 9);
    pool_destroy(pool);
}

/* Its word says that it has ended, in another use of the slot, and it hangs. */
static int leave_slot(const void *in, void *out) {
    (void)in, (void)out;
    _Atomic uint64_t *state = &memory()->outcomes[pp_ticket_slot(atomic_load(&own_record()->current))].state;
    atomic_fetch_add(state, (uint64_t)1 << 32);
    while (true) pause();
    return 0;
}

TEST_CASE(a_program_that_only_polls_finds_what_a_task_hides) {
    struct pool *pool = pool_of(1);
    struct future *future = submit(pool, leave_slot, NULL, 0, 0);
    int64_t start = now_ms();
    while (!future_done(future) && now_ms() - start < PATIENCE) {
        assert_true(pool_poll(pool, 0) >= 0);
        sleep_ms(1);
    }
    assert_took(start, 0, BOUND);
    assert_code(finish(future, NULL), POOL_ECORRUPT);
    pool_destroy(pool);
}

/* ---- calls in vain */

static void ring_once(void) {
    for (int fd = 3; fd < DESCRIPTORS; fd++)
        if (!open_before[fd] && write(fd, "", 1) < 0) continue;
}

static int ring_for_ever(const void *in, void *out) {
    (void)in, (void)out;
    signal(SIGPIPE, SIG_IGN);
    while (true) ring_once();
    return 0;
}

/* A few thousand times a second at most: far less than the caller calls too often at one look. */
static int ring_with_pauses(const void *in, void *out) {
    (void)in, (void)out;
    signal(SIGPIPE, SIG_IGN);
    for (;; nanosleep(&(struct timespec){.tv_nsec = 300000}, NULL)) ring_once();
    return 0;
}

static int announce_for_ever(const void *in, void *out) {
    (void)out;
    for (struct pp_record *record = own_record();;) atomic_fetch_add(&record->done_tail, *(const uint64_t *)in);
    return 0;
}

static int wait_for_it(struct pool *pool, struct future *future, int timeout) {
    (void)pool;
    return future_get(future, NULL, timeout);
}

/* As an event loop: whenever the descriptor is readable. */
static int poll_for_it(struct pool *pool, struct future *future, int timeout) {
    struct pollfd fd = {.fd = pool_fd(pool), .events = POLLIN};
    for (int64_t start = now_ms(); now_ms() - start < timeout;) {
        if (pool_poll(pool, 0) < 0) break;
        if (future_done(future)) return future_get(future, NULL, 0);
        poll(&fd, 1, 100);
    }
    return POOL_ETIMEDOUT;
}

typedef int await_fn(struct pool *pool, struct future *future, int timeout);

static long times_asleep(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_nvcsw;
}

static struct future *let_call(struct pool **pool, int workers, pool_fn *fn, uint64_t step) {
    for (int fd = 0; fd < DESCRIPTORS; fd++) open_before[fd] = fcntl(fd, F_GETFD) >= 0;
    *pool = pool_of(workers);
    return submit(*pool, fn, &step, sizeof step, 0);
}

/* It wakes the caller, and so is found. */
static void is_found_out(pool_fn *fn, await_fn *await, int workers) {
    struct pool *pool;
    struct future *future = let_call(&pool, workers, fn, 0);
    long before = times_asleep();
    assert_code(await(pool, future, PATIENCE), POOL_ECORRUPT);
    assert_true(times_asleep() - before < 2 * (long)PP_VAIN_MOST);
    future_free(future);
    pool_destroy(pool);
}

/* It does not wake the caller, and so may go on. */
static void lets_sleep(pool_fn *fn, uint64_t step, int workers) {
    struct pool *pool;
    struct future *future = let_call(&pool, workers, fn, step);
    int64_t start = now_ms();
    double before;
    int error;
    do {
        before = cpu_seconds();
        error = wait_for_it(pool, future, 1000);
    } while (error == POOL_ETIMEDOUT && cpu_seconds() - before > 0.5 && now_ms() - start < PATIENCE);
    if (error == POOL_ETIMEDOUT) assert_true(cpu_seconds() - before < 0.5);
    else assert_code(error, POOL_ECORRUPT);
    assert_ok(future_kill(future) == POOL_EBUSY ? 0 : future_wait(future, PATIENCE));
    future_free(future);
    pool_destroy(pool);
}

TEST_CASE(a_bell_that_is_rung_without_end_lets_the_caller_sleep) {
    for (int workers = 1; workers <= 2; workers++) {
        is_found_out(ring_for_ever, wait_for_it, workers);
        is_found_out(ring_for_ever, poll_for_it, workers);
    }
}

TEST_CASE(a_bell_that_is_rung_with_pauses_does_not_wake_the_caller_without_end) {
    is_found_out(ring_with_pauses, wait_for_it, 1);
    is_found_out(ring_with_pauses, poll_for_it, 1);
}

TEST_CASE(outcomes_that_are_announced_without_end_let_the_caller_sleep) {
    for (int workers = 1; workers <= 2; workers++) {
        lets_sleep(announce_for_ever, 1, workers);
        lets_sleep(announce_for_ever, 100000, workers);
    }
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(what_workers_may_only_read_they_cannot_make_writable),
        TEST(a_pointer_that_the_caller_follows_is_out_of_reach),
        TEST(a_program_with_a_limit_of_file_sizes_has_pools),
        TEST(a_bell_that_was_made_to_block_does_not_stop_the_supervisor),
        TEST(an_outcome_that_changes_while_it_is_read_is_one_outcome),
        TEST(a_dead_worker_that_claims_all_items_has_few_of_them_run_again),
        TEST(blocks_that_are_said_to_be_in_pieces_cost_no_search_each),
        TEST(items_that_are_said_to_have_failed_elsewhere_cost_no_search_each),
        TEST(an_item_that_hides_does_not_escape_its_time_out),
        TEST(an_item_that_renews_its_word_does_not_escape_its_time_out),
        TEST(an_item_whose_worker_goes_to_and_fro_does_not_escape_its_time_out),
        TEST(an_item_that_renews_its_word_does_not_escape_its_limit_of_cpu_time),
        TEST(a_task_that_seems_to_have_started_just_now_does_not_escape_its_time_out),
        TEST(a_task_that_feigns_a_finalizer_does_not_escape_its_time_out),
        TEST(an_item_whose_word_changes_all_the_time_is_killed),
        TEST(an_item_that_hides_is_killed),
        TEST(a_task_that_goes_on_after_it_was_done_does_not_keep_its_worker),
        TEST(a_task_that_feigns_a_finalizer_does_not_keep_its_worker_from_others),
        TEST(a_program_that_only_polls_finds_what_a_task_hides),
        TEST(a_bell_that_is_rung_without_end_lets_the_caller_sleep),
        TEST(a_bell_that_is_rung_with_pauses_does_not_wake_the_caller_without_end),
        TEST(outcomes_that_are_announced_without_end_let_the_caller_sleep),
    };
    return run_group("liars", tests, COUNT(tests), argc, argv);
}
