// Registration, inside: the pyramid, the coarse search and the fine alignment.
//
// Coordinates. A position is (x, y) in full-resolution pixels from the picture's centre. Pixel i of
// a level that is reduced by `scale` has its centre at (i + 0.5) scale - 0.5 - (side - 1) / 2.
// Levels hold grey values times 64 in 16 bits.
#ifndef SL_INFERENCE_REGISTER_IMPL_H
#define SL_INFERENCE_REGISTER_IMPL_H

#include "inference/register.h"

#include <fftw3.h>
#include <stdbool.h>

enum {
    MOST_LEVELS = 9,     // the coarsest of the largest picture has 32 pixels a side
    COARSE_SIDE = 96,    // no side of the coarsest level is longer
    MOST_POINTS = 3000,  // per level
    MOST_ANGLES = 11,    // rotations tried: -10 … 10 degrees
    MOST_CANDIDATES = 6, // coarse positions that are refined
    PEAKS_PER_ANGLE = 2,
    WARP_MARGIN = 32, // bytes that the warp may read behind the reference
};
#define ANGLE_STEP_DEG 2.0f

// Where the reference lies: p is seen at R(angle) p + (x, y).
struct pose {
    float x, y, angle; // pixels, radians
};

// Places of strong gradient on the reference, one array per quantity.
struct points {
    uint32_t count;
    float x[MOST_POINTS], y[MOST_POINTS], value[MOST_POINTS];
    float gx[MOST_POINTS], gy[MOST_POINTS], ga[MOST_POINTS]; // per pixel; ga: per pixel of arc
    float slack[MOST_POINTS]; // difference that half a pixel of this level makes
};

struct level {
    uint32_t width, height;
    float scale;
    float origin_x, origin_y; // index = position / scale + origin
    uint16_t *reference, *picture;
    struct points points;
};

struct coarse {
    uint32_t width, height, n_bins;
    float *window, *weight; // in space; in frequency
    float *pixels;
    fftwf_complex *picture, *product;
    fftwf_complex *reference[MOST_ANGLES]; // of modulus `weight`, conjugate
    fftwf_plan forward, backward;
};

struct candidate {
    struct pose pose;
    float strength;
};

struct sl_register {
    uint32_t width, height;
    bool has_reference;
    uint8_t *pixels; // the reference, with one more column and row, and a margin
    uint32_t n_levels;
    struct level levels[MOST_LEVELS]; // the finest, half size, first
    uint16_t *scratch[2];
    float arc; // radius at which a rotation is measured in pixels
    struct coarse coarse;
    float seen[MOST_POINTS], error[MOST_POINTS], trust[MOST_POINTS];
};

// Fills the reference's or the picture's side of every level.
void sl_register_pyramid(struct sl_register *reg, const struct sl_picture *picture, bool reference);

int sl_register_coarse_new(struct sl_register *reg, struct sl_error *error);
void sl_register_coarse_free(struct sl_register *reg);
void sl_register_coarse_reference(struct sl_register *reg);
// The most likely poses with rotations up to `max_angle`, strongest first.
uint32_t sl_register_coarse_find(struct sl_register *reg, float max_angle,
                                 struct candidate found[MOST_CANDIDATES]);

void sl_register_choose_points(struct sl_register *reg, struct level *level);
// Improves the pose on one level. -ENODATA: the points do not determine it.
int sl_register_align(struct sl_register *reg, const struct level *level, uint32_t most_steps,
                      struct pose *pose);
// Correlation coefficient of reference and picture on one level, where both are seen.
float sl_register_score(const struct level *level, const struct pose *pose);

#endif
