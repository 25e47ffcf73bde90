// Calibration pictures, and what a network computes from them.
//
// Pictures take the detector's own path to the input tensor: decoding, fit, registration against
// their reference, normalisation. What is measured on them is what the camera will feed.
#ifndef SL_INFERENCE_WORKSHOP_CALIBRATION_H
#define SL_INFERENCE_WORKSHOP_CALIBRATION_H

#include "accel/error.h"
#include "inference/graph.h"
#include "inference/model.h"

#include <stdbool.h>
#include <stdint.h>

typedef void (*workshop_progress)(void *ctx, const char *what, uint32_t done, uint32_t total);

struct calibration {
    uint32_t count;    // pictures
    uint64_t elements; // of one input tensor
    float **inputs;    // [count][elements], the network's dtype and dims
    uint32_t fitted;   // pictures that were not of the input's size
    char first[160];   // what the first of them was
};

// `folder` is a dataset as in inference/dataset.h (labels are not read) or a folder of JPEG files.
// Of more than `most` pictures (0: 64) that many are taken, evenly spread over the sorted names.
// Pictures that cannot be judged (registration refused) are left out. -EINVAL if fewer than
// `least` remain: the message says how many were found and why that many are needed.
int calibration_load(const struct sl_model *model, const char *folder, uint32_t least,
                     uint32_t most, workshop_progress progress, void *ctx, struct calibration *out,
                     struct sl_error *error);
// Says on standard error which pictures had another size, if any did.
void calibration_note(const struct calibration *calibration, const struct sl_model *model,
                      const char *command);
void calibration_free(struct calibration *calibration);

// Runs the network on every picture and hands over the float values of `tensors` (at most
// CALIBRATION_TENSORS at a time; row-major in the tensors' dims; valid during the call).
#define CALIBRATION_TENSORS 1024
typedef int (*calibration_each)(void *ctx, uint32_t picture, const float *const *values,
                                struct sl_error *error);
int calibration_run(const struct graph *graph, const struct calibration *calibration,
                    const uint32_t *tensors, uint32_t count, calibration_each each, void *ctx,
                    struct sl_error *error);

#endif
