#include "shared/placement.h"

#include "base/cpu.h"
#include "shared/carried.h"

/* 1 + the CPU; 0: the system does not tell. */
static uint32_t here(void) {
    return (uint32_t)(pp_cpu_here() + 1);
}

static uint32_t told(const _Atomic uint32_t *place) {
    return atomic_load_explicit(place, memory_order_relaxed);
}

/* Stores only if it changes, since all others read these lines whenever they look around. */
static void tell(_Atomic uint32_t *place, uint32_t cpu) {
    if (told(place) != cpu) atomic_store_explicit(place, cpu, memory_order_relaxed);
}

void pp_placement_set_cpus(struct pp_shared *shared, int cpus) {
    atomic_store_explicit(&shared->control->cpus, (uint32_t)cpus, memory_order_relaxed);
}

int pp_placement_cpus(const struct pp_shared *shared) {
    return (int)told(&shared->control->cpus);
}

bool pp_placement_can_spare(const struct pp_shared *shared) {
    return told(&shared->control->wanted) < told(&shared->control->cpus) + pp_carriers(shared);
}

void pp_placement_tell_looking(struct pp_shared *shared) {
    tell(&shared->status->cpus[0], here());
}

void pp_placement_tell_asleep(struct pp_shared *shared) {
    tell(&shared->status->cpus[0], 0);
}

static bool is_shared(const struct pp_shared *shared, uint32_t worker, uint32_t cpu) {
    uint32_t workers = told(&shared->control->workers);
    if (!pp_placement_can_spare(shared)) return false;
    for (uint32_t i = 0; i <= workers; i++)
        if (i != 1 + worker && told(&shared->status->cpus[i]) == cpu) return true;
    return false;
}

/* Linux often wakes a sleeper on the CPU of the thread that wakes it. There the caller and its worker take turns while
 * another CPU is idle: a round trip of 4.3 us instead of 0.95 (bench_limits, "round-awake"). */
void pp_placement_apart(struct pp_shared *shared, uint32_t worker, struct pp_backoff *moves, uint64_t now) {
    _Atomic uint32_t *own = &shared->status->cpus[1 + worker];
    uint32_t cpu = here();
    if (cpu != 0 && now >= moves->until && is_shared(shared, worker, cpu)) {
        pp_backoff_again(moves, now, now);
        tell(own, 0); /* else the other one would move away, too */
        pp_cpu_leave((int)cpu - 1, shared->status->cpus, 1 + told(&shared->control->workers));
        cpu = here();
    }
    tell(own, cpu);
}

void pp_placement_forget(struct pp_shared *shared, uint32_t worker) {
    tell(&shared->status->cpus[1 + worker], 0);
}
