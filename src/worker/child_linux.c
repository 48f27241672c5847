/* Forked processes on Linux; see child.h. */
#include "worker/child.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/symbol.h"
#include "base/sys.h"
#include "worker/crash.h"

void pp_child_drop_output(void) {
    __fpurge(stdout);
    __fpurge(stderr);
}

#if defined(__GLIBC__)
/* As putc_unlocked() does it in every program. */
struct pp_child_output pp_child_output(void) {
    return (struct pp_child_output){.place = &stdout->_IO_write_ptr, .begin = &stdout->_IO_write_base};
}
#else
struct pp_child_output pp_child_output(void) {
    static char end;
    static char *const begin = NULL, *const place = &end;
    return (struct pp_child_output){.place = &place, .begin = &begin};
}
#endif

bool pp_child_has_output(void) {
    return __fpending(stdout) > 0;
}

/* fflush() takes a lock even if there is nothing to write, and this is called for each task and part of a chunk. */
void pp_child_flush(void) {
    if (pp_child_has_output()) fflush(stdout);
}

#if defined(__GLIBC__)

static void exit_at_once(int status, void *unused) {
    (void)unused;
    pp_crash_exit();
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

void pp_child_adopt_orphans(void) {
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/* The highest score: less would weigh what a worker holds against what the program holds. */
void pp_child_offer_memory(void) {
    static const char highest[] = "1000";
    int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (score < 0) return;
    pp_write(score, highest, sizeof highest - 1);
    pp_close(&score);
}

void pp_child_end_with_parent(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

#define NAME 16 /* the kernel's room, with the end */

void pp_child_set_name(const char *suffix) {
    char name[NAME];
    snprintf(name, sizeof name, "%.*s%s", (int)(sizeof name - 1 - strlen(suffix)), program_invocation_short_name,
             suffix);
    prctl(PR_SET_NAME, name);
}

#if defined(__GLIBC__)

/* Absent from a static program, and with an old glibc from one that is not linked with libdl. */
#pragma weak dlsym

static const struct abort_message {
    unsigned size;
    char text[];
} *const *abort_message;

void pp_child_find_abort_message(void) {
    if (dlsym) abort_message = (const struct abort_message *const *)dlsym(RTLD_DEFAULT, "__abort_msg");
}

/* In a static program only its file tells where the message is. */
const char *pp_child_abort_message(void) {
    if (!abort_message) abort_message = (const struct abort_message *const *)pp_symbol_variable("__abort_msg");
    return abort_message && *abort_message ? (*abort_message)->text : NULL;
}

#else

void pp_child_find_abort_message(void) {
}

const char *pp_child_abort_message(void) {
    return NULL;
}

#endif

void pp_child_allow_debugger(void) {
#if defined(PR_SET_PTRACER)
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
#endif
}

uint32_t pp_child_thread(void) {
    return (uint32_t)syscall(SYS_gettid);
}
