// Convolution kernels for plain NEON: widening 16-bit products, and fused real ones.
#include "accel/cpu/arm/neon.h"

#include <string.h>

// Both values of a pixel's granule, as lanes 0 and 1.
INLINE int16x4_t load_pair(const char *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof(pair));
    return vreinterpret_s16_s32(vdup_n_s32(pair));
}

INLINE void multiply_pair(int32x4_t sums[QUADS], const int16x8x2_t low, const int16x8x2_t high,
                          int16x4_t x)
{
    UNROLLED for (int i = 0; i < 2; i++)
    {
        const int16x4_t value = i == 0 ? vdup_lane_s16(x, 0) : vdup_lane_s16(x, 1);
        sums[0] = vmlal_s16(sums[0], vget_low_s16(low.val[i]), value);
        sums[1] = vmlal_high_s16(sums[1], low.val[i], vcombine_s16(value, value));
        sums[2] = vmlal_s16(sums[2], vget_low_s16(high.val[i]), value);
        sums[3] = vmlal_high_s16(sums[3], high.val[i], vcombine_s16(value, value));
    }
}

INLINE void tile_s16(const struct cpu_conv_row *row, int64_t first, const int count)
{
    int32x4_t sums[TILE][QUADS];
    const int16_t *w = row->weights;
    start_sums(row, count, sums);
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = tap(row, s, 4, first);
        for (uint32_t k = 0; k < s->length; k++, x += 4, w += 2 * CPU_BLOCK) {
            const int16x8x2_t low = vld2q_s16(w), high = vld2q_s16(w + CPU_BLOCK);
            UNROLLED for (int p = 0; p < count; p++)
                multiply_pair(sums[p], low, high, load_pair(x + (size_t)p * row->step));
        }
    }
    store_tile(row, first, count, sums);
}

INLINE void tile_depthwise(const struct cpu_conv_row *row, int64_t first, const int count)
{
    int32x4_t sums[TILE][QUADS];
    const int16_t *w = row->weights;
    start_sums(row, count, sums);
    for (uint32_t i = 0; i < row->n_segments; i++, w += CPU_BLOCK) {
        const char *x = tap(row, &row->segments[i], 0, first);
        const int16x8_t w0 = vld1q_s16(w), w1 = vld1q_s16(w + 8);
        UNROLLED for (int p = 0; p < count; p++)
        {
            const int16_t *values = (const int16_t *)(const void *)(x + (size_t)p * row->step);
            const int16x8_t x0 = vld1q_s16(values), x1 = vld1q_s16(values + 8);
            sums[p][0] = vmlal_s16(sums[p][0], vget_low_s16(x0), vget_low_s16(w0));
            sums[p][1] = vmlal_high_s16(sums[p][1], x0, w0);
            sums[p][2] = vmlal_s16(sums[p][2], vget_low_s16(x1), vget_low_s16(w1));
            sums[p][3] = vmlal_high_s16(sums[p][3], x1, w1);
        }
    }
    store_tile(row, first, count, sums);
}

INLINE void tile_f32(const struct cpu_conv_row *row, int64_t first, const int count)
{
    float32x4_t sums[TILE][QUADS];
    const float *w = row->weights;
    start_reals(row, count, sums);
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = tap(row, s, sizeof(float), first);
        for (uint32_t k = 0; k < s->length; k++, x += sizeof(float), w += CPU_BLOCK) {
            const float32x4_t w0 = vld1q_f32(w), w1 = vld1q_f32(w + 4);
            const float32x4_t w2 = vld1q_f32(w + 8), w3 = vld1q_f32(w + 12);
            UNROLLED for (int p = 0; p < count; p++)
            {
                const float32x4_t value =
                    vld1q_dup_f32((const float *)(const void *)(x + (size_t)p * row->step));
                sums[p][0] = vfmaq_f32(sums[p][0], w0, value);
                sums[p][1] = vfmaq_f32(sums[p][1], w1, value);
                sums[p][2] = vfmaq_f32(sums[p][2], w2, value);
                sums[p][3] = vfmaq_f32(sums[p][3], w3, value);
            }
        }
    }
    store_reals(row, first, count, sums);
}

DEFINE_ROW(cpu_conv_s16_neon, tile_s16)
DEFINE_ROW(cpu_depthwise_s16_neon, tile_depthwise)
DEFINE_ROW(cpu_conv_f32_neon, tile_f32)
