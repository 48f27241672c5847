/* limits_sandbox: the rows of bench_limits about workers that may only compute: what the sandbox costs a task, and what
 * a call costs where each has a process and a sandbox of its own. */
#ifndef PARPOOL_BENCH_LIMITS_SANDBOX_H
#define PARPOOL_BENCH_LIMITS_SANDBOX_H

void limit_sandbox_submit(void);
void limit_sandbox_items(void);
void limit_sandbox_round(void);
void limit_sandbox_call(void);

#endif
