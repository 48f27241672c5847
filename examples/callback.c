/* Python:  executor.submit(collatz, n).add_done_callback(keep_longest)
 * Shows future_on_done(): a callback runs in the program when a task is done. Here it takes the result, frees the
 * future and submits the next task, so four tasks are in flight until all numbers are used up. Run it without
 * arguments. */
#include <parpool.h>
#include <stdio.h>

struct search {
    struct pool *pool;
    long next, longest, start;
    int error;
};

static int collatz(const void *in, void *out) { /* writes n, and the number of steps from n to 1 */
    long n = *(const long *)in, steps = 0;
    for (; n != 1; steps++) n = n % 2 ? 3 * n + 1 : n / 2;
    ((long *)out)[0] = *(const long *)in;
    ((long *)out)[1] = steps;
    return 0;
}

static void keep_longest(struct future *future, void *arg);

static void submit_next(struct search *search) {
    struct pool_task task = {.fn = collatz, POOL_IN(&search->next), .out_size = 2 * sizeof(long)};
    struct future *future;
    if (search->error || search->next == 10000) return;
    search->error = pool_submit(search->pool, &task, &future);
    search->next++;
    if (!search->error) search->error = future_on_done(future, keep_longest, search);
}

static void keep_longest(struct future *future, void *arg) {
    struct search *search = arg;
    long result[2] = {0};
    if (!search->error) search->error = future_get(future, result, 0);
    if (result[1] > search->longest || (result[1] == search->longest && result[0] < search->start)) {
        search->start = result[0];
        search->longest = result[1];
    }
    future_free(future);
    submit_next(search);
}

int main(void) {
    struct search search = {.next = 1};
    search.error = pool_create(NULL, &search.pool);
    if (search.error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(search.error)), 1;
    for (int i = 0; i < 4; i++) submit_next(&search);
    while (pool_poll(search.pool, -1) > 0) continue; /* runs callbacks until nothing is in flight */
    if (search.error) fprintf(stderr, "callback: %s\n", pool_strerror(search.error));
    else printf("%ld takes %ld steps\n", search.start, search.longest);
    pool_destroy(search.pool);
    return search.error != 0;
}
