/* limits_processes: the rows of bench_limits about processes: making them, their memory, and their idleness. */
#ifndef PARPOOL_BENCH_LIMITS_PROCESSES_H
#define PARPOOL_BENCH_LIMITS_PROCESSES_H

void limit_create_2(void);
void limit_create_64(void);
void limit_create_large(void);
void limit_memory(void);
void limit_idle(void);

#endif
