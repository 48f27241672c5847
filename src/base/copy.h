/* Copies of large arrays.
 *
 * A copy of more than caches hold writes past them: it need not read what it overwrites, and leaves in the caches what
 * is there. A C library may do so only from hundreds of MiB on. Pages of the target that were not touched are taken 2
 * MiB at a time, since a page fault takes longer than the copy of a page. bench_limits, "squares-malloc"
 *
 * Called by: alloc (arguments), job and future_calls (results). */
#ifndef PP_COPY_H
#define PP_COPY_H

#include <stddef.h>
#include <string.h>

#include "base/sys.h"

void pp_copy_large(void *to, const void *from, size_t size);

/* As memcpy(). */
static inline void pp_copy(void *to, const void *from, size_t size) {
    if (size < PP_HUGE_PAGE) memcpy(to, from, size);
    else pp_copy_large(to, from, size);
}

#endif
