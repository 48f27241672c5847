/* Python:  with ProcessPoolExecutor(4) as pool: print(mean(f.result() for f in [pool.submit(bbp, 10**6)] * 4))
 * Shows pool_submit() and future_get(): four tasks each sum a million terms of the Bailey-Borwein-Plouffe series for
 * pi. Run it without arguments. */
#include <parpool.h>
#include <stdio.h>

static int bbp(const void *in, void *out) {
    long terms = *(const long *)in;
    double sum = 0, power = 1; /* 16^-k */
    for (long k = 0; k < terms; k++, power /= 16) {
        double n = 8 * (double)k;
        sum += power * (4 / (n + 1) - 2 / (n + 4) - 1 / (n + 5) - 1 / (n + 6));
    }
    *(double *)out = sum;
    return 0;
}

int main(int argc, char **argv) {
    pool_serve(argc, argv); /* on other hosts, if PARPOOL_HOSTS names some, this never returns */
    struct pool *pool;
    int error = pool_create(&(struct pool_options){.workers = 4}, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;

    long terms = 1000000;
    struct pool_task task = {.fn = bbp, POOL_IN(&terms), .out_size = sizeof(double)};
    struct future *futures[4] = {0};
    for (int i = 0; !error && i < 4; i++) error = pool_submit(pool, &task, &futures[i]);

    double mean = 0;
    for (int i = 0; !error && i < 4; i++) {
        double pi = 0;
        error = future_get(futures[i], &pi, -1);
        mean += pi / 4;
    }
    if (error)
        fprintf(stderr, "bbp_pi: %s\n", pool_strerror(error));
    else
        printf("%.15f\n", mean);

    for (int i = 0; i < 4; i++) future_free(futures[i]);
    pool_destroy(pool);
    return error != 0;
}
