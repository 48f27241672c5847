/* Forked processes on Linux; see child.h. */
#include "worker/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

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

uintptr_t pp_child_stack_pointer(const void *context) {
    const ucontext_t *at = context;
#if defined(__x86_64__)
    return (uintptr_t)at->uc_mcontext.gregs[REG_RSP];
#elif defined(__i386__)
    return (uintptr_t)at->uc_mcontext.gregs[REG_ESP];
#elif defined(__aarch64__)
    return (uintptr_t)at->uc_mcontext.sp;
#elif defined(__arm__)
    return (uintptr_t)at->uc_mcontext.arm_sp;
#elif defined(__riscv)
    return (uintptr_t)at->uc_mcontext.__gregs[2];
#else
    (void)at;
    return 0;
#endif
}

uintptr_t pp_child_program_counter(const void *context) {
    const ucontext_t *at = context;
#if defined(__x86_64__)
    return (uintptr_t)at->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__)
    return (uintptr_t)at->uc_mcontext.gregs[REG_EIP];
#elif defined(__aarch64__)
    return (uintptr_t)at->uc_mcontext.pc;
#else
    (void)at;
    return 0;
#endif
}

uint32_t pp_child_thread(void) {
    return (uint32_t)syscall(SYS_gettid);
}
