// Convolution kernel for AVX-512 VNNI: twelve output pixels by sixteen channels.
//
// vpdpbusd adds products of uint8 and int8 to 32-bit sums without saturating in between.
#include "accel/cpu/x86/epilogue_avx2.h"

#include <string.h>

#define TILE 12

INLINE __m512i broadcast_quad(const char *x)
{
    int32_t quad;
    memcpy(&quad, x, sizeof(quad));
    return _mm512_set1_epi32(quad);
}

INLINE void tile_dot(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m512i sums[TILE];
    const int8_t *w = row->weights;
    UNROLLED for (int p = 0; p < count; p++) sums[p] = _mm512_loadu_si512(row->epilogue->bias);
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = (const char *)row->runs[s->run] + (size_t)first * row->step;
        x += (size_t)s->first * 4;
        for (uint32_t k = 0; k < s->length; k++, x += 4, w += 4 * CPU_BLOCK) {
            __m512i weights = _mm512_load_si512(w);
            UNROLLED for (int p = 0; p < count; p++) sums[p] =
                _mm512_dpbusd_epi32(sums[p], broadcast_quad(x + (size_t)p * row->step), weights);
        }
    }
    __m256i low[TILE], high[TILE];
    UNROLLED for (int p = 0; p < count; p++)
    {
        low[p] = _mm512_castsi512_si256(sums[p]);
        high[p] = _mm512_extracti64x4_epi64(sums[p], 1);
    }
    store_tile(row, first, count, low, high);
}

void cpu_conv_dot_avx512vnni(const struct cpu_conv_row *row)
{
    int64_t first = 0;
    for (; row->pixels - first >= TILE; first += TILE)
        tile_dot(row, first, TILE);
    if (row->pixels - first >= 8) {
        tile_dot(row, first, 8);
        first += 8;
    }
    if (row->pixels - first >= 4) {
        tile_dot(row, first, 4);
        first += 4;
    }
    for (; first < row->pixels; first++)
        tile_dot(row, first, 1);
}
