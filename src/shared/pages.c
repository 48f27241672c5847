#include "shared/pages.h"

#include "base/memory.h"
#include "base/sys.h"

static size_t marks_size(const struct pp_pages *pages) {
    return pages->shared->size / PP_GRANULE + 1;
}

static void forget_marks(struct pp_pages *pages) {
    pp_unmap(pages->asked, marks_size(pages));
    pages->asked = NULL;
}

static bool has_marks(struct pp_pages *pages) {
    if (pages->useless) return false;
    if (!pages->asked) pages->asked = pp_map_private(marks_size(pages));
    pages->useless = !pages->asked;
    return pages->asked != NULL;
}

void pp_pages_map_more(struct pp_pages *pages, char *begin, char *end, char *first, char *last) {
    if ((size_t)(last - first) < PP_GRANULE || !has_marks(pages)) return;
    char *base = pages->shared->base;
    size_t granule = (size_t)(begin - base) / PP_GRANULE, behind = (size_t)(end - 1 - base) / PP_GRANULE + 1;
    pages->begin = base + granule * PP_GRANULE;
    pages->end = base + behind * PP_GRANULE;
    while (granule < behind && !pages->useless) {
        size_t run = granule;
        while (run < behind && !pages->asked[run]) pages->asked[run++] = 1;
        char *from = base + granule * PP_GRANULE, *to = base + run * PP_GRANULE;
        if (from < first) from = first;
        if (to > last) to = last;
        if (run > granule) pages->useless = !pp_populate(from, (size_t)(to - from));
        granule = run + 1;
    }
    if (pages->useless) forget_marks(pages);
}

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
