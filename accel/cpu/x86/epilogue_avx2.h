// How sixteen 32-bit sums become sixteen bytes or floats, with AVX2; shared by the kernels.
#ifndef SL_ACCEL_CPU_X86_EPILOGUE_AVX2_H
#define SL_ACCEL_CPU_X86_EPILOGUE_AVX2_H

#include "accel/cpu/x86/tile.h"

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

// Sixteen centred values, in range, become bytes.
INLINE void store_bytes(__m256 a, __m256 b, int32_t zero, char *y)
{
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
    words = _mm256_add_epi16(_mm256_permute4x64_epi64(words, 0xD8), _mm256_set1_epi16((short)zero));
    words = _mm256_and_si256(words, _mm256_set1_epi16(0xFF));
    __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)(void *)y, bytes);
}

INLINE __m256 add_residual(const struct cpu_epilogue *e, __m256 real, const uint8_t *residual)
{
    const struct cpu_add *add = e->add;
    const bool is_a = add->residual_is_a;
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)residual);
    __m256 other =
        _mm256_cvtepi32_ps((is_a ? add->a_signed : add->b_signed) ? _mm256_cvtepi8_epi32(bytes)
                                                                  : _mm256_cvtepu8_epi32(bytes));
    __m256 own = _mm256_add_ps(_mm256_round_ps(real, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                               _mm256_set1_ps((float)e->zero));
    __m256 a = is_a ? other : own, b = is_a ? own : other;
    __m256 sum = _mm256_fmadd_ps(b, _mm256_set1_ps(add->b_ratio), _mm256_set1_ps(add->offset));
    sum = _mm256_fmadd_ps(a, _mm256_set1_ps(add->a_ratio), sum);
    sum = _mm256_max_ps(sum, _mm256_set1_ps(add->low));
    return _mm256_min_ps(sum, _mm256_set1_ps(add->high));
}

INLINE void store_sums(const struct cpu_conv_row *row, int64_t pixel, __m256i low, __m256i high)
{
    const struct cpu_epilogue *e = row->epilogue;
    char *y = (char *)row->y + (size_t)pixel * row->y_step;
    __m256 a = rescale(e, low, 0), b = rescale(e, high, 8);
    if (e->to_real) {
        _mm256_storeu_ps((float *)(void *)y, a);
        _mm256_storeu_ps((float *)(void *)y + 8, b);
    } else {
        const uint8_t *residual = e->residual + (size_t)pixel * e->residual_step;
        store_bytes(add_residual(e, a, residual), add_residual(e, b, residual + 8), 0, y);
    }
}

// What bytes are made with, read once: stores might change the epilogue, as the compiler sees it.
struct packing {
    __m256 multiplier[2], most;
    __m256i zero, low, high;
    bool is_signed;
};

INLINE struct packing packing_of(const struct cpu_epilogue *e)
{
    return (struct packing){{_mm256_loadu_ps(e->multiplier), _mm256_loadu_ps(e->multiplier + 8)},
                            _mm256_set1_ps(e->high),
                            _mm256_set1_epi16((short)e->zero),
                            _mm256_set1_epi8((char)((int32_t)e->low + e->zero)),
                            _mm256_set1_epi8((char)((int32_t)e->high + e->zero)),
                            e->y_signed != 0};
}

// Sixteen sums become words around the zero point. Only sums that are too large for an integer
// need a bound here: packing saturates the others, and the bytes meet theirs afterwards.
INLINE __m256i round_to_words(const struct packing *k, __m256i low, __m256i high)
{
    __m256 a = _mm256_mul_ps(_mm256_cvtepi32_ps(low), k->multiplier[0]);
    __m256 b = _mm256_mul_ps(_mm256_cvtepi32_ps(high), k->multiplier[1]);
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_min_ps(a, k->most)),
                                       _mm256_cvtps_epi32(_mm256_min_ps(b, k->most)));
    return _mm256_adds_epi16(words, k->zero);
}

// Words of two pixels become their bytes: the first pixel's in the low half.
INLINE __m256i pack_pixels(const struct packing *k, __m256i first, __m256i second)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i bytes;
    if (k->is_signed)
        bytes =
            _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(first, second), k->low), k->high);
    else
        bytes =
            _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(first, second), k->low), k->high);
    return _mm256_permutevar8x32_epi32(bytes, order);
}

INLINE void store_half(const struct cpu_conv_row *row, int64_t pixel, __m128i bytes)
{
    _mm_storeu_si128((__m128i *)(void *)((char *)row->y + (size_t)pixel * row->y_step), bytes);
}

// The sums of `count` pixels from `first` on; `count` is known to the compiler.
INLINE void store_tile(const struct cpu_conv_row *row, int64_t first, const int count,
                       const __m256i *low, const __m256i *high)
{
    const struct cpu_epilogue *e = row->epilogue;
    if (e->to_sums) {
        UNROLLED for (int p = 0; p < count; p++)
        {
            __m256i *y = (__m256i *)(void *)((char *)row->y + (size_t)(first + p) * row->y_step);
            _mm256_storeu_si256(y, low[p]);
            _mm256_storeu_si256(y + 1, high[p]);
        }
        return;
    }
    if (e->to_real || e->add) {
        UNROLLED for (int p = 0; p < count; p++) store_sums(row, first + p, low[p], high[p]);
        return;
    }
    const struct packing k = packing_of(e);
    UNROLLED for (int p = 0; p < count; p += 2)
    {
        int second = p + 1 < count ? p + 1 : p;
        __m256i bytes = pack_pixels(&k, round_to_words(&k, low[p], high[p]),
                                    round_to_words(&k, low[second], high[second]));
        store_half(row, first + p, _mm256_castsi256_si128(bytes));
        if (second != p)
            store_half(row, first + second, _mm256_extracti128_si256(bytes, 1));
    }
}

INLINE void store_reals(const struct cpu_epilogue *e, __m256 low, __m256 high, char *y)
{
    _mm256_storeu_ps((float *)(void *)y, clamp(low, e));
    _mm256_storeu_ps((float *)(void *)y + 8, clamp(high, e));
}

#endif
