#include "host/corpses.h"

#include "shared/notice.h"

#define PATIENCE_NS 1000000000U /* how long a killed worker may take to end */

uint64_t pp_corpses_due(const struct pp_corpses *corpses, uint64_t killed) {
    return killed != 0 && corpses->count < PP_WORKERS ? killed + PATIENCE_NS : UINT64_MAX;
}

/* The place with this process; PP_WORKERS: there is none. pid 0: a free place. */
static uint32_t place_of(const struct pp_corpses *corpses, pid_t pid) {
    uint32_t place = 0;
    while (place < PP_WORKERS && corpses->pids[place] != pid) place++;
    return place;
}

void pp_corpses_add(struct pp_corpses *corpses, uint32_t worker, pid_t pid) {
    corpses->pids[place_of(corpses, 0)] = pid;
    corpses->had[worker] = true;
    corpses->count++;
}

bool pp_corpses_has(const struct pp_corpses *corpses, pid_t pid) {
    return corpses->count > 0 && place_of(corpses, pid) < PP_WORKERS;
}

void pp_corpses_gone(struct pp_corpses *corpses, pid_t pid) {
    corpses->pids[place_of(corpses, pid)] = -pid;
}

bool pp_corpses_tell(struct pp_corpses *corpses, struct pp_shared *shared) {
    bool told = false;
    for (uint32_t place = 0; place < PP_WORKERS && corpses->count > 0; place++) {
        if (corpses->pids[place] >= 0) continue;
        if (!pp_notice_write(shared, &(struct pp_notice){.kind = PP_CORPSE_GONE})) break;
        corpses->pids[place] = 0;
        corpses->count--;
        told = true;
    }
    return told;
}
