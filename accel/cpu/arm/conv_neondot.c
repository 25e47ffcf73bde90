// Convolution kernel for NEON with the dot product instructions: int8 times int8.
#include "accel/cpu/arm/neon.h"

#include <string.h>

// Granule `lane` of the pixels' four, and its weights.
#define MULTIPLY(lane)                                                                             \
    UNROLLED for (int q = 0; q < QUADS; q++)                                                       \
    {                                                                                              \
        const int8x16_t weights = vld1q_s8(w + 64 * (lane) + 16 * q);                              \
        UNROLLED for (int p = 0; p < count; p++) sums[p][q] =                                      \
            vdotq_laneq_s32(sums[p][q], weights, values[p], lane);                                 \
    }

INLINE void four_granules(const char *x, size_t step, const int8_t *w, const int count,
                          int32x4_t sums[][QUADS])
{
    int8x16_t values[TILE];
    UNROLLED for (int p = 0; p < count; p++) values[p] =
        vld1q_s8((const int8_t *)x + (size_t)p * step);
    MULTIPLY(0)
    MULTIPLY(1)
    MULTIPLY(2)
    MULTIPLY(3)
}

INLINE void one_granule(const char *x, size_t step, const int8_t *w, const int count,
                        int32x4_t sums[][QUADS])
{
    int8x16_t values[TILE];
    UNROLLED for (int p = 0; p < count; p++)
    {
        int32_t granule;
        memcpy(&granule, x + (size_t)p * step, sizeof(granule));
        values[p] = vreinterpretq_s8_s32(vdupq_n_s32(granule));
    }
    MULTIPLY(0)
}

INLINE void tile_dot(const struct cpu_conv_row *row, int64_t first, const int count)
{
    int32x4_t sums[TILE][QUADS];
    const int8_t *w = row->weights;
    start_sums(row, count, sums);
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = tap(row, s, 4, first);
        uint32_t k = 0;
        for (; s->length - k >= 4; k += 4, x += 16, w += 16 * CPU_BLOCK)
            four_granules(x, row->step, w, count, sums);
        for (; k < s->length; k++, x += 4, w += 4 * CPU_BLOCK)
            one_granule(x, row->step, w, count, sums);
    }
    store_tile(row, first, count, sums);
}

DEFINE_ROW(cpu_conv_sdot_neondot, tile_dot)
