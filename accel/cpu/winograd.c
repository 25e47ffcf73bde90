// Winograd's convolution: input tiles are transformed, multiplied position by position, and
// transformed back. kernels.h has the formulas.
#include "accel/cpu/conv.h"

// Tiles that are worked on together, so that their transformed inputs and sums stay in the cache:
// a part of a row of tiles or several rows.
#define CHUNK 16
// Planes begin at different lines of the cache.
#define APART 96

static int64_t tiles_of_row(const struct conv *conv)
{
    return (conv->out[1] + 1) / 2;
}

static int64_t positions(const struct conv *conv)
{
    uint32_t side = cpu_winograd_side((uint32_t)conv->stride[0]);
    return side * side;
}

static int64_t tiles_across(const struct conv *conv)
{
    int64_t tiles = tiles_of_row(conv), parts = (tiles + CHUNK - 1) / CHUNK;
    return (tiles + parts - 1) / parts;
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
    int64_t tiles = tiles_of_row(conv);
    conv->merged = false;
    conv->depth = conv->padded;
    conv->n_runs = (uint32_t)positions(conv);
    conv->run_length = (uint32_t)(conv->depth / 2);
    conv->columns = conv->stride[1] == 1 ? 2 * tiles + 2 : 4 * tiles + 1;
    conv->row_bytes = conv_row_bytes(conv);
    conv->block_bytes = (size_t)positions(conv) * (size_t)conv->depth * CPU_BLOCK * sizeof(int16_t);
    conv->band = tiles < CHUNK ? CHUNK / tiles : 1; // rows of tiles
    conv->ring = cpu_winograd_side((uint32_t)conv->stride[0]);
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

static void transform_input(const struct conv_input *input, const struct chunk *chunk)
{
    const struct conv *conv = input->conv;
    struct cpu_winograd_input job = {.stride = (uint32_t)conv->stride[0],
                                     .tiles = chunk->tiles,
                                     .depth = conv->depth,
                                     .v = chunk->v,
                                     .plane = (size_t)input_plane(conv)};
    int64_t column = 2 * conv->stride[1] * chunk->tile;
    for (int64_t oy = chunk->first; oy < chunk->end; oy += 2, job.v += job.tiles * job.depth) {
        int64_t first = oy * conv->stride[0] - conv->pad[0];
        for (int64_t i = 0; i < conv->ring; i++)
            job.rows[i] = (const int16_t *)(const void *)conv_input_row(input, first + i) +
                          column * conv->depth;
        conv->kernels->winograd_input(&job);
    }
}

// The products of all tiles, position by position.
static void multiply(const struct chunk *chunk, const struct conv_block *block)
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
                               .pixels = (chunk->end - chunk->first + 1) / 2 * chunk->tiles,
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
                                      .pixels = conv->out[1] - 2 * chunk->tile,
                                      .stride = (uint32_t)conv->stride[0],
                                      .epilogue = &epilogue,
                                      .y_step = (size_t)conv->out_padded * conv->y_element};
    job.y_row = (size_t)conv->out[1] * job.y_step;
    job.pixels = job.pixels < 2 * chunk->tiles ? job.pixels : 2 * chunk->tiles;
    epilogue.bias = conv->bias + first;
    epilogue.multiplier = conv->multiplier + first;
    epilogue.add = chunk->residual ? &conv->add : NULL;
    epilogue.residual_step = job.y_step;
    for (int64_t oy = chunk->first; oy < chunk->end; oy += 2) {
        size_t at =
            (size_t)(oy - chunk->first) * job.y_row + (size_t)(2 * chunk->tile) * job.y_step;
        job.rows = chunk->end - oy < 2 ? 1 : 2;
        job.y = chunk->y + at + (size_t)first * conv->y_element;
        if (chunk->residual)
            epilogue.residual = chunk->residual + at + first;
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
    int64_t tiles = tiles_of_row(conv);
    struct chunk chunk = {.conv = conv,
                          .v = (int16_t *)(void *)scratch,
                          .m = (int32_t *)(void *)(scratch + transformed_bytes(conv))};
    size_t row_bytes = (size_t)(conv->out[1] * conv->out_padded) * conv->y_element;
    for (int64_t oy = first; oy < end; oy = chunk.end) {
        size_t at = (size_t)(n * conv->out[0] + oy) * row_bytes;
        chunk.first = oy;
        chunk.end = end - oy < 2 * conv->band ? end : oy + 2 * conv->band;
        chunk.y = y + at;
        chunk.residual = residual ? residual + at : NULL;
        for (chunk.tile = 0; chunk.tile < tiles; chunk.tile += chunk.tiles) {
            chunk.tiles = tiles_across(conv);
            chunk.tiles = tiles - chunk.tile < chunk.tiles ? tiles - chunk.tile : chunk.tiles;
            transform_input(&input, &chunk);
            for (int64_t b = 0; b < conv->blocks; b++) {
                multiply(&chunk, &conv->weights[b]);
                transform_output(&chunk, b);
            }
        }
        conv_activate(conv, chunk.y, chunk.end - chunk.first);
    }
}
