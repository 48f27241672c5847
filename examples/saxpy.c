/* Python:  dask.array.map_blocks(lambda x, y: 2.5 * x + y, x, y)
 * Shows a block function beside one for an item: z = a x + y over a million floats. The block function has a loop,
 * which the compiler vectorises; y is found by the index of the first item. Were an element to crash or hang in it,
 * that element alone would fail, as by items. Run it without arguments. */
#include <parpool.h>
#include <stdio.h>
#include <string.h>

enum { COUNT = 1000000 };

struct saxpy {
    float a;
    const float *y;
};

static int item(const void *in, void *out) {
    const struct saxpy *saxpy = task_context();
    *(float *)out = saxpy->a * *(const float *)in + saxpy->y[task_index()];
    return 0;
}

static int block(const void *in, void *out, size_t count) {
    const struct saxpy *saxpy = task_context();
    const float *restrict x = in, *restrict y = saxpy->y + task_index(), a = saxpy->a;
    float *restrict z = out;
    for (size_t i = 0; i < count; i++) z[i] = a * x[i] + y[i];
    return 0;
}

int main(void) {
    struct pool *pool;
    int error = pool_create(NULL, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;

    size_t size = COUNT * sizeof(float);
    float *x = pool_alloc(pool, size), *y = pool_alloc(pool, size);
    float *by_items = pool_alloc(pool, size), *in_blocks = pool_alloc(pool, size);
    if (!x || !y || !by_items || !in_blocks) error = POOL_ENOMEM;
    for (int i = 0; !error && i < COUNT; i++) {
        x[i] = (float)(i % 1000);
        y[i] = (float)(i % 77);
    }

    struct saxpy saxpy = {.a = 2.5f, .y = y};
    struct pool_job job = {.fn = item, POOL_IN(x), POOL_OUT(by_items), .count = COUNT, .timeout = 1000,
                           .context = &saxpy, .context_size = sizeof saxpy};
    if (!error) error = pool_map(pool, &job);
    job.fn = NULL;
    job.block = block;
    job.out = in_blocks;
    if (!error) error = pool_map(pool, &job);
    if (error) fprintf(stderr, "saxpy: %s\n", pool_strerror(error));
    else if (memcmp(by_items, in_blocks, size) != 0) error = POOL_EFAILED, fprintf(stderr, "the results differ\n");
    else printf("z[%d] = %g, by items and in blocks\n", COUNT - 1, (double)in_blocks[COUNT - 1]);
    pool_destroy(pool);
    return error != 0;
}
