// Plots of a page, as vectors.
#ifndef SL_INFERENCE_REPORT_PLOT_H
#define SL_INFERENCE_REPORT_PLOT_H

#include "inference/metrics_view.h"

#include <stdio.h>

// A precision-recall curve with the point of `threshold` on it. `what` is its description.
void plot_curve(FILE *out, const struct sl_curve_point *points, uint32_t count, float threshold,
                const char *what);

#endif
