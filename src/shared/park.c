#include "shared/park.h"

#include "shared/park_system.h"

void pp_park_count_woken(struct pp_shared *shared) {
    atomic_fetch_add_explicit(&shared->status->woken, 1, memory_order_relaxed);
}

uint32_t pp_park_begin(struct pp_shared *shared, uint32_t worker) {
    uint32_t seen = atomic_load_explicit(&shared->control->wakes, memory_order_acquire);
    /* Both stores release. The first pairs with the acquire of `parkings` in pp_wake_some(): a caller that has counted
     * this worker there changes `wakes` after it was read here. The second pairs with the acquire in count_asleep(): a
     * caller that sees the bit sees the worker counted. */
    atomic_fetch_add_explicit(&shared->status->parkings, 1, memory_order_release);
    atomic_fetch_or_explicit(&shared->status->asleep[worker / 64], (uint64_t)1 << worker % 64, memory_order_release);
    /* Orders count and bit before the last look for work; pairs with the fence in pp_wake(). */
    atomic_thread_fence(memory_order_seq_cst);
    return seen;
}

void pp_park_end(struct pp_shared *shared, uint32_t worker) {
    /* Release: a caller that sees the bit cleared sees the wake-up counted as taken. Pairs with the acquire in
     * count_asleep(). */
    atomic_fetch_and_explicit(&shared->status->asleep[worker / 64], ~((uint64_t)1 << worker % 64),
                              memory_order_release);
}

void pp_park_died(struct pp_shared *shared, uint32_t worker) {
    uint64_t bits = atomic_load_explicit(&shared->status->asleep[worker / 64], memory_order_relaxed);
    if (bits >> worker % 64 & 1) pp_park_count_woken(shared);
    pp_park_end(shared, worker);
}

/* Returns how many bits are set. They are added in fields of 2, 4 and then 8 bits, whose sum the multiplication leaves
 * in the highest byte. A loop over the bits would take as long as the submit that asks (bench_limits,
 * "flat-workers-submit"). */
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
    /* More taken than given: some were given without being counted. Far fewer: a worker scribbled. */
    if (taken > wakes->given || wakes->given - taken > workers) wakes->given = taken;
    uint64_t under_way = wakes->given - taken;
    if (asleep <= under_way) return;
    /* A worker that is counted in `spent` was woken or will not fall asleep; any other sees the work in its last look.
     * Acquire: pairs with the release in pp_park_begin(). */
    uint64_t parkings = atomic_load_explicit(&shared->status->parkings, memory_order_acquire);
    if (parkings == wakes->spent) return;
    uint32_t wanted = (uint32_t)(asleep - under_way);
    if (work < wanted) wanted = work;
    uint32_t given = pp_park_give(shared, task_pipe, (uint32_t)under_way, wanted);
    wakes->given += given;
    if (pp_park_only_sleepers_take && given < wanted) wakes->spent = parkings;
}

void pp_wake_another(struct pp_shared *shared, int task_pipe, struct pp_wakes *wakes) {
    wakes->given = atomic_load_explicit(&shared->status->woken, memory_order_relaxed);
    pp_park_give(shared, task_pipe, 0, 1);
}

void pp_wake_all(struct pp_shared *shared, int task_pipe) {
    pp_park_give(shared, task_pipe, 0, atomic_load_explicit(&shared->control->workers, memory_order_relaxed));
}

/* First the bits are cleared: a worker that sets its own afterwards has either read `wakes` after it was changed here,
 * or finds it changed and sets the bit once more. */
void pp_ask_who_sleeps(struct pp_shared *shared, int task_pipe) {
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed);
    for (uint32_t i = 0; i < (workers + 63) / 64; i++)
        atomic_store_explicit(&shared->status->asleep[i], 0, memory_order_relaxed);
    pp_wake_all(shared, task_pipe);
}
