/* Python:  parts = [dask.delayed(count)(i) for i in range(8)]
 *          while len(parts) > 1: parts = [dask.delayed(add)(a, b) for a, b in zip(parts[::2], parts[1::2])]
 *          print(parts[0].compute())
 * Shows graphs: a task may come after others and take their results, which never pass through this process. Here tasks
 * make a tree of sums, and a diamond: two tasks take the numbers that one has loaded, and a third takes the results of
 * both. Run it without arguments. */
#include <parpool.h>
#include <stdio.h>

static int load(const void *in, void *out) { /* the i-th thousand numbers, in place of a file */
    for (int k = 0; k < 1000; k++) ((double *)out)[k] = *(const int *)in * 1000 + k;
    return 0;
}

static int sum(const void *in, void *out) {
    (void)in;
    const double *numbers = task_input(0, NULL);
    *(double *)out = 0;
    for (int k = 0; k < 1000; k++) *(double *)out += numbers[k];
    return 0;
}

static int largest(const void *in, void *out) {
    (void)in;
    const double *numbers = task_input(0, NULL);
    *(double *)out = numbers[0];
    for (int k = 0; k < 1000; k++)
        if (numbers[k] > *(double *)out) *(double *)out = numbers[k];
    return 0;
}

static int add(const void *in, void *out) {
    (void)in;
    *(double *)out = *(const double *)task_input(0, NULL) + *(const double *)task_input(1, NULL);
    return 0;
}

/* Submits a task that takes the results of `count` others. */
static struct future *after(struct pool *pool, pool_fn *fn, struct future **futures, size_t count) {
    struct future *made = NULL;
    struct pool_task task = {.fn = fn, .out_size = sizeof(double), .after = futures, .after_count = count};
    int error = pool_submit(pool, &task, &made);
    if (error) fprintf(stderr, "pool_submit: %s\n", pool_strerror(error));
    return made;
}

int main(void) {
    struct pool *pool;
    int error = pool_create(NULL, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;

    struct future *parts[8], *top = NULL;
    for (int i = 0; !error && i < 8; i++) {
        struct future *loaded;
        struct pool_task task = {.fn = load, POOL_IN(&i), .out_size = 1000 * sizeof(double)};
        error = pool_submit(pool, &task, &loaded);
        if (error) break;
        parts[i] = after(pool, sum, &loaded, 1);
        if (i == 7) { /* the diamond */
            struct future *sides[] = {parts[i], after(pool, largest, &loaded, 1)};
            top = after(pool, add, sides, 2);
            future_free(sides[1]);
        }
        future_free(loaded);
    }
    for (int count = 8; !error && count > 1; count /= 2) {
        for (int i = 0; i < count / 2; i++) {
            struct future *both = after(pool, add, &parts[2 * i], 2);
            future_free(parts[2 * i]);
            future_free(parts[2 * i + 1]);
            parts[i] = both;
        }
    }
    double total = 0, diamond = 0;
    if (!error) error = future_get(parts[0], &total, -1);
    if (!error) error = future_get(top, &diamond, -1);
    if (error) fprintf(stderr, "task_graph: %s\n", pool_strerror(error));
    else printf("sum of all %.0f, diamond %.0f\n", total, diamond);
    if (!error) future_free(parts[0]);
    future_free(top);
    pool_destroy(pool);
    return error != 0;
}
