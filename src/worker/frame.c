/* CMake compiles this file without unwind information; see frame.h. */
#include "worker/frame.h"

#include <errno.h>
#include <pthread.h>

#include "worker/child.h"
#include "worker/crash.h"

#define PAUSE_LEAST 10000000U /* ns after the first refusal; doubled with each */
#define PAUSE_MOST 5000000000U

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

struct start {
    void (*body)(void *argument);
    void *argument;
};

static void *run_in_thread(void *argument) {
    const struct start *start = argument;
    pp_frame_run(start->body, start->argument);
}

noreturn void pp_frame_run_on(const struct pp_stack *stack, void (*body)(void *argument), void *argument) {
    struct start start = {body, argument};
    uint64_t pause = PAUSE_LEAST;
    pthread_t thread;
    int error;
    while ((error = pp_thread(&thread, stack, run_in_thread, &start)) == EAGAIN) {
        pp_poll(NULL, 0, pp_now() + pause);
        if (pause < PAUSE_MOST) pause *= 2;
    }
    if (!error) pthread_join(thread, NULL);
    pp_child_exit(1);
}
