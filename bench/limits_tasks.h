/* limits_tasks: the rows of bench_limits about single calls, pool_submit() and future_get(), and about scale. */
#ifndef PARPOOL_BENCH_LIMITS_TASKS_H
#define PARPOOL_BENCH_LIMITS_TASKS_H

void limit_submit(void);
void limit_round_awake(void);
void limit_round_asleep(void);
void limit_generous(void);
void limit_echo(void);
void limit_flat_in_flight(void);
void limit_flat_submit(void);
void limit_flat_map(void);
void limit_flat_workers(void);
void limit_flat_workers_map(void);

#endif
