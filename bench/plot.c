#include "plot.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    PLOT_COLUMNS = 2,
    PLOT_WIDTH = 400, /* of a panel's inside */
    PLOT_HEIGHT = 240,
    PLOT_LEFT = 60, /* around it */
    PLOT_TOP = 50,
    PLOT_CELL_WIDTH = 490,
    PLOT_CELL_HEIGHT = 350,
    PLOT_LEGEND = 250,
    PLOT_MAX = 32 /* panels, and lines */
};

struct plot_axes {
    double x_low, x_high; /* powers of ten */
    double y_high;
    double left, top;
};

struct plot {
    FILE *file;
    const struct plot_point *points;
    size_t count;
    const struct plot_point *panels[PLOT_MAX]; /* the first point of each */
    size_t panel_count;
    const struct plot_point *lines[PLOT_MAX];
    size_t line_count;
    bool workers_vary;
};

static bool plot_same_line(const struct plot_point *a, const struct plot_point *b) {
    return a->workers == b->workers && strcmp(a->line, b->line) == 0;
}

/* Whether a kernel was measured at several sizes. */
static bool plot_has_width(const struct plot *plot, const struct plot_point *panel) {
    for (size_t i = 0; i < plot->count; i++) {
        const struct plot_point *point = &plot->points[i];
        if (strcmp(point->panel, panel->panel) == 0 && point->x > 0 && point->x != panel->x) return true;
    }
    return false;
}

static void plot_find_panels_and_lines(struct plot *plot) {
    for (size_t i = 0; i < plot->count; i++) {
        const struct plot_point *point = &plot->points[i];
        if (point->x <= 0 || !plot_has_width(plot, point)) continue;
        size_t panel = 0;
        while (panel < plot->panel_count && strcmp(plot->panels[panel]->panel, point->panel) != 0) panel++;
        if (panel == plot->panel_count && panel < PLOT_MAX) plot->panels[plot->panel_count++] = point;
        size_t line = 0;
        while (line < plot->line_count && !plot_same_line(plot->lines[line], point)) line++;
        if (line == plot->line_count && line < PLOT_MAX) plot->lines[plot->line_count++] = point;
        if (point->workers != plot->lines[0]->workers) plot->workers_vary = true;
    }
}

/* ---- Axes -------------------------------------------------------------------------------------------------------- */

static struct plot_axes plot_axes(const struct plot *plot, size_t panel) {
    struct plot_axes axes = {HUGE_VAL, 0, 1.25, 0, 0};
    for (size_t i = 0; i < plot->count; i++) {
        const struct plot_point *point = &plot->points[i];
        if (point->x <= 0 || strcmp(point->panel, plot->panels[panel]->panel) != 0) continue;
        axes.x_low = fmin(axes.x_low, point->x);
        axes.x_high = fmax(axes.x_high, point->x);
        axes.y_high = fmax(axes.y_high, point->y * 1.05);
    }
    axes.x_low = pow(10, floor(log10(axes.x_low) + 1e-9));
    axes.x_high = pow(10, ceil(log10(axes.x_high) - 1e-9));
    axes.left = (double)(panel % PLOT_COLUMNS * PLOT_CELL_WIDTH + PLOT_LEFT);
    axes.top = (double)(panel / PLOT_COLUMNS * PLOT_CELL_HEIGHT + PLOT_TOP);
    return axes;
}

static double plot_x(const struct plot_axes *axes, double x) {
    return axes->left + PLOT_WIDTH * log10(x / axes->x_low) / log10(axes->x_high / axes->x_low);
}

static double plot_y(const struct plot_axes *axes, double y) {
    return axes->top + PLOT_HEIGHT * (1 - y / axes->y_high);
}

/* 1000 as "10³", one millionth of a second as "1 µs". */
static void plot_x_label(FILE *file, double x, bool seconds) {
    static const char *const units[] = {"ns", "µs", "ms", "s"};
    int exponent = (int)lround(log10(x));
    if (!seconds) {
        fprintf(file, "10<tspan dy=\"-5\" font-size=\"9\">%d</tspan>", exponent);
    } else if (exponent >= -9 && exponent < 3) {
        int steps = exponent + 9;
        fprintf(file, "%.0f %s", pow(10, steps % 3), units[steps / 3]);
    } else {
        fprintf(file, "%g s", x);
    }
}

static void plot_draw_x_axis(const struct plot *plot, size_t panel, const struct plot_axes *axes) {
    const struct plot_point *first = plot->panels[panel];
    bool seconds = strstr(first->x_name, "time") != NULL;
    for (double x = axes->x_low; x < axes->x_high * 1.01; x *= 10) {
        fprintf(plot->file,
                "<path d=\"M%.1f %.1fv%d\" stroke=\"#e4e4e4\"/>\n<text x=\"%.1f\" y=\"%.1f\" class=\"mid\">",
                plot_x(axes, x), axes->top, PLOT_HEIGHT, plot_x(axes, x), axes->top + PLOT_HEIGHT + 18);
        plot_x_label(plot->file, x, seconds);
        fputs("</text>\n", plot->file);
    }
    fprintf(plot->file, "<text x=\"%.1f\" y=\"%.1f\" class=\"mid\">%s</text>\n", axes->left + PLOT_WIDTH / 2.0,
            axes->top + PLOT_HEIGHT + 38, first->x_name);
}

static void plot_draw_y_axis(const struct plot *plot, const struct plot_axes *axes) {
    double step = axes->y_high <= 3 ? 0.5 : axes->y_high <= 8 ? 1 : pow(10, ceil(log10(axes->y_high / 8)));
    for (double y = 0; y <= axes->y_high; y += step) {
        const char *colour = fabs(y - 1) < 1e-9 ? "#888888" : "#e4e4e4"; /* as fast as the sequential program */
        fprintf(plot->file,
                "<path d=\"M%.1f %.1fh%d\" stroke=\"%s\"/>\n<text x=\"%.1f\" y=\"%.1f\" class=\"end\">%g</text>\n",
                axes->left, plot_y(axes, y), PLOT_WIDTH, colour, axes->left - 8, plot_y(axes, y) + 4, y);
    }
}

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

/* The library's own lines are solid, OpenMP's dashed, all others dotted; colours apart for the colour-blind. */
static void plot_style(FILE *file, const char *line, size_t index) {
    static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9",
                                          "#7f3c8d", "#000000", "#a5aa29", "#b3123b", "#6b6b6b", "#3969ac"};
    bool own = strncmp(line, "pool", 4) == 0;
    bool openmp = strncmp(line, "OpenMP", 6) == 0;
    fprintf(file, "fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" stroke-linejoin=\"round\"%s",
            colours[index % (sizeof colours / sizeof *colours)], own ? "2.6" : "1.8",
            own      ? ""
            : openmp ? " stroke-dasharray=\"7 3\""
                     : " stroke-dasharray=\"2 3\"");
}

static void plot_draw_line(const struct plot *plot, size_t panel, size_t line, const struct plot_axes *axes) {
    const char *command = "M";
    for (size_t i = 0; i < plot->count; i++) {
        const struct plot_point *point = &plot->points[i];
        if (point->x <= 0 || strcmp(point->panel, plot->panels[panel]->panel) != 0) continue;
        if (!plot_same_line(point, plot->lines[line])) continue;
        if (*command == 'M') fputs("<path d=\"", plot->file);
        fprintf(plot->file, "%s%.1f %.1f", command, plot_x(axes, point->x), plot_y(axes, point->y));
        command = "L";
    }
    if (*command == 'M') return;
    fputs("\" marker-start=\"url(#dot)\" marker-mid=\"url(#dot)\" marker-end=\"url(#dot)\" ", plot->file);
    plot_style(plot->file, plot->lines[line]->line, line);
    fputs("/>\n", plot->file);
}

static void plot_draw_panel(const struct plot *plot, size_t panel) {
    struct plot_axes axes = plot_axes(plot, panel);
    fprintf(plot->file, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"15\" font-weight=\"bold\">%s</text>\n", axes.left,
            axes.top - 14, plot->panels[panel]->panel);
    plot_draw_x_axis(plot, panel, &axes);
    plot_draw_y_axis(plot, &axes);
    fprintf(plot->file, "<text transform=\"translate(%.1f %.1f) rotate(-90)\" class=\"mid\">speed-up</text>\n",
            axes.left - 40, axes.top + PLOT_HEIGHT / 2.0);
    for (size_t line = 0; line < plot->line_count; line++) plot_draw_line(plot, panel, line, &axes);
}

static void plot_draw_legend(const struct plot *plot, double left) {
    for (size_t line = 0; line < plot->line_count; line++) {
        double y = PLOT_TOP + 8 + 22 * (double)line;
        fprintf(plot->file, "<path d=\"M%.1f %.1fh17h17\" marker-mid=\"url(#dot)\" ", left, y);
        plot_style(plot->file, plot->lines[line]->line, line);
        fprintf(plot->file, "/>\n<text x=\"%.1f\" y=\"%.1f\">%s", left + 42, y + 4, plot->lines[line]->line);
        if (plot->workers_vary) {
            int workers = plot->lines[line]->workers;
            fprintf(plot->file, ", %d worker%s", workers, workers == 1 ? "" : "s");
        }
        fputs("</text>\n", plot->file);
    }
}

void plot_write(FILE *file, const struct plot_point *points, size_t count) {
    struct plot plot = {.file = file, .points = points, .count = count};
    plot_find_panels_and_lines(&plot);
    size_t columns = plot.panel_count < PLOT_COLUMNS ? plot.panel_count : PLOT_COLUMNS;
    size_t rows = (plot.panel_count + PLOT_COLUMNS - 1) / PLOT_COLUMNS;
    size_t legend = 2 * PLOT_TOP + 22 * plot.line_count;
    size_t width = columns * PLOT_CELL_WIDTH + PLOT_LEGEND;
    size_t height = rows * PLOT_CELL_HEIGHT > legend ? rows * PLOT_CELL_HEIGHT : legend;
    fprintf(file,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%zu\" height=\"%zu\" viewBox=\"0 0 %zu %zu\" "
            "font-family=\"sans-serif\" font-size=\"12\">\n"
            "<style>.mid{text-anchor:middle}.end{text-anchor:end}</style>\n"
            "<defs><marker id=\"dot\" markerWidth=\"7\" markerHeight=\"7\" refX=\"3\" refY=\"3\" "
            "markerUnits=\"userSpaceOnUse\"><circle cx=\"3\" cy=\"3\" r=\"2.6\" fill=\"#444444\"/></marker></defs>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            width, height, width, height);
    for (size_t panel = 0; panel < plot.panel_count; panel++) plot_draw_panel(&plot, panel);
    plot_draw_legend(&plot, (double)(columns * PLOT_CELL_WIDTH + 10));
    fputs("</svg>\n", file);
}
