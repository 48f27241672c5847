/* Python:  print(*multiprocessing.Pool().map(square, range(10)))
 * Shows the shortest program: one call of pool_map() runs a function over an array, in one process for each CPU. Run it
 * without arguments.
 *
 * A function for many items a call, with .block = squares instead of .fn = square, is as fast as a loop:
 *     static int squares(const void *in, void *out, size_t count) {
 *         const long *x = in;
 *         long *y = out;
 *         for (size_t i = 0; i < count; i++) y[i] = x[i] * x[i];
 *         return 0;
 *     } */
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

    int error = pool_map(NULL, &(struct pool_job){.fn = square, POOL_IN(in), POOL_OUT(out), .count = 10});
    if (error) return fprintf(stderr, "pool_map: %s\n", pool_strerror(error)), 1;
    for (int i = 0; i < 10; i++) printf("%ld%c", out[i], i < 9 ? ' ' : '\n');
    return 0;
}
