// Convolution kernels for AVX-512 VNNI: fourteen output pixels by sixteen channels, or twelve by
// two blocks of sixteen, which load less for each product. Where there are eight granules at most,
// their weights stay in registers, and sixteen pixels are computed without a loop.
//
// vpdpbusd adds products of uint8 and int8 to 32-bit sums, vpdpwssd those of int16, without
// saturating in between. Granules of both have four bytes.
#include "accel/cpu/x86/epilogue_avx512.h"

#include <string.h>

#define TILE 14
enum { SHORT = 8, SHORT_TILE = 16 }; // granules and pixels of a short row

INLINE __m512i broadcast_quad(const char *x)
{
    int32_t quad;
    memcpy(&quad, x, sizeof(quad));
    return _mm512_set1_epi32(quad);
}

INLINE __m512 broadcast_real(const char *x)
{
    return _mm512_set1_ps(*(const float *)(const void *)x);
}

typedef __m512i multiply_add(__m512i sums, __m512i x, __m512i weights);

INLINE __m512i add_bytes(__m512i sums, __m512i x, __m512i weights)
{
    return _mm512_dpbusd_epi32(sums, x, weights);
}

INLINE __m512i add_words(__m512i sums, __m512i x, __m512i weights)
{
    return _mm512_dpwssd_epi32(sums, x, weights);
}

INLINE void tile_any(const struct cpu_conv_row *row, int64_t first, const int count,
                     multiply_add *const add)
{
    __m512i sums[TILE];
    const char *w = row->weights;
    const size_t step = row->step;
    const __m512i bias = first_sums(row->epilogue, 0);
    UNROLLED for (int p = 0; p < count; p++) sums[p] = bias;
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = (const char *)row->runs[s->run] + (size_t)first * row->step;
        x += (size_t)s->first * 4;
        const char *at[(TILE + 2) / 3]; // every third pixel: the others are one and two steps on
        UNROLLED for (int p = 0; p < count; p += 3) at[p / 3] = x + (size_t)p * step;
        TWICE for (uint32_t k = 0; k < s->length; k++, w += 4 * CPU_BLOCK)
        {
            __m512i weights = _mm512_load_si512(w);
            UNROLLED for (int p = 0; p < count; p++) sums[p] =
                add(sums[p], broadcast_quad(at[p / 3] + (size_t)(p % 3) * step), weights);
            UNROLLED for (int p = 0; p < count; p += 3) at[p / 3] += 4;
        }
    }
    store_tile(row, first, count, sums);
}

INLINE void tile_dot(const struct cpu_conv_row *row, int64_t first, const int count)
{
    tile_any(row, first, count, add_bytes);
}

static DEFINE_ROW(row_long, tile_dot, 14)

    INLINE void tile_s16(const struct cpu_conv_row *row, int64_t first, const int count)
{
    tile_any(row, first, count, add_words);
}

DEFINE_ROW(cpu_conv_s16_avx512vnni, tile_s16, 14)

// Where the granules of the first pixel stand.
static void find_granules(const struct cpu_conv_row *row, const char *x[SHORT])
{
    for (uint32_t i = 0, n = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        for (uint32_t k = 0; k < s->length; k++)
            x[n++] = (const char *)row->runs[s->run] + (size_t)(s->first + k) * 4;
    }
}

INLINE void tile_short(const struct cpu_conv_row *row, const char *const *x, int64_t first,
                       const int granules)
{
    __m512i sums[SHORT_TILE];
    const size_t step = row->step;
    const __m512i bias = first_sums(row->epilogue, 0);
    UNROLLED for (int p = 0; p < SHORT_TILE; p++) sums[p] = bias;
    UNROLLED for (int k = 0; k < granules; k++)
    {
        const __m512i weights = _mm512_load_si512((const char *)row->weights + 4 * CPU_BLOCK * k);
        const char *at = x[k] + (size_t)first * step;
        UNROLLED for (int p = 0; p < SHORT_TILE; p++, at += step) sums[p] =
            _mm512_dpbusd_epi32(sums[p], broadcast_quad(at), weights);
    }
    store_tile(row, first, SHORT_TILE, sums);
}

// The last tile overlaps the one before it.
INLINE void row_short(const struct cpu_conv_row *row, const int granules)
{
    const char *x[SHORT];
    find_granules(row, x);
    const int64_t last = row->pixels - SHORT_TILE;
    for (int64_t first = 0; first < row->pixels; first += SHORT_TILE)
        tile_short(row, x, first < last ? first : last, granules);
}

// Is what the last tile computes again little?
static bool suits_short_tiles(int64_t pixels)
{
    const int64_t computed = (pixels + SHORT_TILE - 1) / SHORT_TILE * SHORT_TILE;
    return pixels >= SHORT_TILE && 5 * computed <= 6 * pixels;
}

void cpu_conv_dot_avx512vnni(const struct cpu_conv_row *row)
{
    uint32_t granules = 0;
    for (uint32_t i = 0; i < row->n_segments; i++)
        granules += row->segments[i].length;
#define CASE(n)                                                                                    \
    case n:                                                                                        \
        row_short(row, n);                                                                         \
        break;
    switch (suits_short_tiles(row->pixels) ? granules : 0) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) default : row_long(row);
    }
#undef CASE
}

#define PAIR_TILE 12
INLINE void tile_dot_pair(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m512i sums[PAIR_TILE], next_sums[PAIR_TILE];
    const struct cpu_epilogue *e = row->epilogue;
    const char *w = row->weights, *next = row->next_weights;
    const size_t step = row->step;
    const __m512i bias = first_sums(e, 0), next_bias = first_sums(e, CPU_BLOCK);
    UNROLLED for (int p = 0; p < count; p++)
    {
        sums[p] = bias;
        next_sums[p] = next_bias;
    }
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = (const char *)row->runs[s->run] + (size_t)first * row->step;
        x += (size_t)s->first * 4;
        const char *at[(PAIR_TILE + 2) / 3];
        UNROLLED for (int p = 0; p < count; p += 3) at[p / 3] = x + (size_t)p * step;
        for (uint32_t k = 0; k < s->length; k++, w += 4 * CPU_BLOCK, next += 4 * CPU_BLOCK) {
            __m512i weights = _mm512_load_si512(w), next_weights = _mm512_load_si512(next);
            UNROLLED for (int p = 0; p < count; p++)
            {
                __m512i quad = broadcast_quad(at[p / 3] + (size_t)(p % 3) * step);
                sums[p] = _mm512_dpbusd_epi32(sums[p], quad, weights);
                next_sums[p] = _mm512_dpbusd_epi32(next_sums[p], quad, next_weights);
            }
            UNROLLED for (int p = 0; p < count; p += 3) at[p / 3] += 4;
        }
    }
    struct cpu_epilogue epilogue = cpu_epilogue_of(e, 1);
    struct cpu_conv_row second = {.epilogue = &epilogue,
                                  .y = (char *)row->y + CPU_BLOCK * cpu_element(e),
                                  .y_step = row->y_step};
    store_tile(row, first, count, sums);
    store_tile(&second, first, count, next_sums);
}

DEFINE_ROW(cpu_conv_dot_pair_avx512vnni, tile_dot_pair, 12)

INLINE void tile_f32(const struct cpu_conv_row *row, int64_t first, const int count)
{
    __m512 sums[TILE];
    const struct cpu_epilogue *e = row->epilogue;
    const float *w = row->weights;
    const size_t step = row->step;
    UNROLLED for (int p = 0; p < count; p++) sums[p] = _mm512_loadu_ps(e->bias_real);
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = (const char *)row->runs[s->run] + (size_t)first * row->step;
        x += (size_t)s->first * sizeof(float);
        const char *at[(TILE + 2) / 3];
        UNROLLED for (int p = 0; p < count; p += 3) at[p / 3] = x + (size_t)p * step;
        TWICE for (uint32_t k = 0; k < s->length; k++, w += CPU_BLOCK)
        {
            __m512 weights = _mm512_load_ps(w);
            UNROLLED for (int p = 0; p < count; p++) sums[p] = _mm512_fmadd_ps(
                broadcast_real(at[p / 3] + (size_t)(p % 3) * step), weights, sums[p]);
            UNROLLED for (int p = 0; p < count; p += 3) at[p / 3] += sizeof(float);
        }
    }
    char *y = (char *)row->y + (size_t)first * row->y_step;
    UNROLLED for (int p = 0; p < count; p++, y += row->y_step)
        _mm512_storeu_ps(y, clamp(sums[p], e->low, e->high));
}

DEFINE_ROW(cpu_conv_f32_avx512vnni, tile_f32, 14)
