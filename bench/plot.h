/* plot: speed-ups as a picture, in plain SVG.
 *
 * Each kernel has a panel, with a logarithmic x axis and the speed-up against the sequential program as y, from 0. Each
 * contestant is a line of the same colour in all panels; there is one legend for all. Kernels measured at only one size
 * are left out. */
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
