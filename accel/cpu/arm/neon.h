// What the NEON kernels share: unrolled tiles, and how sixteen 32-bit sums become sixteen bytes or
// floats.
#ifndef SL_ACCEL_CPU_ARM_NEON_H
#define SL_ACCEL_CPU_ARM_NEON_H

#include "accel/cpu/kernels.h"

#include <arm_neon.h>
#include <stdbool.h>

#define INLINE static inline __attribute__((always_inline))
// Loops over the pixels of a tile must go, so that its sums are registers.
#ifdef __clang__
#define UNROLLED _Pragma("unroll")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

// Output pixels that a convolution kernel computes together: 4 x 16 sums are 16 registers.
#define TILE 4

// The sums of CPU_BLOCK channels of one pixel.
#define QUADS (CPU_BLOCK / 4)

INLINE const char *tap(const struct cpu_conv_row *row, const struct cpu_segment *s, size_t granule,
                       int64_t pixel)
{
    return (const char *)row->runs[s->run] + (size_t)pixel * row->step + s->first * granule;
}

INLINE void start_sums(const struct cpu_conv_row *row, const int count, int32x4_t sums[][QUADS])
{
    UNROLLED for (int p = 0; p < count; p++) UNROLLED for (int q = 0; q < QUADS; q++) sums[p][q] =
        vld1q_s32(row->epilogue->bias + 4 * q);
}

// As C's x > low ? x : low: NaN becomes `low`, and of two zeros the second counts.
INLINE float32x4_t clamp(float32x4_t x, float low, float high)
{
    const float32x4_t least = vdupq_n_f32(low), most = vdupq_n_f32(high);
    x = vbslq_f32(vcgtq_f32(x, least), x, least);
    return vbslq_f32(vcltq_f32(x, most), x, most);
}

INLINE float32x4_t scaled(const struct cpu_epilogue *e, int32x4_t sums, int quad)
{
    return vmulq_f32(vcvtq_f32_s32(sums), vld1q_f32(e->multiplier + 4 * quad));
}

INLINE void widen_residual(const uint8_t *bytes, bool is_signed, float32x4_t out[QUADS])
{
    const uint8x16_t u = vld1q_u8(bytes);
    int16x8_t low = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(u)));
    int16x8_t high = vreinterpretq_s16_u16(vmovl_high_u8(u));
    if (is_signed) {
        low = vmovl_s8(vget_low_s8(vreinterpretq_s8_u8(u)));
        high = vmovl_high_s8(vreinterpretq_s8_u8(u));
    }
    out[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
    out[1] = vcvtq_f32_s32(vmovl_high_s16(low));
    out[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
    out[3] = vcvtq_f32_s32(vmovl_high_s16(high));
}

// The low bytes of sixteen integers.
INLINE uint8x16_t low_bytes(const int32x4_t q[QUADS])
{
    const int16x8_t low = vmovn_high_s32(vmovn_s32(q[0]), q[1]);
    const int16x8_t high = vmovn_high_s32(vmovn_s32(q[2]), q[3]);
    return vreinterpretq_u8_s8(vmovn_high_s16(vmovn_s16(low), high));
}

INLINE void store_added(const struct cpu_epilogue *e, const int32x4_t sums[QUADS],
                        const uint8_t *residual, uint8_t *y)
{
    const struct cpu_add *add = e->add;
    const bool is_a = add->residual_is_a;
    const float32x4_t offset = vdupq_n_f32(add->offset), zero = vdupq_n_f32((float)e->zero);
    float32x4_t other[QUADS];
    int32x4_t rounded[QUADS];
    widen_residual(residual, is_a ? add->a_signed : add->b_signed, other);
    UNROLLED for (int q = 0; q < QUADS; q++)
    {
        float32x4_t own = vrndnq_f32(clamp(scaled(e, sums[q], q), e->low, e->high));
        own = vaddq_f32(own, zero);
        float32x4_t sum = vfmaq_n_f32(offset, is_a ? own : other[q], add->b_ratio);
        sum = vfmaq_n_f32(sum, is_a ? other[q] : own, add->a_ratio);
        rounded[q] = vcvtnq_s32_f32(clamp(sum, add->low, add->high));
    }
    vst1q_u8(y, low_bytes(rounded));
}

// Conversion and narrowing saturate, so that bytes alone need to meet their bounds.
INLINE void store_bytes(const struct cpu_epilogue *e, const int32x4_t sums[QUADS], uint8_t *y)
{
    const int16x8_t zero = vdupq_n_s16((int16_t)e->zero);
    const int32_t low = (int32_t)e->low + e->zero, high = (int32_t)e->high + e->zero;
    int16x8_t words[2];
    UNROLLED for (int i = 0; i < 2; i++)
    {
        const int32x4_t a = vcvtnq_s32_f32(scaled(e, sums[2 * i], 2 * i));
        const int32x4_t b = vcvtnq_s32_f32(scaled(e, sums[2 * i + 1], 2 * i + 1));
        words[i] = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a), b), zero);
    }
    if (e->y_signed) {
        const int8x16_t bytes = vqmovn_high_s16(vqmovn_s16(words[0]), words[1]);
        const int8x16_t raised = vmaxq_s8(bytes, vdupq_n_s8((int8_t)low));
        vst1q_u8(y, vreinterpretq_u8_s8(vminq_s8(raised, vdupq_n_s8((int8_t)high))));
    } else {
        const uint8x16_t bytes = vqmovun_high_s16(vqmovun_s16(words[0]), words[1]);
        const uint8x16_t raised = vmaxq_u8(bytes, vdupq_n_u8((uint8_t)low));
        vst1q_u8(y, vminq_u8(raised, vdupq_n_u8((uint8_t)high)));
    }
}

INLINE void store_pixel(const struct cpu_conv_row *row, int64_t pixel, const int32x4_t sums[QUADS])
{
    const struct cpu_epilogue *e = row->epilogue;
    void *y = (char *)row->y + (size_t)pixel * row->y_step;
    if (e->to_sums) {
        UNROLLED for (int q = 0; q < QUADS; q++) vst1q_s32((int32_t *)y + 4 * q, sums[q]);
    } else if (e->to_real) {
        UNROLLED for (int q = 0; q < QUADS; q++)
            vst1q_f32((float *)y + 4 * q, clamp(scaled(e, sums[q], q), e->low, e->high));
    } else if (e->add) {
        store_added(e, sums, e->residual + (size_t)pixel * e->residual_step, y);
    } else {
        store_bytes(e, sums, y);
    }
}

INLINE void store_tile(const struct cpu_conv_row *row, int64_t first, const int count,
                       int32x4_t sums[][QUADS])
{
    UNROLLED for (int p = 0; p < count; p++) store_pixel(row, first + p, sums[p]);
}

INLINE void start_reals(const struct cpu_conv_row *row, const int count, float32x4_t sums[][QUADS])
{
    UNROLLED for (int p = 0; p < count; p++) UNROLLED for (int q = 0; q < QUADS; q++) sums[p][q] =
        vld1q_f32(row->epilogue->bias_real + 4 * q);
}

INLINE void store_reals(const struct cpu_conv_row *row, int64_t first, const int count,
                        float32x4_t sums[][QUADS])
{
    const struct cpu_epilogue *e = row->epilogue;
    UNROLLED for (int p = 0; p < count; p++) UNROLLED for (int q = 0; q < QUADS; q++)
    {
        char *y = (char *)row->y + (size_t)(first + p) * row->y_step;
        vst1q_f32((float *)(void *)y + 4 * q, clamp(sums[p][q], e->low, e->high));
    }
}

#define DEFINE_ROW(name, tile)                                                                     \
    void name(const struct cpu_conv_row *row)                                                      \
    {                                                                                              \
        int64_t first = 0;                                                                         \
        for (; row->pixels - first >= TILE; first += TILE)                                         \
            tile(row, first, TILE);                                                                \
        switch (row->pixels - first) {                                                             \
        case 3:                                                                                    \
            tile(row, first, 3);                                                                   \
            break;                                                                                 \
        case 2:                                                                                    \
            tile(row, first, 2);                                                                   \
            break;                                                                                 \
        case 1:                                                                                    \
            tile(row, first, 1);                                                                   \
            break;                                                                                 \
        default:                                                                                   \
            break;                                                                                 \
        }                                                                                          \
    }

#endif
