// Element-wise kernels on float32 for AVX2 and FMA; what is left over goes to the C kernels.
#include "accel/cpu/real_math.h"
#include "accel/cpu/x86/epilogue_avx2.h"

INLINE __m256 exponential(__m256 x)
{
    static const float terms[] = EXP_TERMS;
    x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(EXP_LOW)), _mm256_set1_ps(EXP_HIGH));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(LOG2_E)),
                               _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN2_COARSE), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LN2_REST), r);
    __m256 sum = _mm256_set1_ps(terms[0]);
    UNROLLED for (size_t i = 1; i < sizeof(terms) / sizeof(*terms); i++) sum =
        _mm256_fmadd_ps(sum, r, _mm256_set1_ps(terms[i]));
    __m256i bits = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_mul_ps(sum, _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23)));
}

INLINE __m256 sigmoid(__m256 x)
{
    __m256 one = _mm256_set1_ps(1.0f);
    __m256 e = exponential(_mm256_xor_ps(x, _mm256_set1_ps(-0.0f)));
    return _mm256_div_ps(one, _mm256_add_ps(one, e));
}

INLINE __m256 between(__m256 x, float low, float high)
{
    return _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(low)), _mm256_set1_ps(high));
}

INLINE __m256 activate(const struct cpu_unary *f, __m256 x)
{
    __m256 alpha = _mm256_set1_ps(f->alpha), beta = _mm256_set1_ps(f->beta);
    switch (f->kind) {
    case CPU_SIGMOID:
        return sigmoid(x);
    case CPU_SILU:
        return _mm256_mul_ps(x, sigmoid(x));
    case CPU_LEAKY:
        return _mm256_blendv_ps(x, _mm256_mul_ps(x, alpha),
                                _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ));
    case CPU_HARD_SIGMOID:
        return between(_mm256_add_ps(_mm256_mul_ps(x, alpha), beta), 0.0f, 1.0f);
    case CPU_HARD_SWISH: {
        __m256 ramp = _mm256_mul_ps(x, _mm256_set1_ps(1.0f / 6.0f));
        return _mm256_mul_ps(x, between(_mm256_add_ps(ramp, _mm256_set1_ps(0.5f)), 0.0f, 1.0f));
    }
    case CPU_CLAMP:
        break;
    }
    return between(x, f->alpha, f->beta);
}

void cpu_unary_f32_avx2(const struct cpu_unary *f, const float *x, float *y, int64_t count)
{
    int64_t i = 0;
    for (; count - i >= 8; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        __m256 nan = _mm256_cmp_ps(v, v, _CMP_UNORD_Q);
        _mm256_storeu_ps(y + i, _mm256_blendv_ps(activate(f, v), v, nan));
    }
    cpu_unary_f32_c(f, x + i, y + i, count - i);
}

void cpu_binary_f32_avx2(enum cpu_binary kind, const float *a, const float *b, float *y,
                         int64_t count)
{
    int64_t i = 0;
    for (; count - i >= 8; i += 8) {
        __m256 u = _mm256_loadu_ps(a + i), v = _mm256_loadu_ps(b + i);
        _mm256_storeu_ps(y + i, kind == CPU_ADD   ? _mm256_add_ps(u, v)
                                : kind == CPU_SUB ? _mm256_sub_ps(u, v)
                                : kind == CPU_MUL ? _mm256_mul_ps(u, v)
                                                  : _mm256_div_ps(u, v));
    }
    cpu_binary_f32_c(kind, a + i, b + i, y + i, count - i);
}

#define TILE 4
INLINE void tile_depthwise(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m256 low[TILE], high[TILE];
    const float *w = row->weights;
    UNROLLED for (int p = 0; p < count; p++)
    {
        low[p] = _mm256_loadu_ps(row->epilogue->bias_real);
        high[p] = _mm256_loadu_ps(row->epilogue->bias_real + 8);
    }
    for (uint32_t i = 0; i < row->n_segments; i++, w += CPU_BLOCK) {
        const char *x = (const char *)row->runs[row->segments[i].run] + (size_t)first * row->step;
        __m256 w0 = _mm256_loadu_ps(w), w1 = _mm256_loadu_ps(w + 8);
        UNROLLED for (int p = 0; p < count; p++)
        {
            const float *at = (const float *)(const void *)(x + (size_t)p * row->step);
            low[p] = _mm256_fmadd_ps(_mm256_loadu_ps(at), w0, low[p]);
            high[p] = _mm256_fmadd_ps(_mm256_loadu_ps(at + 8), w1, high[p]);
        }
    }
    UNROLLED for (int p = 0; p < count; p++) store_reals(
        row->epilogue, low[p], high[p], (char *)row->y + (size_t)(first + p) * row->y_step);
}

void cpu_depthwise_f32_avx2(const struct cpu_conv_row *row)
{
    int64_t p = 0;
    for (; row->pixels - p >= TILE; p += TILE)
        tile_depthwise(row, p, TILE);
    for (; p < row->pixels; p++)
        tile_depthwise(row, p, 1);
}
