#include "pool/tell.h"

#include "shared/timer.h"

static unsigned bit(enum pp_command_kind kind) {
    return 1U << kind;
}

bool pp_tell(struct pool *pool, struct pp_command command) {
    if (pp_command_send(pool->fds.command_pipe, &command)) return true;
    const unsigned noted = bit(PP_TIMER) | bit(PP_ROOM) | bit(PP_RESIZE) | bit(PP_CLOSE) | bit(PP_RESUME);
    if (pool->fds.command_pipe >= 0) pool->untold |= noted & bit(command.kind);
    return false;
}

bool pp_tell_again(struct pool *pool) {
    unsigned untold = pool->untold;
    pool->untold = 0;
    for (enum pp_command_kind kind = 0; kind < PP_END; kind++) {
        uint32_t value = kind == PP_TIMER ? (uint32_t)pool->shortest_timeout : 0;
        if (untold & bit(kind)) pp_tell(pool, (struct pp_command){.kind = kind, .value = value});
    }
    return pool->untold == 0;
}

void pp_tell_timeout(struct pool *pool, int timeout) {
    if (pp_timer_begin(&pool->shared, &pool->shortest_timeout, timeout))
        pp_tell(pool, (struct pp_command){.kind = PP_TIMER, .value = (uint32_t)timeout});
}
