/* Chaos: one thread kills workers at random, up to 500 a second, and resizes the pool, while other threads submit, map,
 * cancel, kill, give up and wait for tasks of all lengths. Every task counts its starts and ends in shared memory. At
 * the end the test checks:
 *   - each task had one outcome, which agrees with its counts: a task that succeeded ran and has the right result, a
 *     cancelled one never started, and none ran more often than its retries allow;
 *   - the pool's statistics give the same numbers, tasks that were given up included;
 *   - no more tasks were lost than workers were killed;
 *   - no process, descriptor or mapping is left.
 *
 * test_chaos [SECONDS]   10 by default, 4 with PARPOOL_TEST_BRIEF
 * test_chaos --ci        until a million tasks are done
 * test_chaos --seen      with a trace, and tasks that print what is caught, for 4 s */
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

enum { THREADS = 2, WINDOW = 1000, MOST_ITEMS = 200, WORKERS = 4, MOST_WORKERS = 8, KILLS_A_SECOND = 500, SEEN = 64 };
#define MOST_TASKS ((size_t)64 << 20) /* address space only */

enum kind { NORMAL, FAILS, HANGS, DIES };

/* Starts and ends of a task; in shared memory. */
struct trace {
    atomic_uchar started, finished;
};

static bool seen; /* with a trace and a capture */
static struct trace *traces;
static atomic_int *seen_pids; /* workers that ran something lately */

struct argument {
    uint64_t id;
    uint32_t spin; /* rounds */
    uint32_t kind;
};

static int chaos_task(const void *in, void *out) {
    struct argument argument;
    memcpy(&argument, in, sizeof argument);
    if (argument.id >= MOST_TASKS) return 99;
    atomic_fetch_add(&traces[argument.id].started, 1);
    atomic_store_explicit(&seen_pids[scramble(argument.id) % SEEN], getpid(), memory_order_relaxed);
    for (volatile uint32_t i = 0; i < argument.spin; i++) {
    }
    if (seen && argument.id % 50 == 0) fprintf(argument.id % 100 ? stdout : stderr, "task %zu\n", (size_t)argument.id);
    if (argument.kind == HANGS) return forever_task(NULL, NULL);
    if (argument.kind == DIES) raise(argument.id % 2 ? SIGKILL : SIGSEGV);
    uint64_t result = scramble(argument.id);
    memcpy(out, &result, sizeof result);
    atomic_fetch_add(&traces[argument.id].finished, 1);
    return argument.kind == FAILS ? 7 : 0;
}

/* ---- Tasks in flight --------------------------------------------------------------------------------------------- */

struct flight {
    struct future *future; /* NULL: none */
    struct argument *in;   /* of a job: count of them; may lie in the arena, like out */
    uint64_t *out;
    int *status;
    bool in_arena, job, cancelled, killed;
    size_t count, chunk;
    unsigned retries;
    int timeout;
    struct argument argument; /* of a task */
};

struct tally {
    size_t tasks, succeeded, failed, died, cancelled, late, given_up, lost /* attempts that died under a task */;
};

struct player {
    pthread_t thread;
    struct pool *pool;
    uint64_t random;
    struct flight window[WINDOW];
    struct tally tally;
    int wrong;
};

static atomic_size_t next_id, kills, resizes;
static atomic_bool stop;
static int64_t end_time;
static size_t tasks_wanted;

#define WRONG(player, ...)                                                                                             \
    do {                                                                                                               \
        if ((player)->wrong++ < 10) {                                                                                  \
            fprintf(stderr, "chaos: ");                                                                                \
            fprintf(stderr, __VA_ARGS__);                                                                              \
            fprintf(stderr, "\n");                                                                                     \
        }                                                                                                              \
    } while (0)

static uint64_t draw(struct player *player) {
    return player->random = scramble(player->random);
}

static struct argument new_argument(struct player *player, uint64_t id, bool may_hang) {
    uint64_t dice = draw(player) % 1000;
    uint32_t spin = dice < 900   ? (uint32_t)(draw(player) % 100)
                    : dice < 995 ? (uint32_t)(draw(player) % 30000)
                                 : 1000000;
    dice = draw(player) % 1000;
    enum kind kind = dice < 985 ? NORMAL : dice < 995 ? FAILS : dice < 997 || !may_hang ? DIES : HANGS;
    return (struct argument){id, spin, kind};
}

static void wrong_task(struct player *player, const struct flight *flight, const struct argument *argument, int outcome,
                       const char *what) {
    WRONG(player,
          "%s %llu %s: began %u times, ended %u times; outcome %d, kind %u, retries %u, chunk %zu, time-out %d%s%s",
          flight->job ? "item" : "task", (unsigned long long)argument->id, what, (unsigned)traces[argument->id].started,
          (unsigned)traces[argument->id].finished, outcome, (unsigned)argument->kind, flight->retries, flight->chunk,
          flight->timeout, flight->cancelled ? ", cancelled" : "", flight->killed ? ", killed" : "");
}

/* Returns what is wrong with the outcome of a task or item, given its counts; NULL if nothing is. */
static const char *judge(const struct flight *flight, const struct argument *argument, int outcome, uint64_t result) {
    unsigned started = traces[argument->id].started, finished = traces[argument->id].finished;
    unsigned tries = flight->retries + 1;
    if (started > tries) return "ran too often";
    if (finished > started) return "ended more often than it began";
    switch (outcome) {
    case 0:
        if (finished < 1) return "succeeded and never ended";
        if (argument->kind != NORMAL) return "succeeded and should not";
        return result == scramble(argument->id) ? NULL : "has a wrong result";
    case POOL_EFAILED:
        if (argument->kind != FAILS) return "failed and should not";
        return finished ? NULL : "failed and never ended";
    case POOL_EDIED:
        return NULL;
    case POOL_ECANCELLED:
        if (!flight->cancelled && !flight->killed) return "was cancelled by nobody";
        return flight->killed || started < tries ? NULL : "was cancelled, but ran";
    case POOL_EDEADLINE:
        return argument->kind == HANGS ? NULL : "has no time-out that is near";
    default:
        return "has an outcome that nothing here can cause";
    }
}

/* Reads the counts after the outcome, so that both are final. */
static void account(struct player *player, const struct flight *flight, const struct argument *argument, int outcome,
                    uint64_t result) {
    struct tally *tally = &player->tally;
    const char *what = judge(flight, argument, outcome, result);
    if (what) wrong_task(player, flight, argument, outcome, what);
    unsigned started = traces[argument->id].started;
    tally->succeeded += outcome == 0;
    tally->failed += outcome == POOL_EFAILED;
    tally->died += outcome == POOL_EDIED;
    tally->cancelled += outcome == POOL_ECANCELLED;
    tally->late += outcome == POOL_EDEADLINE;
    if (argument->kind == DIES) return; /* the death was the task's own */
    if (outcome == POOL_EDIED)
        tally->lost += flight->retries + 1;
    else
        tally->lost += started > 1 && !flight->killed ? started - 1 : 0;
}

static void land(struct player *player, struct flight *flight) {
    uint64_t large[512];
    struct pool_failure failure;
    int error = future_get(flight->future, flight->job ? NULL : large, PATIENCE);
    if (error == POOL_ETIMEDOUT) {
        WRONG(player, "task %llu does not end", (unsigned long long)flight->argument.id);
        return; /* pool_destroy() will end it */
    }
    if (future_failure(flight->future, &failure) != 0 || failure.error != error)
        WRONG(player, "future_failure() says %d, future_get() %d", failure.error, error);
    if (flight->job) {
        int first = 0;
        for (size_t i = 0; i < flight->count; i++) {
            account(player, flight, &flight->in[i], flight->status[i], flight->out[i]);
            if (!first) first = flight->status[i];
        }
        if (first != error) WRONG(player, "a job ended with %d, its first failed item with %d", error, first);
        pool_free(player->pool, flight->in_arena ? flight->in : NULL);
        pool_free(player->pool, flight->in_arena ? flight->out : NULL);
        free(flight->in_arena ? NULL : flight->in);
        free(flight->in_arena ? NULL : flight->out);
        free(flight->status);
    } else {
        account(player, flight, &flight->argument, error, large[0]);
    }
    future_free(flight->future);
    flight->future = NULL;
}

/* ---- Playing ----------------------------------------------------------------------------------------------------- */

static bool start_task(struct player *player, struct flight *flight, uint64_t id) {
    static const size_t sizes[] = {sizeof(struct argument), 40, 64, 200, 4096};
    unsigned char in[4096] = {0};
    flight->argument = new_argument(player, id, true);
    flight->count = 1;
    flight->retries = draw(player) % 3 ? 0 : (unsigned)(draw(player) % 3);
    memcpy(in, &flight->argument, sizeof flight->argument);
    bool usual = draw(player) % 10 != 0;
    struct pool_task task = {.fn = chaos_task,
                             .in = in,
                             .in_size = usual ? sizes[0] : sizes[draw(player) % COUNT(sizes)],
                             .out_size = usual ? sizeof(uint64_t) : sizes[draw(player) % COUNT(sizes)],
                             .retries = flight->retries,
                             .priority = usual ? 0 : (int)(draw(player) % 5) - 2};
    if (flight->argument.kind == HANGS)
        task.timeout = 5 + (int)(draw(player) % 20);
    else if (draw(player) % 4 == 0)
        task.timeout = 10 * PATIENCE;
    int error = pool_submit(player->pool, &task, &flight->future);
    if (error) WRONG(player, "pool_submit: %s", pool_strerror(error));
    return error == 0;
}

static bool start_job(struct player *player, struct flight *flight, uint64_t id, size_t count) {
    static const size_t chunks[] = {0, 0, 1, 7, 1000};
    flight->job = true;
    flight->count = count;
    flight->retries = (unsigned)(draw(player) % 2);
    flight->in_arena = draw(player) % 2;
    size_t in_size = count * sizeof *flight->in, out_size = count * sizeof *flight->out;
    flight->in = flight->in_arena ? pool_alloc(player->pool, in_size) : malloc(in_size);
    flight->out = flight->in_arena ? pool_alloc(player->pool, out_size) : malloc(out_size);
    flight->status = calloc(count, sizeof *flight->status);
    if (!flight->in || !flight->out || !flight->status) abort();
    for (size_t i = 0; i < count; i++) flight->in[i] = new_argument(player, id + i, false);
    flight->argument = flight->in[0];
    flight->chunk = chunks[draw(player) % COUNT(chunks)];
    flight->timeout = draw(player) % 4 ? 0 : 10 * PATIENCE;
    struct pool_job job = {.fn = chaos_task, POOL_IN(flight->in), POOL_OUT(flight->out), .count = count,
                           .chunk = flight->chunk, .timeout = flight->timeout, .retries = flight->retries,
                           .status = flight->status};
    int error = pool_map_async(player->pool, &job, &flight->future);
    if (error) WRONG(player, "pool_map_async: %s", pool_strerror(error));
    return error == 0;
}

static bool start(struct player *player, struct flight *flight) {
    size_t count = draw(player) % 100 ? 1 : 1 + (size_t)(draw(player) % MOST_ITEMS);
    uint64_t id = atomic_fetch_add(&next_id, count);
    if (id + count > MOST_TASKS) return false;
    memset(flight, 0, sizeof *flight);
    player->tally.tasks += count;
    return count > 1 ? start_job(player, flight, id, count) : start_task(player, flight, id);
}

static void disturb(struct player *player, struct flight *flight) {
    switch (draw(player) % 100) {
    case 0:
    case 1: {
        int error = future_cancel(flight->future);
        if (error == 0)
            flight->cancelled = true;
        else if (error != POOL_EBUSY)
            WRONG(player, "future_cancel: %s", pool_strerror(error));
        break;
    }
    case 2: {
        int error = future_kill(flight->future);
        if (error == 0)
            flight->killed = true;
        else if (error != POOL_EBUSY)
            WRONG(player, "future_kill: %s", pool_strerror(error));
        break;
    }
    case 3:
        if (flight->job) break; /* its memory must stay */
        player->tally.given_up++;
        future_free(flight->future);
        flight->future = NULL;
        break;
    case 4:
        (void)future_wait(flight->future, (int)(draw(player) % 3));
        break;
    case 5:
        (void)pool_poll(player->pool, 0);
        break;
    case 6:
        (void)future_running(flight->future);
        break;
    default:
        break;
    }
}

/* Not before there was a kill, and a resize. */
static bool time_is_over(void) {
    if ((have_proc() && atomic_load(&kills) == 0) || atomic_load(&resizes) == 0) return false;
    if (tasks_wanted && atomic_load(&next_id) >= tasks_wanted) return true;
    return now_ms() >= end_time;
}

static void *play(void *argument) {
    struct player *player = argument;
    for (size_t turn = 0; player->wrong == 0 && (turn % 64 || !time_is_over()); turn++) {
        struct flight *flight = &player->window[draw(player) % WINDOW];
        if (flight->future) land(player, flight);
        if (player->wrong || !start(player, flight)) break;
        disturb(player, flight);
        struct flight *other = &player->window[draw(player) % WINDOW];
        if (other->future) disturb(player, other);
    }
    for (size_t i = 0; i < WINDOW; i++) {
        if (player->window[i].future && player->wrong == 0) land(player, &player->window[i]);
    }
    return NULL;
}

struct killer {
    pthread_t thread;
    struct pool *pool;
    pid_t supervisor;
    int wrong;
};

static void *kill_workers_and_resize(void *argument) {
    struct killer *killer = argument;
    static const int signals[] = {SIGKILL, SIGKILL, SIGKILL, SIGSEGV, SIGTERM, SIGABRT};
    for (uint64_t random = 1; !atomic_load(&stop);) {
        random = scramble(random);
        pid_t pid = atomic_load_explicit(&seen_pids[random % SEEN], memory_order_relaxed);
        if (pid > 0 && parent_of(pid) == killer->supervisor) { /* else another process may have the number by now */
            atomic_fetch_add(&kills, 1);
            kill(pid, signals[(random >> 20) % COUNT(signals)]);
        }
        if ((random >> 26) % 16 == 0) {
            resizes++;
            killer->wrong += pool_resize(killer->pool, 1 + (int)((random >> 30) % MOST_WORKERS)) != 0;
        }
        struct timespec pause = {0, (long)(random >> 32) % (2 * 1000000000L / KILLS_A_SECOND)};
        nanosleep(&pause, NULL);
    }
    killer->wrong += pool_resize(killer->pool, WORKERS) != 0;
    return NULL;
}

/* Compares the pool's statistics, when all is done, with the tally and `extra` tasks that succeeded. */
static void check_stats(struct pool *pool, const struct tally *all, size_t extra) {
    struct pool_stats stats = {0};
    assert_ok(pool_stats(pool, &stats));
    size_t failed = all->failed + all->died + all->cancelled + all->late;
    assert_true(stats.done == all->tasks + extra);
    assert_true(stats.failed >= failed && stats.failed <= failed + all->given_up);
    assert_true(stats.queued == 0 && stats.running == 0);
}

/* What is caught goes nowhere. */
static struct pool *pool_to_be_seen(char path[TEMPORARY_ROOM]) {
    struct pool_options options = test_options(WORKERS);
    int kept[] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)}, nowhere = open("/dev/null", O_WRONLY);
    temporary_name(path);
    close(mkstemp(path));
    options.capture = true;
    options.trace = path;
    for (int side = 0; side < 2; side++) dup2(nowhere, STDOUT_FILENO + side);
    struct pool *pool = pool_from(&options);
    sleep_ms(100); /* until the supervisor has taken them for its own */
    for (int side = 0; side < 2; side++) {
        dup2(kept[side], STDOUT_FILENO + side);
        close(kept[side]);
    }
    close(nowhere);
    return pool;
}

TEST_CASE(random_kills_lose_no_more_tasks_than_workers) {
    allow_seconds(tasks_wanted ? 900 : (unsigned)((end_time - now_ms()) / 1000) + 300);
    traces = shared(MOST_TASKS * sizeof *traces);
    seen_pids = shared(SEEN * sizeof *seen_pids);
    char path[TEMPORARY_ROOM];
    struct pool *pool = seen ? pool_to_be_seen(path) : pool_of(WORKERS);
    struct killer killer = {.pool = pool};
    killer.supervisor = supervisor_of(pool);
    static struct player players[THREADS];
    int64_t start_time = now_ms();
    assert_int_equal(pthread_create(&killer.thread, NULL, kill_workers_and_resize, &killer), 0);
    for (size_t t = 0; t < THREADS; t++) {
        players[t].pool = pool;
        players[t].random = t + 1;
        assert_int_equal(pthread_create(&players[t].thread, NULL, play, &players[t]), 0);
    }
    struct tally all = {0};
    int wrong = 0;
    for (size_t t = 0; t < THREADS; t++) {
        pthread_join(players[t].thread, NULL);
        const struct tally *one = &players[t].tally;
        all.tasks += one->tasks;
        all.succeeded += one->succeeded;
        all.failed += one->failed;
        all.died += one->died;
        all.cancelled += one->cancelled;
        all.late += one->late;
        all.given_up += one->given_up;
        all.lost += one->lost;
        wrong += players[t].wrong;
    }
    atomic_store(&stop, true);
    pthread_join(killer.thread, NULL);
    printf(
        "%zu tasks in %.1f s, %zu kills, %zu resizes: %zu succeeded, %zu failed, %zu died, %zu cancelled, %zu late, "
        "%zu given up; %zu lost at least once\n",
        all.tasks, (double)(now_ms() - start_time) / 1000, (size_t)kills, (size_t)resizes, all.succeeded, all.failed,
        all.died,
        all.cancelled, all.late, all.given_up, all.lost);
    assert_int_equal(wrong, 0);
    assert_int_equal(killer.wrong, 0);
    size_t outcomes = all.succeeded + all.failed + all.died + all.cancelled + all.late;
    assert_int_equal(outcomes + all.given_up, all.tasks);
    assert_true(all.lost <= kills);
    if (tasks_wanted) assert_true(all.tasks >= tasks_wanted);
    if (have_proc()) assert_true(kills > 0);
    assert_true(resizes > 0);
    size_t calm = 1000, late_victims = 0;
    for (long i = 0; i < (long)calm; i++) {
        long result = -1;
        int error = finish(submit_square(pool, i), &result);
        if (i < MOST_WORKERS && error == POOL_EDIED) { /* a late kill may still hit one of these */
            late_victims++;
            continue;
        }
        assert_ok(error);
        assert_int_equal(result, i * i);
    }
    assert_ok(pool_shutdown(pool, 0, PATIENCE)); /* tasks that were given up end, too */
    for (size_t i = 0; i < all.tasks && i < MOST_TASKS; i++) {
        if (traces[i].started > 3 || traces[i].finished > traces[i].started) assert_int_equal(i, -1);
    }
    all.died += late_victims;
    check_stats(pool, &all, 1 + calm);
    pool_destroy(pool);
    struct stat file;
    if (seen) assert_true(stat(path, &file) == 0 && file.st_size > 0 && unlink(path) == 0);
}

int main(int argc, char **argv) {
    int64_t seconds = is_brief() ? 4 : 10;
    for (int a = 1; a < argc; a++) {
        if (strcmp(argv[a], "--ci") == 0) {
            tasks_wanted = scaled(1000000);
            seconds = 800;
        } else if (strcmp(argv[a], "--seen") == 0) {
            seen = true;
            seconds = 4;
        } else {
            seconds = strtol(argv[a], NULL, 10);
        }
    }
    end_time = now_ms() + seconds * 1000;
    static const struct CMUnitTest tests[] = {TEST(random_kills_lose_no_more_tasks_than_workers)};
    return run_group("chaos", tests, COUNT(tests), 1, argv);
}
