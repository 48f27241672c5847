/* Cache lines: their size, and hints to fetch one before it is needed.
 *
 * A hint changes nothing but time. For a line that another CPU has written last, a miss costs as much as a hundred
 * instructions or more; a hint that comes early enough hides it (bench_limits, "submit"). */
#ifndef PP_CACHELINE_H
#define PP_CACHELINE_H

#include <stddef.h>

#define PP_LINE 64 /* bytes */

/* Hints that this line will be read soon. */
static inline void pp_prefetch(const void *line) {
#if defined(__GNUC__)
    __builtin_prefetch(line, 0);
#else
    (void)line;
#endif
}

/* Hints that this line will be written soon, so that it is taken from another CPU that has it. */
static inline void pp_prefetch_write(const void *line) {
#if defined(__GNUC__) && defined(__x86_64__)
    /* Without an option for a certain CPU, compilers do not use this instruction for __builtin_prefetch(). A CPU that
     * does not have it does nothing. */
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#elif defined(__GNUC__)
    __builtin_prefetch(line, 1);
#else
    (void)line;
#endif
}

/* Rounds up to whole lines. */
static inline size_t pp_aligned(size_t size) {
    return (size + PP_LINE - 1) & ~(size_t)(PP_LINE - 1);
}

#endif
