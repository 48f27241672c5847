#include "pool/tell.h"

#include "shared/timer.h"

#define TOLD_AGAIN (1U << PP_TIMER | 1U << PP_ROOM | 1U << PP_RESIZE | 1U << PP_CLOSE | 1U << PP_RESUME)

bool pp_tell(struct pool *pool, struct pp_command command) {
    if (pp_command_send(pool->fds.command_pipe, &command)) return true;
    if (pool->fds.command_pipe >= 0) pool->untold |= 1U << command.kind;
    return false;
}

bool pp_tell_again(struct pool *pool) {
    unsigned untold = pool->untold & TOLD_AGAIN;
    pool->untold = 0;
    for (enum pp_command_kind kind = 0; untold >> kind != 0; kind++) {
        uint32_t value = kind == PP_TIMER ? (uint32_t)pool->shortest_timeout : 0;
        if (untold >> kind & 1) pp_tell(pool, (struct pp_command){.kind = kind, .value = value});
    }
    return pool->untold == 0;
}

void pp_tell_limits(struct pool *pool, int timeout, int cpu_timeout) {
    if (pp_timer_begin(&pool->shared, &pool->shortest_timeout, timeout, cpu_timeout))
        pp_tell(pool, (struct pp_command){.kind = PP_TIMER, .value = (uint32_t)pool->shortest_timeout});
}
