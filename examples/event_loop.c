/* Python:  asyncio: await asyncio.gather(map_in_an_executor(), read_stdin(), tick())
 * Shows pool_fd() and pool_poll() in an event loop that serves standard input and a timer while a map runs. Run it and
 * type: it answers each line at once, prints a dot ten times a second, and at the end the sum. */
#include <parpool.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { ITEMS = 120, TICK = 100 };

static int slow_square(const void *in, void *out) {
    long x = *(const long *)in;
    usleep(50000);
    *(long *)out = x * x;
    return 0;
}

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Answers a line of input. Returns 0 at the end of the input. */
static int answer(void) {
    char text[256];
    ssize_t n = read(STDIN_FILENO, text, sizeof text - 1);
    if (n <= 0) return 0;
    text[strcspn((text[n] = '\0', text), "\n")] = '\0';
    printf("you said: %s\n", text);
    return 1;
}

int main(void) {
    long in[ITEMS], out[ITEMS], sum = 0;
    for (long i = 0; i < ITEMS; i++) in[i] = i;
    struct pool *pool;
    struct future *squares;
    struct pool_job job = {.fn = slow_square, POOL_IN(in), POOL_OUT(out), .count = ITEMS};
    int error = pool_create(&(struct pool_options){.workers = 2}, &pool);
    if (error) return fprintf(stderr, "pool_create: %s\n", pool_strerror(error)), 1;
    error = pool_map_async(pool, &job, &squares);
    if (error) return fprintf(stderr, "pool_map_async: %s\n", pool_strerror(error)), 1;

    setvbuf(stdout, NULL, _IOLBF, 0);
    struct pollfd fds[] = {{.fd = pool_fd(pool), .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    long next_tick = now_ms() + TICK;
    while (!future_done(squares)) {
        long left = next_tick - now_ms();
        poll(fds, 2, left > 0 ? (int)left : 0);
        if (fds[0].revents) pool_poll(pool, 0);
        if (fds[1].revents && !answer()) fds[1].fd = -1; /* poll() then ignores it */
        if (now_ms() < next_tick) continue;
        puts(".");
        next_tick += TICK;
    }

    error = future_get(squares, NULL, -1);
    for (int i = 0; i < ITEMS; i++) sum += out[i];
    if (!error) printf("sum of squares: %ld\n", sum);
    future_free(squares);
    pool_destroy(pool);
    return error != 0;
}
