// Element-wise kernels for AVX2. What is left over at the end goes to the C kernels.
#include "accel/cpu/x86/inverse.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i widen_16(const uint8_t *x, uint32_t is_signed)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)x);
    return is_signed ? _mm256_cvtepi8_epi16(bytes) : _mm256_cvtepu8_epi16(bytes);
}

INLINE __m128i load_128(const uint8_t *x)
{
    return _mm_loadu_si128((const __m128i *)(const void *)x);
}

INLINE void store_256(void *y, __m256i value)
{
    _mm256_storeu_si256((__m256i *)y, value);
}

void cpu_widen_avx2(const uint8_t *x, int16_t *y, int64_t count, int32_t zero, uint32_t is_signed)
{
    __m256i centre = _mm256_set1_epi16((short)zero);
    int64_t i = 0;
    for (; count - i >= 16; i += 16)
        store_256(y + i, _mm256_sub_epi16(widen_16(x + i, is_signed), centre));
    cpu_widen_c(x + i, y + i, count - i, zero, is_signed);
}

static int64_t widen_two_planes(const uint8_t *x, int64_t plane, int16_t *y, int64_t count,
                                __m256i centre, uint32_t is_signed)
{
    int64_t i = 0;
    for (; count - i >= 16; i += 16) {
        __m256i a = _mm256_sub_epi16(widen_16(x + i, is_signed), centre);
        __m256i b = _mm256_sub_epi16(widen_16(x + plane + i, is_signed), centre);
        __m256i low = _mm256_unpacklo_epi16(a, b), high = _mm256_unpackhi_epi16(a, b);
        store_256(y + 2 * i, _mm256_permute2x128_si256(low, high, 0x20));
        store_256(y + 2 * i + 16, _mm256_permute2x128_si256(low, high, 0x31));
    }
    return i;
}

// Sixteen bytes of three planes become 48 bytes, pixel by pixel: vector i holds bytes 16 i onwards,
// of which byte k is plane (16 i + k) % 3, pixel (16 i + k) / 3.
INLINE void interleave_three(__m128i a, __m128i b, __m128i c, __m128i out[3])
{
    __m128i a0 = _mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5);
    __m128i b0 = _mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1);
    __m128i c0 = _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    __m128i a1 = _mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1);
    __m128i b1 = _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10);
    __m128i c1 = _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1);
    __m128i a2 = _mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1);
    __m128i b2 = _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1);
    __m128i c2 = _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15);
    out[0] = _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(a, a0), _mm_shuffle_epi8(b, b0)),
                          _mm_shuffle_epi8(c, c0));
    out[1] = _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(a, a1), _mm_shuffle_epi8(b, b1)),
                          _mm_shuffle_epi8(c, c1));
    out[2] = _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(a, a2), _mm_shuffle_epi8(b, b2)),
                          _mm_shuffle_epi8(c, c2));
}

static int64_t widen_three_planes(const uint8_t *x, int64_t plane, int16_t *y, int64_t count,
                                  __m256i centre, uint32_t is_signed)
{
    int64_t i = 0;
    for (; count - i >= 16; i += 16) {
        __m128i bytes[3];
        interleave_three(load_128(x + i), load_128(x + plane + i), load_128(x + 2 * plane + i),
                         bytes);
        for (int k = 0; k < 3; k++) {
            __m256i words =
                is_signed ? _mm256_cvtepi8_epi16(bytes[k]) : _mm256_cvtepu8_epi16(bytes[k]);
            store_256(y + 3 * i + 16 * k, _mm256_sub_epi16(words, centre));
        }
    }
    return i;
}

void cpu_widen_planes_avx2(const uint8_t *x, int64_t plane, int64_t channels, int16_t *y,
                           int64_t count, int32_t zero, uint32_t is_signed)
{
    int64_t done = 0;
    if (channels == 1) {
        cpu_widen_avx2(x, y, count, zero, is_signed);
        return;
    }
    if (channels == 2)
        done = widen_two_planes(x, plane, y, count, _mm256_set1_epi16((short)zero), is_signed);
    if (channels == 3)
        done = widen_three_planes(x, plane, y, count, _mm256_set1_epi16((short)zero), is_signed);
    cpu_widen_planes_c(x + done, plane, channels, y + done * channels, count - done, zero,
                       is_signed);
}

static void store_128(uint8_t *y, __m128i value)
{
    _mm_storeu_si128((__m128i *)(void *)y, value);
}

static int64_t flip_plane(const uint8_t *x, uint8_t *y, int64_t count, __m128i flip)
{
    int64_t i = 0;
    for (; count - i >= 16; i += 16)
        store_128(y + i, _mm_xor_si128(load_128(x + i), flip));
    return i;
}

static int64_t interleave_two_planes(const uint8_t *x, int64_t plane, uint8_t *y, int64_t count,
                                     __m128i flip)
{
    int64_t i = 0;
    for (; count - i >= 16; i += 16) {
        __m128i a = _mm_xor_si128(load_128(x + i), flip);
        __m128i b = _mm_xor_si128(load_128(x + plane + i), flip);
        store_128(y + 2 * i, _mm_unpacklo_epi8(a, b));
        store_128(y + 2 * i + 16, _mm_unpackhi_epi8(a, b));
    }
    return i;
}

static int64_t interleave_four_planes(const uint8_t *x, int64_t plane, uint8_t *y, int64_t count,
                                      __m128i flip)
{
    int64_t i = 0;
    for (; count - i >= 16; i += 16) {
        __m128i v[4];
        for (int k = 0; k < 4; k++)
            v[k] = _mm_xor_si128(load_128(x + k * plane + i), flip);
        for (int half = 0; half < 2; half++) {
            __m128i ab = half ? _mm_unpackhi_epi8(v[0], v[1]) : _mm_unpacklo_epi8(v[0], v[1]);
            __m128i cd = half ? _mm_unpackhi_epi8(v[2], v[3]) : _mm_unpacklo_epi8(v[2], v[3]);
            store_128(y + 4 * i + 32 * half, _mm_unpacklo_epi16(ab, cd));
            store_128(y + 4 * i + 32 * half + 16, _mm_unpackhi_epi16(ab, cd));
        }
    }
    return i;
}

static int64_t interleave_three_planes(const uint8_t *x, int64_t plane, uint8_t *y, int64_t count,
                                       __m128i flip)
{
    int64_t i = 0;
    for (; count - i >= 16; i += 16) {
        __m128i bytes[3];
        interleave_three(load_128(x + i), load_128(x + plane + i), load_128(x + 2 * plane + i),
                         bytes);
        for (int k = 0; k < 3; k++)
            store_128(y + 3 * i + 16 * k, _mm_xor_si128(bytes[k], flip));
    }
    return i;
}

void cpu_interleave_avx2(const uint8_t *x, int64_t plane, int64_t channels, uint8_t *y,
                         int64_t y_step, int64_t count, uint8_t flip)
{
    const __m128i flips = _mm_set1_epi8((char)flip);
    int64_t done = 0;
    if (y_step == channels)
        done = channels == 1   ? flip_plane(x, y, count, flips)
               : channels == 2 ? interleave_two_planes(x, plane, y, count, flips)
               : channels == 3 ? interleave_three_planes(x, plane, y, count, flips)
               : channels == 4 ? interleave_four_planes(x, plane, y, count, flips)
                               : 0;
    cpu_interleave_c(x + done, plane, channels, y + done * y_step, y_step, count - done, flip);
}

INLINE __m256i load_8(const uint8_t *x, uint32_t is_signed)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)(const void *)x);
    return is_signed ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
}

INLINE __m256 centred(const uint8_t *x, uint32_t is_signed, __m256i zero)
{
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(load_8(x, is_signed), zero));
}

struct rounding {
    __m256 scale, low, high;
    __m256i zero;
};

// Eight real numbers become eight bytes.
INLINE void store_rounded(const struct rounding *r, __m256 x, uint8_t *y)
{
    x = _mm256_min_ps(_mm256_max_ps(x, r->low), r->high);
    __m256i q = _mm256_add_epi32(_mm256_cvtps_epi32(x), r->zero);
    q = _mm256_and_si256(q, _mm256_set1_epi32(0xFF));
    __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storel_epi64((__m128i *)(void *)y, _mm_packus_epi16(words, words));
}

INLINE void store_8(const struct rounding *r, __m256 real, uint8_t *y)
{
    store_rounded(r, _mm256_div_ps(real, r->scale), y);
}

void cpu_add_q8_avx2(const struct cpu_add *add, const uint8_t *a, const uint8_t *b, uint8_t *y,
                     int64_t count)
{
    struct rounding r = {_mm256_set1_ps(1.0f), _mm256_set1_ps(add->low), _mm256_set1_ps(add->high),
                         _mm256_setzero_si256()};
    __m256 a_ratio = _mm256_set1_ps(add->a_ratio), b_ratio = _mm256_set1_ps(add->b_ratio);
    __m256 offset = _mm256_set1_ps(add->offset);
    int64_t i = 0;
    for (; count - i >= 8; i += 8) {
        __m256 left = _mm256_cvtepi32_ps(load_8(a + i, add->a_signed));
        __m256 right = _mm256_cvtepi32_ps(load_8(b + i, add->b_signed));
        __m256 sum = _mm256_fmadd_ps(right, b_ratio, offset);
        store_rounded(&r, _mm256_fmadd_ps(left, a_ratio, sum), y + i);
    }
    cpu_add_q8_c(add, a + i, b + i, y + i, count - i);
}

void cpu_mul_q8_avx2(const struct sl_quantised_product *mul, const uint8_t *a, const uint8_t *b,
                     uint8_t *y, int64_t count)
{
    const struct rounding r = {_mm256_set1_ps(1.0f), _mm256_set1_ps(mul->low),
                               _mm256_set1_ps(mul->high), _mm256_setzero_si256()};
    const __m256 ratio = _mm256_set1_ps(mul->ratio), offset = _mm256_set1_ps(mul->offset);
    const __m256i a_zero = _mm256_set1_epi32(mul->a_zero), b_zero = _mm256_set1_epi32(mul->b_zero);
    int64_t i = 0;
    for (; count - i >= 8; i += 8) {
        __m256 left = centred(a + i, 0, a_zero);
        __m256 right = centred(b + i, 0, b_zero);
        __m256 real = _mm256_mul_ps(_mm256_mul_ps(left, right), ratio);
        store_rounded(&r, _mm256_add_ps(real, offset), y + i);
    }
    cpu_mul_q8_c(mul, a + i, b + i, y + i, count - i);
}

// 32 real numbers become bytes; packing works within halves, the order is mended at the end.
INLINE __m256i quantize_32(const struct cpu_quant *quant, const struct cpu_inverse *by,
                           const float *x)
{
    const __m256 scale = _mm256_set1_ps(quant->scale), inverse = _mm256_set1_ps(by->inverse);
    const __m256 most = _mm256_set1_ps(by->most);
    const __m256i zero = _mm256_set1_epi16((short)quant->zero);
    const __m256i low = _mm256_set1_epi8(by->low), high = _mm256_set1_epi8(by->high);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i q[4];
    for (int k = 0; k < 4; k++) {
        const __m256 real = _mm256_min_ps(most, _mm256_loadu_ps(x + 8 * k)); // NaN stays
        const __m256 near = _mm256_mul_ps(real, inverse);
        const __m256 rest = _mm256_fnmadd_ps(near, scale, real);
        q[k] = _mm256_cvtps_epi32(_mm256_fmadd_ps(rest, inverse, near));
    }
    const __m256i ab = _mm256_adds_epi16(_mm256_packs_epi32(q[0], q[1]), zero);
    const __m256i cd = _mm256_adds_epi16(_mm256_packs_epi32(q[2], q[3]), zero);
    const __m256i bytes =
        quant->is_signed ? _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(ab, cd), low), high)
                         : _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(ab, cd), low), high);
    return _mm256_permutevar8x32_epi32(bytes, order);
}

void cpu_quantize_avx2(const struct cpu_quant *quant, const float *x, uint8_t *y, int64_t count)
{
    const struct cpu_quant q = *quant; // by value: stores of bytes might change what is pointed to
    const struct cpu_inverse by = cpu_inverse(quant);
    const struct rounding r = {_mm256_set1_ps(quant->scale), _mm256_set1_ps(quant->low),
                               _mm256_set1_ps(quant->high), _mm256_set1_epi32(quant->zero)};
    int64_t i = 0;
    for (; by.usable && count - i >= 32; i += 32) {
        _mm_prefetch((const char *)(x + i) + QUANTIZE_AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)(x + i + 16) + QUANTIZE_AHEAD, _MM_HINT_T0);
        store_256(y + i, quantize_32(&q, &by, x + i));
    }
    for (; count - i >= 8; i += 8)
        store_8(&r, _mm256_loadu_ps(x + i), y + i);
    cpu_quantize_c(quant, x + i, y + i, count - i);
}

void cpu_dequantize_avx2(const struct cpu_quant *quant, const uint8_t *x, float *y, int64_t count)
{
    __m256 scale = _mm256_set1_ps(quant->scale);
    __m256i zero = _mm256_set1_epi32(quant->zero);
    int64_t i = 0;
    for (; count - i >= 8; i += 8)
        _mm256_storeu_ps(y + i, _mm256_mul_ps(centred(x + i, quant->is_signed, zero), scale));
    cpu_dequantize_c(quant, x + i, y + i, count - i);
}

// Sixteen tables of sixteen bytes; the byte's high half chooses one, its low half the entry.
void cpu_lookup_avx2(const uint8_t table[256], const uint8_t *x, uint8_t *y, int64_t count)
{
    __m256i rows[16];
    for (int t = 0; t < 16; t++)
        rows[t] = _mm256_broadcastsi128_si256(
            _mm_loadu_si128((const __m128i *)(const void *)(table + 16 * t)));
    int64_t i = 0;
    for (; count - i >= 32; i += 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        __m256i result = _mm256_setzero_si256();
        for (int t = 0; t < 16; t++) {
            // In row t the high half becomes 0; elsewhere adding 0x70 with saturation sets bit 7,
            // for which vpshufb gives 0.
            __m256i index = _mm256_xor_si256(bytes, _mm256_set1_epi8((char)(16 * t)));
            index = _mm256_adds_epu8(index, _mm256_set1_epi8(0x70));
            result = _mm256_or_si256(result, _mm256_shuffle_epi8(rows[t], index));
        }
        store_256(y + i, result);
    }
    cpu_lookup_c(table, x + i, y + i, count - i);
}

// One vector of a window's greatest values.
#define MAX_OF_WINDOW(name, vector, lowest, load, max_signed, max_unsigned)                        \
    INLINE vector name(const char *x, const struct cpu_windows *w, const uint32_t is_signed)       \
    {                                                                                              \
        vector most = lowest(is_signed ? -128 : 0);                                                \
        for (int64_t k = 0; k < w->rows; k++, x += w->row_step) {                                  \
            const char *at = x;                                                                    \
            for (int64_t j = 0; j < w->columns; j++, at += w->column_step) {                       \
                vector bytes = load((const vector *)(const void *)at);                             \
                most = is_signed ? max_signed(most, bytes) : max_unsigned(most, bytes);            \
            }                                                                                      \
        }                                                                                          \
        return most;                                                                               \
    }
MAX_OF_WINDOW(max_of_32, __m256i, _mm256_set1_epi8, _mm256_loadu_si256, _mm256_max_epi8,
              _mm256_max_epu8)
MAX_OF_WINDOW(max_of_16, __m128i, _mm_set1_epi8, _mm_loadu_si128, _mm_max_epi8, _mm_max_epu8)

// By value: stores of bytes might change what is pointed to, as the compiler sees it.
INLINE void max_of_windows(const struct cpu_windows w, const uint32_t is_signed)
{
    const char *x = w.x;
    uint8_t *y = w.y;
    for (int64_t p = 0; p < w.pixels; p++, x += w.x_step, y += w.y_step) {
        int64_t i = 0;
        for (; w.channels - i >= 32; i += 32)
            store_256(y + i, max_of_32(x + i, &w, is_signed));
        if (w.channels - i >= 16)
            store_128(y + i, max_of_16(x + i, &w, is_signed));
    }
}

void cpu_max_q8_avx2(const struct cpu_windows *w, uint32_t is_signed)
{
    if (is_signed)
        max_of_windows(*w, 1);
    else
        max_of_windows(*w, 0);
    const struct cpu_windows rest = cpu_windows_rest(w, w->channels & ~(int64_t)15, 1);
    if (rest.channels > 0)
        cpu_max_q8_c(&rest, is_signed);
}

void cpu_max_f32_avx2(const struct cpu_windows *w)
{
    const int64_t whole = w->channels & ~(int64_t)7;
    for (int64_t p = 0; p < w->pixels; p++) {
        float *y = cpu_window_output(w, p);
        for (int64_t i = 0; i < whole; i += 8) {
            __m256 most = _mm256_set1_ps(-INFINITY);
            for (int64_t k = 0; k < w->rows; k++)
                for (int64_t j = 0; j < w->columns; j++) {
                    const float *x = cpu_window_tap(w, p, k, j);
                    most = _mm256_max_ps(_mm256_loadu_ps(x + i), most);
                }
            _mm256_storeu_ps(y + i, most);
        }
    }
    const struct cpu_windows rest = cpu_windows_rest(w, whole, sizeof(float));
    if (rest.channels > 0)
        cpu_max_f32_c(&rest);
}

void cpu_average_q8_avx2(const struct cpu_windows *w, const struct cpu_average *average)
{
    const struct rounding r = {_mm256_set1_ps(1.0f), _mm256_set1_ps(average->low),
                               _mm256_set1_ps(average->high), _mm256_set1_epi32(average->y_zero)};
    const __m256i zeros = _mm256_set1_epi32((int32_t)(w->rows * w->columns) * average->x_zero);
    const __m256 multiplier = _mm256_set1_ps(average->multiplier);
    const int64_t whole = w->channels & ~(int64_t)7;
    for (int64_t p = 0; p < w->pixels; p++) {
        uint8_t *y = cpu_window_output(w, p);
        for (int64_t i = 0; i < whole; i += 8) {
            __m256i sum = _mm256_setzero_si256();
            for (int64_t k = 0; k < w->rows; k++)
                for (int64_t j = 0; j < w->columns; j++) {
                    const uint8_t *x = cpu_window_tap(w, p, k, j);
                    sum = _mm256_add_epi32(sum, load_8(x + i, average->x_signed));
                }
            __m256 real = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum, zeros));
            store_rounded(&r, _mm256_mul_ps(real, multiplier), y + i);
        }
    }
    const struct cpu_windows rest = cpu_windows_rest(w, whole, 1);
    if (rest.channels > 0)
        cpu_average_q8_c(&rest, average);
}
