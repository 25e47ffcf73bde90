// How sixteen 32-bit sums become sixteen bytes or floats, with AVX2; shared by the kernels.
#ifndef SL_ACCEL_CPU_X86_EPILOGUE_AVX2_H
#define SL_ACCEL_CPU_X86_EPILOGUE_AVX2_H

#include "accel/cpu/kernels.h"

#include <immintrin.h>

#define INLINE   static inline __attribute__((always_inline))
#define UNROLLED _Pragma("GCC unroll 16")

INLINE __m256 clamp(__m256 x, const struct cpu_epilogue *e)
{
    __m256 raised = _mm256_max_ps(x, _mm256_set1_ps(e->low));
    return _mm256_min_ps(raised, _mm256_set1_ps(e->high));
}

INLINE __m256 rescale(const struct cpu_epilogue *e, __m256i sums, int first)
{
    __m256 multiplier = _mm256_loadu_ps(e->multiplier + first);
    return clamp(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), multiplier), e);
}

INLINE void store_sums(const struct cpu_epilogue *e, __m256i low, __m256i high, char *y)
{
    __m256 a = rescale(e, low, 0), b = rescale(e, high, 8);
    if (e->to_real) {
        _mm256_storeu_ps((float *)(void *)y, a);
        _mm256_storeu_ps((float *)(void *)y + 8, b);
        return;
    }
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
    words =
        _mm256_add_epi16(_mm256_permute4x64_epi64(words, 0xD8), _mm256_set1_epi16((short)e->zero));
    words = _mm256_and_si256(words, _mm256_set1_epi16(0xFF));
    __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)(void *)y, bytes);
}

INLINE void store_reals(const struct cpu_epilogue *e, __m256 low, __m256 high, char *y)
{
    _mm256_storeu_ps((float *)(void *)y, clamp(low, e));
    _mm256_storeu_ps((float *)(void *)y + 8, clamp(high, e));
}

#endif
