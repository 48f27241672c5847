#include "host/birth.h"

#include <unistd.h>

#include "base/sys.h"
#include "remote/carrier.h"
#include "shared/carried.h"
#include "worker/child.h"
#include "worker/crash.h"
#include "worker/frame.h"
#include "worker/sandbox.h"
#include "worker/worker.h"

bool pp_birth_is_of_carrier(const struct pp_supervisor_setup *setup, uint32_t number) {
    return setup->carrier && number == PP_CARRIER;
}

/* In the thread that runs tasks. */
static void work(void *worker_setup) {
    const struct pp_worker_setup *setup = worker_setup;
    pp_crash_begin_worker(setup->shared, setup->number);
    pp_child_accept_signals();
    pp_worker_run(setup);
}

/* The child's copies of what is the supervisor's alone. */
static void close_others(const struct pp_birth *birth, bool is_carrier) {
    int fds[] = {birth->setup->command_pipe, birth->setup->lifeline, birth->caller_pidfd, birth->nudge[0],
                 birth->nudge[1]};
    pp_signals_end(birth->signals);
    for (int i = 0; i < (is_carrier ? 3 : 5); i++) pp_close(&fds[i]);
}

static struct pp_sandbox_open open_in_sandbox(const struct pp_supervisor_setup *setup,
                                              const struct pp_captured *captured) {
    return (struct pp_sandbox_open){.task_pipe = setup->task_pipe, .bell = setup->bell,
                                    .outputs = {captured->own[0], captured->own[1]},
                                    .files = {captured->files[0], captured->files[1]}};
}

static noreturn void be_worker(const struct pp_birth *birth, struct pp_worker_setup *worker) {
    const struct pp_supervisor_setup *setup = birth->setup;
    if (!pp_shared_protect(setup->shared)) pp_child_exit(1);
    struct pp_captured captured;
    pp_captured_begin(&captured, birth->capture, birth->number);
    struct pp_sandbox_open open = open_in_sandbox(setup, &captured);
    if (setup->options->sandbox) pp_sandbox_close_others(&open);
    worker->captured = birth->capture ? &captured : NULL;
    worker->open = &open;
    if (setup->stack.base) pp_frame_run_on(&setup->stack, work, worker);
    work(worker);
    pp_child_exit(1);
}

void pp_birth(const struct pp_birth *birth) {
    const struct pp_supervisor_setup *setup = birth->setup;
    bool is_carrier = pp_birth_is_of_carrier(setup, birth->number);
    /* The supervisor stores it, too, but may be killed before: then the caller must know which process to kill. */
    atomic_store_explicit(&setup->shared->control->pids[birth->number], (uint32_t)getpid(), memory_order_release);
    pp_child_begin_worker(birth->supervisor, birth->number, setup->options->keep_oom_score);
    close_others(birth, is_carrier);
    pp_own_write_end(setup->bell);
    struct pp_worker_setup worker = {.shared = setup->shared, .options = setup->options, .number = birth->number,
                                     .life = birth->life, .task_pipe = setup->task_pipe, .bell = setup->bell,
                                     .follows_corpse = birth->follows_corpse};
    if (!is_carrier) be_worker(birth, &worker);
    pp_child_set_name("/hosts");
    pp_carrier_run(&worker, setup->carrier, birth->nudge[0]);
}
