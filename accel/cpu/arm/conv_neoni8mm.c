// Convolution kernel for NEON with the matrix instructions: two pixels times two channels at once,
// uint8 times int8.
#include "accel/cpu/arm/neon.h"

#define PAIRS (TILE / 2)      // of pixels
#define ENDS  (CPU_BLOCK / 2) // pairs of channels

// Eight bytes of each pixel of the pair; without a second, its own again.
INLINE uint8x16_t load_pixels(const uint8_t *x, size_t step, bool second)
{
    return vcombine_u8(vld1_u8(x), vld1_u8(x + (second ? step : 0)));
}

// Sums of a pair: both pixels start with the bias, [pixel][channel].
INLINE int32x4_t start_pair(const int32_t *bias)
{
    const int32x2_t two = vld1_s32(bias);
    return vcombine_s32(two, two);
}

INLINE int32x4_t join(int32x4_t a, int32x4_t b, bool second)
{
    const int64x2_t first_a = vreinterpretq_s64_s32(a), first_b = vreinterpretq_s64_s32(b);
    return vreinterpretq_s32_s64(second ? vzip2q_s64(first_a, first_b)
                                        : vzip1q_s64(first_a, first_b));
}

INLINE void store_pair(const struct cpu_conv_row *row, int64_t pixel, const int32x4_t sums[ENDS],
                       bool second)
{
    int32x4_t quads[QUADS];
    UNROLLED for (int q = 0; q < QUADS; q++) quads[q] = join(sums[2 * q], sums[2 * q + 1], second);
    store_pixel(row, pixel, quads);
}

INLINE void tile_matrix(const struct cpu_conv_row *row, int64_t first, const int count)
{
    int32x4_t sums[PAIRS][ENDS];
    const int8_t *w = row->weights;
    UNROLLED for (int p = 0; p < count; p += 2) UNROLLED for (int o = 0; o < ENDS; o++)
        sums[p / 2][o] = start_pair(row->epilogue->bias + 2 * o);
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const uint8_t *x = (const uint8_t *)tap(row, s, 8, first);
        for (uint32_t k = 0; k < s->length; k++, x += 8, w += 8 * CPU_BLOCK) {
            uint8x16_t values[PAIRS];
            UNROLLED for (int p = 0; p < count; p += 2) values[p / 2] =
                load_pixels(x + (size_t)p * row->step, row->step, p + 1 < count);
            UNROLLED for (int o = 0; o < ENDS; o++)
            {
                const int8x16_t weights = vld1q_s8(w + 16 * o);
                UNROLLED for (int p = 0; p < count; p += 2) sums[p / 2][o] =
                    vusmmlaq_s32(sums[p / 2][o], values[p / 2], weights);
            }
        }
    }
    UNROLLED for (int p = 0; p < count; p++) store_pair(row, first + p, sums[p / 2], p % 2);
}

DEFINE_ROW(cpu_conv_matrix_neoni8mm, tile_matrix)
