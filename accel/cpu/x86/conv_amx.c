// Convolution kernel for AMX-INT8: tiles of up to sixteen output pixels times sixteen channels.
//
// tdpbusd multiplies 16 rows of 64 bytes by 16 granules of weights: 16 pixels by 64 input bytes by
// 16 channels, exactly. Both operands are read where they lie: pixels are `step` bytes apart, and
// the granules of packed weights stand behind each other. Four products have four tiles of sums:
// two tiles of pixels times two blocks of channels, or four times one.
//
// Sums leave the tiles through memory. They become bytes while the next tiles multiply, as far as
// the processor can do both at once.
#include "accel/cpu/x86/amx.h"
#include "accel/cpu/x86/epilogue_avx512.h"

#include <string.h>

enum {
    SUM_BYTES = CPU_BLOCK * sizeof(int32_t), // of a pixel
    MOST_TILES = 4,                          // of sums
    // From so many products on, the bytes of the tiles before are made a few with each.
    MANY_PRODUCTS = 8,
};

typedef __m512i tile_sums[CPU_TILE];

// Tile registers, which instructions name by a literal: 0 to 3 sums, of pixel tile t and block b in
// t + 2 b; 4 and 5 pixels, 6 and 7 weights.
static void configure(int64_t pixels, uint32_t granules)
{
    struct tile_config config __attribute__((aligned(64)));
    memset(&config, 0, sizeof(config));
    config.palette = 1;
    for (int i = 0; i < 8; i++) {
        config.columns[i] = SUM_BYTES;
        config.rows[i] = (uint8_t)pixels;
    }
    config.columns[4] = config.columns[5] = (uint16_t)(4 * granules);
    config.rows[6] = config.rows[7] = (uint8_t)granules;
    CONFIGURE_TILES(&config);
}

// Tiles of pixels that are computed together.
struct group {
    int tiles;
    int64_t row[MOST_TILES], first[MOST_TILES]; // of each: which row, and the first pixel
};

// Sums that are not stored yet.
struct waiting {
    char *y[MOST_TILES]; // of each tile
    const uint8_t *residual[MOST_TILES];
    int tiles, tile;
    int64_t pixel; // the next one of the tile
};

struct work {
    const struct cpu_conv_band *band;
    int64_t pixels; // of a tile
    int64_t block;  // the first of one or two that are computed
    int64_t share;  // of a tile's waiting pixels, to be stored with each product
    bool waits;     // sums wait until they are stored
    bool adds;      // a residual
    struct packing packing;
    struct adding adding;
    struct scaling scaling[2]; // of each block
    int32_t bias[2 * CPU_BLOCK];
    struct waiting waiting;
    tile_sums *sums; // of the group
};

// The bytes of two pixels of two blocks, or of four of one. `at`: the first pixel of its tile.
INLINE __m512i make_bytes(const struct work *work, int64_t at, const int blocks)
{
    const struct waiting *w = &work->waiting;
    const struct scaling *first = &work->scaling[0], *second = &work->scaling[blocks - 1];
    const __m512i *a = work->sums[w->tile] + at;
    const __m512i *b = blocks > 1 ? work->sums[w->tile + 2] + at : a + 1;
    const int other = blocks > 1 ? 1 : 2; // pixels to the second half
    if (!work->adds)
        return pack_sums(&work->packing, first, second, a[0], b[0], a[other], b[other]);
    const size_t step = work->band->epilogue->residual_step;
    const uint8_t *residual = w->residual[w->tile] + (size_t)at * step;
    const size_t next = blocks > 1 ? CPU_BLOCK : step, half = (size_t)other * step;
    const struct added added = {
        .scaling = {first, second, first, second},
        .sums = {a[0], b[0], a[other], b[other]},
        .residual = {residual, residual + next, residual + half, residual + half + next}};
    return add_sums(&work->adding, &added);
}

// Two pixels of two blocks, which stand side by side.
INLINE void store_two(char *y, size_t step, __m512i bytes)
{
    if (step == 2 * CPU_BLOCK) {
        _mm512_storeu_si512(y, bytes);
        return;
    }
    _mm256_storeu_si256((__m256i *)(void *)y, _mm512_castsi512_si256(bytes));
    _mm256_storeu_si256((__m256i *)(void *)(y + step), _mm512_extracti64x4_epi64(bytes, 1));
}

// Stores `count` of the waiting pixels of a tile, or what is left of them. The last ones overlap
// those before them rather than being fewer.
INLINE void store_some(struct work *work, int64_t count, const int blocks)
{
    struct waiting *w = &work->waiting;
    if (w->tile == w->tiles)
        return;
    const int64_t together = blocks > 1 ? 2 : 4, last = work->pixels - together;
    const int64_t end = w->pixel + count < work->pixels ? w->pixel + count : work->pixels;
    const size_t step = work->band->y_step;
    for (; w->pixel < end; w->pixel += together) {
        const int64_t at = w->pixel < last ? w->pixel : last;
        char *y = w->y[w->tile] + (size_t)at * step;
        if (blocks > 1)
            store_two(y, step, make_bytes(work, at, 2));
        else
            store_four(y, step, 4, make_bytes(work, at, 1));
    }
    if (w->pixel >= work->pixels) {
        w->pixel = 0;
        w->tile++;
    }
}

INLINE void store_rest(struct work *work, const int blocks)
{
    while (work->waiting.tile < work->waiting.tiles)
        store_some(work, work->pixels, blocks);
}

// What is not made by packing.
static void store_now(const struct work *work, const struct group *group, int blocks)
{
    for (int t = 0; t < group->tiles; t++)
        for (int b = 0; b < blocks; b++) {
            struct cpu_epilogue epilogue;
            struct cpu_conv_row row =
                cpu_band_row(work->band, group->row[t], work->block + b, &epilogue);
            store_others(&row, group->first[t], work->pixels, work->sums[t + 2 * b]);
        }
}

static void wait(struct work *work, const struct group *group)
{
    const struct cpu_conv_band *band = work->band;
    struct waiting *w = &work->waiting;
    *w = (struct waiting){.tiles = group->tiles};
    for (int t = 0; t < group->tiles; t++)
        w->y[t] = (char *)band->y + (size_t)group->row[t] * band->y_row +
                  (size_t)group->first[t] * band->y_step + (size_t)(work->block * CPU_BLOCK);
    for (int t = 0; work->adds && t < group->tiles; t++)
        w->residual[t] = band->epilogue->residual + (size_t)group->row[t] * band->residual_row +
                         (size_t)group->first[t] * band->epilogue->residual_step +
                         (size_t)(work->block * CPU_BLOCK);
}

// Sums begin with the bias: a row of it read for every pixel.
INLINE void load_bias(const int32_t *bias, const int tiles, const int blocks)
{
    _tile_loadd(0, bias, 0);
    if (tiles > 1)
        _tile_loadd(1, bias, 0);
    if (blocks > 1)
        _tile_loadd(2, bias + CPU_BLOCK, 0);
    if (blocks > 1 && tiles > 1)
        _tile_loadd(3, bias + CPU_BLOCK, 0);
    if (blocks == 1 && tiles > 2)
        _tile_loadd(2, bias, 0);
    if (blocks == 1 && tiles > 3)
        _tile_loadd(3, bias, 0);
}

INLINE void multiply(const char *const *x, size_t step, const char *const *w, const int tiles,
                     const int blocks)
{
    _tile_loadd(6, w[0], SUM_BYTES);
    _tile_loadd(4, x[0], step);
    _tile_dpbusd(0, 4, 6);
    if (blocks > 1) {
        _tile_loadd(7, w[1], SUM_BYTES);
        _tile_dpbusd(2, 4, 7);
    }
    if (tiles > 1) {
        _tile_loadd(5, x[1], step);
        _tile_dpbusd(1, 5, 6);
    }
    if (tiles > 1 && blocks > 1)
        _tile_dpbusd(3, 5, 7);
    if (blocks == 1 && tiles > 2) {
        _tile_loadd(4, x[2], step);
        _tile_dpbusd(2, 4, 6);
    }
    if (blocks == 1 && tiles > 3) {
        _tile_loadd(5, x[3], step);
        _tile_dpbusd(3, 5, 6);
    }
}

INLINE void store_sums(tile_sums *sums, const int tiles, const int blocks)
{
    _tile_stored(0, sums[0], SUM_BYTES);
    if (tiles > 1)
        _tile_stored(1, sums[1], SUM_BYTES);
    if (blocks > 1 || tiles > 2)
        _tile_stored(2, sums[2], SUM_BYTES);
    if ((blocks > 1 && tiles > 1) || tiles > 3)
        _tile_stored(3, sums[3], SUM_BYTES);
}

INLINE void compute(struct work *work, const struct group *group, const int tiles, const int blocks)
{
    const struct cpu_conv_band *band = work->band;
    const struct cpu_conv_block *block = &band->blocks[work->block];
    const size_t step = band->step, bytes = (size_t)band->granules * 4;
    const struct cpu_segment *end = block->segments + block->n_segments;
    const char *w[2] = {block->weights, block[blocks - 1].weights};
    load_bias(work->bias, tiles, blocks);
    if (work->share == 0)
        store_rest(work, blocks);
    for (const struct cpu_segment *s = block->segments; s < end; s++) {
        const char *x[MOST_TILES];
        UNROLLED for (int t = 0; t < tiles; t++) x[t] =
            (const char *)band->runs[group->row[t]][s->run] + (size_t)group->first[t] * step +
            (size_t)s->first * 4;
        for (uint32_t k = 0; k < s->length; k += band->granules) {
            multiply(x, step, w, tiles, blocks);
            store_some(work, work->share, blocks);
            UNROLLED for (int t = 0; t < tiles; t++) x[t] += bytes;
            UNROLLED for (int b = 0; b < blocks; b++) w[b] += bytes * CPU_BLOCK;
        }
    }
    store_rest(work, blocks);
    store_sums(work->sums, tiles, blocks);
    if (work->waits)
        wait(work, group);
    else
        store_now(work, group, blocks);
}

INLINE void compute_group(struct work *work, struct group *group, const int blocks)
{
    if (group->tiles == 1)
        compute(work, group, 1, blocks);
    else if (group->tiles == 2)
        compute(work, group, 2, blocks);
    else if (blocks == 1 && group->tiles == 3)
        compute(work, group, 3, 1);
    else if (blocks == 1 && group->tiles == 4)
        compute(work, group, 4, 1);
    group->tiles = 0;
}

// How many of a tile's waiting pixels are stored with each product, so that all are when the
// products end; 0: all before the first one.
static int64_t find_share(const struct work *work, int tiles, int blocks)
{
    const struct cpu_conv_block *block = &work->band->blocks[work->block];
    int64_t products = 0, together = blocks > 1 ? 2 : 4;
    for (uint32_t i = 0; i < block->n_segments; i++)
        products += block->segments[i].length / work->band->granules;
    if (products < MANY_PRODUCTS)
        return 0;
    products /= tiles; // for each tile
    return ((work->pixels + products - 1) / products + together - 1) / together * together;
}

// All tiles of one block, or of two. The last tile of a row overlaps the one before it.
INLINE void compute_blocks(struct work *work, const int blocks)
{
    const struct cpu_conv_band *band = work->band;
    const int together = MOST_TILES / blocks;
    const int64_t last = band->pixels - work->pixels;
    for (int b = 0; b < blocks; b++) {
        const int64_t channel = (work->block + b) * CPU_BLOCK;
        work->scaling[b] = scaling_of(band->epilogue, channel);
        _mm512_storeu_si512(work->bias + (ptrdiff_t)b * CPU_BLOCK,
                            first_sums(band->epilogue, channel));
    }
    STORED_FOR_TILES(work->bias);
    work->share = find_share(work, together, blocks);
    struct group group = {.tiles = 0};
    for (int64_t row = 0; row < band->rows; row++)
        for (int64_t first = 0; first < band->pixels; first += work->pixels) {
            group.row[group.tiles] = row;
            group.first[group.tiles] = first < last ? first : last;
            if (++group.tiles == together)
                compute_group(work, &group, blocks);
        }
    compute_group(work, &group, blocks);
    store_rest(work, blocks);
    work->block += blocks;
}

void cpu_conv_tiles_amx(const struct cpu_conv_band *band)
{
    tile_sums sums[MOST_TILES] __attribute__((aligned(64)));
    const struct cpu_epilogue *e = band->epilogue;
    const int64_t tiles = (band->pixels + CPU_TILE - 1) / CPU_TILE;
    struct work work = {.band = band,
                        .pixels = (band->pixels + tiles - 1) / tiles,
                        .waits = packs(e),
                        .adds = e->add != NULL,
                        .packing = packing_of(e),
                        .sums = sums};
    if (work.adds)
        work.adding = adding_of(e);
    configure(work.pixels, band->granules);
    while (work.block < band->n_blocks)
        if (band->blocks[work.block].pairs)
            compute_blocks(&work, 2);
        else
            compute_blocks(&work, 1);
    _tile_release();
}
