#include "pool/resize.h"

#include "pool/backend.h"
#include "pool/call.h"
#include "pool/death.h"
#include "pool/tell.h"
#include "shared/carried.h"
#include "shared/park.h"
#include "shared/placement.h"

int pp_worker_count(int workers) {
    if (workers > PP_WORKERS) return POOL_EINVAL;
    if (workers > 0) return workers;
    int cpus = pool_cpu_count();
    if (workers < -cpus) workers = -cpus; /* at least one, as in joblib */
    int count = workers == 0 ? cpus : cpus + 1 + workers;
    return count > PP_WORKERS ? PP_WORKERS : count < 1 ? 1 : count;
}

/* Tells the workers, and the backend, which starts them. */
static void set_size(struct pool *pool, uint32_t wanted) {
    struct pp_control *control = pool->shared.control;
    bool fewer = wanted < pool->wanted;
    pool->wanted = wanted;
    if (wanted > pool->workers) pool->workers = wanted;
    /* Release: pairs with the acquire in pp_staff_resize(), staff.c. */
    atomic_store_explicit(&control->workers, pool->workers, memory_order_release);
    atomic_store_explicit(&control->wanted, wanted, memory_order_release);
    pool->backend->resize(pool);
    if (fewer) pp_bequests_release(pool);
    if (fewer) pp_wake_all(&pool->shared, pool->fds.task_pipe);
}

int pool_resize(struct pool *pool, int workers) {
    if (!pool) return POOL_EINVAL;
    if (pp_is_foreign(pool)) return POOL_EFOREIGN;
    int wanted = pp_worker_count(workers);
    if (wanted < 0) return wanted;
    if (wanted == PP_WORKERS && pp_carriers(&pool->shared)) return POOL_EINVAL;
    int cpus = pool_cpu_count();
    pp_lock(pool);
    int error = pp_refusal(pool);
    if (!error && pool->backend->resize) {
        pp_placement_set_cpus(&pool->shared, cpus);
        set_size(pool, (uint32_t)wanted + pp_carriers(&pool->shared));
        if (pp_is_untold(pool, PP_RESIZE)) error = POOL_EAGAIN;
    }
    pp_unlock(pool);
    return error;
}

int pp_retire_all(struct pool *pool, uint64_t deadline) {
    if (pool->ended || pool->broken) return 0;
    if (!pool->retiring && pool->backend->resize) set_size(pool, 0);
    pool->retiring = true;
    return pool->backend->retire(pool, deadline);
}
