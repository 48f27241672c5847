#include "shared/pages.h"

#include <stdint.h>

#include "base/memory.h"
#include "base/sys.h"

/* Not all that is given is used. Where nobody knows how much is left, any of it may be too much. */
static bool may_take(size_t size) {
    size_t left = pp_memory_left("");
    return left != SIZE_MAX && size <= left / 8;
}

void pp_pages_take(_Atomic bool *refused, char *begin, size_t size) {
    size_t before = (PP_HUGE_PAGE - (uintptr_t)begin % PP_HUGE_PAGE) % PP_HUGE_PAGE;
    if (size < before + PP_HUGE_PAGE || atomic_load_explicit(refused, memory_order_relaxed) || !may_take(size)) return;
    for (size_t at = before; size - at >= PP_HUGE_PAGE; at += PP_HUGE_PAGE) {
        if (pp_collapse(begin + at) != PP_REFUSED) continue;
        atomic_store_explicit(refused, true, memory_order_relaxed);
        return;
    }
}
