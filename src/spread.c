#include "spread.h"

#include "cpu.h"

#define STAY_NS 1000000U /* how long a worker stays where it has gone by itself */

/* 1 + the CPU; 0: the system does not tell. */
static uint32_t here(void) {
    return (uint32_t)(pp_cpu_here() + 1);
}

/* Written only when it changes: others read the line with all that they do. */
static void tell(_Atomic uint32_t *told, uint32_t cpu) {
    if (atomic_load_explicit(told, memory_order_relaxed) != cpu) atomic_store_explicit(told, cpu, memory_order_relaxed);
}

static bool caller_sleeps(const struct pp_shared *shared) {
    return atomic_load_explicit(&shared->front->waits, memory_order_relaxed) != 0;
}

/* Workers, and a caller who is at work. */
static bool there_is_one_each(const struct pp_shared *shared, uint32_t callers) {
    const struct pp_front *front = shared->front;
    return atomic_load_explicit(&front->wanted, memory_order_relaxed) + callers <=
           atomic_load_explicit(&front->cpus, memory_order_relaxed);
}

void pp_spread_over(struct pp_shared *shared, int cpus) {
    atomic_store_explicit(&shared->front->cpus, (uint32_t)cpus, memory_order_relaxed);
}

void pp_spread_tell_caller(struct pp_shared *shared) {
    tell(&shared->front->caller_cpu, here());
}

bool pp_spread_can_spare(const struct pp_shared *shared) {
    return there_is_one_each(shared, 1);
}

static bool is_shared(const struct pp_shared *shared, uint32_t worker, uint32_t cpu) {
    bool spare = pp_spread_can_spare(shared);
    if (spare && atomic_load_explicit(&shared->front->caller_cpu, memory_order_relaxed) == cpu) return true;
    if (!spare && !(caller_sleeps(shared) && there_is_one_each(shared, 0))) return false;
    uint32_t workers = atomic_load_explicit(&shared->front->workers, memory_order_relaxed);
    for (uint32_t v = 0; v < workers; v++)
        if (v != worker && atomic_load_explicit(&shared->records[v].cpu, memory_order_relaxed) == cpu) return true;
    return false;
}

/* Linux often wakes a sleeper on its waker's CPU, and workers on one CPU. There they would take turns while another is
 * idle: a round trip of 11 us instead of 2, or a job done by one worker alone (bench_limits, "round-awake",
 * "flat-map"). */
void pp_spread_apart(struct pp_shared *shared, uint32_t worker, uint64_t *stays, uint64_t now) {
    _Atomic uint32_t *told = &shared->records[worker].cpu;
    uint32_t cpu = here();
    if (cpu != 0 && now >= *stays && is_shared(shared, worker, cpu)) {
        *stays = now + STAY_NS;
        tell(told, 0); /* or the other would leave, too */
        pp_cpu_leave((int)cpu - 1);
        cpu = here();
    }
    tell(told, cpu);
}

void pp_spread_leave(struct pp_shared *shared, uint32_t worker) {
    tell(&shared->records[worker].cpu, 0);
}

bool pp_spread_is_with_caller(const struct pp_shared *shared) {
    uint32_t callers = atomic_load_explicit(&shared->front->caller_cpu, memory_order_relaxed);
    return callers != 0 && caller_sleeps(shared) && there_is_one_each(shared, 0) && callers == here();
}
