/* Python:  print(*joblib.Parallel(n_jobs=4)(joblib.delayed(slow_square)(i) for i in range(10)))
 * Shows pool_map() with neither pool nor arguments: it makes a pool of four workers for this call alone, and each task
 * knows the index of its item. Ten tasks of one second each take three seconds. Run it without arguments. */
#define _POSIX_C_SOURCE 200809L
#include <parpool.h>
#include <stdio.h>
#include <unistd.h>

static int slow_square(const void *in, void *out) {
    (void)in;
    long x = (long)task_index();
    sleep(1);
    *(long *)out = x * x;
    return 0;
}

int main(void) {
    long out[10];
    struct pool_job job = {.fn = slow_square, POOL_OUT(out), .count = 10, .workers = 4};
    int error = pool_map(NULL, &job);
    if (error) return fprintf(stderr, "pool_map: %s\n", pool_strerror(error)), 1;
    for (int i = 0; i < 10; i++) printf("%ld%c", out[i], i < 9 ? ' ' : '\n');
    return 0;
}
