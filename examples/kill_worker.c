/* Python:  print(*multiprocessing.Pool(4).map(slow_square, range(20)))        hangs for ever once a worker is killed
 * Shows a pool that survives the death of a worker. Run `kill_worker [SECONDS]`, SECONDS for each item, and kill -9 any
 * of the workers that it names. Another worker then runs the item again, because the job has retries = 1; without that,
 * the item, and no other, would fail with POOL_EDIED. */
#define _POSIX_C_SOURCE 200809L
#include <parpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { COUNT = 20 };

static double seconds = 2; /* set before the workers are forked, which therefore see it */

static int slow_square(const void *in, void *out) {
    (void)in;
    long x = (long)task_index();
    fprintf(stderr, "worker %ld squares %ld\n", (long)getpid(), x);
    nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
    *(long *)out = x * x;
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1) seconds = atof(argv[1]);
    fprintf(stderr,
            "%d squares by 4 workers, %g s each; retries = 1: an item whose worker dies is run once more.\n"
            "To kill a worker: kill -9 PID\n",
            COUNT, seconds);

    long out[COUNT];
    int status[COUNT];
    struct pool_failure failure = {0};
    struct pool_job job = {.fn = slow_square, POOL_OUT(out), .count = COUNT, .workers = 4};
    job.retries = 1; /* an item whose worker dies is run once more; with the default, 0, it would fail */
    job.status = status;
    job.failure = &failure;
    int error = pool_map(NULL, &job);
    if (error && !failure.error) return fprintf(stderr, "pool_map: %s\n", pool_strerror(error)), 1;

    for (int i = 0; i < COUNT; i++) {
        if (i > 0) putchar(' ');
        if (status[i] == 0) printf("%ld", out[i]);
        if (status[i] != 0) printf("lost"); /* its worker was killed, and so was that of the retry */
    }
    putchar('\n');
    if (error) fprintf(stderr, "item %zu: %s: %s\n", failure.index, pool_strerror(error), failure.message);
    return error != 0;
}
