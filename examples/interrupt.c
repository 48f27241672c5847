/* Python:  except KeyboardInterrupt: pool.terminate(), which loses what was done
 * Shows pool_interrupt(): Ctrl-C ends a long map early, and what is done by then is kept. Run it and press Ctrl-C. */
#include <parpool.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { ITEMS = 1000 };

static struct pool *pool;

static void on_interrupt(int number) {
    (void)number;
    pool_interrupt(pool);
}

static int slow_square(const void *in, void *out) {
    long x = *(const long *)in;
    usleep(20000);
    *(long *)out = x * x;
    return 0;
}

int main(void) {
    static long in[ITEMS], out[ITEMS];
    static int status[ITEMS];
    for (long i = 0; i < ITEMS; i++) in[i] = i;
    int error = pool_create(&(struct pool_options){.workers = 2}, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;
    signal(SIGINT, on_interrupt);

    struct pool_job job = {.fn = slow_square, POOL_IN(in), POOL_OUT(out), .count = ITEMS, .status = status,
                           .progress = pool_progress_bar};
    error = pool_map(pool, &job);
    int done = 0;
    for (int i = 0; i < ITEMS; i++) done += status[i] == 0;
    printf("%s: %d of %d squares are done\n", error ? pool_error_name(error) : "success", done, ITEMS);
    pool_destroy(pool);
    return 0;
}
