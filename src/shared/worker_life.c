#include "shared/worker_life.h"

#include "shared/park.h"
#include "shared/placement.h"

uint32_t pp_life_begin(struct pp_shared *shared, uint32_t worker) {
    struct pp_record *record = &shared->records[worker];
    uint32_t life = (atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed) + 1) & 0xffffU;
    /* Release: pairs with the acquire of the audits, audit.c and pass.c: who sees this life sees the notice of the
     * last. */
    atomic_store_explicit(&shared->control->lives[worker], life, memory_order_release);
    struct pp_start *start = &shared->starts[worker];
    atomic_store_explicit(&start->ready, 0, memory_order_relaxed);
    atomic_store_explicit(&start->init_code, 0, memory_order_relaxed);
    atomic_store_explicit(&record->retired, 0, memory_order_relaxed);
    atomic_store_explicit(&record->fetching, 0, memory_order_relaxed);
    atomic_store_explicit(&record->faulted, 0, memory_order_relaxed);
    atomic_store_explicit(&record->started, 0, memory_order_relaxed);
    atomic_store_explicit(&record->tasks, 0, memory_order_relaxed);
    atomic_store_explicit(&record->busy, 0, memory_order_relaxed);
    atomic_store_explicit(&record->busy_since, 0, memory_order_relaxed);
    return life;
}

struct pp_notice pp_life_describe(const struct pp_shared *shared, uint32_t worker, pid_t pid, int status) {
    const struct pp_record *r = &shared->records[worker];
    struct pp_notice notice = {
        .kind = PP_WORKER_DIED,
        .worker = worker,
        .life = atomic_load_explicit(&shared->control->lives[worker], memory_order_relaxed),
        .pid = pid,
        .status = status,
        .init_code = atomic_load_explicit(&shared->starts[worker].init_code, memory_order_relaxed),
        .retired = atomic_load_explicit(&r->retired, memory_order_relaxed),
        .faulted = atomic_load_explicit(&r->faulted, memory_order_relaxed) != 0,
        .fault = atomic_load_explicit(&r->fault, memory_order_relaxed),
        .current = atomic_load_explicit(&r->current, memory_order_relaxed),
        .job = atomic_load_explicit(&r->job, memory_order_relaxed),
        .item = atomic_load_explicit(&r->item, memory_order_relaxed),
        .begin = atomic_load_explicit(&r->begin, memory_order_relaxed),
        .end = atomic_load_explicit(&r->end, memory_order_relaxed),
        .progress = atomic_load_explicit(&r->progress, memory_order_relaxed),
        .single = atomic_load_explicit(&r->single, memory_order_relaxed),
        .until = atomic_load_explicit(&r->until, memory_order_relaxed),
        .has_errors = atomic_load_explicit(&r->has_errors, memory_order_relaxed),
        .fetching = atomic_load_explicit(&r->fetching, memory_order_relaxed),
    };
    for (int i = 0; i < PP_CLAIMED_MOST; i++) {
        notice.claimed[i] = atomic_load_explicit(&r->claimed[i], memory_order_relaxed);
        if (notice.claimed[i] == 0) break;
    }
    return notice;
}

bool pp_life_deserves_another(const struct pp_shared *shared, uint32_t worker, unsigned *failures) {
    if (atomic_load_explicit(&shared->starts[worker].ready, memory_order_relaxed)) *failures = 0;
    else ++*failures;
    return *failures < PP_INIT_TRIES;
}

void pp_life_end(struct pp_shared *shared, uint32_t worker) {
    struct pp_record *r = &shared->records[worker];
    pp_park_died(shared, worker);
    pp_placement_forget(shared, worker);
    atomic_store_explicit(&r->claimed[0], 0, memory_order_relaxed);
    atomic_store_explicit(&r->current, 0, memory_order_relaxed);
    atomic_store_explicit(&r->item, 0, memory_order_relaxed);
    atomic_store_explicit(&r->lingers, 0, memory_order_relaxed);
    /* Release, after the notice: the caller, which sees nobody in the job, then looks for notices. */
    atomic_store_explicit(&r->job, 0, memory_order_seq_cst);
}
