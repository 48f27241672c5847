/* Memory limits, replaced workers, and a full arena. */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const size_t mib = (size_t)1 << 20;

static int allocate_task(const void *in, void *out) {
    size_t size = *(const size_t *)in;
    char *data = malloc(size);
    if (!data) return task_fail(1, "no memory for %zu bytes", size);
    for (size_t i = 0; i < size; i += 4096) ((volatile char *)data)[i] = 1;
    free(data);
    if (out) *(pid_t *)out = getpid();
    return 0;
}

TEST_CASE(allocations_above_the_hard_limit_fail_and_nothing_else_does) {
    if (instrumented()) return;
    struct rlimit before[2], after[2];
    getrlimit(RLIMIT_DATA, &before[0]);
    getrlimit(RLIMIT_AS, &before[1]);
    struct pool_options options = test_options(2);
    options.memory_limit = 300 * mib;
    struct pool *pool = pool_from(&options);
    for (int round = 0; round < 3; round++) {
        size_t large = 1000 * mib, small = 50 * mib;
        struct pool_failure failure;
        struct future *future = submit(pool, allocate_task, &large, sizeof large, 0);
        assert_code(future_get(future, NULL, PATIENCE), POOL_EFAILED);
        assert_ok(future_failure(future, &failure));
        assert_int_equal(failure.code, 1);
        future_free(future);
        assert_ok(finish(submit(pool, allocate_task, &small, sizeof small, 0), NULL));
    }
    void *data = pool_alloc(pool, 400 * mib); /* shared data is not private data */
    assert_non_null(data);
    pool_destroy(pool);
    getrlimit(RLIMIT_DATA, &after[0]);
    getrlimit(RLIMIT_AS, &after[1]);
    assert_memory_equal(before, after, sizeof before);
}

/* Runs in a mount namespace without /proc; does nothing where that is not allowed. */
static int limit_without_proc(void *argument) {
    (void)argument;
    enum { INHERITED = 500 };
    size_t large = 1000 * mib, small = 50 * mib;
    if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) return 0;
    if (umount2("/proc", MNT_DETACH)) return 0;
    char *inherited = malloc(INHERITED * mib);
    EXPECT(inherited != NULL && !have_proc());
    struct pool_options options = test_options(1);
    options.memory_limit = 300 * mib;
    struct pool *pool;
    EXPECT(pool_create(&options, &pool) == 0);
    struct pool_task task = {.fn = allocate_task, POOL_IN(&large)};
    for (int i = 0; i < 2; i++) {
        struct future *future;
        EXPECT(pool_submit(pool, &task, &future) == 0);
        EXPECT(future_get(future, NULL, PATIENCE) == (i ? 0 : POOL_EFAILED));
        future_free(future);
        task.in = &small;
    }
    pool_destroy(pool);
    free(inherited);
    return 0;
}

TEST_CASE(the_hard_limit_counts_from_the_start_of_the_worker_without_proc_too) {
    if (instrumented()) return;
    assert_child_passes(limit_without_proc, NULL);
}

/* ---- The kernel's out-of-memory killer, in a control group with little memory ------------------------------------ */

enum { GROUP_MIB = 100, EATER = 5, MEALS = 20 };

static char group[128];

static bool put(const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", group, name);
    FILE *file = fopen(path, "w");
    if (!file) return false;
    bool written = fputs(text, file) >= 0;
    return fclose(file) == 0 && written;
}

/* Makes a control group of either version. Returns false if that is not allowed. */
static bool make_group(void) {
    char limit[32];
    snprintf(limit, sizeof limit, "%lld", (long long)GROUP_MIB << 20);
    snprintf(group, sizeof group, "/sys/fs/cgroup/memory/parpool-test-%ld", (long)getpid());
    bool second = access("/sys/fs/cgroup/memory", F_OK) != 0;
    if (second) snprintf(group, sizeof group, "/sys/fs/cgroup/parpool-test-%ld", (long)getpid());
    if (mkdir(group, 0700)) return false;
    return put(second ? "memory.max" : "memory.limit_in_bytes", limit) &&
           put(second ? "memory.swap.max" : "memory.memsw.limit_in_bytes", second ? "0" : limit);
}

static int eat_task(const void *in, void *out) {
    (void)in;
    for (int i = 0; task_index() == EATER && i < 3 * GROUP_MIB; i++) {
        char *volatile data = malloc(mib);
        if (!data) return 1;
        memset(data, 1, mib);
    }
    *(size_t *)out = task_index();
    return 0;
}

static int eat_in_group(void *argument) {
    (void)argument;
    if (!put("cgroup.procs", "0")) return 0;
    struct pool *pool;
    struct pool_options options = test_options(2);
    size_t out[MEALS];
    struct pool_failure failure;
    EXPECT(pool_create(&options, &pool) == 0);
    struct pool_job job = {.fn = eat_task, POOL_OUT(out), .count = MEALS, .chunk = 1, .failure = &failure};
    EXPECT(pool_map(pool, &job) == POOL_EDIED);
    EXPECT(failure.index == EATER && failure.signal == SIGKILL);
    for (size_t i = 0; i < MEALS; i++) EXPECT(i == EATER || out[i] == i);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_worker_killed_by_the_kernel_for_lack_of_memory_loses_only_its_item) {
    if (instrumented()) return;
    if (make_group()) assert_child_passes(eat_in_group, NULL);
    for (int i = 0; i < 50 && rmdir(group) && errno == EBUSY; i++) sleep_ms(20);
}

static int touch_shared_task(const void *in, void *out) {
    (void)out;
    char *data = *(char *const *)in;
    for (size_t i = 0; i < 400 * mib; i += 4096) data[i] = 1;
    return 0;
}

TEST_CASE(shared_data_does_not_count_for_the_hard_limit) {
    if (instrumented()) return;
    struct pool_options options = test_options(1);
    options.memory_limit = 300 * mib;
    struct pool *pool = pool_from(&options);
    char *data = pool_alloc(pool, 400 * mib);
    assert_non_null(data);
    assert_ok(finish(submit(pool, touch_shared_task, &data, sizeof data, 0), NULL));
    assert_int_equal(data[4096], 1);
    pool_destroy(pool);
}

TEST_CASE(a_worker_above_the_soft_limit_is_replaced_after_its_task) {
    struct pool_options options = test_options(1);
    options.memory_soft_limit = 300 * mib;
    struct pool *pool = pool_from(&options);
    for (int round = 0; round < 3; round++) {
        size_t small = 10 * mib, large = 500 * mib;
        pid_t first = 0, second = 0, greedy = 0, after = 0;
        assert_ok(finish(submit(pool, allocate_task, &small, sizeof small, sizeof first), &first));
        assert_ok(finish(submit(pool, allocate_task, &small, sizeof small, sizeof second), &second));
        if (!instrumented()) assert_int_equal(first, second); /* a worker below the limit stays */
        struct future *queued[20], *future = submit(pool, allocate_task, &large, sizeof large, sizeof greedy);
        submit_squares(pool, queued, 20);
        assert_ok(finish(future, &greedy)); /* its task succeeds */
        assert_squares(queued, 20);
        after = worker_of(pool);
        assert_true(after != greedy);
        assert_true(gone_within(greedy, PATIENCE));
    }
    pool_destroy(pool);
}

static int sometimes_large_task(const void *in, void *out) {
    (void)in;
    size_t size = task_index() % 10 == 3 ? 250 * mib : mib;
    return allocate_task(&size, out);
}

static int allocate_initializer(void *argument) {
    return allocate_task(argument, &(pid_t){0});
}

/* Each worker is above the limit before it has run an item, but must run one before it is replaced. */
TEST_CASE(a_soft_limit_below_what_the_initializer_takes_replaces_after_each_item) {
    size_t large = 100 * mib;
    struct pool_options options = test_options(2);
    options.initializer = allocate_initializer;
    options.initializer_arg = &large;
    options.memory_soft_limit = 20 * mib;
    struct pool *pool = pool_from(&options);
    pid_t pids[40];
    struct pool_job job = {.fn = pid_task, POOL_OUT(pids), .count = COUNT(pids), .chunk = 1};
    assert_ok(pool_map(pool, &job));
    job.chunk = 3;
    assert_ok(pool_map(pool, &job));
    pool_destroy(pool);
}

TEST_CASE(replaced_workers_lose_no_item_of_a_job) {
    static const size_t chunks[] = {0, 1, 8, 1000};
    struct pool_options options = test_options(2);
    options.memory_soft_limit = 200 * mib;
    struct pool *pool = pool_from(&options);
    for (size_t c = 0; c < COUNT(chunks); c++) {
        pid_t out[25] = {0};
        struct pool_job job = {.fn = sometimes_large_task, POOL_OUT(out), .count = 25, .chunk = chunks[c]};
        assert_ok(pool_map(pool, &job));
        for (size_t i = 0; i < 25; i++) assert_true(out[i] > 0);
        for (size_t i = 3; i + 10 < 25; i += 10) assert_true(out[i] != out[i + 10]); /* each in a new worker */
    }
    pool_destroy(pool);
}

static atomic_int *runs;

static int count_place_task(const void *in, void *out) {
    long place = in ? *(const long *)in : (long)task_index();
    atomic_fetch_add(&runs[place], 1);
    *(long *)out = place + 1;
    return 0;
}

TEST_CASE(replacing_workers_after_each_task_loses_no_task) {
    allow_seconds(300);
    size_t tasks = scaled(10000);
    runs = shared(tasks * sizeof *runs);
    struct pool_options options = test_options(2);
    options.max_tasks_per_worker = 1;
    struct pool *pool = pool_from(&options);
    struct future **futures = malloc(tasks * sizeof *futures);
    for (size_t i = 0; i < tasks; i++) {
        long place = (long)i;
        futures[i] = submit(pool, count_place_task, &place, sizeof place, sizeof place);
    }
    for (size_t i = 0; i < tasks; i++) {
        long result = -1;
        assert_ok(finish(futures[i], &result));
        assert_int_equal(result, i + 1);
        assert_int_equal(runs[i], 1);
    }
    free(futures);
    pool_destroy(pool);
}

TEST_CASE(several_limits_work_at_once) {
    struct pool_options options = test_options(3);
    options.max_tasks_per_worker = 5;
    options.memory_soft_limit = 1000 * mib;
    if (!instrumented()) options.memory_limit = 2000 * mib;
    runs = shared(1000 * sizeof *runs);
    struct pool *pool = pool_from(&options);
    long *out = calloc(1000, sizeof *out);
    assert_ok(pool_map(pool, &(struct pool_job){.fn = count_place_task, POOL_OUT(out), .count = 1000}));
    for (long i = 0; i < 1000; i++) {
        assert_int_equal(out[i], i + 1);
        assert_int_equal(runs[i], 1);
    }
    free(out);
    pool_destroy(pool);
}

/* Each page of the arena that is allocated can be written, without SIGBUS. */
static int fill_arena(void *argument) {
    (void)argument;
    struct pool_options options = {.workers = 1, .arena_size = 64 * mib};
    struct pool *pool;
    EXPECT(pool_create(&options, &pool) == 0);
    static void *blocks[100];
    size_t count = 0;
    while (count < COUNT(blocks) && (blocks[count] = pool_alloc(pool, mib))) memset(blocks[count++], 0xa5, mib);
    EXPECT(count > 16 && count < COUNT(blocks));
    char *data = calloc(2, mib);
    struct future *future = NULL;
    struct pool_task task = {.fn = count_place_task, .in = data, .in_size = 2 * mib, .out_size = 8};
    EXPECT(pool_submit(pool, &task, &future) == POOL_ENOMEM);
    free(data);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_full_arena_returns_a_code_and_raises_no_signal) {
    assert_child_passes(fill_arena, NULL);
}

static int without_address_space(void *argument) {
    (void)argument;
    struct holdings before;
    look(&before);
    for (rlim_t size = 1; size <= 1024; size *= 2) {
        struct rlimit limit = {(rlim_t)size * mib, RLIM_INFINITY};
        EXPECT(setrlimit(RLIMIT_AS, &limit) == 0);
        struct pool *pool = NULL;
        int error = pool_create(&(struct pool_options){.workers = 1}, &pool);
        limit.rlim_cur = RLIM_INFINITY;
        EXPECT(setrlimit(RLIMIT_AS, &limit) == 0);
        EXPECT(error == 0 || error == POOL_ENOMEM || error == POOL_EAGAIN);
        if (error == 0) pool_destroy(pool);
        EXPECT(!left_behind(&before));
    }
    return 0;
}

TEST_CASE(pool_create_without_address_space_returns_a_code_and_leaves_nothing) {
    if (instrumented()) return;
    assert_child_passes(without_address_space, NULL);
}

/* Bytes of address space that this process has mapped, touched or not; 0: unknown. */
static size_t mapped_bytes(void) {
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) return 0;
    int numbers = fscanf(file, "%llu", &pages);
    fclose(file);
    return numbers == 1 ? (size_t)pages * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

static int mapped_task(const void *in, void *out) {
    (void)in;
    *(size_t *)out = mapped_bytes();
    return 0;
}

/* argument: MiB that the process may map. */
static int leave_address_space(void *argument) {
    size_t before = mapped_bytes(), may = *(const size_t *)argument * mib, in_task = 0;
    struct rlimit limit = {(rlim_t)may, RLIM_INFINITY};
    if (before == 0) return 0;
    EXPECT(setrlimit(RLIMIT_AS, &limit) == 0);
    struct pool *pool;
    EXPECT(pool_create(&(struct pool_options){.workers = 2}, &pool) == 0);
    struct future *future;
    struct pool_task task = {.fn = mapped_task, .out_size = sizeof in_task};
    EXPECT(pool_submit(pool, &task, &future) == 0);
    EXPECT(future_get(future, &in_task, PATIENCE) == 0);
    future_free(future);
    size_t most = before + (may - before) / 4;
    EXPECT(mapped_bytes() <= most);
    EXPECT(in_task <= most);
    char *data = pool_alloc(pool, mib); /* and there is an arena */
    EXPECT(data != NULL);
    memset(data, 1, mib);
    pool_destroy(pool);
    return 0;
}

TEST_CASE(a_default_pool_leaves_three_quarters_of_the_address_space) {
    if (instrumented()) return;
    static const size_t allowances[] = {512, 600, 1000, 4096, 10000, 100000};
    for (size_t i = 0; i < COUNT(allowances); i++)
        assert_child_passes(leave_address_space, (void *)(uintptr_t)&allowances[i]);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(allocations_above_the_hard_limit_fail_and_nothing_else_does),
        TEST(the_hard_limit_counts_from_the_start_of_the_worker_without_proc_too),
        TEST(a_worker_killed_by_the_kernel_for_lack_of_memory_loses_only_its_item),
        TEST(shared_data_does_not_count_for_the_hard_limit),
        TEST(a_worker_above_the_soft_limit_is_replaced_after_its_task),
        TEST(a_soft_limit_below_what_the_initializer_takes_replaces_after_each_item),
        TEST(replaced_workers_lose_no_item_of_a_job),
        TEST(replacing_workers_after_each_task_loses_no_task),
        TEST(several_limits_work_at_once),
        TEST(a_full_arena_returns_a_code_and_raises_no_signal),
        TEST(pool_create_without_address_space_returns_a_code_and_leaves_nothing),
        TEST(a_default_pool_leaves_three_quarters_of_the_address_space),
    };
    return run_group("memory", tests, COUNT(tests), argc, argv);
}
