// Precision-recall curves.
#include "inference/report/plot.h"

#include "inference/report/html.h"

#include <math.h>

enum { LEFT = 34, TOP = 8, SIDE = 180, MOST_POINTS = 200 };

static double at_x(double recall)
{
    return LEFT + SIDE * recall;
}

static double at_y(double precision)
{
    return TOP + SIDE * (1 - precision);
}

static void axes(FILE *out)
{
    fprintf(out, "<path class=\"axis\" d=\"M%d %dV%dH%d\"/>", LEFT, TOP, TOP + SIDE, LEFT + SIDE);
    for (int i = 0; i <= 2; i++) {
        fprintf(out, "<text x=\"%d\" y=\"%.1f\" font-size=\"10\" text-anchor=\"end\">%d</text>",
                LEFT - 4, at_y(i / 2.0) + 3, 50 * i);
        fprintf(out, "<text x=\"%.1f\" y=\"%d\" font-size=\"10\" text-anchor=\"middle\">%d</text>",
                at_x(i / 2.0), TOP + SIDE + 13, 50 * i);
    }
    fprintf(out,
            "<text x=\"%d\" y=\"%d\" font-size=\"10\" text-anchor=\"middle\">recall %%</text>"
            "<text x=\"10\" y=\"%d\" font-size=\"10\" text-anchor=\"middle\" "
            "transform=\"rotate(-90 10 %d)\">precision %%</text>",
            LEFT + SIDE / 2, TOP + SIDE + 26, TOP + SIDE / 2, TOP + SIDE / 2);
}

void plot_curve(FILE *out, const struct sl_curve_point *points, uint32_t count, float threshold,
                const char *what)
{
    const uint32_t step = count / MOST_POINTS + 1;
    fprintf(out, "<svg role=\"img\" viewBox=\"0 0 %d %d\" width=\"%d\" aria-label=\"",
            LEFT + SIDE + 12, TOP + SIDE + 32, LEFT + SIDE + 12);
    html_text(out, what);
    fputs("\">", out);
    axes(out);
    if (count) {
        uint32_t here = UINT32_MAX;
        fputs("<path class=\"curve\" d=\"", out);
        for (uint32_t i = 0; i < count; i++) {
            if (points[i].score >= threshold)
                here = i;
            if (i % step == 0 || i + 1 == count)
                fprintf(out, "%c%.1f %.1f", i ? 'L' : 'M', at_x(points[i].recall),
                        at_y(points[i].precision));
        }
        fputs("\"/>", out);
        if (here != UINT32_MAX)
            fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"var(--bad)\"/>",
                    at_x(points[here].recall), at_y(points[here].precision));
    }
    fputs("</svg>", out);
}
