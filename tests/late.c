/* A library that test_hosts_pool loads after pool_serve(). */
#define _POSIX_C_SOURCE 200809L
#include <time.h>

__attribute__((visibility("default"))) int late_task(const void *in, void *out);

int late_task(const void *in, void *out) {
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    *(int *)out = *(const int *)in + 1;
    return 0;
}
