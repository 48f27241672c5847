#include "shared/pages.h"

#include <stdint.h>

#include "base/memory.h"

static size_t rounded_up(size_t size) {
    return (size + PP_HUGE_PAGE - 1) / PP_HUGE_PAGE * PP_HUGE_PAGE;
}

struct pp_huge_pages pp_pages_begun(struct pp_region region, const char *from, const char *upto) {
    size_t at = (size_t)(from - region.base), end = (size_t)(upto - region.base);
    size_t begin = at <= PP_PAGES_SMALL ? 0 : rounded_up(at);
    size_t last = rounded_up(end) <= region.size ? rounded_up(end) : region.size / PP_HUGE_PAGE * PP_HUGE_PAGE;
    if (end <= PP_PAGES_SMALL || begin >= last) return (struct pp_huge_pages){NULL, 0};
    return (struct pp_huge_pages){region.base + begin, last - begin};
}

/* If the system does not say how much memory is left, any of it may be too much. */
static bool may_take(size_t size) {
    size_t left = pp_memory_left("");
    return left != SIZE_MAX && size <= left / 8;
}

void pp_pages_take(_Atomic bool *refused, struct pp_huge_pages pages) {
    if (pages.size == 0 || atomic_load_explicit(refused, memory_order_relaxed) || !may_take(pages.size)) return;
    for (size_t at = 0; at < pages.size; at += PP_HUGE_PAGE) {
        if (pp_collapse(pages.begin + at) != PP_REFUSED) continue;
        atomic_store_explicit(refused, true, memory_order_relaxed);
        return;
    }
}
