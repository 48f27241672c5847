#include "shared/park.h"

#include <errno.h>
#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "base/sys.h"

/* Before the worker clears its bit. */
static void count_woken(struct pp_shared *shared) {
    atomic_fetch_add_explicit(&shared->status->woken, 1, memory_order_relaxed);
}

/* ---- the system's part: giving `count` wake-ups, how many of them were given; and waiting for one. `under_way`:
 * wake-ups that were given and are not taken yet, to those who sleep with the lowest numbers. */

#if defined(__linux__) && !defined(PARPOOL_POSIX_ONLY)

/* The kernel's numbers: its headers are not everywhere where its calls are. */
enum { FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10, CLASSES = 32 };
/* Only who sleeps is given one. Who is about to sees the number changed. */
enum { ONLY_SLEEPERS_TAKE = 1 };

/* The futex tells sleepers apart by classes alone. */
static uint32_t class_of(uint32_t worker) {
    return 1U << worker % CLASSES;
}

/* The classes of `count` sleepers, of the lowest numbers but for the first `skipped`. */
static uint32_t classes_of(const struct pp_shared *shared, uint32_t skipped, uint32_t count) {
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed), classes = 0;
    for (uint32_t w = 0; w < workers && count > 0; w++) {
        if (!(atomic_load_explicit(&shared->status->asleep[w / 64], memory_order_relaxed) >> w % 64 & 1)) continue;
        if (skipped > 0) skipped--;
        else classes |= class_of(w), count--;
    }
    return classes;
}

static uint32_t wake_classes(_Atomic uint32_t *wakes, uint32_t classes, uint32_t count) {
    if (classes == 0 || count == 0) return 0;
    int most = count > INT_MAX ? INT_MAX : (int)count;
    long woken = syscall(SYS_futex, wakes, FUTEX_WAKE_BITSET, most, NULL, NULL, classes);
    return woken > 0 ? (uint32_t)woken : 0;
}

/* The lowest first, and not each in its turn, as a futex would have it. */
static uint32_t give(struct pp_shared *shared, int task_pipe, uint32_t under_way, uint32_t count) {
    (void)task_pipe;
    _Atomic uint32_t *wakes = &shared->control->wakes;
    uint32_t classes = classes_of(shared, under_way, count);
    /* Whoever is between its last look and the futex finds another number there, and does not sleep. */
    atomic_fetch_add_explicit(wakes, 1, memory_order_release);
    uint32_t given = wake_classes(wakes, classes, count);
    return given + wake_classes(wakes, UINT32_MAX, count - given);
}

enum pp_parked pp_park(struct pp_shared *shared, uint32_t worker, int task_pipe, uint32_t seen, uint64_t deadline) {
    (void)task_pipe;
    /* What this call knows as a timespec. */
    long until[2] = {(long)(deadline / 1000000000U), (long)(deadline % 1000000000U)};
    if (syscall(SYS_futex, &shared->control->wakes, FUTEX_WAIT_BITSET, seen, deadline == UINT64_MAX ? NULL : until,
                NULL, class_of(worker)) == 0) {
        count_woken(shared);
        return PP_WOKEN;
    }
    switch (errno) { /* that the caller has gone is the supervisor's to see */
    case EAGAIN:
    case EINTR: return PP_WOKEN;
    case ETIMEDOUT: return PP_OVERSLEPT;
    default: return PP_SLEEPLESS;
    }
}

#else

enum { ONLY_SLEEPERS_TAKE = 0 }; /* they lie in the pipe */

static bool surplus_sleeps(const struct pp_shared *shared, uint32_t wanted) {
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_acquire);
    for (uint32_t w = wanted; w < workers; w++)
        if (atomic_load_explicit(&shared->status->asleep[w / 64], memory_order_relaxed) >> w % 64 & 1) return true;
    return false;
}

/* In a pool that was made smaller, the wake-ups in the pipe are for those who are to go. Only for so long: the bits may
 * be scribbled upon. */
static void let_surplus_wake(const struct pp_shared *shared, uint32_t worker) {
    uint32_t wanted = atomic_load_explicit(&shared->control->wanted, memory_order_acquire);
    if (worker >= wanted) return;
    for (int i = 0; i < 100 && surplus_sleeps(shared, wanted); i++) pp_poll(NULL, 0, pp_now() + 1000000U);
}

static uint32_t give(struct pp_shared *shared, int task_pipe, uint32_t under_way, uint32_t count) {
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
        may_not_block = true; /* or a task may have made the pipe so: it is open in all of them */
    } while (n < 0 && errno == EAGAIN); /* another was faster */
    if (n != 1) return PP_ORPHANED;
    count_woken(shared);
    return PP_WOKEN;
}

#endif

/* ---- who sleeps */

uint32_t pp_park_begin(struct pp_shared *shared, uint32_t worker) {
    uint32_t seen = atomic_load_explicit(&shared->control->wakes, memory_order_acquire);
    /* Release, both: whoever sees the bit sees this counted, and who sees it counted gives another number of wakes than
     * was seen. Pair with the acquires in count_asleep() and pp_wake(). */
    atomic_fetch_add_explicit(&shared->status->parkings, 1, memory_order_release);
    atomic_fetch_or_explicit(&shared->status->asleep[worker / 64], (uint64_t)1 << worker % 64, memory_order_release);
    /* Orders count and bit before the last look at ring and board; pairs with the fence in pp_wake(). */
    atomic_thread_fence(memory_order_seq_cst);
    return seen;
}

void pp_park_end(struct pp_shared *shared, uint32_t worker) {
    /* Release: whoever sees the bit cleared sees the wake-up taken; pairs with the acquire in count_asleep(). */
    atomic_fetch_and_explicit(&shared->status->asleep[worker / 64], ~((uint64_t)1 << worker % 64),
                              memory_order_release);
}

void pp_park_died(struct pp_shared *shared, uint32_t worker) {
    uint64_t bits = atomic_load_explicit(&shared->status->asleep[worker / 64], memory_order_relaxed);
    if (bits >> worker % 64 & 1) count_woken(shared);
    pp_park_end(shared, worker);
}

/* Counted side by side, in fields of 2, 4 and then 8 bits, whose sum the multiplication leaves in the highest: one
 * after another they would take as long as the submit that asks (bench_limits, "flat-workers-submit"). */
static uint32_t bits_of(uint64_t word) {
    word -= word >> 1 & 0x5555555555555555U;
    word = (word & 0x3333333333333333U) + (word >> 2 & 0x3333333333333333U);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0fU;
    return (uint32_t)(word * 0x0101010101010101U >> 56);
}

static uint32_t count_asleep(const struct pp_shared *shared, uint32_t workers) {
    uint32_t asleep = 0;
    for (uint32_t i = 0; i < (workers + 63) / 64; i++)
        asleep += bits_of(atomic_load_explicit(&shared->status->asleep[i], memory_order_acquire));
    return asleep;
}

void pp_wake_some(struct pp_shared *shared, int task_pipe, struct pp_wakes *wakes, uint32_t work) {
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed);
    uint32_t asleep = count_asleep(shared, workers);
    if (asleep == 0) return;
    uint64_t taken = atomic_load_explicit(&shared->status->woken, memory_order_relaxed);
    /* More taken than given: some were given without being counted. Far less: somebody scribbled. */
    if (taken > wakes->given || wakes->given - taken > workers) wakes->given = taken;
    uint64_t under_way = wakes->given - taken;
    if (asleep <= under_way) return;
    /* Who is counted here has been woken, or will not sleep; who is not sees the work in its last look. */
    uint64_t parkings = atomic_load_explicit(&shared->status->parkings, memory_order_acquire);
    if (parkings == wakes->spent) return;
    uint32_t wanted = (uint32_t)(asleep - under_way);
    if (work < wanted) wanted = work;
    uint32_t given = give(shared, task_pipe, (uint32_t)under_way, wanted);
    wakes->given += given;
    if (ONLY_SLEEPERS_TAKE && given < wanted) wakes->spent = parkings;
}

void pp_wake_another(struct pp_shared *shared, int task_pipe, struct pp_wakes *wakes) {
    wakes->given = atomic_load_explicit(&shared->status->woken, memory_order_relaxed);
    give(shared, task_pipe, 0, 1);
}

void pp_wake_all(struct pp_shared *shared, int task_pipe) {
    give(shared, task_pipe, 0, atomic_load_explicit(&shared->control->workers, memory_order_relaxed));
}
