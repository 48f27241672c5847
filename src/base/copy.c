#include "base/copy.h"

#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "base/cacheline.h"

#define PAST_CACHES ((size_t)16 << 20) /* from this size on a target does not stay in the caches in any case */

static size_t distance_to(const char *at, size_t alignment) {
    return (alignment - (uintptr_t)at % alignment) % alignment;
}

static void take_pages(char *to, size_t size) {
    size_t at = distance_to(to, PP_HUGE_PAGE);
    for (; at < size && size - at >= PP_HUGE_PAGE; at += PP_HUGE_PAGE)
        if (pp_is_untouched(to + at) && pp_collapse(to + at) == PP_REFUSED) return;
}

#if defined(__SSE2__)
/* to: begins a line. size: whole lines. */
static void copy_lines(char *to, const char *from, size_t size) {
    enum { PARTS = PP_LINE / sizeof(__m128i) };
    for (size_t at = 0; at < size; at += PP_LINE) {
        __m128i line[PARTS];
        for (int i = 0; i < PARTS; i++) line[i] = _mm_loadu_si128((const __m128i *)(const void *)(from + at) + i);
        for (int i = 0; i < PARTS; i++) _mm_stream_si128((__m128i *)(void *)(to + at) + i, line[i]);
    }
    _mm_sfence(); /* such stores are in no order with others: before what tells workers that the copy is there */
}
#else
static void copy_lines(char *to, const char *from, size_t size) {
    memcpy(to, from, size);
}
#endif

void pp_copy_large(void *to, const void *from, size_t size) {
    take_pages(to, size);
    if (size < PAST_CACHES) {
        memcpy(to, from, size);
        return;
    }
    size_t before = distance_to(to, PP_LINE), lines = (size - before) / PP_LINE * PP_LINE, end = before + lines;
    memcpy(to, from, before);
    copy_lines((char *)to + before, (const char *)from + before, lines);
    memcpy((char *)to + end, (const char *)from + end, size - end);
}
