/* A pool whose workers are in a sandbox does all that any other does: each behaviour is tried in both, and must tell
 * the same. */
#include "support.h"

#if LINUX
#include <errno.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

enum { TEXT = 4096, MIB = 1 << 20 };

/* ---- tasks */

static int sleep_task(const void *in, void *out) {
    (void)in, (void)out;
    for (;;) pause();
    return 0;
}

static int fault_task(const void *in, void *out) {
    (void)in, (void)out;
    int *volatile nowhere = (int *)64;
    *nowhere = 1;
    return 0;
}

static int abort_task(const void *in, void *out) {
    (void)in, (void)out;
    abort();
}

static int exit_task(const void *in, void *out) {
    (void)in, (void)out;
    exit(7);
}

static int fail_task(const void *in, void *out) {
    (void)in, (void)out;
    return task_fail(5, "no %s", "header");
}

/* in: MiB to touch, or only to ask for. */
static int take_task(const void *in, void *out) {
    size_t size = (size_t)*(const int *)in * MIB;
    char *memory = malloc(size);
    if (!memory) return 12;
    memset(memory, 1, size);
    *(pid_t *)out = getpid();
    free(memory);
    return 0;
}

static int deep_task(const void *in, void *out) {
    volatile char frame[16384];
    int depth = *(const int *)in - 1;
    frame[0] = (char)depth;
    if (depth > 0) deep_task(&depth, out);
    return frame[0] != (char)depth;
}

static int mixed_item(const void *in, void *out) {
    (void)in;
    size_t i = task_index();
    *(size_t *)out = i * i;
    if (i % 100 == 37) raise(SIGKILL);
    if (i % 100 == 38) return task_fail(4, "no %zu", i);
    return 0;
}

static int print_task(const void *in, void *out) {
    (void)in, (void)out;
    printf("printed by a task\n");
    fprintf(stderr, "and this\n");
    return 0;
}

static int add(void *result, const void *right) {
    *(long *)result += *(const long *)right;
    return 0;
}

static int index_part(const void *in, void *out) {
    (void)in;
    *(long *)out = (long)task_index();
    return 0;
}

static int sum_of_inputs(const void *in, void *out) {
    (void)in;
    long sum = 0;
    for (size_t i = 0; i < task_input_count(); i++) sum += *(const long *)task_input(i, NULL);
    *(long *)out = sum;
    return 0;
}

/* ---- behaviours: each writes what came of it */

struct told {
    size_t length;
    char text[TEXT];
};

__attribute__((format(printf, 2, 3))) static void tell(struct told *told, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int n = vsnprintf(told->text + told->length, TEXT - told->length, format, list);
    va_end(list);
    told->length += n > 0 ? (size_t)n : 0;
    if (told->length >= TEXT) told->length = TEXT - 1;
}

static void tell_outcome(struct told *told, struct pool *pool, const struct pool_task *task, bool kill) {
    struct future *future;
    struct pool_failure why;
    assert_ok(pool_submit(pool, task, &future));
    if (kill) {
        while (!future_running(future) && !future_done(future)) sleep_ms(1);
        assert_ok(future_kill(future));
    }
    int error = future_get(future, NULL, PATIENCE);
    assert_ok(future_failure(future, &why));
    size_t cause = strcspn(why.message, ",:"); /* where it was is told if there was time to find out */
    const char *place = strstr(why.message, " in ");
    if (place && (size_t)(place - why.message) < cause) cause = (size_t)(place - why.message);
    tell(told, "%s %d %d %.*s\n", pool_error_name(error), why.code, why.signal, (int)cause, why.message);
    future_free(future);
}

static void deaths(struct told *told, struct pool_options options) {
    struct pool *pool = pool_from(&options);
    tell_outcome(told, pool, &(struct pool_task){.fn = forever_task, .timeout = 50}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = forever_task, .cpu_timeout = 50}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = sleep_task, .timeout = 50}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = forever_task}, true);
    tell_outcome(told, pool, &(struct pool_task){.fn = fault_task}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = abort_task}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = exit_task}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = fail_task}, false);
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
}

static void deaths_on_a_stack(struct told *told, struct pool_options options) {
    options.stack_size = 32 * (size_t)MIB;
    deaths(told, options);
    struct pool *pool = pool_from(&options);
    int depth = 1000; /* 16 MB */
    tell_outcome(told, pool, &(struct pool_task){.fn = deep_task, POOL_IN(&depth)}, false);
    pool_destroy(pool);
}

static void maps(struct told *told, struct pool_options options) {
    struct pool *pool = pool_from(&options);
    static size_t out[1000];
    size_t failed = 0;
    struct pool_failure first;
    struct pool_job job = {.fn = mixed_item, .count = COUNT(out), POOL_OUT(out), .failed = &failed, .failure = &first};
    int error = pool_map(pool, &job);
    tell(told, "%s, %zu failed, first %zu: %s\n", pool_error_name(error), failed, first.index, first.message);
    job.retries = 2;
    tell(told, "%s, %zu failed\n", pool_error_name(pool_map(pool, &job)), failed);
    assert_map_squares(pool, 100000, 0);
    pool_destroy(pool);
}

static int hang_at_three(const void *in, void *out) {
    (void)in, (void)out;
    while (task_index() == 3) pause();
    return 0;
}

static int compute_at_three(const void *in, void *out) {
    (void)in, (void)out;
    while (task_index() == 3) continue;
    return 0;
}

/* Of ten items, in chunks of three, the fourth has to be ended. */
static void jobs_that_are_ended(struct told *told, struct pool_options options) {
    struct pool *pool = pool_from(&options);
    struct future *future;
    size_t failed = 0;
    struct pool_failure first;
    struct pool_job job = {.fn = hang_at_three, .count = 10, .chunk = 3, .failed = &failed, .failure = &first};
    job.timeout = 100;
    int late = pool_map(pool, &job);
    tell(told, "%s, %zu failed, %zu\n", pool_error_name(late), failed, first.index);
    job.fn = compute_at_three;
    job.timeout = 0;
    job.cpu_timeout = 100;
    int spent = pool_map(pool, &job);
    tell(told, "%s, %zu failed, %zu\n", pool_error_name(spent), failed, first.index);
    job.cpu_timeout = 0;
    assert_ok(pool_map_async(pool, &job, &future));
    while (!future_running(future)) sleep_ms(1);
    assert_ok(future_kill(future));
    int killed = finish(future, NULL);
    tell(told, "%s\n", pool_error_name(killed));
    assert_map_squares(pool, 1000, 0);
    pool_destroy(pool);
}

static void arena(struct told *told, struct pool_options options) {
    struct pool *pool = pool_from(&options);
    enum { ITEMS = 1 << 17 };
    size_t size = ITEMS * sizeof(long);
    struct map_memory memory = {.in = pool_alloc(pool, size), .out = pool_alloc(pool, size),
                                .status = pool_alloc(pool, ITEMS * sizeof(int))};
    assert_map_squares_in(memory, pool, ITEMS, 0);
    pool_free(pool, memory.in);
    pool_free(pool, memory.out);
    pool_free(pool, memory.status);
    assert_map_squares(pool, ITEMS, 1); /* arguments copied to the memory that is sealed, more than once */
    assert_map_squares(pool, ITEMS, 0);
    tell(told, "done\n");
    pool_destroy(pool);
}

static void replaced_after(struct told *told, struct pool_options options, const struct pool_task *task) {
    struct pool *pool = pool_from(&options);
    pid_t first, second;
    assert_ok(finish(submit(pool, task->fn, task->in, task->in_size, sizeof first), &first));
    assert_ok(finish(submit(pool, pid_task, NULL, 0, sizeof second), &second));
    tell(told, "%s\n", first == second ? "the same" : "another");
    assert_int_equal(worker_of(pool) == second, options.max_tasks_per_worker != 1);
    pool_destroy(pool);
}

static void replacements(struct told *told, struct pool_options options) {
    int mib = 64;
    options.workers = 1;
    replaced_after(told, options, &(struct pool_task){.fn = pid_task});
    options.memory_soft_limit = 16 * (size_t)MIB;
    replaced_after(told, options, &(struct pool_task){.fn = pid_task});
    replaced_after(told, options, &(struct pool_task){.fn = take_task, POOL_IN(&mib)});
    options.memory_soft_limit = 0;
    options.max_tasks_per_worker = 1;
    replaced_after(told, options, &(struct pool_task){.fn = pid_task});
}

static void memory_limit(struct told *told, struct pool_options options) {
    int much = 300, little = 10;
    options.memory_limit = 100 * (size_t)MIB;
    struct pool *pool = pool_from(&options);
    tell_outcome(told, pool, &(struct pool_task){.fn = take_task, POOL_IN(&much), .out_size = sizeof(pid_t)}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = take_task, POOL_IN(&little), .out_size = sizeof(pid_t)}, false);
    pool_destroy(pool);
}

static void workers_that_come_and_go(struct told *told, struct pool_options options) {
    options.lazy = true;
    options.idle_timeout = 10;
    options.pin = true;
    struct pool *pool = pool_from(&options);
    assert_squares_at_once(pool, 100);
    struct pool_stats stats = {.idle = 1};
    for (int64_t until = now_ms() + PATIENCE; stats.busy + stats.idle > 0 && now_ms() < until; sleep_ms(5))
        assert_ok(pool_stats(pool, &stats));
    tell(told, "%d live, %d died\n", stats.busy + stats.idle, (int)stats.died);
    assert_squares_in_turn(pool, 10);
    assert_ok(pool_resize(pool, 5));
    assert_squares_at_once(pool, 100);
    assert_ok(pool_resize(pool, 1));
    assert_squares_at_once(pool, 100);
    pool_destroy(pool);
}

static atomic_int *finalized;

static void count_finalizer(void *unused) {
    (void)unused;
    atomic_fetch_add(finalized, 1);
}

static void finalizers(struct told *told, struct pool_options options) {
    atomic_store(finalized, 0);
    options.finalizer = count_finalizer;
    struct pool *pool = pool_from(&options);
    assert_squares_at_once(pool, 100);
    assert_ok(pool_shutdown(pool, 0, PATIENCE));
    pool_destroy(pool);
    tell(told, "%d finalized\n", atomic_load(finalized));
}

static int unfit(void *unused) {
    (void)unused;
    return 9;
}

static void initializers(struct told *told, struct pool_options options) {
    options.initializer = unfit;
    struct pool *pool = pool_from(&options);
    tell_outcome(told, pool, &(struct pool_task){.fn = pid_task, .out_size = sizeof(pid_t)}, false);
    pool_destroy(pool);
}

static void streams_graphs_reductions(struct told *told, struct pool_options options) {
    struct pool *pool = pool_from(&options);
    long in[200], sum = 0, got;
    for (long i = 0; i < 200; i++) in[i] = i;
    struct stream *stream;
    assert_ok(pool_imap(pool, &(struct pool_stream){.fn = square_task, POOL_IN(in), .count = 200,
                                                    .out_size = sizeof(long)}, &stream));
    while (stream_next(stream, &got, PATIENCE) == 0) sum += got;
    stream_free(stream);
    tell(told, "sum of squares %ld\n", sum);
    struct future *after[3] = {submit_square(pool, 2), submit_square(pool, 3), submit_square(pool, 4)}, *last;
    assert_ok(pool_submit(pool, &(struct pool_task){.fn = sum_of_inputs, .out_size = sizeof(long), .after = after,
                                                    .after_count = 3}, &last));
    assert_ok(finish(last, &got));
    for (int i = 0; i < 3; i++) future_free(after[i]);
    tell(told, "graph %ld\n", got);
    assert_ok(pool_reduce(pool, &(struct pool_reduction){.fn = index_part, .combine = add, .count = 10000, .out = &got,
                                                         .out_size = sizeof got, .chunk = 10}));
    tell(told, "reduction %ld\n", got);
    pool_destroy(pool);
}

static void fresh_workers(struct told *told, struct pool_options options) {
    options.fresh_after_failure = options.keep_children = options.keep_oom_score = true;
    struct pool *pool = pool_from(&options);
    for (int i = 0; i < 5; i++) tell_outcome(told, pool, &(struct pool_task){.fn = fail_task}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = fault_task, .retries = 3}, false);
    pool_destroy(pool);
}

/* What is printed goes to the test's own output; what is told is the last line of the victim. */
static int say_and_abort(const void *in, void *out) {
    (void)in, (void)out;
    fprintf(stderr, "it ends here\n");
    abort();
}

static void captured_output(struct told *told, struct pool_options options) {
    options.capture = true;
    struct pool *pool = pool_from(&options);
    for (int i = 0; i < 3; i++) tell_outcome(told, pool, &(struct pool_task){.fn = print_task}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = say_and_abort}, false);
    tell_outcome(told, pool, &(struct pool_task){.fn = print_task}, false);
    pool_destroy(pool);
}

/* in: KiB of the result, which lies in room that the task takes by itself. */
static int any_size_task(const void *in, void *out) {
    size_t size = (size_t)*(const int *)in << 10;
    char *room = task_result(size);
    (void)out;
    if (!room) return 1;
    memset(room, (int)(size >> 10 & 127), size);
    return 0;
}

static int square_block(const void *in, void *out, size_t count) {
    const long *x = in;
    for (size_t i = 0; i < count; i++) ((long *)out)[i] = x[i] * x[i];
    return 0;
}

static void results_of_any_size_and_blocks(struct told *told, struct pool_options options) {
    struct pool *pool = pool_from(&options);
    for (int kib = 1; kib <= 3000; kib += 999) {
        struct future *future;
        size_t size;
        struct pool_task task = {.fn = any_size_task, POOL_IN(&kib), .out_size = POOL_ANY_SIZE};
        assert_ok(pool_submit(pool, &task, &future));
        assert_ok(future_get(future, NULL, PATIENCE));
        const char *data = future_data(future, &size);
        tell(told, "%zu bytes, of %d\n", size, size ? data[size - 1] : 0);
        future_free(future);
    }
    static long numbers[10000], squares[10000];
    for (long i = 0; i < 10000; i++) numbers[i] = i;
    struct pool_job job = {.block = square_block, POOL_IN(numbers), POOL_OUT(squares), .count = COUNT(numbers),
                           .timeout = 60000};
    assert_ok(pool_map(pool, &job));
    tell(told, "%ld\n", squares[9999]);
    pool_destroy(pool);
}

/* What the trace has of it is counted, and its file removed. */
static void traces(struct told *told, struct pool_options options) {
    char path[TEMPORARY_ROOM], line[1024];
    temporary_name(path);
    close(mkstemp(path));
    options.trace = path;
    struct pool *pool = pool_from(&options);
    for (int i = 0; i < 3; i++) tell_outcome(told, pool, &(struct pool_task){.fn = fault_task}, false);
    assert_squares_in_turn(pool, 100);
    pool_destroy(pool);
    int died = 0, spans = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        died += strstr(line, "\"name\":\"fault_task\"") && strstr(line, "\"died\":true");
        spans += strstr(line, "\"name\":\"square_task\"") != NULL;
    }
    fclose(file);
    unlink(path);
    tell(told, "%d died, %s spans\n", died, spans > 0 ? "some" : "no");
}

static void limits_of_the_machine(struct told *told, struct pool_options options) {
    struct gate *gate = shared(sizeof *gate);
    options.max_load = 1e9;
    options.min_free_memory = SIZE_MAX / 2;
    options.workers = 3;
    struct pool *pool = pool_from(&options);
    struct future *blocked = block_worker(pool, gate), *waits = submit(pool, count_task, NULL, 0, 0);
    tell(told, "%s\n", pool_error_name(future_wait(waits, 300)));
    gate_open(gate);
    assert_ok(finish(blocked, NULL));
    assert_ok(finish(waits, NULL));
    pool_destroy(pool);
}

static const struct behaviour {
    void (*try_it)(struct told *told, struct pool_options options);
    const char *name;
} behaviours[] = {
#define BEHAVIOUR(name) {name, #name}
    BEHAVIOUR(deaths), BEHAVIOUR(deaths_on_a_stack), BEHAVIOUR(maps), BEHAVIOUR(jobs_that_are_ended),
    BEHAVIOUR(arena), BEHAVIOUR(replacements), BEHAVIOUR(memory_limit), BEHAVIOUR(workers_that_come_and_go),
    BEHAVIOUR(finalizers), BEHAVIOUR(initializers), BEHAVIOUR(streams_graphs_reductions), BEHAVIOUR(fresh_workers),
    BEHAVIOUR(limits_of_the_machine), BEHAVIOUR(captured_output), BEHAVIOUR(results_of_any_size_and_blocks),
    BEHAVIOUR(traces),
};

TEST_CASE(a_sandboxed_pool_does_what_any_pool_does) {
    finalized = shared(sizeof *finalized);
    counted = shared(sizeof *counted);
    for (size_t i = 0; i < COUNT(behaviours); i++) {
        bool limits_memory = behaviours[i].try_it == replacements || behaviours[i].try_it == memory_limit;
        if (instrumented() && (limits_memory || behaviours[i].try_it == deaths_on_a_stack)) continue;
        struct told told[2] = {{0}, {0}};
        for (int sandbox = POOL_SANDBOX_NONE; sandbox <= POOL_SANDBOX_COMPUTE; sandbox++) {
            struct pool_options options = test_options(2);
            options.sandbox = sandbox;
            behaviours[i].try_it(&told[sandbox], options);
        }
        if (strcmp(told[0].text, told[1].text) == 0 && told[0].text[0]) continue;
        print_error("%s\nwithout: %s\nwith: %s\n", behaviours[i].name, told[0].text, told[1].text);
        _fail(__FILE__, __LINE__);
    }
}

/* In a child, whose output is a pipe. */
static int print_in_sandbox(void *ends) {
    struct pool_options options = test_options(1);
    struct pool *pool;
    options.sandbox = POOL_SANDBOX_COMPUTE;
    options.capture = ((int *)ends)[2];
    dup2(((int *)ends)[1], STDOUT_FILENO);
    dup2(((int *)ends)[1], STDERR_FILENO);
    if (pool_create(&options, &pool)) return 1;
    int error = pool_map(pool, &(struct pool_job){.fn = print_task, .count = 1});
    pool_destroy(pool);
    return error != 0;
}

/* What arrives of the output of one task. */
static void print_through_pipe(bool capture, char text[200]) {
    int ends[3] = {-1, -1, capture};
    assert_int_equal(pipe(ends), 0);
    assert_child_passes(print_in_sandbox, ends);
    close(ends[1]);
    size_t length = 0;
    for (ssize_t n; (n = read(ends[0], text + length, 199 - length)) > 0;) length += (size_t)n;
    text[length] = '\0';
    close(ends[0]);
}

TEST_CASE(what_tasks_print_arrives) {
    char text[200];
    print_through_pipe(false, text);
    assert_contains(text, "printed by a task\n");
    assert_contains(text, "and this\n");
}

TEST_CASE(captured_lines_have_their_function_and_item) {
    char text[200];
    print_through_pipe(true, text);
    assert_contains(text, "[print_task 0] printed by a task\n");
    assert_contains(text, "[print_task 0] and this\n");
}

/* ---- what libraries do in tasks, of the C library alone */

static void *churn(void *unused) {
    for (size_t i = 0; i < 2000; i++) free(malloc(i * 97 + 1));
    return unused;
}

static int thread_task(const void *in, void *out) {
    (void)in, (void)out;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, churn, NULL)) return 1;
    for (int i = 0; i < 4; i++)
        if (pthread_join(threads[i], NULL)) return 2;
    return 0;
}

static int by_value(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

/* What asks the system where a kernel has no vDSO, a C library has read no file yet, or an array is large. */
static int question_task(const void *in, void *out) {
    (void)in, (void)out;
    static int values[100000];
    struct timespec now;
    time_t moment = 0;
    if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now)) return 1;
    for (int i = 0; i < (int)COUNT(values); i++) values[i] = (int)(i * 7919L % (int)COUNT(values));
    qsort(values, COUNT(values), sizeof *values, by_value);
    for (int i = 0; i < (int)COUNT(values); i++)
        if (values[i] != i) return 2;
    if (sysconf(_SC_NPROCESSORS_ONLN) < 1 || sysconf(_SC_PHYS_PAGES) < 1) return 3;
    setlocale(LC_ALL, "C.UTF-8"); /* or not */
    if (!localtime(&moment)) return 4;
    fprintf(stderr, "%.17g and %ls\n", 0.1, L"wide");
    return abs(raise(0)); /* sends nothing */
}

static int library_task(const void *in, void *out) {
    (void)in, (void)out;
    unsigned char random[16];
    char *large = malloc(50 * (size_t)MIB);
    if (!large) return 1;
    memset(large, 1, 50 * (size_t)MIB);
    large = realloc(large, 100 * (size_t)MIB);
    if (!large || large[50 * (size_t)MIB - 1] != 1) return 2;
    free(large);
    if (getentropy(random, sizeof random)) return 3;
    if (sysconf(_SC_PAGESIZE) <= 0 || clock() == (clock_t)-1 || time(NULL) == (time_t)-1) return 4;
    if (fopen("/etc/passwd", "r") || errno != EACCES) return 5;
    if (tmpfile()) return 6;
    errno = EDOM;
    perror("a task says");
    struct timespec moment = {0, 1000};
    return nanosleep(&moment, NULL) ? 7 : 0;
}

TEST_CASE(threads_and_libraries_work_in_a_sandbox) {
    struct pool_options options = test_options(2);
    options.sandbox = POOL_SANDBOX_COMPUTE;
    struct pool *pool = pool_from(&options);
    for (int i = 0; i < 5; i++) assert_ok(finish(submit(pool, thread_task, NULL, 0, 0), NULL));
    for (int i = 0; i < 5; i++) assert_ok(finish(submit(pool, library_task, NULL, 0, 0), NULL));
    for (int i = 0; i < 5; i++) assert_ok(finish(submit(pool, question_task, NULL, 0, 0), NULL));
    pool_destroy(pool);
}

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        TEST(a_sandboxed_pool_does_what_any_pool_does),
        TEST(what_tasks_print_arrives),
        TEST(captured_lines_have_their_function_and_item),
        TEST(threads_and_libraries_work_in_a_sandbox),
    };
    return run_group("sandbox_pool", tests, COUNT(tests), argc, argv);
}
#else
int main(void) {
    return 0; /* there are no sandboxes on this system */
}
#endif
