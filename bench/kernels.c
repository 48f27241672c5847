#include "kernels.h"

#include <stdlib.h>
#include <string.h>

/* ---- Square ------------------------------------------------------------------------------------------------------ */

int square(const void *in, void *out) {
    long x = *(const long *)in;
    *(long *)out = x * x;
    return 0;
}

void square_plain(const void *in, void *out, size_t count) {
    const long *x = in;
    long *y = out;
    for (size_t i = 0; i < count; i++) y[i] = x[i] * x[i];
}

void square_called(const void *in, void *out, size_t count) {
    static pool_fn *volatile unseen = square;
    pool_fn *fn = unseen;
    const long *x = in;
    long *y = out;
    for (size_t i = 0; i < count; i++) (void)fn(&x[i], &y[i]);
}

void square_fill(void *in, size_t count) {
    long *x = in;
    for (size_t i = 0; i < count; i++) x[i] = (long)(i & 0x7fff);
}

bool square_right(const void *out, size_t first, size_t count) {
    const long *y = out;
    for (size_t i = first; i < first + count; i++) {
        if (y[i] != (long)((i & 0x7fff) * (i & 0x7fff))) return false;
    }
    return true;
}

void squares_begin(struct squares *squares, size_t count, int workers) {
    size_t bytes = count * sizeof(long);
    squares->in = bench_alloc(bytes);
    squares->out = bench_alloc(bytes);
    squares->expected = bench_alloc(bytes);
    square_fill(squares->in, count);
    square_plain(squares->in, squares->expected, count);
    squares->work = (struct workload){.fn = square,
                                      .in = squares->in,
                                      .in_size = sizeof(long),
                                      .out = squares->out,
                                      .out_size = sizeof(long),
                                      .count = count,
                                      .expected = squares->expected,
                                      .workers = workers};
    workload_prepare_submits(&squares->work);
}

void squares_end(struct squares *squares) {
    workload_free_submits(&squares->work);
    free(squares->in);
    free(squares->out);
    free(squares->expected);
}

/* ---- Empty ------------------------------------------------------------------------------------------------------- */

int empty(const void *in, void *out) {
    (void)in;
    (void)out;
    return 0;
}

atomic_size_t *counted_calls;

int counted(const void *in, void *out) {
    (void)in;
    (void)out;
    atomic_fetch_add(counted_calls, 1);
    return 0;
}

/* ---- Pi ---------------------------------------------------------------------------------------------------------- */

int bbp_pi(const void *in, void *out) {
    long terms = *(const long *)in;
    double sum = 0, scale = 1;
    for (long k = 0; k < terms; k++) {
        double n = 8.0 * (double)k;
        sum += scale * (4 / (n + 1) - 2 / (n + 4) - 1 / (n + 5) - 1 / (n + 6));
        scale /= 16;
    }
    *(double *)out = sum;
    return 0;
}

long bbp_terms(double seconds) {
    long terms = 1000000;
    double best = 1, pi;
    static pool_fn *volatile unseen = bbp_pi; /* else the compiler would drop the computation */
    for (int i = 0; i < 5; i++) {
        double start = bench_now();
        (void)unseen(&terms, &pi);
        double took = bench_now() - start;
        if (took < best) best = took;
    }
    long result = (long)(seconds / best * (double)terms);
    return result > 0 ? result : 1;
}

struct workload bbp_workload(const long *terms, double *out, double *expected, size_t count, int workers) {
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && terms[i] == terms[i - 1])
            expected[i] = expected[i - 1];
        else
            (void)bbp_pi(&terms[i], &expected[i]);
    }
    return (struct workload){.fn = bbp_pi,
                             .in = terms,
                             .in_size = sizeof *terms,
                             .out = out,
                             .out_size = sizeof *out,
                             .count = count,
                             .expected = expected,
                             .workers = workers};
}

/* ---- Echo -------------------------------------------------------------------------------------------------------- */

int echo(const void *in, void *out) {
    memcpy(out, in, *(const size_t *)in);
    return 0;
}

void echo_fill(void *item, size_t size) {
    unsigned char *bytes = item;
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(i * 7 + i / 256);
    memcpy(item, &size, sizeof size);
}

/* ---- Random mean ------------------------------------------------------------------------------------------------- */

enum { RANDOM_ROWS = 1000, RANDOM_COLUMNS = 1000 };

/* The next random number in [0, 1): splitmix64. */
static double random_next(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* The sum of a part, made row by row from its seed. */
static double random_sum(uint64_t state) {
    double row[RANDOM_COLUMNS], sum = 0;
    for (int i = 0; i < RANDOM_ROWS; i++) {
        for (int j = 0; j < RANDOM_COLUMNS; j++) row[j] = random_next(&state);
        for (int j = 0; j < RANDOM_COLUMNS; j++) sum += row[j];
    }
    return sum;
}

int random_chunk(const void *in, void *out) {
    *(double *)out = random_sum(*(const uint64_t *)in);
    return 0;
}
