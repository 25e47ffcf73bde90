// The reference laid on the picture: bilinear, in 16.16 fixed point.
#include "inference/register_internal.h"

#include <math.h>
#include <string.h>

// A row walks through the reference in nearly whole steps: pieces of it read neighbouring pixels of
// the same two rows, with fractions that change slowly. Such a piece is a plain loop.
struct walk {
    int32_t x, y, step_x, step_y; // 16.16
};

static void blend_piece(const uint8_t *top, const uint8_t *bottom, struct walk w, int count,
                        uint8_t *dst)
{
    for (int i = 0; i < count; i++) {
        const int32_t fx = ((w.x + i * w.step_x) >> 8) & 255,
                      fy = ((w.y + i * w.step_y) >> 8) & 255;
        const int32_t a = top[i] * 256 + (top[i + 1] - top[i]) * fx;
        const int32_t b = bottom[i] * 256 + (bottom[i + 1] - bottom[i]) * fx;
        dst[i] = (uint8_t)((a * 256 + (b - a) * fy + 32768) >> 16);
    }
}

// How many steps until the fraction leaves its whole number, where `drift` is what it changes by.
static int steps_left(int32_t fraction, int32_t drift)
{
    if (drift == 0)
        return 1 << 20;
    return drift > 0 ? (65535 - fraction) / drift + 1 : fraction / -drift + 1;
}

static void warp_row(const uint8_t *reference, int width, int height, struct walk w,
                     const uint8_t *picture, uint8_t *dst)
{
    int x = 0;
    while (x < width) {
        const int column = w.x >> 16, row = w.y >> 16;
        int count = 1;
        if (column >= 0 && row >= 0 && column + 1 < width && row + 1 < height) {
            const int by_x = steps_left(w.x & 65535, w.step_x - 65536);
            const int by_y = steps_left(w.y & 65535, w.step_y);
            count = by_x < by_y ? by_x : by_y;
            count = count < width - x ? count : width - x;
            count = count < width - 1 - column ? count : width - 1 - column;
            const uint8_t *at = reference + (size_t)row * (size_t)width + column;
            blend_piece(at, at + width, w, count, dst + x);
        } else {
            dst[x] = picture[x];
        }
        x += count;
        w.x += count * w.step_x;
        w.y += count * w.step_y;
    }
}

void sl_register_warp(const struct sl_register *reg, const struct sl_registration *r,
                      const struct sl_picture *picture, uint8_t *dst, uint32_t stride)
{
    const struct level *l = &reg->levels[0];
    const int width = (int)l->width, height = (int)l->height;
    const float angle = r->rotation_deg * 0.017453293f, c = cosf(angle), s = sinf(angle);
    const float cx = (float)(width - 1) / 2, cy = (float)(height - 1) / 2;
    for (int y = 0; y < height; y++) {
        const float px = -cx - r->dx_px, py = (float)y - cy - r->dy_px;
        const struct walk walk = {(int32_t)lrintf((cx + c * px + s * py) * 65536),
                                  (int32_t)lrintf((cy - s * px + c * py) * 65536),
                                  (int32_t)lrintf(c * 65536), (int32_t)lrintf(-s * 65536)};
        warp_row(l->reference, width, height, walk,
                 picture->plane[0] + (size_t)y * picture->stride[0], dst + (size_t)y * stride);
    }
}
