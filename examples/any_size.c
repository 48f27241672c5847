/* Python:  for primes in Pool().imap(primes_below, (10, 1000, 100000)): print(len(primes), primes[-1])
 * Shows results whose size a task knows only when it has them: it asks for their room then, with task_result(), and the
 * program looks at them where they lie. Run it without arguments. */
#include <parpool.h>
#include <stdio.h>
#include <stdlib.h>

static int primes_below(const void *in, void *out) {
    (void)out; /* NULL: its size is not known yet */
    int limit = *(const int *)in, count = 0;
    char *composite = calloc((size_t)limit, 1);
    if (!composite) return task_fail(1, "no memory for a sieve of %d bytes", limit);
    for (int i = 2; i < limit; i++) {
        count += !composite[i];
        for (int j = 2 * i; j < limit && !composite[i]; j += i) composite[j] = 1;
    }
    int *primes = task_result((size_t)count * sizeof *primes);
    for (int i = 2; primes && i < limit; i++)
        if (!composite[i]) *primes++ = i;
    free(composite);
    return primes || count == 0 ? 0 : task_fail(2, "no room for %d primes", count);
}

int main(void) {
    static const int limits[] = {10, 1000, 100000};
    struct pool *pool;
    struct stream *stream;
    int error = pool_create(NULL, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;
    error = pool_imap(pool, &(struct pool_stream){.fn = primes_below, POOL_IN(limits), .count = 3,
                                                  .out_size = POOL_ANY_SIZE}, &stream);
    if (error) return fprintf(stderr, "pool_imap: %s\n", pool_strerror(error)), 1;
    while ((error = stream_next(stream, NULL, -1)) == 0) {
        size_t size;
        const int *primes = stream_data(stream, &size);
        if (primes) printf("%zu primes, the last is %d\n", size / sizeof *primes, primes[size / sizeof *primes - 1]);
    }
    if (error != POOL_END) fprintf(stderr, "any_size: %s\n", pool_strerror(error));
    stream_free(stream);
    pool_destroy(pool);
    return error != POOL_END;
}
