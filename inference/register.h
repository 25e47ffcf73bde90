// Registration: where the reference lies in the picture (shift and small rotation), and the
// reference warped to lie on it.
//
// Method: phase correlation on reduced pictures for the shift, then Gauss-Newton on strong
// gradients of the reference (inverse compositional alignment: Baker and Matthews, "Lucas-Kanade
// 20 years on", IJCV 2004) from coarse to full resolution.
#ifndef SL_INFERENCE_REGISTER_H
#define SL_INFERENCE_REGISTER_H

#include "accel/error.h"
#include "inference/picture.h"

#include <stdint.h>

// Reference point p (pixels, measured from the picture's centre) is seen at R(rotation) p + shift.
struct sl_registration {
    float dx_px, dy_px;
    float rotation_deg; // counter-clockwise as seen on the screen is negative (y points down)
    float score;        // correlation coefficient of the two pictures after alignment, -1 … 1
};

struct sl_register_limits {
    float max_shift_px, max_rotation_deg;
    float min_score; // below: the picture does not show this part
};

struct sl_register; // scratch memory for one size of picture; one thread at a time

int sl_register_new(uint32_t width, uint32_t height, struct sl_register **out,
                    struct sl_error *error);
void sl_register_free(struct sl_register *reg);

// Takes the reference (grey, of the size given at new): its spectrum, gradients and normal
// equations. Copies what it keeps; allocates nothing.
int sl_register_set_reference(struct sl_register *reg, const struct sl_picture *reference,
                              struct sl_error *error);

// Finds the reference in `picture` (grey, same size). -ERANGE: beyond a limit, the message and
// *out say what was found; -ENODATA: no reference set, or nothing in the pictures to hold on to.
int sl_register_find(struct sl_register *reg, const struct sl_picture *picture,
                     const struct sl_register_limits *limits, struct sl_registration *out,
                     struct sl_error *error);

// Writes the reference as it would be seen in the picture (bilinear). Where the reference has no
// pixel, the picture's own is taken, so that no difference appears there.
void sl_register_warp(const struct sl_register *reg, const struct sl_registration *registration,
                      const struct sl_picture *picture, uint8_t *dst, uint32_t stride);

#endif
