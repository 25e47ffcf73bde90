// Convolution: the loop over output rows and blocks of output channels.
#include "accel/cpu/conv.h"

size_t conv_scratch_bytes(const struct conv *conv)
{
    size_t own = conv->kind == CONV_WINOGRAD ? winograd_scratch_bytes(conv) : 0;
    return conv_input_bytes(conv) + own;
}

static void find_runs(const struct conv_input *input, int64_t oy, const void **runs)
{
    const struct conv *conv = input->conv;
    for (int64_t ky = 0; ky < conv->kernel[0]; ky++) {
        int64_t row = oy * conv->stride[0] - conv->pad[0] + ky * conv->dilation[0];
        const unsigned char *x = conv_input_row(input, row);
        for (int64_t i = 0; i < conv->row_runs; i++)
            runs[ky * conv->row_runs + i] = x + (size_t)i * conv->run_step;
    }
}

static void run_kernel(const struct conv *conv, const struct cpu_conv_row *row)
{
    if (row->next_weights)
        conv->kernels->conv_dot_pair(row);
    else if (conv->kind == CONV_S16)
        conv->kernels->conv_s16(row);
    else if (conv->kind == CONV_DOT)
        conv->kernels->conv_dot(row);
    else if (conv->kind == CONV_SDOT)
        conv->kernels->conv_sdot(row);
    else if (conv->kind == CONV_MATRIX)
        conv->kernels->conv_matrix(row);
    else if (conv->kind == CONV_DEPTHWISE)
        conv->kernels->depthwise_s16(row);
    else if (conv->kind == CONV_DEPTHWISE_DOT)
        conv->kernels->depthwise_dot(row);
    else if (conv->kind == CONV_DEPTHWISE_F32)
        conv->kernels->depthwise_f32(row);
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

// Returns how many blocks it computed.
static int64_t compute_block(const struct conv *conv, const struct band *band, int64_t block)
{
    const void *shifted[CPU_MAX_RUNS];
    const struct cpu_conv_block *weights = &conv->weights[block];
    int64_t first = block * CPU_BLOCK;
    struct cpu_epilogue epilogue = conv->epilogue;
    struct cpu_conv_row row = {.segments = weights->segments,
                               .n_segments = weights->n_segments,
                               .step = conv->pixel_step,
                               .taps = (uint32_t)conv->kernel[1],
                               .tap_step = conv->x_step,
                               .pixels = conv->out[1],
                               .weights = weights->weights,
                               .next_weights = weights->pairs ? weights[1].weights : NULL,
                               .epilogue = &epilogue,
                               .y_step = conv->y_step};
    epilogue.bias = conv->bias ? conv->bias + first : NULL;
    epilogue.bias_real = conv->bias_real ? conv->bias_real + first : NULL;
    epilogue.multiplier = conv->multiplier ? conv->multiplier + first : NULL;
    epilogue.add = band->residual ? &conv->add : NULL;
    epilogue.residual_step = conv->residual_step;
    for (int64_t i = 0; i < band->rows; i++) {
        row.runs = band->runs[i];
        row.y = band->y + (size_t)i * conv->y_row + (size_t)first * conv->y_element;
        if (band->residual)
            epilogue.residual = band->residual + (size_t)i * conv->residual_row + first;
        if (conv_is_depthwise(conv->kind)) {
            shift_runs(conv, band->runs[i], block, shifted);
            row.runs = shifted;
        }
        run_kernel(conv, &row);
    }
    return weights->pairs ? 2 : 1;
}

void conv_activate(const struct conv *conv, void *y, int64_t rows)
{
    if (conv->activates)
        conv->kernels->unary_f32(&conv->after, y, y, rows * conv->out[1] * conv->out_padded);
}

// Do the rows of x and y follow each other like the pixels of one row? Tiles are then full.
static bool is_one_row(const struct conv *conv)
{
    return conv->direct && conv->stride[0] == 1 && conv->stride[1] == 1 &&
           conv->in[1] == conv->out[1];
}

static void compute_tiles(const struct conv *conv, const struct band *band)
{
    const bool joined = is_one_row(conv);
    struct cpu_epilogue epilogue = conv->epilogue;
    epilogue.bias = conv->bias;
    epilogue.multiplier = conv->multiplier;
    epilogue.add = band->residual ? &conv->add : NULL;
    epilogue.residual = band->residual;
    epilogue.residual_step = conv->residual_step;
    conv->kernels->conv_tiles(
        &(struct cpu_conv_band){.runs = (const void *const(*)[CPU_MAX_RUNS])band->runs,
                                .rows = joined ? 1 : band->rows,
                                .pixels = joined ? band->rows * conv->out[1] : conv->out[1],
                                .step = conv->pixel_step,
                                .granules = conv->tile,
                                .blocks = conv->weights,
                                .n_blocks = conv->blocks,
                                .epilogue = &epilogue,
                                .y = band->y,
                                .y_step = conv->y_step,
                                .y_row = conv->y_row,
                                .residual_row = conv->residual_row});
}

static void compute_band(const struct conv_input *input, int64_t oy, struct band *band)
{
    const struct conv *conv = input->conv;
    for (int64_t i = 0; i < band->rows; i++)
        find_runs(input, oy + i, band->runs[i]);
    if (conv->kind == CONV_TILES)
        compute_tiles(conv, band);
    else
        for (int64_t b = 0; b < conv->blocks;)
            b += compute_block(conv, band, b);
    conv_activate(conv, band->y, band->rows);
}

void conv_rows(const struct conv *conv, const struct conv_memory *memory, int64_t n, int64_t first,
               int64_t end)
{
    unsigned char *y = memory->y;
    const unsigned char *residual = memory->residual;
    struct conv_input input = conv_input_begin(conv, memory, n);
    struct band band;
    for (int64_t oy = first; oy < end; oy += band.rows) {
        size_t at = conv->y_first + (size_t)n * conv->y_picture + (size_t)oy * conv->y_row;
        band.rows = conv->band < end - oy ? conv->band : end - oy;
        band.y = y + at;
        band.residual = residual ? conv_residual(conv, residual, n, oy) : NULL;
        compute_band(&input, oy, &band);
    }
}
