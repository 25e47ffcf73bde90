// Convolution: layout of prepared rows, and the loop over output rows.
#include "accel/cpu/conv.h"

#include <string.h>

const struct conv_format conv_formats[CONV_KINDS] = {
    [CONV_S16] = {2, 2, 2, 4},
    [CONV_DOT] = {4, 1, 1, 4},
    [CONV_F32] = {1, 4, 4, 0},
    [CONV_DEPTHWISE] = {1, 2, 2, 1},
};

#define ROW_SLACK ((size_t)256)

static int64_t round_up(int64_t value, int64_t to)
{
    return (value + to - 1) / to * to;
}

// Weights that do not stay in the cache beside the rows are read once for several rows.
#define CACHE_FOR_WEIGHTS ((size_t)192 << 10)
#define CACHE_FOR_ROWS    ((size_t)160 << 10)

static int64_t choose_band(const struct conv *conv, int64_t reach)
{
    int64_t band = 1;
    if ((size_t)conv->blocks * conv->block_bytes <= CACHE_FOR_WEIGHTS)
        return 1;
    while (band < CONV_MAX_BAND && band < conv->out[0] &&
           (size_t)(reach + band * conv->stride[0]) * conv->row_bytes <= CACHE_FOR_ROWS)
        band++;
    return band;
}

bool conv_layout(struct conv *conv)
{
    const struct conv_format *format = &conv_formats[conv->kind];
    int64_t granule = format->granule;
    bool depthwise = conv->kind == CONV_DEPTHWISE;
    conv->merged = conv->dilation[1] == 1 && !depthwise;
    conv->depth = conv->merged ? conv->channels : round_up(conv->channels, granule);
    conv->depth = depthwise ? conv->padded : conv->depth;
    int64_t runs = conv->kernel[0] * (conv->merged ? 1 : conv->kernel[1]);
    int64_t values = depthwise ? 1 : conv->depth * (conv->merged ? conv->kernel[1] : 1);
    conv->columns =
        (conv->out[1] - 1) * conv->stride[1] + (conv->kernel[1] - 1) * conv->dilation[1] + 1;
    int64_t reach = (conv->kernel[0] - 1) * conv->dilation[0] + 1;
    if (conv->kernel[0] > CPU_MAX_RUNS || runs > CPU_MAX_RUNS || conv->columns > 1 << 20 ||
        conv->depth > 1 << 16 || reach > 1 << 12)
        return false;
    conv->n_runs = (uint32_t)runs;
    conv->run_length = (uint32_t)(round_up(values, granule) / granule);
    size_t bytes = (size_t)(conv->columns * conv->depth) * format->x_element;
    conv->row_bytes = (bytes + ROW_SLACK + 63) & ~(size_t)63;
    conv->blocks = round_up(conv->out_channels, CPU_BLOCK) / CPU_BLOCK;
    conv->out_padded = conv->blocks * CPU_BLOCK;
    conv->block_bytes =
        (size_t)conv->n_runs * conv->run_length * (size_t)granule * CPU_BLOCK * format->w_element;
    conv->band = choose_band(conv, reach);
    conv->ring = reach + (conv->band - 1) * conv->stride[0];
    return true;
}

// One thread's scratch memory: tags of the ring, a row of padding, the ring.
static size_t tag_bytes(const struct conv *conv)
{
    return ((size_t)conv->ring * sizeof(int64_t) + 63) & ~(size_t)63;
}

size_t conv_scratch_bytes(const struct conv *conv)
{
    return tag_bytes(conv) + (size_t)(conv->ring + 1) * conv->row_bytes;
}

struct rows {
    const struct conv *conv;
    const unsigned char *x; // of this picture
    int64_t *tags;          // which input row a place of the ring holds
    unsigned char *padding, *ring;
};

// What padding looks like to the kernel.
static void fill_padding(const struct conv *conv, unsigned char *y, int64_t pixels)
{
    size_t bytes = (size_t)(pixels * conv->depth) * conv_formats[conv->kind].x_element;
    int value = conv->kind == CONV_DOT ? conv->x_zero ^ (conv->x_dtype == SL_I8 ? 0x80 : 0) : 0;
    if (pixels > 0)
        memset(y, value & 0xFF, bytes);
}

// One NHWC pixel or row of `count` values into the kernel's type.
static void convert(const struct conv *conv, const unsigned char *x, unsigned char *y,
                    int64_t count)
{
    if (conv->kind == CONV_S16 || conv->kind == CONV_DEPTHWISE)
        conv->kernels->widen(x, (int16_t *)(void *)y, count, conv->x_zero, conv->x_dtype == SL_I8);
    else if (conv->kind == CONV_F32)
        memcpy(y, x, (size_t)count * sizeof(float));
    else if (conv->x_dtype == SL_U8)
        memcpy(y, x, (size_t)count);
    else
        for (int64_t i = 0; i < count; i++)
            y[i] = x[i] ^ 0x80;
}

static void prepare_nhwc(const struct rows *rows, int64_t row, int64_t first, int64_t count,
                         unsigned char *y)
{
    const struct conv *conv = rows->conv;
    size_t element = sl_dtype_size(conv->x_dtype);
    size_t y_step = (size_t)conv->depth * conv_formats[conv->kind].x_element;
    const unsigned char *x =
        rows->x + (size_t)((row * conv->in[1] + first) * conv->padded) * element;
    if (conv->depth == conv->padded) {
        convert(conv, x, y, count * conv->depth);
        return;
    }
    for (int64_t i = 0; i < count; i++, y += y_step, x += (size_t)conv->padded * element)
        convert(conv, x, y, conv->depth);
}

// Planes side by side become pixels; the value between channels and depth meets zero weights.
static void interleave_f32(const struct conv *conv, const float *x, int64_t plane, float *y,
                           int64_t count)
{
    for (int64_t c = 0; c < conv->channels; c++)
        for (int64_t i = 0; i < count; i++)
            y[i * conv->depth + c] = x[c * plane + i];
}

static void interleave_s16(const struct conv *conv, const uint8_t *x, int64_t plane, int16_t *y,
                           int64_t count)
{
    for (int64_t c = 0; c < conv->channels; c++)
        for (int64_t i = 0; i < count; i++)
            conv->kernels->widen(x + c * plane + i, y + i * conv->depth + c, 1, conv->x_zero,
                                 conv->x_dtype == SL_I8);
}

static void interleave_u8(const struct conv *conv, const uint8_t *x, int64_t plane, uint8_t *y,
                          int64_t count)
{
    uint8_t flip = conv->x_dtype == SL_I8 ? 0x80 : 0;
    for (int64_t c = 0; c < conv->channels; c++)
        for (int64_t i = 0; i < count; i++)
            y[i * conv->depth + c] = x[c * plane + i] ^ flip;
}

static void prepare_plain(const struct rows *rows, int64_t row, int64_t first, int64_t count,
                          unsigned char *y)
{
    const struct conv *conv = rows->conv;
    int64_t plane = conv->in[0] * conv->in[1], at = row * conv->in[1] + first;
    if (conv->kind == CONV_S16 && conv->depth == conv->channels) {
        conv->kernels->widen_planes(rows->x + at, plane, conv->channels, (int16_t *)(void *)y,
                                    count, conv->x_zero, conv->x_dtype == SL_I8);
        return;
    }
    if (conv->kind == CONV_F32)
        interleave_f32(conv, (const float *)(const void *)rows->x + at, plane, (float *)(void *)y,
                       count);
    else if (conv->kind != CONV_DOT)
        interleave_s16(conv, rows->x + at, plane, (int16_t *)(void *)y, count);
    else
        interleave_u8(conv, rows->x + at, plane, y, count);
}

static void prepare(const struct rows *rows, int64_t row, unsigned char *y)
{
    const struct conv *conv = rows->conv;
    size_t pixel = (size_t)conv->depth * conv_formats[conv->kind].x_element;
    int64_t left = conv->pad[1] < conv->columns ? conv->pad[1] : conv->columns;
    int64_t count = conv->columns - left < conv->in[1] ? conv->columns - left : conv->in[1];
    if (conv->x_layout == CPU_NHWC)
        prepare_nhwc(rows, row, 0, count, y + (size_t)left * pixel);
    else
        prepare_plain(rows, row, 0, count, y + (size_t)left * pixel);
    fill_padding(conv, y, left);
    fill_padding(conv, y + (size_t)(left + count) * pixel, conv->columns - left - count);
}

static const unsigned char *prepared(const struct rows *rows, int64_t row)
{
    const struct conv *conv = rows->conv;
    if (row < 0 || row >= conv->in[0])
        return rows->padding;
    int64_t place = row % conv->ring;
    unsigned char *y = rows->ring + (size_t)place * conv->row_bytes;
    if (rows->tags[place] != row) {
        prepare(rows, row, y);
        rows->tags[place] = row;
    }
    return y;
}

static void find_runs(const struct rows *rows, int64_t oy, const void **runs)
{
    const struct conv *conv = rows->conv;
    size_t tap = (size_t)(conv->dilation[1] * conv->depth) * conv_formats[conv->kind].x_element;
    int64_t per_row = conv->merged ? 1 : conv->kernel[1];
    for (int64_t ky = 0; ky < conv->kernel[0]; ky++) {
        int64_t row = oy * conv->stride[0] - conv->pad[0] + ky * conv->dilation[0];
        const unsigned char *x = prepared(rows, row);
        for (int64_t kx = 0; kx < per_row; kx++)
            runs[ky * per_row + kx] = x + (size_t)kx * tap;
    }
}

static void run_kernel(const struct conv *conv, const struct cpu_conv_row *row)
{
    if (conv->kind == CONV_S16)
        conv->kernels->conv_s16(row);
    else if (conv->kind == CONV_DOT)
        conv->kernels->conv_dot(row);
    else if (conv->kind == CONV_DEPTHWISE)
        conv->kernels->depthwise_s16(row);
    else
        conv->kernels->conv_f32(row);
}

// Where the taps of a block of channels begin: a depthwise block reads its own channels only.
static void shift_runs(const struct conv *conv, const void *const *runs, int64_t block,
                       const void **shifted)
{
    size_t offset = (size_t)(block * CPU_BLOCK) * conv_formats[conv->kind].x_element;
    for (uint32_t r = 0; r < conv->n_runs; r++)
        shifted[r] = (const unsigned char *)runs[r] + offset;
}

// Output rows that follow each other, the taps of each, and where the first stands.
struct band {
    int64_t rows;
    const void *runs[CONV_MAX_BAND][CPU_MAX_RUNS];
    unsigned char *y;
    const unsigned char *residual; // NULL: none
};

static void compute_block(const struct conv *conv, const struct band *band, int64_t block)
{
    const void *shifted[CPU_MAX_RUNS];
    const struct conv_block *weights = &conv->weights[block];
    int64_t first = block * CPU_BLOCK;
    struct cpu_epilogue epilogue = conv->epilogue;
    struct cpu_conv_row row = {.segments = weights->segments,
                               .n_segments = weights->n_segments,
                               .step = (size_t)(conv->stride[1] * conv->depth) *
                                       conv_formats[conv->kind].x_element,
                               .pixels = conv->out[1],
                               .weights = weights->weights,
                               .epilogue = &epilogue,
                               .y_step = (size_t)conv->out_padded * conv->y_element};
    size_t row_bytes = (size_t)conv->out[1] * row.y_step;
    epilogue.bias = conv->bias ? conv->bias + first : NULL;
    epilogue.bias_real = conv->bias_real ? conv->bias_real + first : NULL;
    epilogue.multiplier = conv->multiplier ? conv->multiplier + first : NULL;
    epilogue.add = band->residual ? &conv->add : NULL;
    epilogue.residual_step = row.y_step;
    for (int64_t i = 0; i < band->rows; i++) {
        row.runs = band->runs[i];
        row.y = band->y + (size_t)i * row_bytes + (size_t)first * conv->y_element;
        if (band->residual)
            epilogue.residual = band->residual + (size_t)i * row_bytes + first;
        if (conv->kind == CONV_DEPTHWISE) {
            shift_runs(conv, band->runs[i], block, shifted);
            row.runs = shifted;
        }
        run_kernel(conv, &row);
    }
}

static void apply_activation(const struct conv *conv, float *y, int64_t rows)
{
    if (conv->after.kind == SL_ACT_NONE)
        return;
    for (int64_t p = 0; p < rows * conv->out[1]; p++)
        for (int64_t c = 0; c < conv->out_channels; c++)
            y[p * conv->out_padded + c] = sl_activate(&conv->after, y[p * conv->out_padded + c]);
}

static void compute_band(const struct rows *rows, int64_t oy, struct band *band)
{
    const struct conv *conv = rows->conv;
    for (int64_t i = 0; i < band->rows; i++)
        find_runs(rows, oy + i, band->runs[i]);
    for (int64_t b = 0; b < conv->blocks; b++)
        compute_block(conv, band, b);
    apply_activation(conv, (float *)(void *)band->y, band->rows);
}

void conv_rows(const struct conv *conv, const struct conv_memory *memory, int64_t n, int64_t first,
               int64_t end)
{
    unsigned char *scratch = memory->scratch, *y = memory->y;
    const unsigned char *x = memory->x, *residual = memory->residual;
    int64_t pixels = conv->in[0] * conv->in[1];
    int64_t depth = conv->x_layout == CPU_NHWC ? conv->padded : conv->channels;
    struct rows rows = {conv, x + (size_t)(n * pixels * depth) * sl_dtype_size(conv->x_dtype),
                        (int64_t *)memory->scratch, scratch + tag_bytes(conv),
                        scratch + tag_bytes(conv) + conv->row_bytes};
    for (int64_t i = 0; i < conv->ring; i++)
        rows.tags[i] = -1;
    fill_padding(conv, rows.padding, conv->columns);
    size_t row_bytes = (size_t)(conv->out[1] * conv->out_padded) * conv->y_element;
    struct band band;
    for (int64_t oy = first; oy < end; oy += band.rows) {
        size_t at = (size_t)(n * conv->out[0] + oy) * row_bytes;
        band.rows = conv->band < end - oy ? conv->band : end - oy;
        band.y = y + at;
        band.residual = residual ? residual + at : NULL;
        compute_band(&rows, oy, &band);
    }
}
