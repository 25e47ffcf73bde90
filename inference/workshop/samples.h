// The inputs of a convolution or product as rows of a matrix: what one output position sees.
#ifndef SL_INFERENCE_WORKSHOP_SAMPLES_H
#define SL_INFERENCE_WORKSHOP_SAMPLES_H

#include "inference/workshop/walk.h"

// Positions of a layer's output, spread evenly over the pictures and at random over the map, always
// the same ones.
struct samples {
    uint32_t rows, k;       // k: input channels of one group x kernel height x kernel width
    uint32_t held;          // the last `held` rows come from pictures of their own
    float *exact, *changed; // [rows][k]
};

// With attention (walk.h), half of them by it.
//
// For group `group` of the node. `at_least` rows if the pictures have as many positions. Inputs
// that the kernel reads beyond the edge are 0. The two graphs' inputs must have the same dims.
int samples_take(const struct walk *walk, uint32_t node, uint32_t group, uint32_t at_least,
                 struct samples *out, struct sl_error *error);
void samples_free(struct samples *samples);

// Subtracts each column's mean, that of all rows; the means are handed over ([k] each).
void samples_centre(struct samples *samples, float *exact_mean, float *changed_mean);
// What an output of the row `changed` lacks in the mean, for its bias. Means as handed over, of the
// exact and of the changed inputs; k columns.
float samples_mean_error(const float *exact, const float *changed, float *const means[2],
                         uint32_t k);

#endif
