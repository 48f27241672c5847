/* Python:  print(functools.reduce(operator.add, pool.map(term, range(10000000))).hex())
 * Shows pool_reduce(): workers compute and add the terms of Leibniz' series for pi, in a tree whose shape depends on
 * the number of terms alone. So the sum is the same to the last bit for any number of workers. Items that fail end a
 * reduction, or are left out and counted, as readings of an instrument that fails now and then. Run it without
 * arguments. */
#include <parpool.h>
#include <stdio.h>

static int term(const void *in, void *out) {
    (void)in;
    size_t k = task_index();
    *(double *)out = (k % 2 ? -4.0 : 4.0) / (double)(2 * k + 1);
    return 0;
}

static int reading(const void *in, void *out) {
    (void)in;
    if (task_index() % 100000 == 7) return task_fail(1, "no reading %zu", task_index());
    *(double *)out = (double)(task_seed() % 1000);
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
    double sum = 0;
    size_t missing;
    struct pool_failure first;
    struct pool_reduction readings = {.fn = reading, .combine = add, .count = 1000 * 1000, POOL_OUT(&sum),
                                      .skip_failed = true, .failed = &missing, .failure = &first};
    int error = pool_reduce(NULL, &readings);
    if (error) return fprintf(stderr, "pool_reduce: %s\n", pool_strerror(error)), 1;
    printf("mean %.2f; %zu are missing: %s, …\n", sum / (double)(readings.count - missing), missing, first.message);
    return 0;
}
