#include "base/backoff.h"

#include <sched.h>

#include "base/sys.h"

#define LONG_NS 300000U /* a yield that takes longer is an interruption; shorter than the slices of Linux's scheduler */
#define RARE_RATIO 4U   /* an interruption is rare if the time before it was more than so many times as long */
#define SOON_RATIO 4U   /* a reason is soon if it comes within so many times the last back-off after its end */
#define FIRST_NS 1000000U
#define MOST_NS 128000000U

void pp_backoff_again(struct pp_backoff *backoff, uint64_t since, uint64_t now) {
    bool soon = since < backoff->until + SOON_RATIO * backoff->last;
    backoff->last = !soon ? FIRST_NS : backoff->last < MOST_NS ? 2 * backoff->last : MOST_NS;
    backoff->until = now + backoff->last;
}

void pp_backoff_was_preempted(struct pp_backoff *backoff, uint64_t since, uint64_t now) {
    uint64_t length = now - since;
    if (length < LONG_NS) return;
    bool is_rare = since > backoff->until && since - backoff->until > RARE_RATIO * length;
    if (!is_rare) {
        pp_backoff_again(backoff, since, now);
        return;
    }
    backoff->until = now;
    /* Halved and not forgotten: the undisturbed time may be the program's own, in which this thread did not wait. */
    backoff->last /= 2;
}

uint64_t pp_backoff_yield(struct pp_backoff *backoff) {
    uint64_t since = pp_now();
    sched_yield();
    uint64_t now = pp_now();
    pp_backoff_was_preempted(backoff, since, now);
    return now;
}
