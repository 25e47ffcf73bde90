// Depthwise convolution for AVX-512 VNNI: sixteen channels, four pixels of each in a register.
#include "accel/cpu/x86/epilogue_avx512.h"

#define TILE 12

// The window of four pixels moves on by one: the newest is the highest byte of each channel's word.
INLINE __m512i slide(__m512i window, const char *pixel)
{
    const __m512i spread = _mm512_setr_epi32(0x00 << 24, 0x01 << 24, 0x02 << 24, 0x03 << 24, //
                                             0x04 << 24, 0x05 << 24, 0x06 << 24, 0x07 << 24, //
                                             0x08 << 24, 0x09 << 24, 0x0A << 24, 0x0B << 24, //
                                             0x0C << 24, 0x0D << 24, 0x0E << 24, 0x0F << 24);
    __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)pixel));
    return _mm512_mask_shuffle_epi8(_mm512_srli_epi32(window, 8), 0x8888888888888888u, bytes,
                                    spread);
}

// Windows stand in a ring: the one that ends `taps - CPU_TAPS` pixels ago has the first taps.
INLINE void tile_depthwise(const struct cpu_conv_row *row, int64_t first, const int count,
                           const int taps, const int stride)
{
    enum { RING = 8 };
    const int granules = taps > CPU_TAPS ? 2 : 1, ago = granules > 1 ? taps - CPU_TAPS : 0;
    __m512i sums[TILE];
    const char *w = row->weights;
    const __m512i bias = first_sums(row->epilogue, 0);
    UNROLLED for (int p = 0; p < count; p++) sums[p] = bias;
    for (uint32_t i = 0; i < row->n_segments; i++, w += granules * CPU_TAPS * CPU_BLOCK) {
        const char *x = (const char *)row->runs[row->segments[i].run] + (size_t)first * row->step;
        const __m512i first_taps = _mm512_loadu_si512(w);
        const __m512i last_taps = _mm512_loadu_si512(w + (granules - 1) * CPU_TAPS * CPU_BLOCK);
        __m512i ring[RING] = {_mm512_setzero_si512()}, window = ring[0];
        UNROLLED for (int k = 0; k < taps - stride; k++, x += row->tap_step) ring[k % RING] =
            window = slide(window, x);
        UNROLLED for (int p = 0; p < count; p++)
        {
            const int end = taps + p * stride;
            UNROLLED for (int k = end - stride; k < end; k++, x += row->tap_step) ring[k % RING] =
                window = slide(window, x);
            if (granules > 1)
                sums[p] = _mm512_dpbusd_epi32(sums[p], ring[(end - 1 - ago) % RING], first_taps);
            sums[p] = _mm512_dpbusd_epi32(sums[p], window, last_taps);
        }
    }
    store_tile(row, first, count, sums);
}

DEFINE_DEPTHWISE(cpu_depthwise_dot_avx512vnni, tile_depthwise, 12)
