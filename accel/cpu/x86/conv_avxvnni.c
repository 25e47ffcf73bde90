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

// The window of four pixels moves on by one: the newest is the highest byte of each channel's word.
INLINE __m256i slide(__m256i window, const char *pixel)
{
    const __m256i spread = _mm256_setr_epi32(0x00808080, 0x01808080, 0x02808080, 0x03808080, //
                                             0x04808080, 0x05808080, 0x06808080, 0x07808080);
    __m256i bytes =
        _mm256_broadcastsi128_si256(_mm_loadl_epi64((const __m128i *)(const void *)pixel));
    return _mm256_or_si256(_mm256_srli_epi32(window, 8), _mm256_shuffle_epi8(bytes, spread));
}

#define DEPTHWISE_TILE 4
// Eight channels from byte `half` on. Windows stand in a ring: the one that ends `taps - CPU_TAPS`
// pixels ago has the first taps.
INLINE void sum_taps(const struct cpu_conv_row *row, int64_t first, const int count, const int taps,
                     const int stride, const size_t half, __m256i *sums)
{
    enum { RING = 8 };
    const int granules = taps > CPU_TAPS ? 2 : 1, ago = granules > 1 ? taps - CPU_TAPS : 0;
    const char *w = (const char *)row->weights + half * CPU_TAPS;
    UNROLLED for (int p = 0; p < count; p++) sums[p] = load_256(row->epilogue->bias + half);
    for (uint32_t i = 0; i < row->n_segments; i++, w += granules * CPU_TAPS * CPU_BLOCK) {
        const char *x = (const char *)row->runs[row->segments[i].run] + (size_t)first * row->step;
        const __m256i first_taps = load_256(w);
        const __m256i last_taps = load_256(w + (granules - 1) * CPU_TAPS * CPU_BLOCK);
        __m256i ring[RING] = {_mm256_setzero_si256()}, window = ring[0];
        x += half;
        UNROLLED for (int k = 0; k < taps - stride; k++, x += row->tap_step) ring[k % RING] =
            window = slide(window, x);
        UNROLLED for (int p = 0; p < count; p++)
        {
            const int end = taps + p * stride;
            UNROLLED for (int k = end - stride; k < end; k++, x += row->tap_step) ring[k % RING] =
                window = slide(window, x);
            if (granules > 1)
                sums[p] =
                    _mm256_dpbusd_avx_epi32(sums[p], ring[(end - 1 - ago) % RING], first_taps);
            sums[p] = _mm256_dpbusd_avx_epi32(sums[p], window, last_taps);
        }
    }
}

INLINE void tile_depthwise(const struct cpu_conv_row *row, int64_t first, const int count,
                           const int taps, const int stride)
{
    __m256i low[DEPTHWISE_TILE], high[DEPTHWISE_TILE];
    sum_taps(row, first, count, taps, stride, 0, low);
    sum_taps(row, first, count, taps, stride, 8, high);
    store_tile(row, first, count, low, high);
}

DEFINE_DEPTHWISE(cpu_depthwise_dot_avxvnni, tile_depthwise, 4)
DEFINE_ROW(cpu_conv_dot_avxvnni, tile_dot, 6)
