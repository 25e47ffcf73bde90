// Element-wise kernels for AVX-512. What is left over at the end goes to the AVX2 kernels.
#include "accel/cpu/x86/epilogue_avx512.h"

#include <math.h>

// A product with 1 / scale differs from the quotient by less than 3 * 2^-24 of itself, and within
// the bounds both are below 256: they round to the same integer unless it is this far away.
#define FAR_FROM_MIDDLE 0.4999f

INLINE __m512i quantize_16(const struct cpu_quant *quant, __m512 quotient, __mmask16 *doubtful)
{
    __m512 real = _mm512_max_ps(quotient, _mm512_set1_ps(quant->low));
    real = _mm512_min_ps(real, _mm512_set1_ps(quant->high));
    __m512i q = _mm512_cvtps_epi32(real);
    __m512 away = _mm512_abs_ps(_mm512_sub_ps(real, _mm512_cvtepi32_ps(q)));
    *doubtful |= _mm512_cmp_ps_mask(away, _mm512_set1_ps(FAR_FROM_MIDDLE), _CMP_GT_OQ);
    return q;
}

void cpu_quantize_avx512vnni(const struct cpu_quant *quant, const float *x, uint8_t *y,
                             int64_t count)
{
    const __m512i zero = _mm512_set1_epi16((short)quant->zero);
    const float inverse = 1.0f / quant->scale;
    const __m512 scale = _mm512_set1_ps(quant->scale), factor = _mm512_set1_ps(inverse);
    int64_t i = 0;
    for (; isnormal(inverse) && count - i >= 64; i += 64) {
        __m512i q[4];
        __mmask16 doubtful = 0;
        UNROLLED for (int k = 0; k < 4; k++) q[k] =
            quantize_16(quant, _mm512_mul_ps(_mm512_loadu_ps(x + i + 16 * k), factor), &doubtful);
        if (doubtful)
            UNROLLED for (int k = 0; k < 4; k++) q[k] = quantize_16(
                quant, _mm512_div_ps(_mm512_loadu_ps(x + i + 16 * k), scale), &doubtful);
        __m512i low = _mm512_add_epi16(_mm512_packs_epi32(q[0], q[1]), zero);
        __m512i high = _mm512_add_epi16(_mm512_packs_epi32(q[2], q[3]), zero);
        __m512i bytes =
            quant->is_signed ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
        _mm512_storeu_si512(y + i, gather_pixels(bytes));
    }
    cpu_quantize_avx2(quant, x + i, y + i, count - i);
}
