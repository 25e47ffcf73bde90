// A simple camera. Integer arithmetic in the pixel loops, so that pictures are the same everywhere.
#include "pipeline/line/imaging.h"

#include <math.h>
#include <stddef.h>

// Taylor series instead of the C library's functions, whose last bit may differ between machines;
// angles here are a few degrees.
struct pose pose_make(float shift_x, float shift_y, float rotation_deg)
{
    const float a = rotation_deg * 0.017453293f, a2 = a * a;
    return (struct pose){shift_x, shift_y, 1 - a2 / 2 + a2 * a2 / 24,
                         a * (1 - a2 / 6 + a2 * a2 / 120)};
}

struct point pose_apply(const struct pose *pose, const struct canvas *canvas, struct point p)
{
    const float cx = (float)(canvas->width - 1) / 2, cy = (float)(canvas->height - 1) / 2;
    const float x = p.x - cx, y = p.y - cy;
    return (struct point){cx + pose->cosine * x - pose->sine * y + pose->shift_x,
                          cy + pose->sine * x + pose->cosine * y + pose->shift_y};
}

static uint32_t pixel_or_board(const struct canvas *board, int x, int y)
{
    return canvas_has(board, x, y) ? board->pixels[y * board->width + x] : BOARD;
}

void imaging_move(const struct canvas *board, const struct pose *pose, uint8_t *dst)
{
    const int width = board->width, height = board->height;
    const float cx = (float)(width - 1) / 2, cy = (float)(height - 1) / 2;
    const int32_t step_x = (int32_t)lrintf(pose->cosine * 65536);
    const int32_t step_y = (int32_t)lrintf(-pose->sine * 65536);
    for (int y = 0; y < height; y++) {
        // Where column 0 of this row comes from: the inverse rotation of the moved point.
        const float px = -cx - pose->shift_x, py = (float)y - cy - pose->shift_y;
        int32_t sx = (int32_t)lrintf((cx + pose->cosine * px + pose->sine * py) * 65536);
        int32_t sy = (int32_t)lrintf((cy - pose->sine * px + pose->cosine * py) * 65536);
        for (int x = 0; x < width; x++, sx += step_x, sy += step_y) {
            const int column = sx >> 16, row = sy >> 16;
            const uint32_t fx = (uint32_t)(sx >> 8) & 255, fy = (uint32_t)(sy >> 8) & 255;
            const uint32_t top = pixel_or_board(board, column, row) * (256 - fx) +
                                 pixel_or_board(board, column + 1, row) * fx;
            const uint32_t bottom = pixel_or_board(board, column, row + 1) * (256 - fx) +
                                    pixel_or_board(board, column + 1, row + 1) * fx;
            dst[y * width + x] = (uint8_t)((top * (256 - fy) + bottom * fy + 32768) >> 16);
        }
    }
}

// Seven taps, 16.16 weights that add to 65536.
static void taps(float sigma, uint32_t weight[4])
{
    float w[4], sum = 0;
    for (int i = 0; i < 4; i++) {
        w[i] = expf(-(float)(i * i) / (2 * sigma * sigma));
        sum += i ? 2 * w[i] : w[i];
    }
    weight[0] = 65536;
    for (int i = 1; i < 4; i++) {
        weight[i] = (uint32_t)(w[i] / sum * 65536 + 0.5f);
        weight[0] -= 2 * weight[i];
    }
}

static int clamp_index(int i, int count)
{
    return i < 0 ? 0 : i >= count ? count - 1 : i;
}

// One line of `count` pixels `step` apart.
static void blur_line(const uint8_t *src, uint8_t *dst, int count, int step, const uint32_t w[4])
{
    for (int i = 0; i < count; i++) {
        uint32_t sum = 32768 + w[0] * src[i * step];
        for (int k = 1; k < 4; k++)
            sum += w[k] * ((uint32_t)src[clamp_index(i - k, count) * step] +
                           src[clamp_index(i + k, count) * step]);
        dst[i * step] = (uint8_t)(sum >> 16);
    }
}

// Columns are done a row at a time, to walk memory in order.
static void blur_columns(const uint8_t *src, uint8_t *dst, int width, int height,
                         const uint32_t w[4])
{
    for (int y = 0; y < height; y++) {
        const uint8_t *row[7];
        for (int k = 0; k < 7; k++)
            row[k] = src + clamp_index(y + k - 3, height) * width;
        for (int x = 0; x < width; x++) {
            const uint32_t sum =
                32768 + w[0] * row[3][x] + w[1] * ((uint32_t)row[2][x] + row[4][x]) +
                w[2] * ((uint32_t)row[1][x] + row[5][x]) + w[3] * ((uint32_t)row[0][x] + row[6][x]);
            dst[y * width + x] = (uint8_t)(sum >> 16);
        }
    }
}

void imaging_blur(uint8_t *pixels, uint8_t *scratch, int width, int height, float sigma)
{
    uint32_t weight[4];
    if (sigma < 0.2f)
        return;
    taps(sigma, weight);
    for (int y = 0; y < height; y++)
        blur_line(pixels + y * width, scratch + y * width, width, 1, weight);
    blur_columns(scratch, pixels, width, height, weight);
}

// The sum of twelve even numbers is close to normal with variance 1 (central limit theorem).
void imaging_noise_table(int8_t *table, uint64_t seed)
{
    struct random r = {seed};
    for (int i = 0; i < NOISE_TABLE; i++) {
        float sum = -6;
        for (int k = 0; k < 12; k++)
            sum += random_unit(&r);
        const float value = sum * 32;
        table[i] = (int8_t)(value > 127 ? 127 : value < -127 ? -127 : value);
    }
}

static uint8_t clamp_byte(int32_t value)
{
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

void imaging_expose(const uint8_t *pixels, int width, int height, const struct light *light,
                    const int8_t *noise, float sigma, struct random *r, uint8_t *dst,
                    uint32_t stride)
{
    const int32_t strength = (int32_t)(sigma * 8); // 16.16 per table unit of 1/32, then >> 8
    const int32_t offset = (int32_t)(light->offset * 65536) + 32768;
    const int32_t step = (int32_t)(light->slope_x * 2 / (float)width * 65536);
    for (int y = 0; y < height; y++) {
        const float v = (float)(2 * y) / (float)height - 1;
        int32_t gain = (int32_t)((light->gain - light->slope_x + light->slope_y * v) * 65536);
        uint32_t at = (uint32_t)random_u64(r);
        const uint8_t *src = pixels + y * width;
        uint8_t *out = dst + (size_t)y * stride;
        for (int x = 0; x < width; x++, gain += step, at++) {
            int32_t value = src[x] * gain + offset;
            if (noise)
                value += noise[at % NOISE_TABLE] * strength * 256;
            out[x] = clamp_byte(value >> 16);
        }
    }
}
