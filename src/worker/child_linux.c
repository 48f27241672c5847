/* Forked processes on Linux; see child.h. */
#include "worker/child.h"

#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/prctl.h>

void pp_child_drop_output(void) {
    __fpurge(stdout);
    __fpurge(stderr);
}

bool pp_child_has_output(void) {
    return __fpending(stdout) > 0;
}

#if defined(__GLIBC__)

static void exit_at_once(int status, void *unused) {
    (void)unused;
    fflush(stdout);
    pp_child_exit(status);
}

void pp_child_catch_exit(void) {
    on_exit(exit_at_once, NULL); /* registered last, it runs first */
}

#else

void pp_child_catch_exit(void) {
}

#endif

void pp_child_end_with_parent(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}
