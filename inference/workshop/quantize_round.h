// Float weights of one group of a layer -> whole numbers and scales.
#ifndef SL_INFERENCE_WORKSHOP_QUANTIZE_ROUND_H
#define SL_INFERENCE_WORKSHOP_QUANTIZE_ROUND_H

#include "inference/workshop/samples.h"

#include <stdbool.h>
#include <stdint.h>

struct round_task {
    uint32_t m, k;        // rows (output channels) and inputs of this group
    const float *weights; // [m][k], float
    uint32_t span;        // so many inputs of a row have one scale
    float levels;         // numbers go from -levels to levels
    struct samples samples;
    float *h, *cross; // [k][k]: second moments of the rounded inputs, and with the exact ones
    float *diagonal;  // [k] of h
    float *target;    // [m][k]: the corrected weights
    float *scale;     // [m][round_scales()]
    float *q;         // [m][k], whole numbers
};

uint32_t round_scales(const struct round_task *task); // of a row
// Room for what is found; m, k and span are given.
int round_open(struct round_task *task, struct sl_error *error);
void round_close(struct round_task *task);

// To the nearest whole number. With `search` the scale is that of the least squared error, each
// input weighted by `diagonal` (NULL: alike).
void round_nearest(struct round_task *task, const float *weights, const float *diagonal,
                   bool search);

// To nearest or with second-order compensation, with or without correction for the errors so far:
// whatever is best on the samples that are held out.
int round_group(struct round_task *task, bool *compensated, struct sl_error *error);

#endif
