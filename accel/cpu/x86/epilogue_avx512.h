// How sixteen 32-bit sums become sixteen bytes or floats, with AVX-512; shared by the kernels.
#ifndef SL_ACCEL_CPU_X86_EPILOGUE_AVX512_H
#define SL_ACCEL_CPU_X86_EPILOGUE_AVX512_H

#include "accel/cpu/x86/tile.h"

INLINE __m512 clamp(__m512 x, float low, float high)
{
    return _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(low)), _mm512_set1_ps(high));
}

INLINE __m512 rescale(const struct cpu_epilogue *e, __m512i sums)
{
    __m512 real = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(e->multiplier));
    return clamp(real, e->low, e->high);
}

// Packing works within quarters: what belongs to one of four pixels is then in every fourth word.
INLINE __m512i gather_pixels(__m512i packed)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, packed);
}

// What bytes are made with, read once: stores might change the epilogue, as the compiler sees it.
struct packing {
    __m512 multiplier;
    __m512i zero, low, high;
    bool is_signed;
};

INLINE struct packing packing_of(const struct cpu_epilogue *e)
{
    return (struct packing){_mm512_loadu_ps(e->multiplier), _mm512_set1_epi16((short)e->zero),
                            _mm512_set1_epi8((char)((int32_t)e->low + e->zero)),
                            _mm512_set1_epi8((char)((int32_t)e->high + e->zero)), e->y_signed != 0};
}

// Sums become integers, which no bound is needed for: packing saturates, and the bytes meet theirs
// afterwards.
INLINE __m512i round_sums(const struct packing *k, __m512i sums)
{
    return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), k->multiplier));
}

// Bytes of four pixels, one behind the other.
INLINE __m512i pack_pixels(const struct packing *k, __m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_packs_epi32(round_sums(k, a), round_sums(k, b));
    __m512i cd = _mm512_packs_epi32(round_sums(k, c), round_sums(k, d));
    ab = _mm512_adds_epi16(ab, k->zero);
    cd = _mm512_adds_epi16(cd, k->zero);
    __m512i bytes =
        k->is_signed
            ? _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(ab, cd), k->low), k->high)
            : _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(ab, cd), k->low), k->high);
    return gather_pixels(bytes);
}

// Of `count` pixels, `step` bytes apart, the first four.
INLINE void store_four(char *y, size_t step, int64_t count, __m512i bytes)
{
    if (count >= 4 && step == CPU_BLOCK) {
        _mm512_storeu_si512(y, bytes);
        return;
    }
    _mm_storeu_si128((__m128i *)(void *)y, _mm512_castsi512_si128(bytes));
    if (count > 1)
        _mm_storeu_si128((__m128i *)(void *)(y + step), _mm512_extracti32x4_epi32(bytes, 1));
    if (count > 2)
        _mm_storeu_si128((__m128i *)(void *)(y + 2 * step), _mm512_extracti32x4_epi32(bytes, 2));
    if (count > 3)
        _mm_storeu_si128((__m128i *)(void *)(y + 3 * step), _mm512_extracti32x4_epi32(bytes, 3));
}

INLINE void store_one(const struct cpu_epilogue *e, __m512 bounded, char *y)
{
    __m512i bytes = _mm512_add_epi32(_mm512_cvtps_epi32(bounded), _mm512_set1_epi32(e->zero));
    _mm_storeu_si128((__m128i *)(void *)y, _mm512_cvtepi32_epi8(bytes));
}

// What residuals are added with, read once as for packing.
struct adding {
    __m512 multiplier, low, high, zero, a_ratio, b_ratio, offset, least, most;
};

INLINE struct adding adding_of(const struct cpu_epilogue *e)
{
    const struct cpu_add *add = e->add;
    return (struct adding){
        _mm512_loadu_ps(e->multiplier), _mm512_set1_ps(e->low),       _mm512_set1_ps(e->high),
        _mm512_set1_ps((float)e->zero), _mm512_set1_ps(add->a_ratio), _mm512_set1_ps(add->b_ratio),
        _mm512_set1_ps(add->offset),    _mm512_set1_ps(add->low),     _mm512_set1_ps(add->high)};
}

// The sum with a residual's bytes, rounded.
INLINE __m512i add_residual(const struct adding *k, __m512i sums, const uint8_t *residual,
                            const bool is_a, const bool is_signed)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)residual);
    __m512 other =
        _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes));
    __m512 own = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), k->multiplier);
    own = _mm512_min_ps(_mm512_max_ps(own, k->low), k->high);
    own = _mm512_add_ps(_mm512_cvtepi32_ps(_mm512_cvtps_epi32(own)), k->zero);
    __m512 a = is_a ? other : own, b = is_a ? own : other;
    __m512 sum = _mm512_fmadd_ps(a, k->a_ratio, _mm512_fmadd_ps(b, k->b_ratio, k->offset));
    return _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(sum, k->least), k->most));
}

INLINE void add_residuals(const struct cpu_conv_row *row, int64_t first, int64_t count,
                          const __m512i *sums, const bool is_a, const bool is_signed)
{
    const struct cpu_epilogue *e = row->epilogue;
    const struct adding k = adding_of(e);
    const bool to_signed = e->add->low < 0;
    const size_t step = e->residual_step, y_step = row->y_step;
    char *y = (char *)row->y + (size_t)first * y_step;
    const uint8_t *residual = e->residual + (size_t)first * step;
    for (int64_t p = 0; p < count; p += 4, y += 4 * y_step, residual += 4 * step) {
        __m512i pixels[4];
        UNROLLED for (int i = 0; i < 4; i++)
        {
            const int64_t at = p + i < count ? i : 0;
            pixels[i] = add_residual(&k, _mm512_load_si512(&sums[p + at]),
                                     residual + (size_t)at * step, is_a, is_signed);
        }
        __m512i ab = _mm512_packs_epi32(pixels[0], pixels[1]);
        __m512i cd = _mm512_packs_epi32(pixels[2], pixels[3]);
        __m512i bytes = to_signed ? _mm512_packs_epi16(ab, cd) : _mm512_packus_epi16(ab, cd);
        store_four(y, y_step, count - p, gather_pixels(bytes));
    }
}

// Sums in memory, with residuals: one copy of the code for all tiles.
static __attribute__((noinline)) void store_added(const struct cpu_conv_row *row, int64_t first,
                                                  int64_t count, const __m512i *sums)
{
    const struct cpu_add *add = row->epilogue->add;
    const bool is_a = add->residual_is_a != 0;
    const bool is_signed = (is_a ? add->a_signed : add->b_signed) != 0;
    if (is_a && is_signed)
        add_residuals(row, first, count, sums, true, true);
    else if (is_a)
        add_residuals(row, first, count, sums, true, false);
    else if (is_signed)
        add_residuals(row, first, count, sums, false, true);
    else
        add_residuals(row, first, count, sums, false, false);
}

// The results that are no bytes, or bytes of sums that multipliers make larger.
static __attribute__((noinline)) void store_others(const struct cpu_conv_row *row, int64_t first,
                                                   int64_t count, const __m512i *sums)
{
    const struct cpu_epilogue *e = row->epilogue;
    char *y = (char *)row->y + (size_t)first * row->y_step;
    for (int64_t p = 0; p < count; p++, y += row->y_step) {
        __m512i sum = _mm512_load_si512(&sums[p]);
        if (e->to_sums)
            _mm512_storeu_si512(y, sum);
        else if (e->to_real)
            _mm512_storeu_ps(y, rescale(e, sum));
        else
            store_one(e, rescale(e, sum), y);
    }
}

// The sums of `count` pixels from `first` on; `count` is known to the compiler.
INLINE void store_tile(const struct cpu_conv_row *row, int64_t first, const int count,
                       const __m512i *sums)
{
    const struct cpu_epilogue *e = row->epilogue;
    char *y = (char *)row->y + (size_t)first * row->y_step;
    if (e->to_sums || e->to_real || e->add || !e->shrinks) {
        __m512i copies[16] __attribute__((aligned(64)));
        UNROLLED for (int p = 0; p < count; p++) _mm512_store_si512(&copies[p], sums[p]);
        (e->add ? store_added : store_others)(row, first, count, copies);
        return;
    }
    const struct packing k = packing_of(e);
    const size_t step = row->y_step;
    UNROLLED for (int p = 0; p < count; p += 4, y += 4 * step)
    {
        const int last = count - 1;
        __m512i bytes =
            pack_pixels(&k, sums[p], sums[p + 1 < last ? p + 1 : last],
                        sums[p + 2 < last ? p + 2 : last], sums[p + 3 < last ? p + 3 : last]);
        store_four(y, step, count - p, bytes);
    }
}

#endif
