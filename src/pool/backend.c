#include "pool/backend.h"

#include "base/sys.h"
#include "pool/pool.h"

struct pp_worker_options pp_worker_options_of(const struct pool *pool) {
    const struct pool_options *o = &pool->options;
    return (struct pp_worker_options){.initializer = o->initializer,
                                      .initializer_arg = o->initializer_arg,
                                      .max_tasks = o->max_tasks_per_worker,
                                      .memory_limit = o->memory_limit,
                                      .memory_soft_limit = o->memory_soft_limit,
                                      .finalizer = o->finalizer,
                                      .finalizer_arg = o->finalizer_arg,
                                      .idle_timeout = o->idle_timeout,
                                      .pin = o->pin,
                                      .limit = {.load = o->max_load, .free_memory = o->min_free_memory}};
}

bool pp_make_bell(struct pool *pool) {
    int bell[2];
    if (pp_pipe(bell, -1)) return false;
    pool->fds.bell = bell[0];
    pool->fds.bell_end = bell[1];
    return true;
}
