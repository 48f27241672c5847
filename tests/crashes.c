/* A program whose tasks crash and hang, in each way of which the failure tells the place: for places.sh and
 * debugging.sh. It prints a line for each: how, a tab, the message.
 * Usage: crashes [HOW]; inline: HOW is done in the program itself. As a library (-DNO_MAIN) it has the functions, and
 * as a program that is linked with that (-DONLY_MAIN) not. */
#include <parpool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

#if defined(__clang__)
#define ALONE __attribute__((noinline))
#else
#define ALONE __attribute__((noinline, noclone))
#endif
#define BARRIER() __asm__ volatile("" ::: "memory")

int crash(const void *in, void *out);

#if !defined(ONLY_MAIN)

struct header {
    long fields[2], length;
};

static volatile int zero, one = 1;

static ALONE long decode_header(const struct header *header) {
    long length = *(const volatile long *)&header->length;
    BARRIER();
    return length;
}

static ALONE long decode(const struct header *header) {
    long length = decode_header(header);
    BARRIER();
    return length + 1;
}

static ALONE int divide(int by) {
    int result = 10 / by;
    BARRIER();
    return result;
}

static ALONE int recurse(volatile char *above) {
    volatile char room[4096];
    room[0] = above ? above[0] : 1;
    int result = one ? recurse(room) : 0;
    BARRIER();
    return result + room[0];
}

static ALONE int trap(void) {
    __builtin_trap();
}

static ALONE int give_up(void) {
    abort();
}

static ALONE int check_block(int size) {
    assert(size > 0);
    return size;
}

static ALONE int free_twice(void) {
    void *volatile block = malloc(1000);
    free(block);
    free(block);
    return 0;
}

static ALONE int call(int (*volatile function)(void)) {
    int result = function();
    BARRIER();
    return result + 1;
}

static ALONE int raise_here(int signal) {
    int result = raise(signal);
    BARRIER();
    return result;
}

static ALONE double newton(double x) {
    while (one) x = x - (x * x - 2) / (2 * x);
    return x;
}

int crash(const void *in, void *out) {
    (void)out;
    int result = 0;
    switch (*(const int *)in) {
    case 0: result = (int)decode((struct header *)0x1000); break;
    case 1: result = divide(zero); break;
    case 2: result = trap(); break;
    case 3: result = recurse(NULL); break;
    case 4: result = call(NULL); break;
    case 5: result = give_up(); break;
    case 6: result = check_block(zero); break;
    case 7: result = free_twice(); break;
    case 8: result = raise_here(SIGBUS); break;
    case 9: result = raise_here(SIGTRAP); break;
    case 10: result = raise_here(SIGSYS); break;
    case 11: result = newton(1) > 0; break;
    }
    BARRIER();
    return result;
}

#endif

#if !defined(NO_MAIN)

static const char *const names[] = {"SIGSEGV", "SIGFPE", "SIGILL", "stack overflow", "jump to NULL", "abort()",
                                    "assert()", "double free", "SIGBUS", "SIGTRAP", "SIGSYS", "hang"};

enum { WAYS = sizeof names / sizeof *names };

int main(int argc, char **argv) {
    int in[WAYS], first = argc > 1 ? atoi(argv[1]) : 0, last = argc > 1 ? first : WAYS - 1;
    for (int i = 0; i < WAYS; i++) in[i] = i;
    if (argc > 2) return crash(&in[first], NULL); /* as with POOL_INLINE */
    struct pool *pool;
    if (pool_create(&(struct pool_options){.workers = 1}, &pool)) return 1;
    for (int i = first; i <= last; i++) {
        struct pool_failure failure = {.error = 0};
        for (int try = 0; try < 50; try++) { /* a worker may be too slow to answer */
            struct pool_job job = {.fn = crash, .in = &in[i], .in_size = sizeof *in, .count = 1, .failure = &failure};
            if (i == WAYS - 1) job.timeout = 100;
            pool_map(pool, &job);
            if (i < WAYS - 1 || strstr(failure.message, ", in ")) break;
        }
        printf("%s\t%s\n", names[i], failure.message);
    }
    pool_destroy(pool);
    return 0;
}

#endif
