/* limits_maps: the rows of bench_limits about jobs: one function over many items. */
#ifndef PARPOOL_BENCH_LIMITS_MAPS_H
#define PARPOOL_BENCH_LIMITS_MAPS_H

void limit_pi_8ms(void);
void limit_pi_1ms(void);
void limit_pi_100us(void);
void limit_pi_8ms_asleep(void);
void limit_pi_1ms_asleep(void);
void limit_pi_100us_asleep(void);
void limit_skewed_first(void);
void limit_skewed_middle(void);
void limit_skewed_region(void);
void limit_skewed_last(void);
void limit_skewed_rising(void);
void limit_squares(void);
void limit_squares_first(void);
void limit_items(void);
void limit_random_mean(void);

#endif
