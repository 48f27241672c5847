/* The processes of a pool's head: its carrier, and what that has started. They are found in /proc. */
#ifndef PARPOOL_BENCH_HEAD_H
#define PARPOOL_BENCH_HEAD_H

#include <sys/types.h>

/* Returns the carrier of this program's pool, of which it has one; 0: it cannot be found. */
pid_t head_carrier(void);
/* Returns a launcher that the carrier has started; 0: likewise. */
pid_t head_launcher(void);
/* Returns the CPU time in seconds that this process and the carrier have used so far. */
double head_seconds(void);

#endif
