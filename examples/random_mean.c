/* Python:  print(dask.array.random.random((10000, 10000), chunks=(1000, 1000)).mean().compute())
 * Shows task_seed(): each task makes its own chunk of the array and returns the sum, so no array moves between
 * processes. Run `random_mean [WORKERS]`: for any number of workers it prints the same mean, to the last bit; and on
 * other hosts, too: PARPOOL_HOSTS=w1,w2 (hosts.md). */
#include <parpool.h>
#include <stdio.h>
#include <stdlib.h>

enum { CHUNKS = 10 * 10, CHUNK = 1000 * 1000, LANES = 4 };

/* splitmix64: number k of the stream that starts at seed, as a double in [0, 1) of 53 random bits. */
static double uniform(uint64_t seed, uint64_t k) {
    uint64_t x = seed + k * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (double)((x ^ x >> 31) >> 11) * 0x1p-53;
}

static int sum_chunk(const void *in, void *out) {
    (void)in;
    uint64_t seed = task_seed();
    double sum[LANES] = {0}; /* several sums: no addition waits for the one before */
    for (uint64_t k = 0; k < CHUNK; k += LANES) {
        for (uint64_t lane = 0; lane < LANES; lane++) sum[lane] += uniform(seed, k + lane);
    }
    *(double *)out = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    return 0;
}

int main(int argc, char **argv) {
    pool_serve(argc, argv); /* on other hosts this never returns */
    struct pool *pool;
    int error = pool_create(&(struct pool_options){.workers = argc > 1 ? atoi(argv[1]) : 0}, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;

    double sums[CHUNKS], sum = 0;
    error = pool_map(pool, &(struct pool_job){.fn = sum_chunk, POOL_OUT(sums), .count = CHUNKS});
    if (error) return fprintf(stderr, "pool_map: %s\n", pool_strerror(error)), 1;
    for (int i = 0; i < CHUNKS; i++) sum += sums[i];
    printf("%.17g\n", sum / CHUNKS / CHUNK);
    pool_destroy(pool);
    return 0;
}
