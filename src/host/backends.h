/* The three backends: what POOL_PROCESSES, POOL_THREADS and POOL_INLINE of the header name. Each is defined in the file
 * of its name. */
#ifndef PP_BACKENDS_H
#define PP_BACKENDS_H

#include "pool/backend.h"

extern const struct pp_backend pp_processes, pp_threads, pp_inline;

#endif
