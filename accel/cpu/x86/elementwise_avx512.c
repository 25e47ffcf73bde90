// Element-wise kernels for AVX-512. What is left over at the end goes to the AVX2 kernels.
#include "accel/cpu/x86/epilogue_avx512.h"
#include "accel/cpu/x86/inverse.h"

// As in the AVX2 kernel.
void cpu_quantize_avx512vnni(const struct cpu_quant *quant, const float *x, uint8_t *y,
                             int64_t count)
{
    const struct cpu_inverse by = cpu_inverse(quant);
    const __m512 scale = _mm512_set1_ps(quant->scale), inverse = _mm512_set1_ps(by.inverse);
    const __m512 most = _mm512_set1_ps(by.most);
    const __m512i zero = _mm512_set1_epi16((short)quant->zero);
    const __m512i low = _mm512_set1_epi8(by.low), high = _mm512_set1_epi8(by.high);
    int64_t i = 0;
    for (; by.usable && count - i >= 64; i += 64) {
        __m512i q[4];
        UNROLLED for (int k = 0; k < 4; k++)
        {
            const __m512 real = _mm512_min_ps(most, _mm512_loadu_ps(x + i + 16 * k));
            _mm_prefetch((const char *)(x + i + 16 * k) + QUANTIZE_AHEAD, _MM_HINT_T0);
            const __m512 near = _mm512_mul_ps(real, inverse);
            const __m512 rest = _mm512_fnmadd_ps(near, scale, real);
            q[k] = _mm512_cvtps_epi32(_mm512_fmadd_ps(rest, inverse, near));
        }
        const __m512i ab = _mm512_adds_epi16(_mm512_packs_epi32(q[0], q[1]), zero);
        const __m512i cd = _mm512_adds_epi16(_mm512_packs_epi32(q[2], q[3]), zero);
        const __m512i bytes =
            quant->is_signed
                ? _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(ab, cd), low), high)
                : _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(ab, cd), low), high);
        _mm512_storeu_si512(y + i, gather_pixels(bytes));
    }
    cpu_quantize_avx2(quant, x + i, y + i, count - i);
}

INLINE __m512 bytes_to_reals(const uint8_t *x, uint32_t is_signed)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)x);
    return _mm512_cvtepi32_ps(is_signed ? _mm512_cvtepi8_epi32(bytes)
                                        : _mm512_cvtepu8_epi32(bytes));
}

void cpu_add_q8_avx512vnni(const struct cpu_add *add, const uint8_t *a, const uint8_t *b,
                           uint8_t *y, int64_t count)
{
    const __m512 a_ratio = _mm512_set1_ps(add->a_ratio), b_ratio = _mm512_set1_ps(add->b_ratio);
    const __m512 offset = _mm512_set1_ps(add->offset);
    int64_t i = 0;
    for (; count - i >= 64; i += 64) {
        __m512i q[4];
        UNROLLED for (int k = 0; k < 4; k++)
        {
            __m512 left = bytes_to_reals(a + i + 16 * k, add->a_signed);
            __m512 right = bytes_to_reals(b + i + 16 * k, add->b_signed);
            __m512 sum = _mm512_fmadd_ps(right, b_ratio, offset);
            sum = _mm512_fmadd_ps(left, a_ratio, sum);
            q[k] = _mm512_cvtps_epi32(clamp(sum, add->low, add->high));
        }
        __m512i low = _mm512_packs_epi32(q[0], q[1]), high = _mm512_packs_epi32(q[2], q[3]);
        __m512i bytes =
            add->low < 0 ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
        _mm512_storeu_si512(y + i, gather_pixels(bytes));
    }
    cpu_add_q8_avx2(add, a + i, b + i, y + i, count - i);
}

void cpu_mul_q8_avx512vnni(const struct sl_quantised_product *mul, const uint8_t *a,
                           const uint8_t *b, uint8_t *y, int64_t count)
{
    const __m512 ratio = _mm512_set1_ps(mul->ratio), offset = _mm512_set1_ps(mul->offset);
    const __m512 a_zero = _mm512_set1_ps((float)mul->a_zero);
    const __m512 b_zero = _mm512_set1_ps((float)mul->b_zero);
    int64_t i = 0;
    for (; count - i >= 64; i += 64) {
        __m512i q[4];
        UNROLLED for (int k = 0; k < 4; k++)
        {
            __m512 left = _mm512_sub_ps(bytes_to_reals(a + i + 16 * k, 0), a_zero);
            __m512 right = _mm512_sub_ps(bytes_to_reals(b + i + 16 * k, 0), b_zero);
            __m512 real = _mm512_mul_ps(_mm512_mul_ps(left, right), ratio);
            q[k] = _mm512_cvtps_epi32(clamp(_mm512_add_ps(real, offset), mul->low, mul->high));
        }
        __m512i low = _mm512_packs_epi32(q[0], q[1]), high = _mm512_packs_epi32(q[2], q[3]);
        _mm512_storeu_si512(y + i, gather_pixels(_mm512_packus_epi16(low, high)));
    }
    cpu_mul_q8_avx2(mul, a + i, b + i, y + i, count - i);
}

void cpu_dequantize_avx512vnni(const struct cpu_quant *quant, const uint8_t *x, float *y,
                               int64_t count)
{
    const __m512 scale = _mm512_set1_ps(quant->scale), zero = _mm512_set1_ps((float)quant->zero);
    int64_t i = 0;
    for (; count - i >= 16; i += 16) {
        __m512 centred = _mm512_sub_ps(bytes_to_reals(x + i, quant->is_signed), zero);
        _mm512_storeu_ps(y + i, _mm512_mul_ps(centred, scale));
    }
    cpu_dequantize_avx2(quant, x + i, y + i, count - i);
}

// By value: stores of bytes might change what is pointed to, as the compiler sees it.
INLINE void max_of_windows(const struct cpu_windows w, int64_t whole, const uint32_t is_signed)
{
    for (int64_t p = 0; p < w.pixels; p++) {
        char *y = cpu_window_output(&w, p);
        for (int64_t i = 0; i < whole; i += 64) {
            __m512i most = _mm512_set1_epi8(is_signed ? -128 : 0);
            for (int64_t k = 0; k < w.rows; k++)
                for (int64_t j = 0; j < w.columns; j++) {
                    const char *x = cpu_window_tap(&w, p, k, j);
                    __m512i bytes = _mm512_loadu_si512(x + i);
                    most = is_signed ? _mm512_max_epi8(most, bytes) : _mm512_max_epu8(most, bytes);
                }
            _mm512_storeu_si512(y + i, most);
        }
    }
}

void cpu_max_q8_avx512vnni(const struct cpu_windows *w, uint32_t is_signed)
{
    const int64_t whole = w->channels & ~(int64_t)63;
    if (whole && is_signed)
        max_of_windows(*w, whole, 1);
    else if (whole)
        max_of_windows(*w, whole, 0);
    const struct cpu_windows rest = cpu_windows_rest(w, whole, 1);
    if (rest.channels > 0)
        cpu_max_q8_avx2(&rest, is_signed);
}

INLINE void average_windows(const struct cpu_windows *w, int64_t whole,
                            const struct cpu_average *average, const uint32_t is_signed)
{
    const __m512i zeros = _mm512_set1_epi32((int32_t)(w->rows * w->columns) * average->x_zero);
    const __m512 multiplier = _mm512_set1_ps(average->multiplier);
    for (int64_t p = 0; p < w->pixels; p++) {
        char *y = cpu_window_output(w, p);
        for (int64_t i = 0; i < whole; i += 16) {
            __m512i sum = _mm512_setzero_si512();
            for (int64_t k = 0; k < w->rows; k++)
                for (int64_t j = 0; j < w->columns; j++) {
                    const char *x = (const char *)cpu_window_tap(w, p, k, j) + i;
                    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)x);
                    sum = _mm512_add_epi32(sum, is_signed ? _mm512_cvtepi8_epi32(bytes)
                                                          : _mm512_cvtepu8_epi32(bytes));
                }
            __m512 real = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum, zeros));
            real = clamp(_mm512_mul_ps(real, multiplier), average->low, average->high);
            __m512i q =
                _mm512_add_epi32(_mm512_cvtps_epi32(real), _mm512_set1_epi32(average->y_zero));
            _mm_storeu_si128((__m128i *)(void *)(y + i), _mm512_cvtepi32_epi8(q));
        }
    }
}

void cpu_average_q8_avx512vnni(const struct cpu_windows *w, const struct cpu_average *average)
{
    const int64_t whole = w->channels & ~(int64_t)15;
    if (average->x_signed)
        average_windows(w, whole, average, 1);
    else
        average_windows(w, whole, average, 0);
    const struct cpu_windows rest = cpu_windows_rest(w, whole, 1);
    if (rest.channels > 0)
        cpu_average_q8_avx2(&rest, average);
}
