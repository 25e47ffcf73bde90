// The noise that rounding is expected to make in the results of layers, for given scales of their
// input channels.
//
// A tensor has one step for all its channels, a row of weights one for all its columns; errors are
// taken as even within a step (variance step^2 / 12) and independent.
#ifndef SL_INFERENCE_WORKSHOP_EQUALISE_NOISE_H
#define SL_INFERENCE_WORKSHOP_EQUALISE_NOISE_H

#include "accel/error.h"
#include "inference/graph.h"

#include <stdint.h>

// A convolution, its input channels and its weights, summed up per row and input channel.
struct noise_reader {
    uint32_t node, range; // range: number of the range that its input has
    uint32_t channels, rows, per_row, rows_per_group;
    const uint32_t *classes;  // [channels], the caller's
    float *energy, *greatest; // [rows][per_row]: sum of squares and greatest absolute weight
    uint32_t area;            // of the kernel
    float *low, *high;        // [channels]: on the calibration pictures
    double *moment;           // [channels]: mean square
    double power;             // of the results
};

int noise_reader_open(const struct graph *graph, uint32_t node, const uint32_t *classes,
                      struct noise_reader *out, struct sl_error *error);
void noise_reader_see(const struct graph *graph, struct noise_reader *reader, const float *values,
                      double share);
void noise_reader_finish(struct noise_reader *reader); // after the last picture
void noise_reader_close(struct noise_reader *reader);

// The greatest absolute value of a channel; the greatest weight that it meets, 1 being the layer's.
float noise_most(const struct noise_reader *reader, uint32_t channel);
float noise_weight(const struct noise_reader *reader, uint32_t channel);

struct noise_ranges {
    uint32_t count;
    struct {
        float low, high;
    } * rows; // zeroed; used inside
};

// Sum over the readers of noise to power, with the channels of class k divided by scale[k].
double noise_expected(const struct noise_reader *const *readers, uint32_t count, const float *scale,
                      struct noise_ranges *ranges);

#endif
