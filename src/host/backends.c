#include "host/backends.h"

#include <stddef.h>

#include "parpool.h"

const struct pp_backend *pp_backend_of(int kind) {
    switch (kind) {
    case POOL_PROCESSES: return &pp_processes;
    case POOL_THREADS: return &pp_threads;
    case POOL_INLINE: return &pp_inline;
    default: return NULL;
    }
}
