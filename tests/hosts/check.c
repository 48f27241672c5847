/* A program on hosts: what pools promise, tried on those of $PARPOOL_HOSTS, and compared with this machine alone.
 *
 *     check HOSTS                      all of it; HOSTS hosts must take part
 *     check long SECONDS HOSTS         items that take 20 ms each, for about so long; begins once so many hosts are up;
 *                                      says "running" once some are done, and what becomes of hosts
 *     check until STATE COUNT HOSTS    the same until hosts were so often up or lost
 *
 * tests/hosts/run.sh starts it by each launcher. */
#include <parpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ITEMS = 20000, SLOW = 200, WORKERS = 64 };

static int wrong;

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) wrong++, printf("wrong: " __VA_ARGS__), printf("\n");                                        \
    } while (0)

static void sleep_ms(long ms) {
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

/* ---- what runs over there */

static int number(const void *in, void *out) {
    *(double *)out = 1.0 / (double)(*(const long *)in + 1) + (double)(task_seed() % 1000);
    return 0;
}

static bool is_node;

/* On a host it needs a variable that $PARPOOL_ENV of tests/hosts/run.sh passes on. */
static int slow(const void *in, void *out) {
    const char *word = getenv("CHECK_WORD");
    sleep_ms(20);
    if (is_node && (!word || strcmp(word, "it's a word") != 0)) return task_fail(9, "the environment was not passed");
    *(long *)out = *(const long *)in + (long)task_index();
    return 0;
}

static int fail(const void *in, void *out) {
    (void)out;
    return task_fail(7, "no header in file %ld", *(const long *)in);
}

static int crash(const void *in, void *out) {
    (void)in, (void)out;
    abort();
}

static int hang(const void *in, void *out) {
    (void)in, (void)out;
    for (;;) sleep_ms(1000);
    return 0;
}

static int reciprocal(const void *in, void *out) {
    *(double *)out = 1.0 / (double)(*(const long *)in + 1);
    return 0;
}

static int add(void *sum, const void *part) {
    *(double *)sum += *(const double *)part;
    return 0;
}

/* A sum that depends on the order of its items, of those that do not fail. */
static int fragile(const void *in, void *out) {
    long x = *(const long *)in;
    if (x % 97 == 5) return 3;
    *(double *)out = 1.0 / (double)(x + 1) + (double)(task_seed() % 1000);
    return 0;
}

static int add_block(const void *in, size_t count, void *part) {
    const long *x = in;
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum = sum * 0.75 + 1.0 / (double)(x[i] + 1);
    *(double *)part = sum;
    return 0;
}

static int scale_block(const void *in, void *out, size_t count) {
    const long *x = in;
    double factor = *(const double *)task_context();
    for (size_t i = 0; i < count; i++) ((double *)out)[i] = factor * (double)x[i] + (double)(task_seed_item(i) % 100);
    return 0;
}

static int scale(const void *in, void *out) {
    *(double *)out = *(const double *)task_context() * (double)*(const long *)in + (double)(task_seed() % 100);
    return 0;
}

static int greet(const void *in, void *out) {
    (void)out;
    printf("greetings from task %ld\n", *(const long *)in);
    return 0;
}

static int lengthen(const void *in, void *out) {
    memset(out, *(const char *)in, 100000);
    task_resize(90000);
    return 0;
}

static int sum_context(const void *in, void *out) {
    const long *table = task_context();
    *(long *)out = table[*(const long *)in % 100];
    return 0;
}

/* ---- the checks */

static void check_map(struct pool *pool, const char *what, struct pool_job job, size_t count) {
    static double here[ITEMS], there[ITEMS];
    job.out_size = sizeof *here;
    job.count = count;
    job.out = here;
    int error = pool_map(NULL, &job);
    CHECK(error == 0, "%s here: %s", what, pool_strerror(error));
    job.out = there;
    error = pool_map(pool, &job);
    CHECK(error == 0, "%s there: %s", what, pool_strerror(error));
    CHECK(memcmp(here, there, count * job.out_size) == 0, "%s: other results than here", what);
}

static void check_failure(struct pool *pool, const char *what, struct pool_task task, int expected, const char *text) {
    struct pool_failure failure = {.error = 0};
    struct future *future = NULL;
    int error = pool_submit(pool, &task, &future);
    if (!error) error = future_get(future, NULL, 30000);
    if (future) future_failure(future, &failure);
    CHECK(error == expected, "%s: %s", what, pool_strerror(error));
    CHECK(strstr(failure.message, text), "%s: \"%s\"", what, failure.message);
    future_free(future);
}

static void check_tasks(struct pool *pool) {
    long argument = 42;
    struct pool_task task = {.fn = fail, .in = &argument, .in_size = sizeof argument};
    for (int i = 0; i < 20; i++) check_failure(pool, "a failure", task, POOL_EFAILED, "no header in file 42");
    task.fn = crash;
    for (int i = 0; i < 5; i++) check_failure(pool, "a crash", task, POOL_EDIED, "SIGABRT");
    task.fn = hang;
    task.timeout = 100;
    for (int i = 0; i < 5; i++) check_failure(pool, "a hang", task, POOL_EDEADLINE, "100 ms");
}

static void check_large(struct pool *pool) {
    static char result[100000];
    struct future *futures[8];
    for (char c = 0; c < 8; c++) {
        struct pool_task task = {.fn = lengthen, .in = &c, .in_size = 1, .out_size = sizeof result};
        if (pool_submit(pool, &task, &futures[(int)c])) abort();
    }
    for (char c = 0; c < 8; c++) {
        int error = future_get(futures[(int)c], result, 60000);
        size_t size = future_size(futures[(int)c]);
        CHECK(error == 0 && size == 90000, "a large result: %s, %zu bytes", pool_strerror(error), size);
        CHECK(result[0] == c && result[89999] == c, "a large result is another's");
        future_free(futures[(int)c]);
    }
}

static void check_reduction(struct pool *pool, const long *arguments) {
    double here = 0, there = 0;
    struct pool_reduction reduction = {.fn = reciprocal, .combine = add, .in = arguments, .in_size = sizeof *arguments,
                                       .count = ITEMS, .out = &here, .out_size = sizeof here};
    int error = pool_reduce(NULL, &reduction);
    reduction.out = &there;
    if (!error) error = pool_reduce(pool, &reduction);
    CHECK(error == 0, "a reduction: %s", pool_strerror(error));
    CHECK(memcmp(&here, &there, sizeof here) == 0, "a reduction: %.17g, here %.17g", there, here);
}

/* One of each kind, whose bytes are to be those that one machine gives. Returns how many; 0: a call has failed. */
static size_t run_mixed(struct pool *pool, const long *in, double *out) {
    static const double factor = 1.1;
    struct stream *stream;
    size_t failed = 0;
    struct pool_job job = {.block = scale_block, .in = in, .in_size = sizeof *in, .count = ITEMS, .out = out,
                           .out_size = sizeof *out, .context = &factor, .context_size = sizeof factor, .seed = 5};
    struct pool_reduction reduction = {.combine = add, .in = in, .in_size = sizeof *in, .count = ITEMS, .seed = 6,
                                       .out_size = sizeof *out};
    struct pool_stream items = {.fn = scale, .in = in, .in_size = sizeof *in, .count = ITEMS / 10, .seed = 7,
                                .out_size = sizeof *out, .context = &factor, .context_size = sizeof factor};
    if (pool_map(pool, &job)) return 0;
    double *at = out + ITEMS;
    reduction.block = add_block;
    reduction.out = at++;
    if (pool_reduce(pool, &reduction)) return 0;
    reduction.block = NULL;
    reduction.fn = fragile;
    reduction.skip_failed = true;
    reduction.failed = &failed;
    reduction.out = at++;
    if (pool_reduce(pool, &reduction)) return 0;
    *at++ = (double)failed;
    if (pool_imap(pool, &items, &stream)) return 0;
    for (int i = 0; i < ITEMS / 10; i++)
        if (stream_next(stream, at++, 60000)) return 0;
    stream_free(stream);
    return (size_t)(at - out);
}

static void check_mixed(struct pool *pool, const long *in) {
    static double here[2 * ITEMS], there[2 * ITEMS];
    struct pool *local;
    if (pool_create(&(struct pool_options){.workers = 2, .hosts = ""}, &local)) abort();
    size_t count = run_mixed(local, in, here), same = run_mixed(pool, in, there);
    CHECK(count > ITEMS && count == same, "mixed work: %zu results, here %zu", same, count);
    CHECK(memcmp(here, there, count * sizeof *here) == 0, "mixed work: other results than here");
    pool_destroy(local);
}

/* Slow items until each host has run some. */
static void check_hosts(struct pool *pool, int hosts, const long *arguments) {
    struct pool_worker_stats list[WORKERS];
    int at_work = 0;
    for (int tries = 0; tries < 20 && at_work < hosts; tries++) {
        static long out[SLOW];
        struct pool_job job = {.fn = slow, .in = arguments, .in_size = sizeof *arguments, .count = SLOW, .out = out,
                               .out_size = sizeof *out};
        int error = pool_map(pool, &job);
        CHECK(error == 0, "slow items: %s", pool_strerror(error));
        for (int i = 0; i < SLOW; i++) CHECK(out[i] == 2 * i, "slow item %d: %ld", i, out[i]);
        struct pool_stats stats = {.list = list, .room = WORKERS};
        pool_stats(pool, &stats);
        at_work = 0;
        for (int w = 0; w < stats.listed; w++) at_work += *list[w].host && list[w].tasks > 0;
    }
    CHECK(at_work >= hosts, "%d of %d hosts have run anything", at_work, hosts);
    printf("%d hosts took part\n", at_work);
}

static void check_all(struct pool *pool, int hosts) {
    static long arguments[ITEMS];
    long table[100], argument = 3;
    for (long i = 0; i < ITEMS; i++) arguments[i] = i;
    for (long i = 0; i < 100; i++) table[i] = i * i;
    struct pool_job job = {.fn = number, .in = arguments, .in_size = sizeof *arguments, .seed = 4711};
    check_map(pool, "a map", job, ITEMS);
    job.chunk = 1;
    check_map(pool, "a map by single items", job, 500);
    job = (struct pool_job){.fn = sum_context, .in = arguments, .in_size = sizeof *arguments, .context = table,
                            .context_size = sizeof table};
    check_map(pool, "a map with a context", job, ITEMS);
    check_hosts(pool, hosts, arguments);
    check_tasks(pool);
    check_large(pool);
    check_reduction(pool, arguments);
    for (int i = 0; i < 3; i++) check_mixed(pool, arguments);
    fflush(stdout);
    struct future *future;
    struct pool_task task = {.fn = greet, .in = &argument, .in_size = sizeof argument};
    if (pool_submit(pool, &task, &future) || future_get(future, NULL, 60000)) wrong++;
    future_free(future);
}

static void say_running(const struct pool_progress *progress, void *said) {
    if (progress->done < 20 || *(int *)said) return;
    *(int *)said = 1;
    puts("running");
    fflush(stdout);
}

/* retries: on a busy machine hosts may be lost, too, that nobody has cut off */
static void run_long(struct pool *pool, double seconds) {
    size_t count = (size_t)(seconds * 200);
    long *arguments = calloc(count, sizeof *arguments), *out = calloc(count, sizeof *out);
    static int said;
    struct pool_failure failure = {.error = 0};
    if (!arguments || !out) abort();
    struct pool_job job = {.fn = slow, .in = arguments, .in_size = sizeof *arguments, .count = count, .out = out,
                           .out_size = sizeof *out, .retries = 10, .progress = say_running, .progress_arg = &said,
                           .progress_interval = 20, .failure = &failure};
    int error = pool_map(pool, &job);
    CHECK(error == 0, "a long map: %s: %s", pool_strerror(error), failure.message);
    for (size_t i = 0; i < count; i++) CHECK(out[i] == (long)i, "item %zu: %ld", i, out[i]);
    free(arguments);
    free(out);
}

static const char *const states[] = {[POOL_HOST_UP] = "up", [POOL_HOST_LOST] = "lost", [POOL_HOST_REFUSED] = "refused"};
static int times[POOL_HOST_REFUSED + 1]; /* that hosts were in each state */

static void say_host(const struct pool_host *host, void *unused) {
    (void)unused;
    times[host->state]++;
    printf("%s: %s: %s\n", host->name, states[host->state], host->reason);
    fflush(stdout);
}

/* Ends the program if it never comes to that. */
static void run_until(struct pool *pool, const char *state, int count) {
    int which = POOL_HOST_UP;
    while (which < POOL_HOST_REFUSED && strcmp(states[which], state) != 0) which++;
    alarm(240);
    while (times[which] < count) run_long(pool, 1);
    alarm(0);
}

static int usage(void) {
    return fprintf(stderr, "usage: check HOSTS | check long SECONDS HOSTS | check until STATE COUNT HOSTS\n"), 2;
}

int main(int argc, char **argv) {
    is_node = getenv("PARPOOL_NODE") != NULL;
    pool_serve(argc, argv);
    if (argc < 2) return usage();
    bool is_long = strcmp(argv[1], "long") == 0 && argc == 4, is_until = strcmp(argv[1], "until") == 0 && argc == 5;
    if (!is_long && !is_until && argc != 2) return usage();
    int hosts = atoi(argv[argc - 1]);
    struct pool *pool;
    struct pool_options options = {.workers = 1, .host_min = hosts, .host_event = argc > 2 ? say_host : NULL};
    int error = pool_create(&options, &pool);
    if (error) return printf("pool_create: %s\n", pool_strerror(error)), 1;
    if (is_long) run_long(pool, atof(argv[2]));
    else if (is_until) run_until(pool, argv[2], atoi(argv[3]));
    else check_all(pool, hosts);
    pool_destroy(pool);
    puts(wrong ? "some is wrong" : "all is right");
    return wrong != 0;
}
