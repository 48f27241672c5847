/* limits_blocks: the rows of bench_limits about block functions: loops beside OpenMP's, and what a culprit costs. */
#ifndef PARPOOL_BENCH_LIMITS_BLOCKS_H
#define PARPOOL_BENCH_LIMITS_BLOCKS_H

void limit_blocks_squares(void);
void limit_blocks_saxpy(void);
void limit_blocks_sum(void);
void limit_blocks_toupper(void);
void limit_blocks_crash(void);
void limit_blocks_crashes(void);
void limit_blocks_hang(void);

#endif
