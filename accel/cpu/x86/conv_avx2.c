// Convolution kernels for AVX2 and FMA.
//
// Six output pixels by sixteen output channels stay in twelve registers. INT8 products are formed
// by vpmaddwd on widened operands, which is exact; vpmaddubsw would saturate.
#include "accel/cpu/x86/epilogue_avx2.h"

#include <stdbool.h>
#include <string.h>

#define TILE 6

INLINE __m256i broadcast_pair(const char *x)
{
    int32_t pair;
    memcpy(&pair, x, sizeof(pair));
    return _mm256_set1_epi32(pair);
}

INLINE const char *tap(const struct cpu_conv_row *row, const struct cpu_segment *s, int64_t pixel)
{
    return (const char *)row->runs[s->run] + (size_t)pixel * row->step + (size_t)s->first * 4;
}

INLINE void tile_s16(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m256i low[TILE], high[TILE];
    const __m256i *w = row->weights;
    UNROLLED for (int p = 0; p < count; p++)
    {
        low[p] = _mm256_loadu_si256((const __m256i *)(const void *)row->epilogue->bias);
        high[p] = _mm256_loadu_si256((const __m256i *)(const void *)(row->epilogue->bias + 8));
    }
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = tap(row, s, first);
        TWICE for (uint32_t k = 0; k < s->length; k++, x += 4, w += 2)
        {
            __m256i w0 = _mm256_load_si256(w), w1 = _mm256_load_si256(w + 1);
            UNROLLED for (int p = 0; p < count; p++)
            {
                __m256i pair = broadcast_pair(x + (size_t)p * row->step);
                low[p] = _mm256_add_epi32(low[p], _mm256_madd_epi16(pair, w0));
                high[p] = _mm256_add_epi32(high[p], _mm256_madd_epi16(pair, w1));
            }
        }
    }
    store_tile(row, first, count, low, high);
}

INLINE void tile_f32(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m256 low[TILE], high[TILE];
    const float *w = row->weights;
    UNROLLED for (int p = 0; p < count; p++)
    {
        low[p] = _mm256_loadu_ps(row->epilogue->bias_real);
        high[p] = _mm256_loadu_ps(row->epilogue->bias_real + 8);
    }
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = tap(row, s, first);
        TWICE for (uint32_t k = 0; k < s->length; k++, x += 4, w += CPU_BLOCK)
        {
            __m256 w0 = _mm256_load_ps(w), w1 = _mm256_load_ps(w + 8);
            UNROLLED for (int p = 0; p < count; p++)
            {
                __m256 value =
                    _mm256_broadcast_ss((const float *)(const void *)(x + (size_t)p * row->step));
                low[p] = _mm256_fmadd_ps(value, w0, low[p]);
                high[p] = _mm256_fmadd_ps(value, w1, high[p]);
            }
        }
    }
    UNROLLED for (int p = 0; p < count; p++) store_reals(
        row->epilogue, low[p], high[p], (char *)row->y + (size_t)(first + p) * row->y_step);
}

DEFINE_ROW(cpu_conv_s16_avx2, tile_s16, 6)
DEFINE_ROW(cpu_conv_f32_avx2, tile_f32, 6)

INLINE __m256i load_256(const void *data)
{
    return _mm256_loadu_si256((const __m256i *)data);
}

// Two taps at a time: their inputs and weights interleaved, vpmaddwd adds the two products.
#define DEPTHWISE_TILE 4
INLINE void tile_depthwise(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m256i low[DEPTHWISE_TILE], high[DEPTHWISE_TILE];
    const struct cpu_segment *s = row->segments;
    const __m256i *w = row->weights;
    size_t at = (size_t)first * row->step;
    // Interleaving works within halves: sums 0-3, 8-11 and 4-7, 12-15.
    __m256i a = load_256(row->epilogue->bias), b = load_256(row->epilogue->bias + 8);
    UNROLLED for (int p = 0; p < count; p++)
    {
        low[p] = _mm256_permute2x128_si256(a, b, 0x20);
        high[p] = _mm256_permute2x128_si256(a, b, 0x31);
    }
    for (uint32_t i = 0; i < row->n_segments; i += 2) {
        bool pair = i + 1 < row->n_segments;
        const char *xa = (const char *)row->runs[s[i].run] + at;
        const char *xb = pair ? (const char *)row->runs[s[i + 1].run] + at : xa;
        __m256i wa = load_256(w + i), wb = pair ? load_256(w + i + 1) : _mm256_setzero_si256();
        __m256i w_low = _mm256_unpacklo_epi16(wa, wb), w_high = _mm256_unpackhi_epi16(wa, wb);
        UNROLLED for (int p = 0; p < count; p++)
        {
            __m256i va = load_256(xa + (size_t)p * row->step);
            __m256i vb = load_256(xb + (size_t)p * row->step);
            low[p] =
                _mm256_add_epi32(low[p], _mm256_madd_epi16(_mm256_unpacklo_epi16(va, vb), w_low));
            high[p] =
                _mm256_add_epi32(high[p], _mm256_madd_epi16(_mm256_unpackhi_epi16(va, vb), w_high));
        }
    }
    UNROLLED for (int p = 0; p < count; p++)
    {
        a = _mm256_permute2x128_si256(low[p], high[p], 0x20);
        b = _mm256_permute2x128_si256(low[p], high[p], 0x31);
        low[p] = a;
        high[p] = b;
    }
    store_tile(row, first, count, low, high);
}

void cpu_depthwise_s16_avx2(const struct cpu_conv_row *row)
{
    int64_t p = 0;
    for (; row->pixels - p >= DEPTHWISE_TILE; p += DEPTHWISE_TILE)
        tile_depthwise(row, p, DEPTHWISE_TILE);
    for (; p < row->pixels; p++)
        tile_depthwise(row, p, 1);
}
