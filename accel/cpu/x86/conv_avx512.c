// Convolution kernel for AVX-512 VNNI: fourteen output pixels by sixteen channels.
//
// vpdpbusd adds products of uint8 and int8 to 32-bit sums without saturating in between.
#include "accel/cpu/x86/epilogue_avx512.h"

#include <string.h>

#define TILE 14

INLINE __m512i broadcast_quad(const char *x)
{
    int32_t quad;
    memcpy(&quad, x, sizeof(quad));
    return _mm512_set1_epi32(quad);
}

INLINE void tile_dot(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m512i sums[TILE];
    const char *w = row->weights;
    const size_t step = row->step;
    UNROLLED for (int p = 0; p < count; p++) sums[p] = _mm512_loadu_si512(row->epilogue->bias);
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = (const char *)row->runs[s->run] + (size_t)first * row->step;
        x += (size_t)s->first * 4;
        const char *at[(TILE + 2) / 3]; // every third pixel: the others are one and two steps on
        UNROLLED for (int p = 0; p < count; p += 3) at[p / 3] = x + (size_t)p * step;
        TWICE for (uint32_t k = 0; k < s->length; k++, w += 4 * CPU_BLOCK)
        {
            __m512i weights = _mm512_load_si512(w);
            UNROLLED for (int p = 0; p < count; p++) sums[p] = _mm512_dpbusd_epi32(
                sums[p], broadcast_quad(at[p / 3] + (size_t)(p % 3) * step), weights);
            UNROLLED for (int p = 0; p < count; p += 3) at[p / 3] += 4;
        }
    }
    store_tile(row, first, count, sums);
}

DEFINE_ROW(cpu_conv_dot_avx512vnni, tile_dot, 14)
