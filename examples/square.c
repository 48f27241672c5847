/* Python:  print(*multiprocessing.Pool(4).map(square, range(10)))
 * Shows pool_map(): an ordinary function over an array, on four processes, with one call. */
#include <parpool.h>
#include <stdio.h>

static int square(const void *in, void *out) {
    long x = *(const long *)in;
    *(long *)out = x * x;
    return 0;
}

int main(void) {
    long in[10], out[10];
    for (long i = 0; i < 10; i++) in[i] = i;

    struct pool *pool;
    int error = pool_create(&(struct pool_options){.workers = 4}, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;
    error = pool_map(
        pool, &(struct pool_job){
                  .fn = square, .in = in, .in_size = sizeof *in, .out = out, .out_size = sizeof *out, .count = 10});
    if (error) fprintf(stderr, "pool_map: %s\n", pool_strerror(error));
    for (int i = 0; !error && i < 10; i++) printf("%ld%c", out[i], i < 9 ? ' ' : '\n');
    pool_destroy(pool);
    return error != 0;
}
