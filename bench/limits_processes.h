/* limits_processes: the rows about the processes themselves: making them, their memory, and what they do when idle. */
#ifndef PARPOOL_BENCH_LIMITS_PROCESSES_H
#define PARPOOL_BENCH_LIMITS_PROCESSES_H

void limit_create_2(void);
void limit_create_64(void);
void limit_create_large(void);
void limit_memory(void);
void limit_idle(void);

#endif
