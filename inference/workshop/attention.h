// Where on the calibration pictures something is to be seen.
//
// A detector's pictures are background nearly everywhere, and least squares on evenly spread
// positions would care for little else. The network itself says where there is more: at positions
// where the last convolutions before its outputs answer unusually. No labels are needed.
#ifndef SL_INFERENCE_WORKSHOP_ATTENTION_H
#define SL_INFERENCE_WORKSHOP_ATTENTION_H

#include "inference/workshop/calibration.h"

struct attention {
    uint32_t pictures, rows, columns; // of the grid that is laid over each picture
    float **maps; // [picture][rows * columns], mean 1; even where nothing stands
                  // out; NULL: the network has no last feature maps
};

int attention_find(const struct graph *graph, const struct calibration *calibration,
                   struct attention *out, struct sl_error *error);
void attention_free(struct attention *attention);

// How much a position of a map of `height` x `width` counts on a picture: 1 on the average.
float attention_at(const struct attention *attention, uint32_t picture, int64_t y, int64_t x,
                   int64_t height, int64_t width);

#endif
