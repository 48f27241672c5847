/* A program whose tasks crash and hang, in each way of which the failure tells the place: for places.sh and
 * debugging.sh. It prints a line for each: how, a tab, the message.
 * Usage: crashes [HOW]; inline: HOW is done in the program itself. As a library (-DNO_MAIN) it has the functions, and
 * as a program that is linked with that (-DONLY_MAIN) not. */
#include <parpool.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int crash(const void *in, void *out);

#if !defined(ONLY_MAIN)

#include "crashing.h"

static ALONE double newton(double x) {
    while (endless) x = x - (x * x - 2) / (2 * x);
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
