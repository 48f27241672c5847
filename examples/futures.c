/* Python:  print(ray.get([f.remote(i) for i in range(4)]))        with  @ray.remote def f(x): return x * x
 * Shows futures: a task starts as soon as a worker is free, and the program takes each result when it needs it. Run it
 * without arguments. */
#include <parpool.h>
#include <stdio.h>

static int f(const void *in, void *out) {
    int x = *(const int *)in;
    *(int *)out = x * x;
    return 0;
}

int main(void) {
    struct pool *pool;
    int error = pool_create(NULL, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;

    struct future *futures[4] = {0};
    for (int i = 0; !error && i < 4; i++) {
        struct pool_task task = {.fn = f, POOL_IN(&i), .out_size = sizeof(int)};
        error = pool_submit(pool, &task, &futures[i]);
    }
    int result[4] = {0};
    for (int i = 0; !error && i < 4; i++) error = future_get(futures[i], &result[i], -1);
    if (error)
        fprintf(stderr, "futures: %s\n", pool_strerror(error));
    else
        printf("[%d, %d, %d, %d]\n", result[0], result[1], result[2], result[3]);

    for (int i = 0; i < 4; i++) future_free(futures[i]);
    pool_destroy(pool);
    return error != 0;
}
