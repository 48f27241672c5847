/* Python:  joblib.Parallel(n_jobs=-1)(…), where BLAS and OpenMP use one thread in each worker
 * Shows a pool that fits the machine: one worker for each CPU that affinity mask and cgroup quota allow, bound to that
 * CPU, and libraries in workers that start no more threads than CPUs are left. New tasks wait while the load is high or
 * memory is short, as with parallel --load and --memfree. Run it without arguments. */
#include <parpool.h>
#include <stdio.h>
#include <stdlib.h>

static int threads_of_openmp(const void *in, void *out) {
    const char *threads = getenv("OMP_NUM_THREADS");
    (void)in;
    *(int *)out = threads ? atoi(threads) : -1;
    return 0;
}

int main(void) {
    unsetenv("OMP_NUM_THREADS"); /* workers would respect it */
    int cpus = pool_cpu_count(), threads[100], wrong = 0;
    struct pool_options options = {.workers = -1, .pin = true, .max_load = 2.0 * cpus, .min_free_memory = 64 << 20};
    struct pool *pool;
    int error = pool_create(&options, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;

    struct pool_stats stats = {0};
    error = pool_stats(pool, &stats);
    if (!error) printf("a worker for each CPU: %s\n", stats.workers == cpus ? "yes" : "no");
    if (!error)
        error = pool_map(pool, &(struct pool_job){.fn = threads_of_openmp, POOL_OUT(threads), .count = 100});
    for (int i = 0; !error && i < 100; i++) wrong += threads[i] != 1;
    if (!error) printf("threads in each: %s\n", wrong ? "not 1" : "1");
    if (!error) printf("set in the program: %s\n", getenv("OMP_NUM_THREADS") ? "yes" : "no");
    if (error) fprintf(stderr, "machine: %s\n", pool_strerror(error));
    pool_destroy(pool);
    return error != 0;
}
