/* CMake compiles this file without unwind information; see frame.h. */
#include "worker/frame.h"

#include <pthread.h>

#include "worker/crash.h"

static void end_process(void *unused) {
    (void)unused;
    pp_crash_thread_exit();
}

noreturn void pp_frame_run(void (*body)(void *argument), void *argument) {
    pthread_cleanup_push(end_process, NULL);
    body(argument);
    pthread_cleanup_pop(1);
    for (;;) continue;
}
