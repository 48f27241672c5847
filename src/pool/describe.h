/* How deaths of workers are described to the program: struct pool_failure from a notice. */
#ifndef PP_DESCRIBE_H
#define PP_DESCRIBE_H

#include "parpool.h"
#include "shared/notice.h"
#include "shared/state.h"

/* Says in *failure why what a dead worker ran has failed. ended: the phase of its state word; limits: its own. */
void pp_describe_death(struct pool_failure *failure, const struct pp_notice *notice, enum pp_phase ended,
                       struct pp_limits limits);
/* Says in *failure why the pool can do no more work. notice: of kind PP_POOL_BROKEN. */
void pp_describe_break(struct pool_failure *failure, const struct pp_notice *notice);

/* Says in *failure why workers are missing; error is 0 if none is. shortage: see pp_shortage(). */
void pp_describe_shortage(struct pool_failure *failure, uint64_t shortage);
/* It failed on another host, or with it: as the carrier has told it. message: PP_MESSAGE bytes, untrusted. */
void pp_describe_far(struct pool_failure *failure, int error, int32_t code, const char *message);

#endif
