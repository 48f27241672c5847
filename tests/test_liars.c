/* Workers that lie on purpose, and know how: a task does to shared memory what serves it best, and keeps doing it. What
 * it costs the caller is at most time in proportion to the work that was given.
 *
 * A liar writes plausible words, while the tasks of test_distrust and test_scribble overwrite at random, and once.
 * Where the caller itself could be brought down, it runs in a child. */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

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

#if LINUX

/* ---- the half that workers may only read */

enum { REMOVE = 9 /* MADV_REMOVE */ };

static bool makes_writable(char *begin, size_t size) {
    return mprotect(begin, size, PROT_READ | PROT_WRITE) == 0;
}

static bool makes_copy_writable(char *begin, size_t size) {
    void *copy = mremap(begin, 0, size, MREMAP_MAYMOVE);
    return copy != MAP_FAILED && makes_writable(copy, size);
}

/* Returns how many of the ways to change it are open. */
static int change_what_is_read(const void *in, void *out) {
    (void)in, (void)out;
    const struct pp_shared *s = memory();
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *const places[] = {s->base, (char *)s->descs, s->inputs, (char *)s->starts};
    int open_ways = 0;
    for (size_t i = 0; i < COUNT(places); i++) {
        open_ways += makes_copy_writable(places[i], page);
        open_ways += madvise(places[i], page, REMOVE) == 0;
        open_ways += makes_writable(places[i], page);
    }
    return open_ways;
}

TEST_CASE(what_workers_may_only_read_they_cannot_make_writable) {
    struct pool *pool = pool_of(1);
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
    struct pool_options options = test_options(1);
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

enum { DESCRIPTORS = 64 };
static bool open_before[DESCRIPTORS]; /* the pool was made */

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

#endif

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

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
#if LINUX
        TEST(what_workers_may_only_read_they_cannot_make_writable),
        TEST(a_pointer_that_the_caller_follows_is_out_of_reach),
        TEST(a_program_with_a_limit_of_file_sizes_has_pools),
        TEST(a_bell_that_was_made_to_block_does_not_stop_the_supervisor),
#endif
        TEST(an_outcome_that_changes_while_it_is_read_is_one_outcome),
        TEST(a_dead_worker_that_claims_all_items_has_few_of_them_run_again),
    };
    return run_group("liars", tests, COUNT(tests), argc, argv);
}
