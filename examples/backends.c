/* Python:  for pool in Pool(2), ThreadPool(2), map: …    (multiprocessing.Pool, its pool.ThreadPool, the built-in)
 * Shows one program on three backends, with the same output. Run `backends` for all of them, or `backends inline` under
 * gdb to debug a task: a breakpoint in count_divisors() shows the code that submitted it on the same stack. */
#include <parpool.h>
#include <stdio.h>
#include <string.h>

static int count_divisors(const void *in, void *out) {
    int n = *(const int *)in, count = 0;
    if (n < 1) return task_fail(1, "%d has infinitely many divisors", n);
    for (int d = 1; d <= n; d++) count += n % d == 0;
    *(int *)out = count;
    return 0;
}

static int run(const char *name, int backend) {
    struct pool *pool;
    int error = pool_create(&(struct pool_options){.workers = 2, .backend = backend}, &pool);
    if (error) return error;
    int in[] = {1, 12, 0, 5040, 9973}, out[5], status[5];
    struct pool_failure failure;
    pool_map(pool, &(struct pool_job){.fn = count_divisors, POOL_IN(in), POOL_OUT(out), .count = 5,
                                      .status = status, .failure = &failure});
    printf("%-9s:", name);
    for (int i = 0; i < 5; i++)
        if (status[i] == 0) printf(" %d", out[i]);
        else printf(" (%s)", failure.message);
    printf("\n");
    pool_destroy(pool);
    return 0;
}

int main(int argc, char **argv) {
    const char *names[] = {"processes", "threads", "inline"}; /* in the order of POOL_PROCESSES, POOL_THREADS, … */
    for (int backend = POOL_PROCESSES; backend <= POOL_INLINE; backend++) {
        if (argc > 1 && strcmp(argv[1], names[backend]) != 0) continue;
        int error = run(names[backend], backend);
        if (error) return fprintf(stderr, "%s: %s\n", names[backend], pool_strerror(error)), 1;
    }
    return 0;
}
