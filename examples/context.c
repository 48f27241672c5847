/* Python:  model = ray.put(load_model()); ray.get([predict.remote(model, x) for x in inputs])
 * Shows the context of a job, which all its tasks share. It is copied once for the job, to where tasks can only read
 * it. With size 0 it is not copied: it existed before the pool, or it lies in the arena, where the program may change
 * it between jobs. Run it without arguments. */
#include <parpool.h>
#include <stdio.h>
#include <stdlib.h>

struct polynomial {
    int degree;
    long coefficients[4];
};

static int evaluate(const void *in, void *out) {
    const struct polynomial *p = task_context();
    long x = *(const long *)in, y = 0;
    for (int i = p->degree; i >= 0; i--) y = y * x + p->coefficients[i];
    *(long *)out = y;
    return 0;
}

static int print_map(const char *where, struct pool *pool, const struct polynomial *context, size_t size) {
    long in[] = {0, 1, 2, 10}, out[4];
    int error = pool_map(pool, &(struct pool_job){.fn = evaluate,
                                                  POOL_IN(in),
                                                  POOL_OUT(out),
                                                  .count = 4,
                                                  .context = context,
                                                  .context_size = size});
    if (!error) printf("%-9s: %ld %ld %ld %ld\n", where, out[0], out[1], out[2], out[3]);
    return error;
}

int main(void) {
    /* However large it is, the workers inherit it and nothing is copied. */
    struct polynomial *inherited = malloc(sizeof *inherited);
    if (!inherited) return 1;
    *inherited = (struct polynomial){.degree = 2, .coefficients = {1, 2, 3}};
    struct pool *pool;
    int error = pool_create(NULL, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;

    error = print_map("inherited", pool, inherited, 0);
    struct polynomial later = {.degree = 1, .coefficients = {5, 7}};
    if (!error) error = print_map("copied", pool, &later, sizeof later);
    struct polynomial *shared = pool_alloc(pool, sizeof *shared);
    if (!error && !shared) error = POOL_ENOMEM;
    for (int degree = 0; !error && degree < 2; degree++) {
        shared->degree = degree;
        shared->coefficients[degree] = 4 + degree;
        error = print_map("arena", pool, shared, 0);
    }
    if (error) fprintf(stderr, "context: %s\n", pool_strerror(error));
    pool_destroy(pool);
    free(inherited);
    return error != 0;
}
