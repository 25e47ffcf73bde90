// How sixteen 32-bit sums become sixteen bytes or floats, with AVX-512; shared by the kernels.
#ifndef SL_ACCEL_CPU_X86_EPILOGUE_AVX512_H
#define SL_ACCEL_CPU_X86_EPILOGUE_AVX512_H

#include "accel/cpu/x86/tile.h"

#include <math.h>
#include <stdbool.h>

INLINE __m512 clamp(__m512 x, float low, float high)
{
    return _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(low)), _mm512_set1_ps(high));
}

INLINE __m512 rescale(const struct cpu_epilogue *e, __m512i sums)
{
    __m512 real = _mm512_mul_ps(_mm512_cvtepi32_ps(sums), _mm512_loadu_ps(e->multiplier));
    return clamp(real, e->low, e->high);
}

// The multipliers of sixteen channels.
struct scaling {
    __m512 multiplier, offset; // offset: for sums that have RAISED in them
};

INLINE struct scaling scaling_of(const struct cpu_epilogue *e, int64_t channel)
{
    __m512 multiplier = _mm512_loadu_ps(e->multiplier + channel);
    return (struct scaling){multiplier, _mm512_mul_ps(multiplier, _mm512_set1_ps(-0x1p23f))};
}

INLINE __m512 scale_sums(const struct scaling *s, __m512i sums, const bool raised)
{
    return raised ? _mm512_fmadd_ps(_mm512_castsi512_ps(sums), s->multiplier, s->offset)
                  : _mm512_mul_ps(_mm512_cvtepi32_ps(sums), s->multiplier);
}

// Packing works within quarters: what belongs to one of four pixels is then in every fourth word.
INLINE __m512i gather_pixels(__m512i packed)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, packed);
}

// Are the sums for bytes that packing makes? With a residual or without.
INLINE bool packs(const struct cpu_epilogue *e)
{
    return !e->to_sums && !e->to_real && (e->add || e->shrinks);
}

// The bits of 2^23 as a float. An integer below 2^23 that is added to them makes the float 2^23
// plus the integer, and saves its conversion; below 0, what it makes is still below 2^23. The
// product loses 2^23 times the multiplier as it is formed, and so is rounded once.
enum { RAISED = 0x4B000000 };
INLINE bool is_raised(const struct cpu_epilogue *e)
{
    return packs(e) && e->saturates;
}

// What sums begin with.
INLINE __m512i first_sums(const struct cpu_epilogue *e, int64_t channel)
{
    return _mm512_add_epi32(_mm512_loadu_si512(e->bias + channel),
                            _mm512_set1_epi32(is_raised(e) ? RAISED : 0));
}

// What bytes are made with, read once: stores might change the epilogue, as the compiler sees it.
struct packing {
    __m512i zero, low, high;
    bool is_signed;
    bool is_plain; // uint8 without zero point and bounds of their own: what saturation makes
    bool raised;   // sums have RAISED in them
};

INLINE struct packing packing_of(const struct cpu_epilogue *e)
{
    const int32_t low = (int32_t)e->low + e->zero, high = (int32_t)e->high + e->zero;
    return (struct packing){.zero = _mm512_set1_epi16((short)e->zero),
                            .low = _mm512_set1_epi8((char)low),
                            .high = _mm512_set1_epi8((char)high),
                            .is_signed = e->y_signed != 0,
                            .is_plain = !e->y_signed && e->zero == 0 && low == 0 && high == 255,
                            .raised = is_raised(e)};
}

// Sums become integers, which no bound is needed for: packing saturates, and the bytes meet theirs
// afterwards.
INLINE __m512i round_sums(const struct scaling *s, __m512i sums, const bool raised)
{
    return _mm512_cvtps_epi32(scale_sums(s, sums, raised));
}

// Four times sixteen rounded sums as bytes, one behind the other.
INLINE __m512i pack_rounded(const struct packing *k, __m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_packs_epi32(a, b), cd = _mm512_packs_epi32(c, d);
    if (k->is_plain)
        return gather_pixels(_mm512_packus_epi16(ab, cd));
    ab = _mm512_adds_epi16(ab, k->zero);
    cd = _mm512_adds_epi16(cd, k->zero);
    __m512i bytes =
        k->is_signed
            ? _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(ab, cd), k->low), k->high)
            : _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(ab, cd), k->low), k->high);
    return gather_pixels(bytes);
}

// Sums of sixteen channels four times, a and c with the first scaling, b and d with the second, as
// bytes one behind the other.
INLINE __m512i pack_sums(const struct packing *k, const struct scaling *first,
                         const struct scaling *second, __m512i a, __m512i b, __m512i c, __m512i d)
{
    if (k->raised)
        return pack_rounded(k, round_sums(first, a, true), round_sums(second, b, true),
                            round_sums(first, c, true), round_sums(second, d, true));
    return pack_rounded(k, round_sums(first, a, false), round_sums(second, b, false),
                        round_sums(first, c, false), round_sums(second, d, false));
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
    __m512 low, high, to_integer, from_integer, own_ratio, other_ratio, offset, least, most;
    bool residual_is_a, residual_signed, to_signed, raised;
    bool bounded; // by more than what saturation does
};

// Adding 1.5 * 2^23 to a float rounds it to an integer; what is taken off again is less by the zero
// point.
INLINE struct adding adding_of(const struct cpu_epilogue *e)
{
    const float rounds = 0x1.8p23f;
    const struct cpu_add *add = e->add;
    const bool is_a = add->residual_is_a != 0;
    return (struct adding){
        .low = _mm512_set1_ps(e->low),
        .high = _mm512_set1_ps(e->high),
        .to_integer = _mm512_set1_ps(rounds),
        .from_integer = _mm512_set1_ps(rounds - (float)e->zero),
        .own_ratio = _mm512_set1_ps(is_a ? add->b_ratio : add->a_ratio),
        .other_ratio = _mm512_set1_ps(is_a ? add->a_ratio : add->b_ratio),
        .offset = _mm512_set1_ps(add->offset),
        .least = _mm512_set1_ps(add->low),
        .most = _mm512_set1_ps(add->high),
        .residual_is_a = is_a,
        .residual_signed = (is_a ? add->a_signed : add->b_signed) != 0,
        .to_signed = add->low < 0,
        .raised = is_raised(e),
        .bounded = add->high - add->low < 255 || add->a_ratio > 1000 || add->b_ratio > 1000 ||
                   fabsf(add->offset) > 1e6f,
    };
}

// The sum with a residual's bytes, rounded.
INLINE __m512i add_residual(const struct adding *k, const struct scaling *s, __m512i sums,
                            const uint8_t *residual, const bool is_a, const bool is_signed)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)residual);
    __m512 other =
        _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes));
    __m512 own = scale_sums(s, sums, k->raised);
    own = _mm512_min_ps(_mm512_max_ps(own, k->low), k->high);
    own = _mm512_sub_ps(_mm512_add_ps(own, k->to_integer), k->from_integer);
    __m512 a = is_a ? other : own, a_ratio = is_a ? k->other_ratio : k->own_ratio;
    __m512 b = is_a ? own : other, b_ratio = is_a ? k->own_ratio : k->other_ratio;
    __m512 sum = _mm512_fmadd_ps(a, a_ratio, _mm512_fmadd_ps(b, b_ratio, k->offset));
    if (k->bounded)
        sum = _mm512_min_ps(_mm512_max_ps(sum, k->least), k->most);
    return _mm512_cvtps_epi32(sum);
}

// Four times sixteen sums and the residuals that belong to them.
struct added {
    const struct scaling *scaling[4];
    __m512i sums[4];
    const uint8_t *residual[4];
};

INLINE __m512i add_four(const struct adding *k, const struct added *x, const bool is_a,
                        const bool is_signed)
{
    __m512i sums[4];
    UNROLLED for (int i = 0; i < 4; i++) sums[i] =
        add_residual(k, x->scaling[i], x->sums[i], x->residual[i], is_a, is_signed);
    __m512i ab = _mm512_packs_epi32(sums[0], sums[1]), cd = _mm512_packs_epi32(sums[2], sums[3]);
    return gather_pixels(k->to_signed ? _mm512_packs_epi16(ab, cd) : _mm512_packus_epi16(ab, cd));
}

// As bytes, one behind the other.
INLINE __m512i add_sums(const struct adding *k, const struct added *x)
{
    if (k->residual_is_a)
        return k->residual_signed ? add_four(k, x, true, true) : add_four(k, x, true, false);
    return k->residual_signed ? add_four(k, x, false, true) : add_four(k, x, false, false);
}

// Sums in memory, with residuals: one copy of the code for all tiles.
static __attribute__((noinline)) void store_added(const struct cpu_conv_row *row, int64_t first,
                                                  int64_t count, const __m512i *sums)
{
    const struct cpu_epilogue *e = row->epilogue;
    const struct adding k = adding_of(e);
    const struct scaling scaling = scaling_of(e, 0);
    const size_t step = e->residual_step, y_step = row->y_step;
    char *y = (char *)row->y + (size_t)first * y_step;
    const uint8_t *residual = e->residual + (size_t)first * step;
    for (int64_t p = 0; p < count; p += 4, y += 4 * y_step, residual += 4 * step) {
        struct added four;
        UNROLLED for (int i = 0; i < 4; i++)
        {
            const int64_t at = p + i < count ? i : 0;
            four.scaling[i] = &scaling;
            four.sums[i] = _mm512_load_si512(&sums[p + at]);
            four.residual[i] = residual + (size_t)at * step;
        }
        store_four(y, y_step, count - p, add_sums(&k, &four));
    }
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
    if (e->add || !packs(e)) {
        __m512i copies[16] __attribute__((aligned(64)));
        UNROLLED for (int p = 0; p < count; p++) _mm512_store_si512(&copies[p], sums[p]);
        (e->add ? store_added : store_others)(row, first, count, copies);
        return;
    }
    const struct packing k = packing_of(e);
    const struct scaling scaling = scaling_of(e, 0);
    const size_t step = row->y_step;
    UNROLLED for (int p = 0; p < count; p += 4, y += 4 * step)
    {
        const int last = count - 1;
        __m512i bytes =
            pack_sums(&k, &scaling, &scaling, sums[p], sums[p + 1 < last ? p + 1 : last],
                      sums[p + 2 < last ? p + 2 : last], sums[p + 3 < last ? p + 3 : last]);
        store_four(y, step, count - p, bytes);
    }
}

#endif
