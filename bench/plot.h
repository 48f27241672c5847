/* plot: speed-ups as a picture, in plain SVG.
 *
 * One panel a kernel, x logarithmic, y the speed-up against the sequential program, from 0; one line a contestant, the
 * same colour in every panel, and one legend for all. Kernels measured at one size alone are left out. */
#ifndef PARPOOL_BENCH_PLOT_H
#define PARPOOL_BENCH_PLOT_H

#include <stddef.h>
#include <stdio.h>

struct plot_point {
    char panel[32], line[48], x_name[48];
    size_t size;
    int workers;
    double seconds, baseline;
    double x, y;
};

void plot_write(FILE *file, const struct plot_point *points, size_t count);

#endif
