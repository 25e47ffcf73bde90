// How far the outputs of a changed network are from those of the float network, on a few pictures.
#ifndef SL_INFERENCE_WORKSHOP_OUTPUT_ERROR_H
#define SL_INFERENCE_WORKSHOP_OUTPUT_ERROR_H

#include "inference/workshop/attention.h"

struct output_error {
    const struct graph *graph;
    const struct attention *attention;
    struct calibration few; // the first pictures
    float **exact;          // [picture * outputs + output]
    double sum;
};

// Runs `graph`, which must outlive it, as the calibration pictures must and `attention`, by which
// positions of feature maps count; NULL: all alike.
int output_error_begin(const struct graph *graph, const struct calibration *calibration,
                       const struct attention *attention, struct output_error *out,
                       struct sl_error *error);
// Mean squared error relative to the size of each channel, summed over outputs and pictures. The
// changed network has the same outputs by number.
int output_error_of(struct output_error *outputs, const struct graph *changed, double *out,
                    struct sl_error *error);
void output_error_end(struct output_error *outputs);

#endif
