/* Whether the carrier still runs: it beats twice a second, whatever its hosts do. One that somebody has stopped is let
 * go on, and if that does not help, killed: others then run what it has.
 *
 * Invariant: a time in which the supervisor itself was stopped does not count.
 * Called by: supervisor. */
#ifndef PP_PULSE_H
#define PP_PULSE_H

#include <stdint.h>

#include "shared/shared.h"

#define PP_PULSE_NS 1000000000U /* between two looks */

struct pp_pulse {
    uint64_t beat, beat_at; /* the last beat, and when it was first seen, ns */
    uint64_t looked;        /* when it was last looked for, ns */
};

enum pp_pulse_found { PP_PULSE_GOOD, PP_PULSE_STOPPED, PP_PULSE_NONE };

/* started: when the carrier was. */
enum pp_pulse_found pp_pulse_look(struct pp_pulse *pulse, const struct pp_shared *shared, uint64_t started,
                                  uint64_t now);

#endif
