/* Python:  for _ in tqdm(pool.imap_unordered(slow, range(200)), total=200): pass
 * Shows a progress bar: on a terminal one line that moves, in a log file a line now and then. Any function of the
 * program may take the place of pool_progress_bar(); pool_map() calls it, so it never runs at the same time as the code
 * that called pool_map(). Run it without arguments. */
#include <parpool.h>
#include <stdio.h>
#include <unistd.h>

static int slow(const void *in, void *out) {
    (void)in;
    usleep(10000);
    *(long *)out = (long)task_index();
    return 0;
}

int main(void) {
    static long out[200];
    struct pool_job job = {.fn = slow, POOL_OUT(out), .count = 200, .workers = 2, .progress = pool_progress_bar};
    int error = pool_map(NULL, &job);
    if (error) return fprintf(stderr, "pool_map: %s\n", pool_strerror(error)), 1;
    long sum = 0;
    for (int i = 0; i < 200; i++) sum += out[i];
    printf("%ld\n", sum);
    return 0;
}
