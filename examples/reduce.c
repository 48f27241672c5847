/* Python:  print(functools.reduce(operator.add, pool.map(term, range(10000000))).hex())
 * Shows pool_reduce(): workers compute and add the terms of Leibniz' series for pi, in a tree whose shape depends on
 * the number of terms alone. So the sum is the same to the last bit for any number of workers. Run it without
 * arguments. */
#include <parpool.h>
#include <stdio.h>

static int term(const void *in, void *out) {
    (void)in;
    size_t k = task_index();
    *(double *)out = (k % 2 ? -4.0 : 4.0) / (double)(2 * k + 1);
    return 0;
}

static int add(void *result, const void *right) {
    *(double *)result += *(const double *)right;
    return 0;
}

int main(void) {
    static const int workers[] = {1, 2, 3, 7};
    for (int i = 0; i < 4; i++) {
        double pi = 0;
        struct pool_reduction sum = {
            .fn = term, .combine = add, .count = 10 * 1000 * 1000, POOL_OUT(&pi), .workers = workers[i]};
        int error = pool_reduce(NULL, &sum);
        if (error) return fprintf(stderr, "pool_reduce: %s\n", pool_strerror(error)), 1;
        printf("%d workers: %.15f %a\n", workers[i], pi, pi);
    }
    return 0;
}
