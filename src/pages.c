#include "pages.h"

#include "memory.h"
#include "sys.h"

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

void pp_pages_map(struct pp_pages *pages, char *begin, char *end, char *first, char *last) {
    if ((size_t)(last - first) < PP_GRANULE || !has_marks(pages)) return;
    char *base = pages->shared->base;
    size_t granule = (size_t)(begin - base) / PP_GRANULE, behind = (size_t)(end - 1 - base) / PP_GRANULE + 1;
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

void pp_pages_take(_Atomic bool *refused, char *begin, size_t size) {
    char *page = begin + (PP_HUGE_PAGE - (uintptr_t)begin % PP_HUGE_PAGE) % PP_HUGE_PAGE, *end = begin + size;
    if (size < PP_HUGE_PAGE || page + PP_HUGE_PAGE > end || atomic_load_explicit(refused, memory_order_relaxed)) return;
    if (size > pp_memory_left("") / 8) return;
    for (; page + PP_HUGE_PAGE <= end; page += PP_HUGE_PAGE) {
        if (pp_collapse(page)) continue;
        atomic_store_explicit(refused, true, memory_order_relaxed);
        return;
    }
}
