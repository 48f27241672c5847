/* Python:  ray timeline; viztracer; Dask's task stream
 * Shows where the time of a map goes. Each worker is a row, each item a span: this map has one item that takes far
 * longer than all others and comes last, so one worker is busy at the end and the others have nothing to do; and one
 * that crashes. The second map has the long item first, and is faster.
 * Run it with a file name, and open the file at https://ui.perfetto.dev or https://www.speedscope.app. Any program with
 * a pool writes such a file if PARPOOL_TRACE=FILE is in its environment. */
#include <parpool.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

enum { ITEMS = 40, LONG = 200 /* ms */, SHORT = 10, CRASHES = 13 };

/* Stands for work: waits for so many ms. */
static int render(const void *in, void *out) {
    int ms = *(const int *)in;
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    (void)out;
    if (ms == CRASHES) raise(SIGSEGV);
    nanosleep(&time, NULL);
    return 0;
}

int main(int argc, char **argv) {
    const char *file = argc > 1 ? argv[1] : "trace.json";
    int late[ITEMS], soon[ITEMS];
    for (int i = 0; i < ITEMS; i++) late[i] = soon[i] = SHORT;
    late[ITEMS - 1] = soon[0] = LONG;
    late[20] = CRASHES;

    struct pool *pool;
    int error = pool_create(&(struct pool_options){.workers = 4, .trace = file}, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;
    struct pool_failure failure;
    pool_map(pool, &(struct pool_job){.fn = render, POOL_IN(late), .count = ITEMS, .chunk = 1, .failure = &failure});
    printf("item %zu: %s\n", failure.index, pool_error_name(failure.error));
    error = pool_map(pool, &(struct pool_job){.fn = render, POOL_IN(soon), .count = ITEMS, .chunk = 1});
    pool_destroy(pool); /* writes the file */
    printf("see ui.perfetto.dev for the rest\n");
    return error != 0;
}
