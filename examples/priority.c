/* Python:  futures = [client.submit(serve, c, priority=c.priority) for c in customers]          (Dask)
 * Shows priorities: of the tasks that wait the highest priority starts first, equal ones in the order of submission.
 * The only worker is kept busy until all customers wait; the program prints the order in which they were served. Run it
 * without arguments. */
#include <parpool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

struct counter {
    atomic_int open, served;
};

static int open_counter(const void *in, void *out) {
    struct counter *counter = *(struct counter *const *)in;
    (void)out;
    while (!atomic_load(&counter->open)) usleep(1000);
    return 0;
}

static int serve(const void *in, void *out) { /* writes how many were served before */
    struct counter *counter = *(struct counter *const *)in;
    *(int *)out = atomic_fetch_add(&counter->served, 1);
    return 0;
}

int main(void) {
    static const struct {
        const char *name;
        int priority;
    } customers[] = {{"Ann", 0}, {"Bob", 0}, {"Cy, in a hurry", 5}, {"Di, with time", -1}, {"Ed, in a hurry", 5},
                     {"Flo", 0}};
    enum { COUNT = sizeof customers / sizeof *customers };
    struct pool *pool;
    int error = pool_create(&(struct pool_options){.workers = 1}, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;

    struct future *opened = NULL, *futures[COUNT] = {NULL};
    struct counter *counter = pool_alloc(pool, sizeof *counter);
    if (!counter) error = POOL_ENOMEM;
    struct pool_task task = {.fn = open_counter, POOL_IN(&counter), .priority = 9};
    if (!error) error = pool_submit(pool, &task, &opened);
    task.fn = serve;
    task.out_size = sizeof(int);
    for (int i = 0; !error && i < COUNT; i++) {
        task.priority = customers[i].priority;
        error = pool_submit(pool, &task, &futures[i]);
    }
    if (counter) atomic_store(&counter->open, 1);

    const char *order[COUNT] = {NULL};
    for (int i = 0, turn; !error && i < COUNT; i++) {
        error = future_get(futures[i], &turn, -1);
        if (!error) order[turn] = customers[i].name;
    }
    for (int i = 0; !error && i < COUNT; i++) printf("%d. %s\n", i + 1, order[i]);
    if (error) fprintf(stderr, "priority: %s\n", pool_strerror(error));
    for (int i = 0; i < COUNT; i++) future_free(futures[i]);
    future_free(opened);
    pool_destroy(pool);
    return error != 0;
}
