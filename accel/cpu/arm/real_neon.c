// Element-wise and depthwise kernels on float32 for NEON; what is left over goes to the C kernels.
#include "accel/cpu/arm/neon.h"
#include "accel/cpu/real_math.h"

INLINE float32x4_t exponential(float32x4_t x)
{
    static const float terms[] = EXP_TERMS;
    x = clamp(x, EXP_LOW, EXP_HIGH);
    const float32x4_t n = vrndnq_f32(vmulq_n_f32(x, LOG2_E));
    float32x4_t r = vfmsq_f32(x, n, vdupq_n_f32(LN2_COARSE));
    r = vfmsq_f32(r, n, vdupq_n_f32(LN2_REST));
    float32x4_t sum = vdupq_n_f32(terms[0]);
    UNROLLED for (size_t i = 1; i < sizeof(terms) / sizeof(*terms); i++) sum =
        vfmaq_f32(vdupq_n_f32(terms[i]), sum, r);
    const int32x4_t bits = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
    return vmulq_f32(sum, vreinterpretq_f32_s32(vshlq_n_s32(bits, 23)));
}

INLINE float32x4_t sigmoid(float32x4_t x)
{
    const float32x4_t one = vdupq_n_f32(1.0f);
    return vdivq_f32(one, vaddq_f32(one, exponential(vnegq_f32(x))));
}

INLINE float32x4_t activate(const struct cpu_unary *f, float32x4_t x)
{
    switch (f->kind) {
    case CPU_SIGMOID:
        return sigmoid(x);
    case CPU_SILU:
        return vmulq_f32(x, sigmoid(x));
    case CPU_LEAKY:
        return vbslq_f32(vcltzq_f32(x), vmulq_n_f32(x, f->alpha), x);
    case CPU_HARD_SIGMOID:
        return clamp(vaddq_f32(vmulq_n_f32(x, f->alpha), vdupq_n_f32(f->beta)), 0.0f, 1.0f);
    case CPU_HARD_SWISH: {
        const float32x4_t ramp = vmulq_n_f32(x, 1.0f / 6.0f);
        return vmulq_f32(x, clamp(vaddq_f32(ramp, vdupq_n_f32(0.5f)), 0.0f, 1.0f));
    }
    case CPU_CLAMP:
        break;
    }
    return clamp(x, f->alpha, f->beta);
}

void cpu_unary_f32_neon(const struct cpu_unary *f, const float *x, float *y, int64_t count)
{
    int64_t i = 0;
    for (; count - i >= 4; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        vst1q_f32(y + i, vbslq_f32(vceqq_f32(v, v), activate(f, v), v));
    }
    cpu_unary_f32_c(f, x + i, y + i, count - i);
}

void cpu_binary_f32_neon(enum cpu_binary kind, const float *a, const float *b, float *y,
                         int64_t count)
{
    int64_t i = 0;
    for (; count - i >= 4; i += 4) {
        const float32x4_t u = vld1q_f32(a + i), v = vld1q_f32(b + i);
        vst1q_f32(y + i, kind == CPU_ADD   ? vaddq_f32(u, v)
                         : kind == CPU_SUB ? vsubq_f32(u, v)
                         : kind == CPU_MUL ? vmulq_f32(u, v)
                                           : vdivq_f32(u, v));
    }
    cpu_binary_f32_c(kind, a + i, b + i, y + i, count - i);
}

INLINE void tile_depthwise(const struct cpu_conv_row *row, int64_t first, const int count)
{
    float32x4_t sums[TILE][QUADS];
    const float *w = row->weights;
    start_reals(row, count, sums);
    for (uint32_t i = 0; i < row->n_segments; i++, w += CPU_BLOCK) {
        const char *x = tap(row, &row->segments[i], 0, first);
        UNROLLED for (int q = 0; q < QUADS; q++)
        {
            const float32x4_t weights = vld1q_f32(w + 4 * q);
            UNROLLED for (int p = 0; p < count; p++)
            {
                const float *at = (const float *)(const void *)(x + (size_t)p * row->step);
                sums[p][q] = vfmaq_f32(sums[p][q], vld1q_f32(at + 4 * q), weights);
            }
        }
    }
    store_reals(row, first, count, sums);
}

DEFINE_ROW(cpu_depthwise_f32_neon, tile_depthwise)
