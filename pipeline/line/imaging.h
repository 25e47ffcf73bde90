// What a camera makes of a board: position, lens, light, sensor.
#ifndef SL_PIPELINE_LINE_IMAGING_H
#define SL_PIPELINE_LINE_IMAGING_H

#include "pipeline/line/canvas.h"
#include "pipeline/line/random.h"

#include <stdint.h>

struct pose { // board point p, from the centre, is seen at R p + shift
    float shift_x, shift_y;
    float cosine, sine;
};

struct pose pose_make(float shift_x, float shift_y, float rotation_deg);
struct point pose_apply(const struct pose *pose, const struct canvas *canvas, struct point p);

// dst: width bytes a row, of the canvas' size. Beyond the board the picture is bare.
void imaging_move(const struct canvas *board, const struct pose *pose, uint8_t *dst);

// In place; `scratch` holds one picture.
void imaging_blur(uint8_t *pixels, uint8_t *scratch, int width, int height, float sigma);

struct light { // pixel * (gain + slope_x u + slope_y v) + offset, u and v from -1 to 1
    float gain, slope_x, slope_y, offset;
};

// Applies light and noise while copying to the caller's rows. `noise` is a table of
// NOISE_TABLE standard normal values times 64, or NULL for none.
#define NOISE_TABLE 65536
void imaging_noise_table(int8_t *table, uint64_t seed);
void imaging_expose(const uint8_t *pixels, int width, int height, const struct light *light,
                    const int8_t *noise, float sigma, struct random *r, uint8_t *dst,
                    uint32_t stride);

#endif
