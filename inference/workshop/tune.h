// All layers of a smaller network together, by gradient descent towards what the whole network
// makes of the calibration pictures. No labels: the whole network is the teacher (Hinton, Vinyals
// and Dean, "Distilling the Knowledge in a Neural Network", 2015), the difference of the heads'
// feature maps the loss. Steps by Adam (Kingma and Ba, ICLR 2015) on patches from where something
// is to be seen.
#ifndef SL_INFERENCE_WORKSHOP_TUNE_H
#define SL_INFERENCE_WORKSHOP_TUNE_H

#include "inference/workshop/attention.h"

#include <stdbool.h>

struct tune_options {
    uint32_t steps; // of four patches
    workshop_progress progress;
    void *ctx;
};

struct tune_report {
    bool done;              // false: the held out pictures were not better for it, or `why`
    float before, after;    // mean loss on the held out pictures
    char why[SL_ERROR_MAX]; // the node for which nothing was done, or ""
};

struct tune_patch {
    uint32_t picture;
    int64_t top, left;
    uint32_t turn; // bits: from below, from the right, rows as columns (of square patches)
};

// Copies a patch of side[0] x side[1] out of a picture of size[0] channels, size[1] x size[2].
void tune_cut_patch(const float *picture, const int64_t size[3], const struct tune_patch *patch,
                    const int64_t side[2], float *to);

// Changes the weights of `student`, whose heads have the same tensor numbers as those of `teacher`.
// The same result whatever the number of processors.
int tune_network(const struct graph *teacher, struct graph *student,
                 const struct calibration *calibration, const struct attention *attention,
                 const struct tune_options *options, struct tune_report *out,
                 struct sl_error *error);

#endif
