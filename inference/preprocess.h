// Any picture becomes byte planes of the network's input size, then the input tensor.
#ifndef SL_INFERENCE_PREPROCESS_H
#define SL_INFERENCE_PREPROCESS_H

#include "inference/model.h"
#include "inference/picture.h"

// How picture coordinates map to input coordinates: input = picture * scale + offset.
struct sl_fit_map {
    float scale_x, scale_y, offset_x, offset_y;
};

struct sl_preprocess; // scratch for one model's input; grows when a wider picture comes

int sl_preprocess_new(const struct sl_input_contract *input, struct sl_preprocess **out,
                      struct sl_error *error);
void sl_preprocess_free(struct sl_preprocess *pre);

// Checks a picture that came from outside: format, size, planes, strides.
int sl_picture_check(const struct sl_picture *picture, struct sl_error *error);

// Writes the picture in grey (grey true) or red, green, blue planes of the input's size, bilinear,
// by the model's fit. Allocates only when the picture is wider than any before.
int sl_preprocess_planes(struct sl_preprocess *pre, const struct sl_picture *picture, bool grey,
                         uint8_t *const planes[3], struct sl_fit_map *map, struct sl_error *error);

// tensor = (plane - mean) / std, `count` values.
void sl_preprocess_normalise(const uint8_t *plane, size_t count, float mean, float std,
                             float *tensor);

#endif
