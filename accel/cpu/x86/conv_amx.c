// Convolution kernel for AMX-INT8: up to 64 output pixels by sixteen channels at a time.
//
// tdpbusd multiplies 16 rows of 64 bytes by 16 granules of weights: 16 pixels by 64 input bytes by
// 16 channels, exactly. Both operands are read where they lie: pixels are `step` bytes apart, and
// the packed weights of 16 granules are a tile. So each segment is a multiple of 16 granules.
//
// Tiles are configured and released in each call. A thread between calls then has no tiles to save
// when it is switched out, and the price is one ldtilecfg for a row of pixels.
#include "accel/cpu/x86/amx.h"
#include "accel/cpu/x86/epilogue_avx512.h"

#include <stdbool.h>
#include <string.h>

#define TILE  16 // pixels of a tile, and its granules
#define GROUP 3  // tiles of pixels that meet the same tile of weights, besides a smaller last one

// Tile registers, which instructions name by a literal: 0 to 2 sums, 3 sums of the smaller tile,
// 4 and 5 pixels, 6 weights, 7 pixels of the smaller tile.
static void configure(int64_t rest)
{
    struct tile_config config __attribute__((aligned(64)));
    memset(&config, 0, sizeof(config));
    config.palette = 1;
    for (int i = 0; i < 8; i++) {
        config.columns[i] = 64;
        config.rows[i] = TILE;
    }
    if (rest > 0)
        config.rows[3] = config.rows[7] = (uint8_t)rest;
    CONFIGURE_TILES(&config);
}

// Tiles begin with the bias: a row of it read 16 times.
INLINE void load_bias(const int32_t *bias)
{
    _tile_loadd(0, bias, 0);
    _tile_loadd(1, bias, 0);
    _tile_loadd(2, bias, 0);
    _tile_loadd(3, bias, 0);
}

// One tile of weights times `full` tiles of pixels, and a smaller one behind them.
INLINE void multiply(const char *x, size_t step, const char *w, int64_t full, bool rest)
{
    _tile_loadd(6, w, 4 * CPU_BLOCK);
    if (full > 0) {
        _tile_loadd(4, x, step);
        _tile_dpbusd(0, 4, 6);
    }
    if (full > 1) {
        _tile_loadd(5, x + TILE * step, step);
        _tile_dpbusd(1, 5, 6);
    }
    if (full > 2) {
        _tile_loadd(4, x + 2 * TILE * step, step);
        _tile_dpbusd(2, 4, 6);
    }
    if (rest) {
        _tile_loadd(7, x + (size_t)full * TILE * step, step);
        _tile_dpbusd(3, 7, 6);
    }
}

typedef char tile_sums[TILE][4 * CPU_BLOCK];

INLINE void store_sums(tile_sums *sums, int64_t full, bool rest)
{
    if (full > 0)
        _tile_stored(0, sums[0], sizeof(**sums));
    if (full > 1)
        _tile_stored(1, sums[1], sizeof(**sums));
    if (full > 2)
        _tile_stored(2, sums[2], sizeof(**sums));
    if (rest)
        _tile_stored(3, sums[full], sizeof(**sums));
}

static void store_pixels(const struct cpu_conv_row *row, int64_t first, int64_t count,
                         const char (*sums)[4 * CPU_BLOCK])
{
    enum { AT_ONCE = 4 };
    const struct cpu_epilogue *e = row->epilogue;
    int64_t p = 0;
    if (e->to_sums || e->to_real || e->add || !e->shrinks) {
        const __m512i *copies = (const __m512i *)(const void *)sums;
        (e->add ? store_added : store_others)(row, first, count, copies);
        return;
    }
    for (; count - p >= AT_ONCE; p += AT_ONCE) {
        __m512i four[AT_ONCE];
        UNROLLED for (int i = 0; i < AT_ONCE; i++) four[i] = _mm512_load_si512(sums[p + i]);
        store_tile(row, first + p, AT_ONCE, four);
    }
    for (; p < count; p++) {
        __m512i one = _mm512_load_si512(sums[p]);
        store_tile(row, first + p, 1, &one);
    }
}

static void compute_group(const struct cpu_conv_row *row, int64_t first, int64_t full, int64_t rest)
{
    tile_sums sums[GROUP + 1] __attribute__((aligned(64)));
    const char *w = row->weights;
    load_bias(row->epilogue->bias);
    for (uint32_t i = 0; i < row->n_segments; i++) {
        const struct cpu_segment *s = &row->segments[i];
        const char *x = (const char *)row->runs[s->run] + (size_t)first * row->step;
        x += (size_t)s->first * 4;
        for (uint32_t k = 0; k < s->length; k += TILE, x += 4 * TILE, w += sizeof(tile_sums))
            multiply(x, row->step, w, full, rest > 0);
    }
    store_sums(sums, full, rest > 0);
    store_pixels(row, first, full * TILE + rest, (const char(*)[4 * CPU_BLOCK]) sums[0]);
}

void cpu_conv_dot_amx(const struct cpu_conv_row *row)
{
    int64_t full = row->pixels / TILE, rest = row->pixels % TILE, first = 0;
    configure(rest);
    for (; full > GROUP; full -= GROUP, first += GROUP * TILE)
        compute_group(row, first, GROUP, 0);
    compute_group(row, first, full, rest);
    _tile_release();
}
