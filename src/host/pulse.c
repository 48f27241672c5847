#include "host/pulse.h"

#include <signal.h>
#include <unistd.h>

#include "base/sys.h"
#include "shared/carried.h"

#define MISSED 3U /* looks without a beat after which the process is taken for stopped */

/* Of the process `of`, and those that it has forked: they are asked whether it is theirs. */
static struct {
    pid_t of;
    uint64_t most;
} promise;

enum pp_pulse_found pp_pulse_look(struct pp_pulse *pulse, uint64_t beat, uint64_t started, uint64_t now,
                                  uint64_t most) {
    bool was_away = now - pulse->looked > 2 * PP_PULSE_NS; /* a signal may have stopped both */
    if (beat != pulse->beat || was_away || started > pulse->beat_at) {
        pulse->beat = beat;
        pulse->beat_at = now;
    }
    pulse->looked = now;
    uint64_t silent = now - pulse->beat_at;
    return silent >= most ? PP_PULSE_NONE : silent >= MISSED * PP_PULSE_NS ? PP_PULSE_STOPPED : PP_PULSE_GOOD;
}

void pp_pulse_promise(uint64_t most) {
    promise.of = getpid();
    promise.most = most > PP_PULSE_MOST ? most : PP_PULSE_MOST;
}

uint64_t pp_pulse_watch_caller(struct pp_pulse *pulse, const struct pp_shared *shared, pid_t caller) {
    if (promise.of != caller) return UINT64_MAX;
    uint64_t now = pp_now(), beat = atomic_load_explicit(&shared->control->caller_beat, memory_order_relaxed);
    enum pp_pulse_found found = beat ? pp_pulse_look(pulse, beat, 0, now, promise.most) : PP_PULSE_GOOD;
    if (found != PP_PULSE_GOOD && getppid() == caller) kill(caller, found == PP_PULSE_NONE ? SIGKILL : SIGCONT);
    return now + PP_PULSE_NS;
}
