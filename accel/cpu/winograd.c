// Winograd's convolution: input tiles are transformed, multiplied position by position, and
// transformed back. kernels.h has the formulas.
#include "accel/cpu/conv.h"

// Tiles that are worked on together, a part of a row of tiles or several rows: a multiple of the
// pixels that the kernels take together, and so few that their transformed inputs and sums stay in
// the cache; a small map at once, as the weights are read for every part of it.
#define TOGETHER  ((int64_t)24)
#define SMALL_MAP ((int64_t)36)
// Planes begin at different lines of the cache.
#define APART 96

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t tiles_of(int64_t extent)
{
    return (extent + CPU_WINOGRAD_TILE - 1) / CPU_WINOGRAD_TILE;
}

static int64_t positions(const struct conv *conv)
{
    uint32_t side = cpu_winograd_side((uint32_t)conv->stride[0]);
    return side * side;
}

static int64_t tiles_together(const struct conv *conv)
{
    int64_t tiles = tiles_of(conv->out[0]) * tiles_of(conv->out[1]);
    return tiles <= SMALL_MAP ? SMALL_MAP : TOGETHER;
}

// `count` in parts of nearly the same size, `most` at most: that size.
static int64_t even_parts(int64_t count, int64_t most)
{
    int64_t parts = most < 1 ? count : (count + most - 1) / most;
    return (count + parts - 1) / parts;
}

static int64_t tiles_across(const struct conv *conv)
{
    return even_parts(tiles_of(conv->out[1]), tiles_together(conv));
}

// Values from position to position of the transformed input and of the sums.
static int64_t input_plane(const struct conv *conv)
{
    return conv->band * tiles_across(conv) * conv->depth + APART;
}

static int64_t sums_plane(const struct conv *conv)
{
    return conv->band * tiles_across(conv) * CPU_BLOCK + APART;
}

void winograd_layout(struct conv *conv)
{
    int64_t tiles = tiles_of(conv->out[1]);
    conv->merged = false;
    conv->depth = conv->padded;
    conv->n_runs = (uint32_t)positions(conv);
    conv->run_length = (uint32_t)(conv->depth / 2);
    int64_t side = cpu_winograd_side((uint32_t)conv->stride[1]);
    conv->columns = CPU_WINOGRAD_TILE * conv->stride[1] * (tiles - 1) + side;
    conv->row_bytes = conv_row_bytes(conv);
    conv->block_bytes = (size_t)positions(conv) * (size_t)conv->depth * CPU_BLOCK * sizeof(int16_t);
    conv->band = even_parts(tiles_of(conv->out[0]), tiles_together(conv) / tiles); // rows of tiles
    conv->ring = side;
    conv->run_rows = winograd_rows;
}

static size_t transformed_bytes(const struct conv *conv)
{
    return (size_t)(positions(conv) * input_plane(conv)) * sizeof(int16_t) + 256;
}

size_t winograd_scratch_bytes(const struct conv *conv)
{
    size_t sums = (size_t)(positions(conv) * sums_plane(conv)) * sizeof(int32_t);
    return transformed_bytes(conv) + sums;
}

// Tiles that are computed together, and where they stand.
struct chunk {
    const struct conv *conv;
    int16_t *v;
    int32_t *m;
    int64_t first, end;  // output rows
    int64_t tile, tiles; // of each row of tiles
    unsigned char *y;    // of the first row
    const unsigned char *residual;
};

static int64_t rows_of_tiles(const struct chunk *chunk)
{
    return tiles_of(chunk->end - chunk->first);
}

static void transform_input(const struct conv_input *input, const struct chunk *chunk)
{
    const struct conv *conv = input->conv;
    struct cpu_winograd_input job = {.stride = (uint32_t)conv->stride[0],
                                     .tiles = chunk->tiles,
                                     .depth = conv->depth,
                                     .v = chunk->v,
                                     .plane = (size_t)input_plane(conv)};
    int64_t column = CPU_WINOGRAD_TILE * conv->stride[1] * chunk->tile;
    for (int64_t oy = chunk->first; oy < chunk->end;
         oy += CPU_WINOGRAD_TILE, job.v += job.tiles * job.depth) {
        int64_t first = oy * conv->stride[0] - conv->pad[0];
        for (int64_t i = 0; i < conv->ring; i++)
            job.rows[i] = (const int16_t *)(const void *)conv_input_row(input, first + i) +
                          column * conv->depth;
        conv->kernels->winograd_input(&job);
    }
}

// The products of all tiles, position by position.
static void multiply(const struct chunk *chunk, const struct cpu_conv_block *block)
{
    static const int32_t no_bias[CPU_BLOCK];
    const struct conv *conv = chunk->conv;
    const struct cpu_epilogue epilogue = {.bias = no_bias, .to_sums = 1};
    const void *runs[CPU_WINOGRAD];
    for (uint32_t i = 0; i < conv->n_runs; i++)
        runs[i] = chunk->v + i * input_plane(conv);
    struct cpu_conv_row row = {.runs = runs,
                               .segments = block->segments,
                               .step = (size_t)conv->depth * sizeof(int16_t),
                               .pixels = rows_of_tiles(chunk) * chunk->tiles,
                               .weights = block->weights,
                               .epilogue = &epilogue,
                               .y_step = CPU_BLOCK * sizeof(int32_t)};
    const struct cpu_segment *end = block->segments + block->n_segments;
    for (uint32_t i = 0; i < conv->n_runs; i++) {
        const struct cpu_segment *next = row.segments;
        size_t granules = 0;
        for (; next < end && next->run == i; next++)
            granules += next->length;
        row.n_segments = (uint32_t)(next - row.segments);
        row.y = chunk->m + i * sums_plane(conv);
        conv->kernels->conv_s16(&row);
        row.segments = next;
        row.weights = (const int16_t *)row.weights + granules * 2 * CPU_BLOCK;
    }
}

static void transform_output(const struct chunk *chunk, int64_t block)
{
    const struct conv *conv = chunk->conv;
    int64_t first = block * CPU_BLOCK;
    struct cpu_epilogue epilogue = conv->epilogue;
    struct cpu_winograd_output job = {.m = chunk->m,
                                      .plane = (size_t)sums_plane(conv),
                                      .stride = (uint32_t)conv->stride[0],
                                      .epilogue = &epilogue,
                                      .y_step = conv->y_step,
                                      .y_row = conv->y_row,
                                      .residual_row = conv->residual_row};
    int64_t column = CPU_WINOGRAD_TILE * chunk->tile;
    job.pixels = least(conv->out[1] - column, CPU_WINOGRAD_TILE * chunk->tiles);
    epilogue.bias = conv->bias + first;
    epilogue.multiplier = conv->multiplier + first;
    epilogue.add = chunk->residual ? &conv->add : NULL;
    epilogue.residual_step = conv->residual_step;
    for (int64_t oy = chunk->first; oy < chunk->end; oy += CPU_WINOGRAD_TILE) {
        size_t at = (size_t)(oy - chunk->first) * job.y_row + (size_t)column * job.y_step;
        job.rows = (uint32_t)least(chunk->end - oy, CPU_WINOGRAD_TILE);
        job.y = chunk->y + at + (size_t)first * conv->y_element;
        if (chunk->residual)
            epilogue.residual = chunk->residual + (size_t)(oy - chunk->first) * conv->residual_row +
                                (size_t)column * conv->residual_step + first;
        conv->kernels->winograd_output(&job);
        job.m += chunk->tiles * CPU_BLOCK;
    }
}

void winograd_rows(const struct conv *conv, const struct conv_memory *memory, int64_t n,
                   int64_t first, int64_t end)
{
    const struct conv_input input = conv_input_begin(conv, memory, n);
    unsigned char *scratch = (unsigned char *)memory->scratch + conv_input_bytes(conv);
    unsigned char *y = memory->y;
    const unsigned char *residual = memory->residual;
    int64_t tiles = tiles_of(conv->out[1]);
    struct chunk chunk = {.conv = conv,
                          .v = (int16_t *)(void *)scratch,
                          .m = (int32_t *)(void *)(scratch + transformed_bytes(conv))};
    for (int64_t oy = first; oy < end; oy = chunk.end) {
        size_t at = conv->y_first + (size_t)n * conv->y_picture + (size_t)oy * conv->y_row;
        chunk.first = oy;
        chunk.end = least(end, oy + CPU_WINOGRAD_TILE * conv->band);
        chunk.y = y + at;
        chunk.residual = residual ? conv_residual(conv, residual, n, oy) : NULL;
        for (chunk.tile = 0; chunk.tile < tiles; chunk.tile += chunk.tiles) {
            chunk.tiles = least(tiles - chunk.tile, tiles_across(conv));
            transform_input(&input, &chunk);
            for (int64_t b = 0; b < conv->blocks; b++) {
                multiply(&chunk, &conv->weights[b]);
                transform_output(&chunk, b);
            }
        }
        conv_activate(conv, chunk.y, chunk.end - chunk.first);
    }
}
