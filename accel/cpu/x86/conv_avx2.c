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

INLINE void tile_s16(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m256i low[TILE], high[TILE];
    const __m256i *w = row->weights;
    UNROLLED for (int p = 0; p < count; p++)
    {
        low[p] = _mm256_loadu_si256((const __m256i *)(const void *)row->epilogue->bias);
        high[p] = _mm256_loadu_si256((const __m256i *)(const void *)(row->epilogue->bias + 8));
    }
    for (uint32_t r = 0; r < row->n_runs; r++) {
        const char *x = (const char *)row->runs[r] + (size_t)first * row->step;
        for (uint32_t k = 0; k < row->run_length; k++, x += 4, w += 2) {
            __m256i w0 = _mm256_load_si256(w), w1 = _mm256_load_si256(w + 1);
            UNROLLED for (int p = 0; p < count; p++)
            {
                __m256i pair = broadcast_pair(x + (size_t)p * row->step);
                low[p] = _mm256_add_epi32(low[p], _mm256_madd_epi16(pair, w0));
                high[p] = _mm256_add_epi32(high[p], _mm256_madd_epi16(pair, w1));
            }
        }
    }
    UNROLLED for (int p = 0; p < count; p++) store_sums(row, first + p, low[p], high[p]);
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
    for (uint32_t r = 0; r < row->n_runs; r++) {
        const char *x = (const char *)row->runs[r] + (size_t)first * row->step;
        for (uint32_t k = 0; k < row->run_length; k++, x += 4, w += CPU_BLOCK) {
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

#define DEFINE_ROW(name, tile)                                                                     \
    void name(const struct cpu_conv_row *row)                                                      \
    {                                                                                              \
        int64_t first = 0;                                                                         \
        for (; row->pixels - first >= TILE; first += TILE)                                         \
            tile(row, first, TILE);                                                                \
        switch (row->pixels - first) {                                                             \
        case 5:                                                                                    \
            tile(row, first, 5);                                                                   \
            break;                                                                                 \
        case 4:                                                                                    \
            tile(row, first, 4);                                                                   \
            break;                                                                                 \
        case 3:                                                                                    \
            tile(row, first, 3);                                                                   \
            break;                                                                                 \
        case 2:                                                                                    \
            tile(row, first, 2);                                                                   \
            break;                                                                                 \
        case 1:                                                                                    \
            tile(row, first, 1);                                                                   \
            break;                                                                                 \
        default:                                                                                   \
            break;                                                                                 \
        }                                                                                          \
    }
DEFINE_ROW(cpu_conv_s16_avx2, tile_s16)
DEFINE_ROW(cpu_conv_f32_avx2, tile_f32)

// Two taps at a time: their inputs and weights interleaved, vpmaddwd adds the two products.
INLINE void tile_depthwise(const struct cpu_conv_row *row, int64_t pixel)
{
    const struct cpu_epilogue *e = row->epilogue;
    __m256i first = _mm256_loadu_si256((const __m256i *)(const void *)e->bias);
    __m256i second = _mm256_loadu_si256((const __m256i *)(const void *)(e->bias + 8));
    // Interleaving works within halves: sums 0-3, 8-11 and 4-7, 12-15.
    __m256i low = _mm256_permute2x128_si256(first, second, 0x20);
    __m256i high = _mm256_permute2x128_si256(first, second, 0x31);
    const __m256i *w = row->weights;
    size_t at = (size_t)pixel * row->step;
    for (uint32_t r = 0; r < row->n_runs; r += 2) {
        bool pair = r + 1 < row->n_runs;
        __m256i zero = _mm256_setzero_si256();
        __m256i xa =
            _mm256_loadu_si256((const __m256i *)(const void *)((const char *)row->runs[r] + at));
        __m256i wa = _mm256_loadu_si256(w + r), xb = zero, wb = zero;
        if (pair) {
            xb = _mm256_loadu_si256(
                (const __m256i *)(const void *)((const char *)row->runs[r + 1] + at));
            wb = _mm256_loadu_si256(w + r + 1);
        }
        low = _mm256_add_epi32(
            low, _mm256_madd_epi16(_mm256_unpacklo_epi16(xa, xb), _mm256_unpacklo_epi16(wa, wb)));
        high = _mm256_add_epi32(
            high, _mm256_madd_epi16(_mm256_unpackhi_epi16(xa, xb), _mm256_unpackhi_epi16(wa, wb)));
    }
    store_sums(row, pixel, _mm256_permute2x128_si256(low, high, 0x20),
               _mm256_permute2x128_si256(low, high, 0x31));
}

void cpu_depthwise_s16_avx2(const struct cpu_conv_row *row)
{
    for (int64_t p = 0; p < row->pixels; p++)
        tile_depthwise(row, p);
}
