// Convolution kernel for AVX-VNNI: six output pixels by sixteen channels in twelve registers.
//
// vpdpbusd adds products of uint8 and int8 to 32-bit sums without saturating in between.
#include "accel/cpu/x86/epilogue_avx2.h"

#include <string.h>

#define TILE 6

INLINE __m256i broadcast_quad(const char *x)
{
    int32_t quad;
    memcpy(&quad, x, sizeof(quad));
    return _mm256_set1_epi32(quad);
}

INLINE void tile_dot(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m256i low[TILE], high[TILE];
    const __m256i *w = row->weights;
    const __m256i *bias = (const __m256i *)(const void *)row->epilogue->bias;
    UNROLLED for (int p = 0; p < count; p++)
    {
        low[p] = _mm256_loadu_si256(bias);
        high[p] = _mm256_loadu_si256(bias + 1);
    }
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = (const char *)row->runs[s->run] + (size_t)first * row->step;
        x += (size_t)s->first * 4;
        TWICE for (uint32_t k = 0; k < s->length; k++, x += 4, w += 2)
        {
            __m256i w0 = _mm256_load_si256(w), w1 = _mm256_load_si256(w + 1);
            UNROLLED for (int p = 0; p < count; p++)
            {
                __m256i quad = broadcast_quad(x + (size_t)p * row->step);
                low[p] = _mm256_dpbusd_avx_epi32(low[p], quad, w0);
                high[p] = _mm256_dpbusd_avx_epi32(high[p], quad, w1);
            }
        }
    }
    store_tile(row, first, count, low, high);
}

INLINE __m256i load_256(const void *data)
{
    return _mm256_loadu_si256((const __m256i *)data);
}

INLINE void tile_depthwise(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m256i low[TILE], high[TILE];
    const char *w = row->weights;
    const int32_t *bias = row->epilogue->bias;
    UNROLLED for (int p = 0; p < count; p++)
    {
        low[p] = load_256(bias);
        high[p] = load_256(bias + 8);
    }
    for (uint32_t i = 0; i < row->n_segments; i++, w += CPU_TAPS * CPU_BLOCK) {
        const char *x = (const char *)row->runs[row->segments[i].run] + (size_t)first * row->step;
        __m256i w0 = load_256(w), w1 = load_256(w + 32);
        UNROLLED for (int p = 0; p < count; p++)
        {
            const char *taps = x + (size_t)p * row->step;
            low[p] = _mm256_dpbusd_avx_epi32(low[p], load_256(taps), w0);
            high[p] = _mm256_dpbusd_avx_epi32(high[p], load_256(taps + 32), w1);
        }
    }
    store_tile(row, first, count, low, high);
}

DEFINE_ROW(cpu_conv_dot_avxvnni, tile_dot, 6)
DEFINE_ROW(cpu_depthwise_dot_avxvnni, tile_depthwise, 6)
