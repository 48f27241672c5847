/* kernels: what the benchmarks compute. Each is an ordinary task function; the sequential program calls the same.
 *
 * All contestants reach them through a pointer. Where a comparison is about code that the compiler can inline, the
 * inlined loop is a function of kernels.c: square_plain(). */
#ifndef PARPOOL_BENCH_KERNELS_H
#define PARPOOL_BENCH_KERNELS_H

#include "workload.h"

#include <stdint.h>

/* ---- Square: hardly any work, so that the cost of handing out shows ---------------------------------------------- */

int square(const void *in, void *out);

/* The loop of a program that does nothing in parallel. */
void square_plain(const void *in, void *out, size_t count);

/* The same with a call for each item to a function that the compiler does not see, as any pool must make it. */
void square_called(const void *in, void *out, size_t count);

/* Fills in 0, 1, 2, … below 32,768, so that squares do not overflow. */
void square_fill(void *in, size_t count);

/* Checks squares by their formula, without a third array. */
bool square_right(const void *out, size_t first, size_t count);

/* A workload of squares that are submitted one by one, with its memory. */
struct squares {
    struct workload work;
    long *in, *out, *expected;
};

void squares_begin(struct squares *squares, size_t count, int workers);
void squares_end(struct squares *squares);

/* ---- Empty: no work and no result -------------------------------------------------------------------------------- */

int empty(const void *in, void *out);

/* Counts its calls in memory that all processes share. Takes the place of empty() to check that it is called. */
extern atomic_size_t *counted_calls;

int counted(const void *in, void *out);

/* ---- Pi: pure computing of any length ---------------------------------------------------------------------------- */

/* Pi by the formula of Bailey, Borwein and Plouffe; *in is the number of terms. */
int bbp_pi(const void *in, void *out);

/* Returns how many terms take so many seconds on this machine. */
long bbp_terms(double seconds);

/* A workload of bbp_pi() on arrays of `count` terms, results and right results; fills in the latter. */
struct workload bbp_workload(const long *terms, double *out, double *expected, size_t count, int workers);

/* ---- Echo: bytes in, the same bytes out -------------------------------------------------------------------------- */

/* *in begins with its own size. */
int echo(const void *in, void *out);

void echo_fill(void *item, size_t size);

/* ---- Random mean: a part of a random matrix, made where it is used ----------------------------------------------- */

/* The sum of the part with the seed *in. */
int random_chunk(const void *in, void *out);

#endif
