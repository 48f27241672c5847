/* Workers sleep in a read of the task pipe, and a wake-up is a byte; see park.h. */
#include "shared/park_system.h"

#include <errno.h>

#include "base/sys.h"

const bool pp_park_only_sleepers_take = false; /* the byte lies in the pipe */

static bool surplus_sleeps(const struct pp_shared *shared, uint32_t wanted) {
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_acquire);
    for (uint32_t w = wanted; w < workers; w++)
        if (atomic_load_explicit(&shared->status->asleep[w / 64], memory_order_relaxed) >> w % 64 & 1) return true;
    return false;
}

/* In a pool that was made smaller, the bytes in the pipe are for the workers that must retire: the others wait until
 * those are awake. For 0.1 s at most, since a worker may have scribbled on the bits. */
static void let_surplus_wake(const struct pp_shared *shared, uint32_t worker) {
    uint32_t wanted = atomic_load_explicit(&shared->control->wanted, memory_order_acquire);
    if (worker >= wanted) return;
    for (int i = 0; i < 100 && surplus_sleeps(shared, wanted); i++) pp_poll(NULL, 0, pp_now() + 1000000U);
}

uint32_t pp_park_give(struct pp_shared *shared, int task_pipe, uint32_t under_way, uint32_t count) {
    (void)shared, (void)under_way;
    uint32_t given = 0;
    while (given < count && pp_write(task_pipe, "", 1) == 1) given++;
    return given;
}

enum pp_parked pp_park(struct pp_shared *shared, uint32_t worker, int task_pipe, uint32_t seen, uint64_t deadline) {
    (void)seen;
    char byte;
    ssize_t n;
    bool may_not_block = deadline != UINT64_MAX;
    let_surplus_wake(shared, worker);
    do {
        struct pollfd fd = {.fd = task_pipe, .events = POLLIN};
        if (may_not_block && pp_poll(&fd, 1, deadline) == 0) return PP_OVERSLEPT;
        n = pp_read(task_pipe, &byte, 1);
        /* EAGAIN without a deadline: a task has made the pipe non-blocking, which all processes share. */
        may_not_block = true;
    } while (n < 0 && errno == EAGAIN); /* another worker took the byte */
    if (n != 1) return PP_ORPHANED;
    pp_park_count_woken(shared);
    return PP_WOKEN;
}
