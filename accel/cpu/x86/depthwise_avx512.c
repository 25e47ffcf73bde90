// Depthwise convolution for AVX-512 VNNI: sixteen channels, four taps of each in a register.
#include "accel/cpu/x86/epilogue_avx512.h"

#define TILE 8

INLINE void tile_depthwise(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m512i sums[TILE];
    const char *w = row->weights;
    UNROLLED for (int p = 0; p < count; p++) sums[p] = _mm512_loadu_si512(row->epilogue->bias);
    for (uint32_t i = 0; i < row->n_segments; i++, w += CPU_TAPS * CPU_BLOCK) {
        const char *x = (const char *)row->runs[row->segments[i].run] + (size_t)first * row->step;
        __m512i weights = _mm512_loadu_si512(w);
        UNROLLED for (int p = 0; p < count; p++) sums[p] =
            _mm512_dpbusd_epi32(sums[p], _mm512_loadu_si512(x + (size_t)p * row->step), weights);
    }
    store_tile(row, first, count, sums);
}

DEFINE_ROW(cpu_depthwise_dot_avx512vnni, tile_depthwise, 8)

// Bytes spread over words of four, one tap shifted after the other.
INLINE void gather_taps(const struct cpu_taps *job, const uint32_t count)
{
    const uint8_t *const x[CPU_TAPS] = {job->x[0], job->x[1], job->x[2], job->x[3]};
    const size_t step = job->step, depth = (size_t)job->depth;
    uint8_t *y = job->y;
    for (size_t at = 0; at < (size_t)job->pixels * step; at += step)
        for (size_t c = 0; c < depth; c += CPU_BLOCK, y += CPU_TAPS * CPU_BLOCK) {
            __m512i quads = _mm512_setzero_si512();
            UNROLLED for (uint32_t k = 0; k < count; k++)
            {
                __m512i tap = _mm512_cvtepu8_epi32(
                    _mm_loadu_si128((const __m128i *)(const void *)(x[k] + at + c)));
                quads = _mm512_or_si512(quads, _mm512_slli_epi32(tap, 8 * k));
            }
            _mm512_storeu_si512(y, quads);
        }
}

DEFINE_TAPS(cpu_taps_avx512vnni, gather_taps)
