/* kernels: what the benchmarks compute. Each is an ordinary task function; the sequential program calls the same.
 *
 * All contestants reach them through a pointer. Where it is the point of a comparison that the compiler sees what is
 * computed, it does so in a loop of kernels.c: square_plain(). */
#ifndef PARPOOL_BENCH_KERNELS_H
#define PARPOOL_BENCH_KERNELS_H

#include "workload.h"

#include <stdint.h>

/* ---- Square: no work at all, so that what is seen is what handing out costs -------------------------------------- */

int square(const void *in, void *out);

/* The loop that a program without any of this would hold. */
void square_plain(const void *in, void *out, size_t count);

/* The same with a call for each item, to a function that the compiler does not see: what a pool cannot do without. */
void square_called(const void *in, void *out, size_t count);

/* Squares of 0, 1, 2, … that stay far from overflow. */
void square_fill(void *in, size_t count);

/* By their formula: no third array. */
bool square_right(const void *out, size_t first, size_t count);

/* ---- Empty: not even a result ------------------------------------------------------------------------------------ */

int empty(const void *in, void *out);

/* Stands in for it where it is to be seen that it is called: in memory that all processes share. */
extern atomic_size_t *counted_calls;

int counted(const void *in, void *out);

/* ---- Pi: pure computing, as long as one likes -------------------------------------------------------------------- */

/* Pi by the formula of Bailey, Borwein and Plouffe: so many terms of it as *in says. */
int bbp_pi(const void *in, void *out);

/* Terms that take so many seconds here, now. */
long bbp_terms(double seconds);

/* A workload of that, with its arrays of `count` terms, results and right results, which it fills in. */
struct workload bbp_workload(const long *terms, double *out, double *expected, size_t count, int workers);

/* ---- Echo: bytes in, the same bytes out -------------------------------------------------------------------------- */

/* *in begins with its own size. */
int echo(const void *in, void *out);

void echo_fill(void *item, size_t size);

/* ---- Random mean: a chunk of a matrix, made where it is used ----------------------------------------------------- */

/* The sum of the chunk of the seed *in. */
int random_chunk(const void *in, void *out);

#endif
