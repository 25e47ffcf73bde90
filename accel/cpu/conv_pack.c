// Convolution: packing of weights, without those that are zero.
#include "accel/cpu/conv.h"

#include <stdlib.h>
#include <string.h>

static void store_weight(const struct conv *conv, void *packed, size_t at, float value)
{
    if (conv_is_real(conv->kind))
        ((float *)packed)[at] = value;
    else if (conv->kind == CONV_S16 || conv->kind == CONV_DEPTHWISE)
        ((int16_t *)packed)[at] = (int16_t)value;
    else
        ((int8_t *)packed)[at] = (int8_t)value;
}

// Where the weight stands in its block: [run][granule][output][value of the granule].
static size_t packed_index(const struct conv *conv, int64_t o, int64_t c, int64_t ky, int64_t kx)
{
    int64_t granule = conv_formats[conv->kind].granule;
    bool taps = conv->kind == CONV_DEPTHWISE_DOT;
    int64_t run = ky * conv->row_runs + (conv->merged || taps ? 0 : kx);
    int64_t value = conv->merged ? kx * conv->depth + c : c;
    if (conv_is_depthwise(conv->kind))
        value = taps ? cpu_tap_place((uint32_t)conv->kernel[1], (uint32_t)kx) : 0;
    int64_t at = run * conv->run_length + value / granule;
    return (size_t)((at * CPU_BLOCK + o % CPU_BLOCK) * granule + value % granule);
}

// G g G^T of a 3 x 3 filter, position by position.
static void transform_filter(uint32_t stride, const float g[9], float u[CPU_WINOGRAD])
{
    static const float one[6][3] = {{6, 0, 0}, {-4, -4, -4}, {-4, 4, -4},
                                    {1, 2, 4}, {1, -2, 4},   {0, 0, 12}};
    static const float two[9][3] = {{3, 0, 0}, {-3, 0, -3}, {-1, 0, 1}, {1, 0, 2}, {0, 0, 6},
                                    {0, 6, 0}, {0, 6, 0},   {0, 6, 0},  {0, 6, 0}};
    const float(*matrix)[3] = stride == 1 ? one : two;
    uint32_t side = cpu_winograd_side(stride);
    for (uint32_t i = 0; i < side * side; i++) {
        u[i] = 0;
        for (int k = 0; k < 9; k++)
            u[i] += matrix[i / side][k / 3] * g[k] * matrix[i % side][k % 3];
    }
}

static void pack_winograd(const struct conv *conv, int64_t block, conv_weight weight,
                          const void *ctx, int16_t *packed)
{
    int64_t first = block * CPU_BLOCK, end = first + CPU_BLOCK;
    end = end < conv->out_channels ? end : conv->out_channels;
    for (int64_t o = first; o < end; o++)
        for (int64_t i = 0; i < conv->channels; i++) {
            float g[9], u[CPU_WINOGRAD];
            for (int64_t k = 0; k < 9; k++)
                g[k] = weight(ctx, o, i, k / 3, k % 3);
            transform_filter((uint32_t)conv->stride[0], g, u);
            for (int64_t k = 0; k < conv->n_runs; k++) {
                int64_t granule = k * conv->run_length + i / 2;
                packed[(granule * CPU_BLOCK + o % CPU_BLOCK) * 2 + i % 2] = (int16_t)u[k];
            }
        }
}

static void pack_dense(const struct conv *conv, int64_t block, conv_weight weight, const void *ctx,
                       void *packed)
{
    int64_t per_group = conv->channels / conv->group;
    int64_t outputs = conv->out_channels / conv->group;
    int64_t first = block * CPU_BLOCK, end = first + CPU_BLOCK;
    end = end < conv->out_channels ? end : conv->out_channels;
    for (int64_t o = first; o < end; o++)
        for (int64_t i = 0; i < per_group; i++)
            for (int64_t ky = 0; ky < conv->kernel[0]; ky++)
                for (int64_t kx = 0; kx < conv->kernel[1]; kx++)
                    store_weight(conv, packed,
                                 packed_index(conv, o, o / outputs * per_group + i, ky, kx),
                                 weight(ctx, o, i, ky, kx));
}

static bool is_zero(const unsigned char *data, size_t bytes)
{
    return bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, bytes - 1) == 0);
}

struct packing {
    struct cpu_segment *segments;
    uint32_t n_segments;
    uint64_t kept;
};

static void keep(struct packing *packing, uint32_t run, uint32_t first, uint32_t length)
{
    uint32_t n = packing->n_segments;
    struct cpu_segment *last = n ? &packing->segments[n - 1] : NULL;
    packing->kept += length;
    if (last && last->run == run && last->first + last->length == first)
        last->length += length;
    else
        packing->segments[packing->n_segments++] = (struct cpu_segment){run, first, length};
}

// Do the outputs of the block read the granule's channels? Real weights are never left out for
// their value, as zero times infinity is not zero, but those of other groups are none.
static bool belongs(const struct conv *conv, int64_t block, uint32_t granule)
{
    if (conv->kind != CONV_F32 || conv->group == 1)
        return true;
    int64_t last = (block + 1) * CPU_BLOCK - 1;
    last = last < conv->out_channels ? last : conv->out_channels - 1;
    int64_t outputs = conv->out_channels / conv->group;
    int64_t group = granule % conv->depth / (conv->channels / conv->group);
    return group >= block * CPU_BLOCK / outputs && group <= last / outputs;
}

// Finds the units that are not zero and moves them together.
static void leave_out(const struct conv *conv, int64_t block, unsigned char *packed,
                      struct packing *packing)
{
    const struct conv_format *format = &conv_formats[conv->kind];
    size_t granule = (size_t)format->granule * CPU_BLOCK * format->w_element;
    bool grouped = conv->kind == CONV_F32 && conv->group > 1;
    uint32_t unit = conv->unit ? conv->unit : grouped ? 1 : conv->run_length;
    unsigned char *to = packed;
    for (uint32_t r = 0; r < conv->n_runs; r++)
        for (uint32_t k = 0; k < conv->run_length; k += unit) {
            uint32_t length = conv->run_length - k < unit ? conv->run_length - k : unit;
            const unsigned char *from = packed + ((size_t)r * conv->run_length + k) * granule;
            if ((conv->unit && is_zero(from, length * granule)) || !belongs(conv, block, k))
                continue;
            memmove(to, from, length * granule);
            to += length * granule;
            keep(packing, r, k, length);
        }
}

// Granules of a block that hold weights of the layer: the others fill up channels.
static uint64_t own_granules(const struct conv *conv)
{
    int64_t granule = conv_formats[conv->kind].granule, values = conv->channels;
    if (conv_is_depthwise(conv->kind))
        values = conv->kind == CONV_DEPTHWISE_DOT ? conv->kernel[1] : 1;
    else if (conv->merged)
        values *= conv->kernel[1];
    return conv->n_runs * (uint64_t)((values + granule - 1) / granule);
}

static int pack_block(struct cpu_compiler *c, struct conv *conv, int64_t number,
                      unsigned char *packed, struct packing *packing, struct cpu_conv_block *block)
{
    struct region *region = &c->program->region;
    *packing = (struct packing){.segments = packing->segments};
    leave_out(conv, number, packed, packing);
    uint64_t own = own_granules(conv);
    conv->granules += own;
    conv->kept += packing->kept < own ? packing->kept : own;
    size_t dense = (size_t)conv->n_runs * conv->run_length;
    block->n_segments = packing->n_segments;
    block->segments =
        region_copy(region, packing->segments, packing->n_segments * sizeof(*packing->segments));
    block->weights = region_copy(region, packed, conv->block_bytes / dense * (size_t)packing->kept);
    return block->segments && block->weights ? 0 : cpu_no_memory(c);
}

// Blocks of the same segments are computed two by two where a kernel does that.
static void find_pairs(const struct conv *conv, struct cpu_conv_block *blocks)
{
    if (conv->kind != CONV_TILES && (conv->kind != CONV_DOT || !cpu_pairs_blocks(conv->kernels)))
        return;
    for (int64_t b = 0; b + 1 < conv->blocks; b++) {
        const struct cpu_conv_block *next = &blocks[b + 1];
        blocks[b].pairs = blocks[b].n_segments == next->n_segments &&
                          memcmp(blocks[b].segments, next->segments,
                                 next->n_segments * sizeof(*next->segments)) == 0;
        b += blocks[b].pairs;
    }
}

int conv_pack(struct cpu_compiler *c, struct conv *conv, conv_weight weight, const void *ctx)
{
    struct cpu_conv_block *blocks = cpu_take(c, (size_t)conv->blocks, sizeof(*blocks));
    struct packing packing = {
        .segments = calloc((size_t)conv->n_runs * conv->run_length, sizeof(*packing.segments))};
    void *packed = malloc(conv->block_bytes);
    int status = blocks && packing.segments && packed ? 0 : cpu_no_memory(c);
    for (int64_t b = 0; status == 0 && b < conv->blocks; b++) {
        memset(packed, 0, conv->block_bytes);
        if (conv->kind == CONV_WINOGRAD)
            pack_winograd(conv, b, weight, ctx, packed);
        else
            pack_dense(conv, b, weight, ctx, packed);
        status = pack_block(c, conv, b, packed, &packing, &blocks[b]);
    }
    if (status == 0)
        find_pairs(conv, blocks);
    free(packed);
    free(packing.segments);
    conv->weights = blocks;
    return status;
}
