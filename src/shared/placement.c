#include "shared/placement.h"

/* 1 + the CPU; 0: the system does not tell. */
static uint32_t here(void) {
    return (uint32_t)(pp_cpu_here() + 1);
}

static uint32_t told(const _Atomic uint32_t *place) {
    return atomic_load_explicit(place, memory_order_relaxed);
}

/* Written only when it changes: others read these lines with all that they do. */
static void tell(_Atomic uint32_t *place, uint32_t cpu) {
    if (told(place) != cpu) atomic_store_explicit(place, cpu, memory_order_relaxed);
}

/* Workers, and a caller who is at work. */
static bool there_is_one_each(const struct pp_shared *shared, uint32_t callers) {
    return told(&shared->front->wanted) + callers <= told(&shared->front->cpus);
}

void pp_spread_set_cpus(struct pp_shared *shared, int cpus) {
    atomic_store_explicit(&shared->front->cpus, (uint32_t)cpus, memory_order_relaxed);
}

int pp_spread_cpus(const struct pp_shared *shared) {
    return (int)told(&shared->front->cpus);
}

bool pp_spread_can_spare(const struct pp_shared *shared) {
    return there_is_one_each(shared, 1);
}

void pp_spread_tell_looking(struct pp_shared *shared) {
    tell(&shared->back->cpus[0], here());
}

void pp_spread_tell_asleep(struct pp_shared *shared) {
    tell(&shared->back->cpus[0], 0);
    tell(&shared->front->caller_sleeps, here());
}

void pp_spread_tell_awake(struct pp_shared *shared) {
    tell(&shared->front->caller_sleeps, 0);
}

static bool is_shared(const struct pp_shared *shared, uint32_t worker, uint32_t cpu) {
    uint32_t workers = told(&shared->front->workers);
    if (!there_is_one_each(shared, told(&shared->front->caller_sleeps) == 0)) return false;
    for (uint32_t i = 0; i <= workers; i++)
        if (i != 1 + worker && told(&shared->back->cpus[i]) == cpu) return true;
    return false;
}

/* Linux often wakes a sleeper on its waker's CPU, and workers on one CPU. There they would take turns while another is
 * idle: a round trip of 11 us instead of 2, or a job done by one worker alone (bench_limits, "round-awake",
 * "flat-map"). */
void pp_spread_apart(struct pp_shared *shared, uint32_t worker, struct pp_pause *moves, uint64_t now) {
    _Atomic uint32_t *own = &shared->back->cpus[1 + worker];
    uint32_t cpu = here();
    if (cpu != 0 && now >= moves->until && is_shared(shared, worker, cpu)) {
        pp_pause_again(moves, now, now);
        tell(own, 0); /* or the other would leave, too */
        pp_cpu_leave((int)cpu - 1, shared->back->cpus, 1 + told(&shared->front->workers));
        cpu = here();
    }
    tell(own, cpu);
}

void pp_spread_forget(struct pp_shared *shared, uint32_t worker) {
    tell(&shared->back->cpus[1 + worker], 0);
}

bool pp_spread_is_with_caller(const struct pp_shared *shared) {
    uint32_t cpu = told(&shared->front->caller_sleeps);
    return cpu != 0 && there_is_one_each(shared, 0) && cpu == here();
}
