#include "host/pulse.h"

#include "shared/carried.h"

#define MISSED 3U /* looks without a beat after which the carrier is taken for stopped */
#define GONE 10U  /* and after which letting it go on has not helped */

enum pp_pulse_found pp_pulse_look(struct pp_pulse *pulse, const struct pp_shared *shared, uint64_t started,
                                  uint64_t now) {
    uint64_t beat = atomic_load_explicit(&shared->carried->beat, memory_order_relaxed);
    bool was_away = now - pulse->looked > 2 * PP_PULSE_NS; /* somebody may have stopped both */
    if (beat != pulse->beat || was_away || started > pulse->beat_at) {
        pulse->beat = beat;
        pulse->beat_at = now;
    }
    pulse->looked = now;
    uint64_t looks = (now - pulse->beat_at) / PP_PULSE_NS;
    return looks >= GONE ? PP_PULSE_NONE : looks >= MISSED ? PP_PULSE_STOPPED : PP_PULSE_GOOD;
}
