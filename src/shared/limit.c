#include "shared/limit.h"

#include "base/cpu.h"
#include "base/memory.h"
#include "shared/carried.h"
#include "shared/record.h"
#include "base/sys.h"

#define LOOK_NS 100000000U

static bool is_exceeded(const struct pool_options *options) {
    double load;
    if (options->max_load > 0 && pp_cpu_load(&load) && load >= options->max_load) return true;
    return options->min_free_memory > 0 && pp_memory_available("") < options->min_free_memory;
}

bool pp_limit_is_exceeded(const struct pool_options *options, struct pp_limit_watch *watch) {
    uint64_t now = pp_now();
    if (now >= watch->look_again) {
        watch->is_over = is_exceeded(options);
        watch->look_again = now + LOOK_NS;
    }
    return watch->is_over;
}

static bool is_at_work(const struct pp_shared *shared, uint32_t worker) {
    const struct pp_record *record = &shared->records[worker];
    if (pp_record_job(record) != 0) return true;
    uint64_t word = pp_ticket_word(shared, pp_record_current(record));
    return pp_phase_of(word) == PP_RUNNING && pp_worker_of(word) == worker;
}

static bool others_are_at_work(const struct pp_shared *shared, uint32_t self) {
    uint32_t workers = atomic_load_explicit(&shared->control->workers, memory_order_relaxed);
    for (uint32_t w = pp_carriers(shared); w < workers; w++) /* what hosts run is no load of this one */
        if (w != self && is_at_work(shared, w)) return true;
    return false;
}

bool pp_limit_lets_go_on(const struct pp_shared *shared, uint32_t worker) {
    return !others_are_at_work(shared, worker);
}
