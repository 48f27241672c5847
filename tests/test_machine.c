/* The machine: CPUs by affinity and quota, threads of libraries, pinning, limits of load and memory. */
#include "support.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/backoff.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "pool/pool.h"
#include "shared/placement.h"
#include "threads.h"

/* ---- Quotas of control groups, in a directory that stands for the root ------------------------------------------- */

static char root[TEMPORARY_ROOM];

/* Writes text to the file, and makes the directories on the way. */
static void put(const char *path, const char *text) {
    char full[TEMPORARY_ROOM + 256];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(full, 0700) && errno != EEXIST) abort();
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    if (!file || fputs(text, file) < 0 || fclose(file)) abort();
}

static void begin_root(void) {
    temporary_name(root);
    assert_non_null(mkdtemp(root));
}

static void end_root(void) {
    char command[TEMPORARY_ROOM + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
}

TEST_CASE(a_quota_of_version_2_counts) {
    begin_root();
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    assert_int_equal(pp_cpu_quota(root), INT_MAX);
    put("/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
    assert_int_equal(pp_cpu_quota(root), 2); /* rounded up */
    put("/sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
    assert_int_equal(pp_cpu_quota(root), 3);
    put("/sys/fs/cgroup/a/b/cpu.max", "1000 100000\n");
    assert_int_equal(pp_cpu_quota(root), 1);
    end_root();
}

TEST_CASE(the_smallest_quota_of_all_parent_groups_counts) {
    begin_root();
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n");
    put("/sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    assert_int_equal(pp_cpu_quota(root), 2);
    put("/sys/fs/cgroup/cpu.max", "100000 100000\n"); /* a container sees its own group there */
    assert_int_equal(pp_cpu_quota(root), 1);
    put("/sys/fs/cpu.max", "1 100000\n"); /* above the mount there is no group */
    put("/sys/fs/cgroup/cpu.max", "700000 100000\n");
    assert_int_equal(pp_cpu_quota(root), 2);
    end_root();
}

TEST_CASE(a_quota_of_version_1_counts) {
    begin_root();
    put("/proc/self/cgroup", "12:cpuset:/x\n5:cpuacct,cpu:/docker/1\n3:cpufreq:/y\n1:name=systemd:/z\n");
    put("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "-1\n");
    put("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n");
    assert_int_equal(pp_cpu_quota(root), INT_MAX);
    put("/sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "250000\n");
    assert_int_equal(pp_cpu_quota(root), 3);
    put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n");
    assert_int_equal(pp_cpu_quota(root), 1);
    end_root();
}

TEST_CASE(an_unreadable_quota_limits_nothing) {
    begin_root();
    assert_int_equal(pp_cpu_quota(root), INT_MAX); /* no file */
    put("/proc/self/cgroup", "");
    assert_int_equal(pp_cpu_quota(root), INT_MAX);
    put("/proc/self/cgroup", "no colon\n0:\n:::\n0::/a:b\n\n7:cpu\n");
    assert_int_equal(pp_cpu_quota(root), INT_MAX);
    static const char *const quotas[] = {"", "\n", "x y", "100000", "0 100000", "-5 100000", "100000 0", "100000 -1"};
    for (size_t i = 0; i < COUNT(quotas); i++) {
        put("/sys/fs/cgroup/a:b/cpu.max", quotas[i]);
        assert_int_equal(pp_cpu_quota(root), INT_MAX);
    }
    put("/sys/fs/cgroup/a:b/cpu.max", "9223372036854775807 1");
    assert_int_equal(pp_cpu_quota(root), INT_MAX);
    end_root();
}

/* ---- Memory that is left ----------------------------------------------------------------------------------------- */

enum { KIB = 1024 };

TEST_CASE(the_memory_left_to_the_system_and_to_its_groups_counts) {
    begin_root();
    assert_true(pp_memory_left(root) == SIZE_MAX); /* no file */
    put("/proc/meminfo", "MemTotal:  900 kB\nMemFree:  100 kB\nMemAvailable:  500 kB\n");
    assert_int_equal(pp_memory_available(root), 500 * KIB);
    assert_int_equal(pp_memory_left(root), 500 * KIB);
    put("/proc/meminfo", "MemAvailable: 0 kB\n"); /* known to be 0 */
    assert_int_equal(pp_memory_available(root), 0);
    put("/proc/meminfo", "MemAvailable: 99999999999999999 kB\n"); /* known, but too large */
    assert_true(pp_memory_available(root) == SIZE_MAX - 1);
    put("/proc/meminfo", "MemTotal:  900 kB\nMemFree:  100 kB\nMemAvailable:  500 kB\n");
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.current", "1000\n");
    assert_int_equal(pp_memory_left(root), 500 * KIB);
    put("/sys/fs/cgroup/a/memory.max", "300000\n");
    put("/sys/fs/cgroup/a/memory.current", "200000\n");
    assert_int_equal(pp_memory_left(root), 100000); /* the limit of a parent group */
    put("/sys/fs/cgroup/a/memory.stat", "anon 5\nactive_file 9\ninactive_file 50000\n");
    assert_int_equal(pp_memory_left(root), 150000); /* cached files can be dropped */
    put("/sys/fs/cgroup/a/memory.high", "260000\n");
    assert_int_equal(pp_memory_left(root), 110000); /* above it the kernel would slow the group down */
    put("/sys/fs/cgroup/a/b/memory.max", "900\n");
    assert_int_equal(pp_memory_left(root), 0); /* it uses more than its limit */
    assert_int_equal(pp_memory_available(root), 500 * KIB);
    end_root();
}

TEST_CASE(a_system_that_promises_only_what_it_has_limits_what_may_be_mapped) {
    begin_root();
    size_t before = pp_memory_reservable(root); /* no file */
    assert_true(before > 500 * KIB);
    put("/proc/meminfo", "CommitLimit:  900 kB\nCommitted_AS:  400 kB\n");
    put("/proc/sys/vm/overcommit_memory", "0\n");
    assert_true(pp_memory_reservable(root) > 500 * KIB);
    put("/proc/sys/vm/overcommit_memory", "2\n");
    assert_int_equal(pp_memory_reservable(root), 500 * KIB);
    put("/proc/meminfo", "CommitLimit:  900 kB\nCommitted_AS:  901 kB\n");
    assert_int_equal(pp_memory_reservable(root), 0);
    end_root();
}

TEST_CASE(the_memory_left_to_groups_of_version_1_counts_too) {
    begin_root();
    put("/proc/self/cgroup", "5:cpuset:/\n4:memory:/docker/1\n1:cpu:/other\n");
    put("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "5000\n");
    put("/sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes", "4000\n");
    put("/sys/fs/cgroup/memory/docker/1/memory.stat", "cache 1\ninactive_file 70\ntotal_inactive_file 500\n");
    assert_int_equal(pp_memory_left(root), 1500);
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "6000\n");
    assert_int_equal(pp_memory_left(root), 1500);
    put("/sys/fs/cgroup/memory/docker/1/memory.stat", "total_inactive_file 5000000\n"); /* more than the group uses */
    assert_int_equal(pp_memory_left(root), 1000);
    end_root();
}

/* ---- Affinity ---------------------------------------------------------------------------------------------------- */

enum { MOST_CPUS = 1024 };

/* Stores the CPUs that the calling thread may use; returns their count. */
static int allowed(int cpus[MOST_CPUS]) {
    int count = 0;
#if LINUX
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set)) return 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &set)) cpus[count++] = cpu;
#else
    (void)cpus;
#endif
    return count;
}

static int only_one_cpu(void *unused) {
    (void)unused;
#if LINUX
    int cpus[MOST_CPUS];
    EXPECT(allowed(cpus) > 0);
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpus[0], &set);
    EXPECT(sched_setaffinity(0, sizeof set, &set) == 0);
    EXPECT(pool_cpu_count() == 1);
#endif
    return 0;
}

TEST_CASE(the_affinity_mask_counts) {
    int cpus[MOST_CPUS];
    assert_true(pool_cpu_count() >= 1);
    if (LINUX) assert_true(pool_cpu_count() <= allowed(cpus));
    assert_child_passes(only_one_cpu, NULL);
}

struct seat {
    pid_t pid;
    int cpus, first;
};

static struct gate *all_seated;

/* Keeps its worker until all workers have such a task. */
static int seat_task(const void *in, void *out) {
    (void)in;
    int cpus[MOST_CPUS] = {-1};
    struct seat seat = {.pid = getpid(), .cpus = allowed(cpus)};
    seat.first = cpus[0];
    *(struct seat *)out = seat;
    return gate_pass(all_seated);
}

static void seat_workers(const struct pool_options *options, struct seat *seats) {
    all_seated = shared(sizeof *all_seated);
    struct pool *pool;
    struct future *futures[8];
    assert_ok(pool_create(options, &pool));
    for (int i = 0; i < options->workers; i++) futures[i] = submit(pool, seat_task, NULL, 0, sizeof *seats);
    assert_true(gate_reached(all_seated, options->workers));
    gate_open(all_seated);
    for (int i = 0; i < options->workers; i++) assert_ok(finish(futures[i], &seats[i]));
    pool_destroy(pool);
}

TEST_CASE(pinned_workers_have_a_cpu_each_in_turn) {
    int cpus[MOST_CPUS], count = allowed(cpus);
    if (count == 0) return;
    static const int with_workers[] = {POOL_PROCESSES, POOL_THREADS};
    for (size_t b = 0; b < COUNT(with_workers); b++) {
        struct pool_options options = test_options(4);
        struct seat seats[4];
        options.backend = with_workers[b];
        options.pin = true;
        seat_workers(&options, seats);
        int times[MOST_CPUS] = {0}, expected[MOST_CPUS] = {0};
        for (int i = 0; i < 4; i++) {
            assert_int_equal(seats[i].cpus, 1);
            times[seats[i].first]++;
            expected[cpus[i % count]]++;
        }
        assert_memory_equal(times, expected, sizeof times);
        assert_int_equal(allowed(cpus), count); /* the mask of the program has not changed */
    }
}

/* ---- The CPU of a thread that looks for work */

TEST_CASE(a_thread_that_leaves_a_cpu_is_on_another_and_may_come_back) {
    int cpus[MOST_CPUS], count = allowed(cpus), left = pp_cpu_here();
    if (count < 2) return;
    /* The kernel may move the thread back at any time, but will not do so each time. */
    int other = left;
    for (int i = 0; i < 1000 && other == left; i++) {
        left = pp_cpu_here();
        pp_cpu_leave(left, NULL, 0);
        other = pp_cpu_here();
    }
    assert_true(other != left);
    /* A CPU that is taken is chosen only if all are taken. */
    _Atomic uint32_t taken[MOST_CPUS];
    for (int i = 0; i < count; i++) taken[i] = (uint32_t)cpus[i] + 1;
    other = left = pp_cpu_here();
    for (int i = 0; i < 1000 && other == left; i++) {
        left = pp_cpu_here();
        pp_cpu_leave(left, taken, (uint32_t)count);
        other = pp_cpu_here();
    }
    assert_true(other != left);
    int landed = 0;
    for (int i = 0; i < 1000 && count > 2; i++) {
        int free_one = cpus[i % count];
        for (int j = 0; j < count; j++) taken[j] = cpus[j] == free_one ? 0 : (uint32_t)cpus[j] + 1;
        left = pp_cpu_here();
        pp_cpu_leave(left, taken, (uint32_t)count);
        landed += left == free_one || pp_cpu_here() == free_one;
    }
    if (count > 2) assert_true(landed > 500);
    assert_int_equal(allowed(cpus), count);
}

/* Times in us. off: the back-off after each interruption; 0 if it is short or rare. */
TEST_CASE(short_or_rare_interruptions_do_not_cause_back_off) {
    static const struct {
        uint64_t since, now, off;
    } takings[] = {
        {10000, 10200, 0},       {12000, 13000, 0},       {17100, 18100, 0},       {22000, 23000, 1000},
        {24100, 24500, 2000},    {26600, 27600, 4000},    {32000, 32100, 0},       {31700, 32700, 8000},
        {61000, 66000, 0},       {66100, 69100, 8000},    {120000, 121000, 0},     {140000, 141000, 0},
        {141100, 142000, 4000},
    };
    struct pp_backoff backoff = {0};
    for (size_t i = 0; i < COUNT(takings); i++) {
        uint64_t since = takings[i].since * 1000, now = takings[i].now * 1000;
        pp_backoff_was_preempted(&backoff, since, now);
        assert_int_equal(backoff.until > now ? backoff.until - now : 0, takings[i].off * 1000);
    }
}

/* In a child process, on one CPU with another process that wants it: the back-off must grow. */
static int shared_cpu(void *unused) {
    (void)unused;
    struct pp_backoff backoff = {0};
    EXPECT(only_one_cpu(NULL) == 0);
    pid_t other = fork();
    while (other == 0) continue;
    int64_t start = now_ms();
    while (backoff.last < 8000000 && now_ms() - start < PATIENCE / 2) pp_backoff_yield(&backoff);
    kill(other, SIGKILL);
    EXPECT(waitpid(other, NULL, 0) == other);
    EXPECT(backoff.last >= 8000000 && backoff.until > 0);
    return 0;
}

TEST_CASE(a_thread_that_yields_learns_whether_others_want_the_cpu) {
    int cpus[MOST_CPUS];
    if (allowed(cpus) > 0) assert_child_passes(shared_cpu, NULL);
}

static int cpu_task(const void *in, void *out) {
    (void)in;
    *(int *)out = pp_cpu_here();
    return 0;
}

/* The kernel may place both on one CPU at first; the worker must move. */
TEST_CASE(one_worker_and_its_caller_run_on_different_cpus) {
    int cpus[MOST_CPUS], apart = 0;
    if (allowed(cpus) < 2) return;
    struct pool *pool = pool_of(1);
    int64_t start = now_ms();
    while (apart < 1000 && now_ms() - start < PATIENCE) {
        int cpu;
        assert_ok(finish(submit(pool, cpu_task, NULL, 0, sizeof cpu), &cpu));
        apart += cpu != pp_cpu_here();
    }
    assert_int_equal(apart, 1000);
    pool_destroy(pool);
}

TEST_CASE(caller_and_workers_record_their_cpu_while_they_look_for_work) {
    int cpus[MOST_CPUS], count = allowed(cpus), cpu;
    if (count < 2 || pool_cpu_count() < 2) return;
    struct pool *pool = pool_of(1);
    _Atomic uint32_t *told = pool->shared.status->cpus; /* the caller, and the worker */
    uint32_t seen[2] = {0};
    for (int64_t start = now_ms(); (!seen[0] || !seen[1]) && now_ms() - start < PATIENCE;) {
        assert_ok(finish(submit(pool, cpu_task, NULL, 0, sizeof cpu), &cpu));
        for (int i = 0; i < 2; i++)
            if (told[i]) seen[i] = told[i];
    }
    for (int i = 0; i < 2; i++) assert_true(seen[i] > 0 && seen[i] <= (uint32_t)cpus[count - 1] + 1);
    for (int64_t start = now_ms(); told[1] && now_ms() - start < PATIENCE;) sleep_ms(1);
    assert_int_equal(told[1], 0); /* the worker sleeps */
    pool_destroy(pool);
}

TEST_CASE(a_dead_worker_has_no_cpu_on_record) {
    int cpus[MOST_CPUS], cpu;
    if (allowed(cpus) == 0) return;
    struct pool *pool = pool_of(2);
    _Atomic uint32_t *told = pool->shared.status->cpus;
    assert_ok(finish(submit(pool, cpu_task, NULL, 0, sizeof cpu), &cpu));
    for (int64_t start = now_ms(); told[2] && now_ms() - start < PATIENCE;) sleep_ms(1);
    told[2] = 1; /* as if it died before it could record that it sleeps */
    assert_ok(pool_resize(pool, 1));
    for (int64_t start = now_ms(); told[2] && now_ms() - start < PATIENCE;) sleep_ms(1);
    assert_int_equal(told[2], 0);
    pool_destroy(pool);
}

/* Worker 1 of two. */
static bool would_leave(struct pp_shared *memory) {
    struct pp_backoff moves = {0};
    pp_placement_apart(memory, 1, &moves, 1);
    return moves.until != 0;
}

/* In a child process that has one CPU, so that its CPU is known and it cannot leave it. */
static int on_one_cpu(void *unused) {
    (void)unused;
    struct pp_shared memory = make_memory(2);
    _Atomic uint32_t *told = memory.status->cpus; /* the caller, worker 0, worker 1 */
    EXPECT(only_one_cpu(NULL) == 0);
    uint32_t here = (uint32_t)pp_cpu_here() + 1;
    for (int cpus = 1; cpus <= 3; cpus++) {
        pp_placement_set_cpus(&memory, cpus);
        EXPECT(pp_placement_can_spare(&memory) == (cpus == 3));
        memory.hosts = 1; /* one of the two is the carrier, which runs no tasks */
        EXPECT(pp_placement_can_spare(&memory) == (cpus >= 2));
        memory.hosts = 0;
        for (uint32_t other = 0; other <= here; other++) {
            told[1] = other;
            EXPECT(would_leave(&memory) == (other == here && cpus == 3));
            EXPECT(told[2] == here);
        }
        told[1] = 0;
        pp_placement_tell_looking(&memory);
        EXPECT(told[0] == here);
        EXPECT(would_leave(&memory) == (cpus == 3));
        pp_placement_tell_asleep(&memory);
        EXPECT(told[0] == 0);
        EXPECT(!would_leave(&memory));
    }
    told[1] = here;
    struct pp_backoff moves = {.until = 5000000};
    pp_placement_apart(&memory, 1, &moves, 4999999);
    EXPECT(moves.until == 5000000); /* the worker moved only just before */
    pp_placement_apart(&memory, 1, &moves, 5000000);
    uint64_t first = moves.last;
    EXPECT(first > 0 && moves.until == 5000000 + first);
    pp_placement_apart(&memory, 1, &moves, moves.until);
    EXPECT(moves.last > first); /* the move was of no use */
    pp_placement_forget(&memory, 1);
    EXPECT(told[2] == 0);
    pp_shared_unmake(&memory);
    return 0;
}

TEST_CASE(workers_do_not_share_a_cpu_while_another_is_free) {
    int cpus[MOST_CPUS];
    if (allowed(cpus) > 0) assert_child_passes(on_one_cpu, NULL);
}

static int bind_to_first(const void *in, void *out) {
    (void)in, (void)out;
    return only_one_cpu(NULL);
}

static int count_cpus(const void *in, void *out) {
    (void)in;
    int cpus[MOST_CPUS];
    *(int *)out = allowed(cpus);
    return 0;
}

TEST_CASE(a_new_worker_has_the_affinity_of_pool_create) {
    int cpus[MOST_CPUS], count = allowed(cpus), got = 0;
    struct pool_options options = test_options(1);
    options.max_tasks_per_worker = 1;
    struct pool *pool = pool_from(&options);
    assert_ok(finish(submit(pool, bind_to_first, NULL, 0, 0), NULL));
    assert_ok(finish(submit(pool, count_cpus, NULL, 0, sizeof got), &got));
    assert_int_equal(got, count);
    pool_destroy(pool);
}

/* ---- The environment --------------------------------------------------------------------------------------------- */

extern char **environ;

static const char *const names[] = {"OMP_NUM_THREADS",  "OPENBLAS_NUM_THREADS",   "MKL_NUM_THREADS",
                                    "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"};

static int environment_task(const void *in, void *out) {
    const char *value = getenv(names[*(const int *)in]);
    snprintf(out, 16, "%s", value ? value : "(unset)");
    return 0;
}

static int unset_task(const void *in, void *out) {
    (void)in, (void)out;
    return setenv("PARPOOL_TEST", "from a task", 1) || !getenv("PATH") || unsetenv("OMP_NUM_THREADS") ? 1 : 0;
}

static void expect_variable(struct pool *pool, int which, const char *expected) {
    char value[16] = "";
    assert_ok(finish(submit(pool, environment_task, &which, sizeof which, sizeof value), value));
    if (strcmp(value, expected) != 0) print_error("%s is %s, not %s\n", names[which], value, expected);
    assert_int_equal(strcmp(value, expected), 0);
}

TEST_CASE(libraries_share_the_cpus_among_the_workers) {
    for (size_t i = 0; i < COUNT(names); i++) unsetenv(names[i]);
    for (int workers = 1; workers <= 3; workers++) {
        struct pool *pool = pool_of(workers);
        int share = pool_cpu_count() / workers;
        char expected[16];
        snprintf(expected, sizeof expected, "%d", share > 1 ? share : 1);
        for (int i = 0; i < (int)COUNT(names); i++) expect_variable(pool, i, expected);
        assert_ok(finish(submit(pool, unset_task, NULL, 0, 0), NULL)); /* tasks may change it, as in any process */
        pool_destroy(pool);
    }
}

TEST_CASE(variables_set_by_the_user_stay) {
    for (size_t i = 0; i < COUNT(names); i++) unsetenv(names[i]);
    setenv("OMP_NUM_THREADS", "17", 1);
    setenv("MKL_NUM_THREADS", "", 1);
    struct pool *pool = pool_of(2);
    expect_variable(pool, 0, "17");
    expect_variable(pool, 2, "");
    pool_destroy(pool);
    unsetenv("OMP_NUM_THREADS");
    unsetenv("MKL_NUM_THREADS");
}

TEST_CASE(the_callers_environment_is_left_alone) {
    for (size_t i = 0; i < COUNT(names); i++) unsetenv(names[i]);
    char **before = environ, *entries[4096];
    size_t count = 0;
    while (environ[count] && count < COUNT(entries)) entries[count] = environ[count], count++;
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct pool_options options = test_options(2);
        options.backend = backend;
        struct pool *pool = pool_from(&options);
        if (backend != POOL_PROCESSES) expect_variable(pool, 0, "(unset)");
        pool_destroy(pool);
    }
    assert_true(environ == before);
    for (size_t i = 0; i < count; i++) assert_true(environ[i] == entries[i]);
    assert_null(environ[count]);
}

/* ---- Load and memory --------------------------------------------------------------------------------------------- */

static int peak_task(const void *in, void *out) {
    atomic_int *running = *(atomic_int *const *)in; /* followed by the highest count so far */
    (void)out;
    int now = atomic_fetch_add(running, 1) + 1, most = atomic_load(running + 1);
    while (now > most && !atomic_compare_exchange_weak(running + 1, &most, now)) continue;
    sleep_ms(10);
    atomic_fetch_sub(running, 1);
    return 0;
}

/* Returns how many tasks ran at the same time at most. */
static int most_at_once(const struct pool_options *options, size_t count) {
    atomic_int *running = shared(2 * sizeof *running);
    atomic_int *in[64];
    struct pool *pool;
    struct future *futures[64];
    assert_ok(pool_create(options, &pool));
    for (size_t i = 0; i < count; i++) {
        in[i] = running;
        futures[i] = submit(pool, peak_task, &running, sizeof running, 0);
    }
    for (size_t i = 0; i < count; i++) assert_ok(finish(futures[i], NULL));
    assert_ok(pool_map(pool, &(struct pool_job){.fn = peak_task, POOL_IN(in), .count = count, .chunk = 1}));
    assert_int_equal(atomic_load(running), 0);
    pool_destroy(pool);
    return atomic_load(running + 1);
}

static void assert_one_holds_others_back(const struct pool_options *options) {
    struct gate *gate = shared(sizeof *gate);
    struct pool *pool = pool_from(options);
    struct future *futures[8] = {block_worker(pool, gate)};
    for (size_t i = 1; i < COUNT(futures); i++) futures[i] = submit_gated(pool, gate);
    sleep_ms(200);
    assert_int_equal(atomic_load(&gate->arrived), 1);
    gate_open(gate);
    for (size_t i = 0; i < COUNT(futures); i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
}

TEST_CASE(few_tasks_run_at_a_time_without_free_memory) {
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        struct pool_options options = test_options(4);
        options.backend = backend;
        options.min_free_memory = SIZE_MAX / 2; /* no machine has so much */
        assert_true(most_at_once(&options, 12) >= 1); /* those that look at the same moment may run at once */
        if (LINUX && backend != POOL_INLINE) assert_one_holds_others_back(&options);
    }
}

TEST_CASE(tasks_run_at_the_same_time_with_enough_free_memory) {
    struct pool_options options = test_options(4);
    struct gate *gate = shared(sizeof *gate);
    struct future *futures[4];
    options.min_free_memory = 1;
    options.max_load = 1e9;
    struct pool *pool = pool_from(&options);
    for (size_t i = 0; i < COUNT(futures); i++) futures[i] = submit_gated(pool, gate);
    assert_true(gate_reached(gate, COUNT(futures)));
    gate_open(gate);
    for (size_t i = 0; i < COUNT(futures); i++) assert_ok(finish(futures[i], NULL));
    pool_destroy(pool);
}

TEST_CASE(a_pool_goes_on_under_load) {
    struct pool_options options = test_options(4);
    options.max_load = 1e-9;
    assert_true(most_at_once(&options, 12) >= 1);
}

TEST_CASE(a_pool_that_waits_for_memory_can_be_destroyed) {
    for (int backend = POOL_PROCESSES; backend <= POOL_THREADS; backend++) {
        atomic_int *running = shared(2 * sizeof *running);
        struct pool_options options = test_options(4);
        struct future *futures[40];
        options.backend = backend;
        options.min_free_memory = SIZE_MAX / 2;
        struct pool *pool = pool_from(&options);
        for (int i = 0; i < 40; i++) futures[i] = submit(pool, peak_task, &running, sizeof running, 0);
        int64_t start = now_ms();
        pool_destroy(pool);
        assert_took(start, 0, PATIENCE / 2);
        for (int i = 0; i < 40; i++) assert_any_of(finish(futures[i], NULL), 0, POOL_ECANCELLED);
    }
}

TEST_CASE(an_invalid_load_limit_is_refused) {
    struct pool_options options = test_options(1);
    struct pool *pool = NULL;
    options.max_load = -0.5;
    assert_code(pool_create(&options, &pool), POOL_EINVAL);
    options.max_load = strtod("nan", NULL);
    assert_code(pool_create(&options, &pool), POOL_EINVAL);
    assert_null(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_quota_of_version_2_counts),
        TEST(the_smallest_quota_of_all_parent_groups_counts),
        TEST(a_quota_of_version_1_counts),
        TEST(the_memory_left_to_the_system_and_to_its_groups_counts),
        TEST(a_system_that_promises_only_what_it_has_limits_what_may_be_mapped),
        TEST(the_memory_left_to_groups_of_version_1_counts_too),
        TEST(an_unreadable_quota_limits_nothing),
        TEST(the_affinity_mask_counts),
        TEST(pinned_workers_have_a_cpu_each_in_turn),
        TEST(a_thread_that_leaves_a_cpu_is_on_another_and_may_come_back),
        TEST(short_or_rare_interruptions_do_not_cause_back_off),
        TEST(a_thread_that_yields_learns_whether_others_want_the_cpu),
        TEST(one_worker_and_its_caller_run_on_different_cpus),
        TEST(caller_and_workers_record_their_cpu_while_they_look_for_work),
        TEST(a_dead_worker_has_no_cpu_on_record),
        TEST(workers_do_not_share_a_cpu_while_another_is_free),
        TEST(a_new_worker_has_the_affinity_of_pool_create),
        TEST(libraries_share_the_cpus_among_the_workers),
        TEST(variables_set_by_the_user_stay),
        TEST(the_callers_environment_is_left_alone),
        TEST(few_tasks_run_at_a_time_without_free_memory),
        TEST(tasks_run_at_the_same_time_with_enough_free_memory),
        TEST(a_pool_goes_on_under_load),
        TEST(a_pool_that_waits_for_memory_can_be_destroyed),
        TEST(an_invalid_load_limit_is_refused),
    };
    return run_group("machine", tests, COUNT(tests), argc, argv);
}
