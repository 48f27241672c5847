/* Python:  nothing like it: one crash ends a ProcessPoolExecutor, and a Pool waits for ever.
 * Shows a map over code that cannot be trusted: of ten million items one crashes, one hangs and one fails. The program
 * prints the reason of each; all other items have their results. Run it without arguments. */
#include <parpool.h>
#include <stdio.h>
#include <stdlib.h>

enum { COUNT = 10000000, ROOM = 10 };

static int decode(const void *in, void *out) {
    long x = *(const long *)in;
    if (x == 1234567) abort();
    for (volatile bool hangs = x == 4000000; hangs;) continue;
    if (x == 7654321) return task_fail(3, "no header in block %ld", x);
    *(long *)out = 3 * x;
    return 0;
}

int main(void) {
    struct pool *pool;
    int error = pool_create(NULL, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;
    long *in = pool_alloc(pool, COUNT * sizeof *in), *out = pool_alloc(pool, COUNT * sizeof *out);
    if (!in || !out) return fprintf(stderr, "no memory\n"), 1;
    for (long i = 0; i < COUNT; i++) in[i] = i;

    struct pool_failure failures[ROOM];
    size_t failed = 0, right = 0;
    struct pool_job job = {.fn = decode, POOL_IN(in), POOL_OUT(out), .count = COUNT};
    job.timeout = 1000; /* ms for each item */
    job.failures = failures;
    job.failures_room = ROOM;
    job.failed = &failed;
    pool_map(pool, &job);

    for (long i = 0; i < COUNT; i++) right += out[i] == 3 * i;
    printf("%zu items failed, %zu are right\n", failed, right);
    for (size_t i = 0; i < failed && i < ROOM; i++)
        printf("item %zu: %s: %s\n", failures[i].index, pool_strerror(failures[i].error), failures[i].message);
    pool_destroy(pool);
    return failed != 3;
}
