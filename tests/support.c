#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

/* ---- Running -------------------------------------------------------------------------------------------------- */

static char running_test[128] = "(none)";
static struct holdings at_start;

static struct {
    void *data;
    size_t size;
} shared_blocks[64];
static size_t shared_count;

bool instrumented(void) {
#ifdef SANITIZED
    return true;
#else
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
#endif
}

bool is_brief(void) {
    return instrumented() || getenv("PARPOOL_TEST_BRIEF");
}

size_t scaled(size_t n) {
    return is_brief() ? (n + 9) / 10 : n;
}

static void on_time_out(int signal_number) {
    (void)signal_number;
    static const char text[] = "\nthe test's time is over: ";
    ssize_t written = write(2, text, sizeof text - 1);
    written = write(2, running_test, strlen(running_test));
    written = write(2, "\n", 1);
    (void)written;
    signal(SIGABRT, SIG_DFL);
    abort();
}

void allow_seconds(unsigned seconds) {
    alarm(instrumented() ? 4 * seconds : seconds);
}

static void kill_strays(void) {
    pid_t pids[256];
    size_t count = descendants(getpid(), pids, COUNT(pids));
    for (size_t i = 0; i < count; i++) kill(pids[i], SIGKILL);
    for (int i = 0; i < 100 && count; i++) {
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
        count = descendants(getpid(), pids, COUNT(pids));
        if (count) sleep_ms(10);
    }
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

int test_begin(void **state) {
    const char *name = *state;
    snprintf(running_test, sizeof running_test, "%s", name ? name : "?");
    signal(SIGALRM, on_time_out);
    allow_seconds(120);
    kill_strays(); /* left by an earlier test that failed */
    look(&at_start);
    return 0;
}

int test_end(void **state) {
    (void)state;
    while (shared_count) {
        shared_count--;
        munmap(shared_blocks[shared_count].data, shared_blocks[shared_count].size);
    }
    bool left = left_behind(&at_start);
    alarm(0);
    return left ? -1 : 0;
}

/* The test's processes are found by their session, which workers keep even as orphans. */
static void own_session(void) {
    if (setsid() >= 0 || getsid(0) == getpid()) return;
    fflush(NULL);
    pid_t parent = getpid(), child = fork();
    if (child < 0) return;
    if (child == 0) {
#ifdef __linux__
        prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
        if (getppid() != parent) _exit(1);
        setsid();
        return;
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void no_core_files(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

int run_group(const char *group, const struct CMUnitTest *tests, size_t count, int argc, char **argv) {
    own_session();
    no_core_files();
    struct CMUnitTest *chosen = calloc(count, sizeof *chosen);
    if (!chosen) return 1;
    size_t chosen_count = 0;
    for (size_t i = 0; i < count; i++) {
        bool wanted = argc < 2;
        for (int a = 1; a < argc; a++) wanted = wanted || strstr(tests[i].name, argv[a]);
        if (wanted) chosen[chosen_count++] = tests[i];
    }
    int failed = _cmocka_run_group_tests(group, chosen, chosen_count, NULL, NULL);
    free(chosen);
    return failed ? 1 : 0;
}

/* ---- Asserting ------------------------------------------------------------------------------------------------ */

void check_code(int actual, int expected, const char *what, const char *file, int line) {
    if (actual == expected) return;
    print_error("%s is %d (%s), not %d (%s)\n", what, actual, pool_strerror(actual), expected, pool_strerror(expected));
    _fail(file, line);
}

void check_any_of(int actual, int a, int b, const char *what, const char *file, int line) {
    if (actual == a || actual == b) return;
    print_error("%s is %d (%s), neither %d nor %d\n", what, actual, pool_strerror(actual), a, b);
    _fail(file, line);
}

void check_took(int64_t since, int64_t least, int64_t most, const char *file, int line) {
    int64_t took = now_ms() - since;
    if (took >= least && took <= most) return;
    print_error("it took %lld ms, not %lld to %lld\n", (long long)took, (long long)least, (long long)most);
    _fail(file, line);
}

void check_contains(const char *text, const char *part, const char *file, int line) {
    if (strstr(text, part)) return;
    print_error("\"%s\" does not contain \"%s\"\n", text, part);
    _fail(file, line);
}

/* ---- Pools, time ------------------------------------------------------------------------------------------------ */

int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(int ms) {
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

struct pool_options test_options(int workers) {
    return (struct pool_options){.workers = workers, .arena_size = instrumented() ? (size_t)256 << 20 : 0};
}

struct pool *pool_from(const struct pool_options *options) {
    struct pool *pool = NULL;
    assert_ok(pool_create(options, &pool));
    assert_non_null(pool);
    return pool;
}

struct pool *pool_of(int workers) {
    struct pool_options options = test_options(workers);
    return pool_from(&options);
}

struct future *submit(struct pool *pool, pool_fn *fn, const void *in, size_t in_size, size_t out_size) {
    struct pool_task task = {.fn = fn, .in = in, .in_size = in_size, .out_size = out_size};
    struct future *future = NULL;
    assert_ok(pool_submit(pool, &task, &future));
    assert_non_null(future);
    return future;
}

int finish(struct future *future, void *out) {
    int error = future_get(future, out, PATIENCE);
    future_free(future);
    return error;
}

pid_t worker_of(struct pool *pool) {
    pid_t worker = 0;
    assert_ok(finish(submit(pool, pid_task, NULL, 0, sizeof worker), &worker));
    assert_true(worker > 0); /* kill(0, …) would hit the test itself */
    return worker;
}

pid_t supervisor_of(struct pool *pool) {
    pid_t supervisor = 0;
    assert_ok(finish(submit(pool, parent_task, NULL, 0, sizeof supervisor), &supervisor));
    assert_true(supervisor > 0);
    return supervisor;
}

/* ---- Threads ----------------------------------------------------------------------------------------------------- */

struct thread {
    pthread_t id;
    size_t (*body)(struct pool *pool, uint64_t number);
    struct pool *pool;
    uint64_t number;
    size_t errors;
};

static void *run_thread(void *argument) {
    struct thread *thread = argument;
    thread->errors = thread->body(thread->pool, thread->number);
    return NULL;
}

void check_threads(size_t count, size_t (*body)(struct pool *pool, uint64_t number), struct pool *pool,
                   const char *what, const char *file, int line) {
    struct thread threads[8];
    assert_true(count <= COUNT(threads));
    for (size_t i = 0; i < count; i++) {
        threads[i] = (struct thread){.body = body, .pool = pool, .number = i};
        assert_int_equal(pthread_create(&threads[i].id, NULL, run_thread, &threads[i]), 0);
    }
    for (size_t i = 0; i < count; i++) pthread_join(threads[i].id, NULL);
    for (size_t i = 0; i < count; i++) {
        if (threads[i].errors == 0) continue;
        print_error("%s: %zu errors in thread %zu\n", what, threads[i].errors, i);
        _fail(file, line);
    }
}

/* ---- The system ------------------------------------------------------------------------------------------------- */

void temporary_name(char path[TEMPORARY_ROOM]) {
    const char *directory = getenv("TMPDIR");
    int length = snprintf(path, TEMPORARY_ROOM, "%s/parpool-test-XXXXXX", directory && *directory ? directory : "/tmp");
    if (length >= TEMPORARY_ROOM) abort();
}

/* ---- Shared memory and gates ------------------------------------------------------------------------------------- */

void *shared(size_t size) {
    void *data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED || shared_count == COUNT(shared_blocks)) abort();
    shared_blocks[shared_count].data = data;
    shared_blocks[shared_count].size = size;
    shared_count++;
    return data;
}

bool becomes(atomic_int *value, int least) {
    int64_t start = now_ms();
    while (atomic_load(value) < least) {
        if (now_ms() - start > PATIENCE) return false;
        sleep_ms(1);
    }
    return true;
}

int gate_pass(struct gate *gate) {
    atomic_fetch_add(&gate->arrived, 1);
    return becomes(&gate->open, 1) ? 0 : 99;
}

bool gate_reached(struct gate *gate, int tasks) {
    return becomes(&gate->arrived, tasks);
}

void gate_open(struct gate *gate) {
    atomic_store(&gate->open, 1);
}

struct future *submit_gated(struct pool *pool, struct gate *gate) {
    return submit(pool, gate_task, &gate, sizeof gate, 0);
}

struct future *block_worker(struct pool *pool, struct gate *gate) {
    int before = atomic_load(&gate->arrived);
    struct future *future = submit_gated(pool, gate);
    assert_true(gate_reached(gate, before + 1));
    return future;
}

/* ---- Hosts */

pid_t this_node;

void note_node(void) {
    if (getenv("PARPOOL_NODE")) this_node = getpid();
}

/* Keeps the worker here at the gate. */
static int hold_here_task(const void *in, void *out) {
    if (!this_node) return gate_task(in, out);
    sleep_ms(5); /* of short tasks a host would be sent many at a time, later ones too */
    return 0;
}

struct future *hold_here(struct pool *pool, struct gate *gate, int *tasks) {
    for (int64_t until = now_ms() + PATIENCE; now_ms() < until;) {
        struct future *future = submit(pool, hold_here_task, &gate, sizeof gate, 0);
        while (!future_done(future) && atomic_load(&gate->arrived) == 0) future_wait(future, 1);
        if (atomic_load(&gate->arrived) > 0) return future;
        assert_ok(finish(future, NULL)); /* a host had it */
        if (tasks) ++*tasks;
    }
    assert_true(false);
    return NULL;
}

void release_here(struct gate *gate, struct future *kept) {
    gate_open(gate);
    assert_ok(finish(kept, NULL));
}

/* ---- Squares ----------------------------------------------------------------------------------------------------- */

struct future *submit_square(struct pool *pool, long x) {
    return submit(pool, square_task, &x, sizeof x, sizeof x);
}

void submit_squares(struct pool *pool, struct future **futures, long count) {
    for (long i = 0; i < count; i++) futures[i] = submit_square(pool, i);
}

void check_square(struct future *future, long x, const char *file, int line) {
    long result = -1;
    int error = finish(future, &result);
    if (error == 0 && result == x * x) return;
    print_error("the square of %ld: code %d (%s), result %ld\n", x, error, pool_strerror(error), result);
    _fail(file, line);
}

void check_squares(struct future **futures, long count, const char *file, int line) {
    for (long i = 0; i < count; i++) check_square(futures[i], i, file, line);
}

void check_squares_at_once(struct pool *pool, long count, const char *file, int line) {
    struct future **futures = malloc((size_t)count * sizeof(struct future *));
    if (!futures) abort();
    submit_squares(pool, futures, count);
    check_squares(futures, count, file, line);
    free(futures);
}

void check_squares_in_turn(struct pool *pool, long count, const char *file, int line) {
    for (long i = 0; i < count; i++) check_square(submit_square(pool, i), i, file, line);
}

void check_map_squares_in(struct map_memory memory, struct pool *pool, size_t count, size_t chunk, const char *file,
                          int line) {
    for (size_t i = 0; i < count; i++) {
        memory.in[i] = (long)i - 3;
        memory.out[i] = -1;
        memory.status[i] = 12345;
    }
    struct pool_failure failure = {.error = 12345};
    struct pool_job job = {.fn = square_task, POOL_IN(memory.in), POOL_OUT(memory.out), .count = count, .chunk = chunk,
                           .status = memory.status, .failure = &failure};
    check_code(pool_map(pool, &job), 0, "pool_map()", file, line);
    check_code(failure.error, 0, "failure.error", file, line);
    for (size_t i = 0; i < count; i++) {
        long x = (long)i - 3;
        if (memory.out[i] == x * x && memory.status[i] == 0) continue;
        print_error("item %zu of %zu: status %d, result %ld\n", i, count, memory.status[i], memory.out[i]);
        _fail(file, line);
    }
}

void check_map_squares(struct pool *pool, size_t count, size_t chunk, const char *file, int line) {
    size_t room = count + 1; /* also for no items there are arrays */
    struct map_memory memory = {malloc(room * sizeof(long)), malloc(room * sizeof(long)), malloc(room * sizeof(int))};
    if (!memory.in || !memory.out || !memory.status) abort();
    check_map_squares_in(memory, pool, count, chunk, file, line);
    free(memory.in);
    free(memory.out);
    free(memory.status);
}

/* ---- Processes --------------------------------------------------------------------------------------------------- */

struct process {
    pid_t pid, parent, session;
    char state;
};

bool have_proc(void) {
    return access("/proc/self/stat", R_OK) == 0;
}

static bool read_process(pid_t pid, struct process *process) {
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return false;
    text[length] = 0;
    char *rest = strrchr(text, ')');
    long parent = 0, group = 0, session = 0;
    char state = 0;
    if (!rest || sscanf(rest + 1, " %c %ld %ld %ld", &state, &parent, &group, &session) != 4) return false;
    *process = (struct process){pid, (pid_t)parent, (pid_t)session, state};
    return true;
}

static size_t all_processes(struct process *processes, size_t room) {
    DIR *directory = opendir("/proc");
    if (!directory) return 0;
    size_t count = 0;
    struct dirent *entry;
    while (count < room && (entry = readdir(directory))) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && read_process((pid_t)pid, &processes[count])) count++;
    }
    closedir(directory);
    return count;
}

bool alive(pid_t pid) {
    struct process process;
    if (have_proc()) return read_process(pid, &process) && process.state != 'Z' && process.state != 'X';
    return kill(pid, 0) == 0;
}

pid_t parent_of(pid_t pid) {
    struct process process;
    return read_process(pid, &process) && process.state != 'Z' && process.state != 'X' ? process.parent : 0;
}

bool gone_within(pid_t pid, int ms) {
    int64_t start = now_ms();
    while (alive(pid)) {
        if (now_ms() - start > ms) return false;
        sleep_ms(2);
    }
    return true;
}

size_t descendants(pid_t root, pid_t *pids, size_t room) {
    static struct process all[8192];
    size_t count = all_processes(all, COUNT(all)), found = 0;
    for (bool more = true; more;) { /* until none is added, since a parent may be listed behind its child */
        more = false;
        for (size_t i = 0; i < count && found < room; i++) {
            if (all[i].pid == 0 || all[i].state == 'Z' || all[i].state == 'X') continue;
            bool below = all[i].parent == root;
            for (size_t k = 0; k < found && !below; k++) below = all[i].parent == pids[k];
            if (!below) continue;
            pids[found++] = all[i].pid;
            all[i].pid = 0;
            more = true;
        }
    }
    return found;
}

bool no_descendants_within(pid_t root, int ms) {
    pid_t pids[16];
    int64_t start = now_ms();
    while (descendants(root, pids, COUNT(pids)) > 0) {
        if (now_ms() - start > ms) return false;
        sleep_ms(5);
    }
    return true;
}

pid_t start_child(int (*body)(void *), void *argument) {
    fflush(NULL);
    pid_t parent = getpid(), child = fork();
    if (child != 0) return child;
    static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGSYS};
    for (size_t i = 0; i < COUNT(caught); i++) signal(caught[i], SIG_DFL);
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    if (getppid() != parent) _exit(1);
    exit(body(argument));
}

struct ending end_child(pid_t pid, int timeout) {
    struct ending ending = {false, -1, 0};
    int64_t start = now_ms();
    int status = 0;
    pid_t got;
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (!ending.timed_out && now_ms() - start > timeout) {
            ending.timed_out = true;
            kill(pid, SIGKILL);
        }
        sleep_ms(2);
    }
    if (got == pid && WIFEXITED(status)) ending.code = WEXITSTATUS(status);
    if (got == pid && WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
    return ending;
}

struct ending run_child(int (*body)(void *), void *argument, int timeout) {
    pid_t child = start_child(body, argument);
    if (child < 0) return (struct ending){false, -1, 0};
    return end_child(child, timeout);
}

void check_child(int (*body)(void *), void *argument, const char *what, const char *file, int line) {
    struct ending ending = run_child(body, argument, instrumented() ? 4 * PATIENCE : PATIENCE);
    if (!ending.timed_out && ending.signal == 0 && ending.code == 0) return;
    print_error("%s: %s, exit status %d, signal %d\n", what, ending.timed_out ? "hung" : "ended", ending.code,
                ending.signal);
    _fail(file, line);
}

/* ---- Processes, descriptors and mappings that a test leaves behind ----------------------------------------------- */

int open_descriptors(void) {
    struct rlimit limit;
    long top = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 4096 ? (long)limit.rlim_cur : 4096;
    int count = 0;
    for (int fd = 0; fd < top; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

long mappings(bool shared_only) {
    FILE *file = fopen("/proc/self/maps", "re");
    if (!file) return -1;
    char line[512], permissions[8];
    long count = 0;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%*s %7s", permissions) == 1) count += !shared_only || permissions[3] == 's';
    }
    fclose(file);
    return count;
}

long pages_in(const void *begin, size_t size) {
#if LINUX
    size_t page = (size_t)sysconf(_SC_PAGESIZE), count = (size + page - 1) / page;
    unsigned char *there = malloc(count);
    long in = there && mincore((void *)((uintptr_t)begin / page * page), size, there) == 0 ? 0 : -1;
    for (size_t i = 0; in >= 0 && i < count; i++) in += there[i] & 1;
    free(there);
    return in;
#else
    (void)begin, (void)size;
    return -1;
#endif
}

long resident_kib(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file) return -1;
    long size = 0, resident = -1;
    if (fscanf(file, "%ld %ld", &size, &resident) != 2) resident = -1;
    fclose(file);
    return resident < 0 ? -1 : resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* A zombie counts only if this process has to reap it. */
static size_t session_processes(pid_t *pids, size_t room) {
    static struct process all[8192];
    size_t count = all_processes(all, COUNT(all)), found = 0;
    for (size_t i = 0; i < count && found < room; i++) {
        bool zombie = all[i].state == 'Z' || all[i].state == 'X';
        if (all[i].session == getsid(0) && (!zombie || all[i].parent == getpid())) pids[found++] = all[i].pid;
    }
    return found;
}

void look(struct holdings *holdings) {
    holdings->descriptors = open_descriptors();
    holdings->shared_mappings = mappings(true);
    holdings->process_count = session_processes(holdings->processes, COUNT(holdings->processes));
}

static pid_t stray(const struct holdings *before) {
    static pid_t pids[2048];
    size_t count = session_processes(pids, COUNT(pids));
    for (size_t i = 0; i < count; i++) {
        bool known = false;
        for (size_t k = 0; k < before->process_count && !known; k++) known = before->processes[k] == pids[i];
        if (!known) return pids[i];
    }
    return 0;
}

bool left_behind(const struct holdings *before) {
    bool left = false;
    pid_t pid = stray(before);
    if (pid) {
        struct process process;
        if (read_process(pid, &process) && process.parent == getpid()) {
            fprintf(stderr, "left behind: child %ld, state %c\n", (long)pid, process.state);
            left = true;
        }
        for (int64_t start = now_ms(); pid && now_ms() - start < PATIENCE / 2; pid = stray(before)) sleep_ms(10);
        if (pid && !left) fprintf(stderr, "left behind: process %ld\n", (long)pid);
        left = left || pid;
    }
    int descriptors = open_descriptors();
    long shared_mappings = mappings(true);
    if (descriptors != before->descriptors) {
        fprintf(stderr, "left behind: %d descriptors, %d before\n", descriptors, before->descriptors);
        left = true;
    }
    if (shared_mappings != before->shared_mappings) {
        fprintf(stderr, "left behind: %ld shared mappings, %ld before\n", shared_mappings, before->shared_mappings);
        left = true;
    }
    return left;
}

/* ---- Data -------------------------------------------------------------------------------------------------------- */

uint64_t scramble(uint64_t x) {
    x += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

void fill(void *data, size_t size, uint64_t seed) {
    unsigned char *bytes = data;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = scramble(seed + i);
        memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
    }
}

bool filled(const void *data, size_t size, uint64_t seed) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = scramble(seed + i);
        if (memcmp(bytes + i, &word, size - i < 8 ? size - i : 8) != 0) return false;
    }
    return true;
}

/* ---- Tasks that many tests use ----------------------------------------------------------------------------------- */

int square_task(const void *in, void *out) {
    long x = *(const long *)in;
    *(long *)out = x * x;
    return 0;
}

int pid_task(const void *in, void *out) {
    (void)in;
    *(pid_t *)out = getpid();
    return 0;
}

int parent_task(const void *in, void *out) {
    (void)in;
    *(pid_t *)out = getppid();
    return 0;
}

int gate_task(const void *in, void *out) {
    (void)out;
    return gate_pass(*(struct gate *const *)in);
}

atomic_int *counted;

int count_task(const void *in, void *out) {
    (void)in;
    (void)out;
    atomic_fetch_add(counted, 1);
    return 0;
}

int forever_task(const void *in, void *out) {
    (void)out;
    if (in) atomic_fetch_add(&(*(struct gate *const *)in)->arrived, 1);
    for (volatile unsigned long turns = 0;; turns++) {
    }
}
