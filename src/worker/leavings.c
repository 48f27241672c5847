#include "worker/leavings.h"

#include <string.h>
#include <sys/time.h>

#define LOOK_NS 1000000U

#if defined(__GNUC__) && (defined(__x86_64__) || (defined(__i386__) && defined(__SSE__)))
#define HAS_SSE 1
#define SSE_FLAGS 0x3fU /* what has happened; not how to compute */
#else
#define HAS_SSE 0
#endif

void pp_leavings_note_float(struct pp_leavings *l) {
    l->x87 = (uint16_t)pp_leavings_has_float(0);
#if HAS_SSE
    __asm__ volatile("stmxcsr %0" : "=m"(l->sse));
    l->sse &= ~SSE_FLAGS;
#endif
}

static void set_sse_back(const struct pp_leavings *l) {
#if HAS_SSE
    uint32_t found;
    __asm__ volatile("stmxcsr %0" : "=m"(found));
    if ((found & ~SSE_FLAGS) != l->sse) __asm__ volatile("ldmxcsr %0" : : "m"(l->sse));
#else
    (void)l;
#endif
}

/* A pending exception of the x87 unit is cleared first: the load of a control word that unmasks it would raise it. */
void pp_leavings_set_float_back(const struct pp_leavings *l) {
#if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(l->x87));
#endif
    set_sse_back(l);
}

static bool runs(const struct itimerval *timer) {
    return timer->it_value.tv_sec != 0 || timer->it_value.tv_usec != 0;
}

void pp_leavings_begin(struct pp_leavings *l, bool initialized, uint64_t now) {
    struct itimerval timer;
    l->keeps_real = initialized && (getitimer(ITIMER_REAL, &timer) != 0 || runs(&timer));
    l->keeps_virtual = initialized && (getitimer(ITIMER_VIRTUAL, &timer) != 0 || runs(&timer));
    l->keeps_prof = initialized && (getitimer(ITIMER_PROF, &timer) != 0 || runs(&timer));
    pthread_sigmask(SIG_SETMASK, NULL, &l->mask);
    l->next = now + LOOK_NS;
}

void pp_leavings_set_back(struct pp_leavings *l, uint64_t now) {
    struct itimerval none;
    memset(&none, 0, sizeof none);
    if (!l->keeps_real) setitimer(ITIMER_REAL, &none, NULL);
    if (!l->keeps_virtual) setitimer(ITIMER_VIRTUAL, &none, NULL);
    if (!l->keeps_prof) setitimer(ITIMER_PROF, &none, NULL);
    pthread_sigmask(SIG_SETMASK, &l->mask, NULL);
    set_sse_back(l);
    l->next = now + LOOK_NS;
}
