/* Python:  cluster.adapt(minimum=0, maximum=4); cluster.scale(2)          (Dask)
 * Shows a pool that grows and shrinks: it starts workers when there is work, pool_resize() says how many it may have,
 * and a worker that finds no work for a while ends. Each worker opens a connection when it starts and closes it when it
 * ends. Run it without arguments. */
#include <parpool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static int connection = -1; /* a worker's own */

static int connect_worker(void *arg) {
    connection = dup(*(const int *)arg); /* stands for a connection to a database */
    return connection < 0;
}

static void disconnect_worker(void *arg) {
    (void)arg;
    close(connection);
}

struct meeting {
    int size;
    atomic_int present;
};

/* Waits until `size` tasks run at the same time, which takes as many workers. */
static int meet(const void *in, void *out) {
    struct meeting *meeting = *(struct meeting *const *)in;
    (void)out;
    if (connection < 0) return task_fail(1, "not connected");
    atomic_fetch_add(&meeting->present, 1);
    while (atomic_load(&meeting->present) < meeting->size) usleep(1000);
    return 0;
}

static int hold_meeting(struct pool *pool, int size) {
    struct meeting *meeting = pool_alloc(pool, sizeof *meeting), *in[4] = {meeting, meeting, meeting, meeting};
    if (!meeting) return POOL_ENOMEM;
    meeting->size = size;
    int error = pool_map(pool, &(struct pool_job){.fn = meet, POOL_IN(in), .count = (size_t)size, .chunk = 1});
    if (!error) printf("%d workers have met\n", size);
    pool_free(pool, meeting);
    return error;
}

/* Waits until exactly `count` workers live. */
static int await_workers(struct pool *pool, int count) {
    struct pool_stats stats = {0};
    int error;
    while (!(error = pool_stats(pool, &stats)) && stats.busy + stats.idle != count) usleep(1000);
    if (!error) printf("%d live, of at most %d\n", count, stats.workers);
    return error;
}

int main(void) {
    int server = STDOUT_FILENO, error;
    struct pool_options options = {.workers = 4,
                                   .lazy = true,
                                   .idle_timeout = 200,
                                   .initializer = connect_worker,
                                   .initializer_arg = &server,
                                   .finalizer = disconnect_worker};
    struct pool *pool;
    error = pool_create(&options, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;

    error = await_workers(pool, 0);
    if (!error) error = hold_meeting(pool, 4);
    if (!error) error = pool_resize(pool, 2);
    if (!error) error = hold_meeting(pool, 2);
    if (!error) error = pool_resize(pool, 3);
    if (!error) error = hold_meeting(pool, 3);
    if (!error) error = await_workers(pool, 0);
    if (!error) error = hold_meeting(pool, 1);
    if (error) fprintf(stderr, "elastic: %s\n", pool_strerror(error));
    pool_destroy(pool);
    return error != 0;
}
