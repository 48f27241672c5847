#include "shared/worker_life.h"

#include "base/sys.h"
#include "shared/park.h"
#include "shared/placement.h"
#include "shared/stretch.h"

uint32_t pp_life_begin(struct pp_shared *shared, uint32_t worker) {
    uint32_t life = (atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed) + 1) & 0xffffU;
    struct pp_start *start = &shared->starts[worker];
    atomic_store_explicit(&start->ready, 0, memory_order_relaxed);
    atomic_store_explicit(&start->init_code, 0, memory_order_relaxed);
    atomic_store_explicit(&start->sandbox_code, 0, memory_order_relaxed);
    atomic_store_explicit(&start->began, 0, memory_order_relaxed);
    pp_record_begin_life(&shared->records[worker]);
    /* Release: a look that sees this life sees the notice of the last one, and nothing that the last one said of
     * itself. Pairs with the acquire in integrity.c and in pp_record_may_kill_ending(). */
    atomic_store_explicit(&shared->control->lives[worker], life, memory_order_release);
    return life;
}

struct pp_notice pp_life_describe(struct pp_shared *shared, uint32_t worker, pid_t pid, int status) {
    pp_stretch_close(shared, worker); /* before the snapshot */
    return (struct pp_notice){
        .kind = PP_WORKER_DIED,
        .worker = worker,
        .life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed),
        .pid = pid,
        .status = status,
        .init_code = atomic_load_explicit(&shared->starts[worker].init_code, memory_order_relaxed),
        .sandbox_code = atomic_load_explicit(&shared->starts[worker].sandbox_code, memory_order_relaxed),
        .left = pp_record_snapshot(shared, worker),
        .last = pp_last_words(shared, worker),
    };
}

bool pp_life_deserves_another(const struct pp_shared *shared, uint32_t worker, unsigned *failures) {
    if (atomic_load_explicit(&shared->starts[worker].ready, memory_order_relaxed)) *failures = 0;
    else ++*failures;
    return *failures < PP_INIT_TRIES;
}

void pp_life_forget(struct pp_shared *shared, uint32_t worker) {
    pp_park_died(shared, worker);
    pp_placement_forget(shared, worker);
    pp_record_end_life(&shared->records[worker]);
}

bool pp_life_end(struct pp_shared *shared, uint32_t worker, const struct pp_notice *notice) {
    if (!pp_notice_announce(shared)) return false;
    PP_POINT("death announced");
    pp_life_forget(shared, worker);
    pp_notice_publish(shared, notice);
    return true;
}
