/* Workers sleep on a futex, the carrier on the task pipe; see park.h. That the caller has gone is no concern here: the
 * supervisor then kills them. */
#include "shared/park_system.h"

#include <errno.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "shared/carried.h"

/* The kernel's numbers, since its headers are not installed everywhere. */
enum { FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10, CLASSES = 32 };

/* A worker that is about to sleep sees the number of wake-ups changed instead. */
const bool pp_park_only_sleepers_take = true;

/* A futex can wake the sleepers of chosen classes, and tells no single ones apart. */
static uint32_t futex_class(uint32_t worker) {
    return 1U << worker % CLASSES;
}

/* Returns the classes of `count` sleepers: those with the lowest numbers, except the first `skipped`. The carrier, if
 * there is one, comes last, since it only takes what is too much for the others. It has no class: *carrier. */
static uint32_t classes_of(const struct pp_shared *shared, uint32_t skipped, uint32_t count, bool *carrier) {
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed), classes = 0;
    uint32_t first = pp_carriers(shared);
    for (uint32_t i = 0; i < workers && count > 0; i++) {
        uint32_t w = i + first < workers ? i + first : PP_CARRIER;
        if (!(atomic_load_explicit(&shared->status->asleep[w / 64], memory_order_relaxed) >> w % 64 & 1)) continue;
        if (skipped > 0) skipped--;
        else if (first && w == PP_CARRIER) *carrier = true;
        else classes |= futex_class(w), count--;
    }
    return classes;
}

static uint32_t wake_classes(_Atomic uint32_t *wakes, uint32_t classes, uint32_t count) {
    if (classes == 0 || count == 0) return 0;
    int most = count > INT_MAX ? INT_MAX : (int)count;
    long woken = syscall(SYS_futex, wakes, FUTEX_WAKE_BITSET, most, NULL, NULL, classes);
    return woken > 0 ? (uint32_t)woken : 0;
}

/* Wakes the lowest numbers first; by itself a futex would wake sleepers in turn. */
uint32_t pp_park_give(struct pp_shared *shared, int task_pipe, uint32_t under_way, uint32_t count) {
    _Atomic uint32_t *wakes = &shared->control->wakes;
    bool all = count >= atomic_load_explicit(&shared->control->workers, memory_order_relaxed), carrier = all;
    uint32_t classes = classes_of(shared, under_way, count, &carrier);
    /* A worker between its last look and the futex finds the number changed and does not sleep. Release: pairs with the
     * acquire in pp_park_begin(). */
    atomic_fetch_add_explicit(wakes, 1, memory_order_release);
    uint32_t given = pp_carriers(shared) && carrier && pp_write(task_pipe, "", 1) == 1;
    given += wake_classes(wakes, classes, count - given);
    return given + wake_classes(wakes, UINT32_MAX, count - given);
}

enum pp_parked pp_park(struct pp_shared *shared, uint32_t worker, int task_pipe, uint32_t seen, uint64_t deadline) {
    (void)task_pipe;
    /* The layout of the kernel's timespec. */
    long until[2] = {(long)(deadline / 1000000000U), (long)(deadline % 1000000000U)};
    if (syscall(SYS_futex, &shared->control->wakes, FUTEX_WAIT_BITSET, seen, deadline == UINT64_MAX ? NULL : until,
                NULL, futex_class(worker)) == 0) {
        pp_park_count_woken(shared);
        return PP_WOKEN;
    }
    switch (errno) {
    case EAGAIN:
    case EINTR: return PP_WOKEN;
    case ETIMEDOUT: return PP_OVERSLEPT;
    default: return PP_SLEEPLESS;
    }
}
