// Convolution: what follows from its geometry: runs, prepared rows, how many are kept.
#include "accel/cpu/conv.h"

const struct conv_format conv_formats[CONV_KINDS] = {
    // granule, bytes of input and weight, granules left out together
    [CONV_S16] = {2, 2, 2, 4},           [CONV_DOT] = {4, 1, 1, 4},
    [CONV_TILES] = {4, 1, 1, 16},        [CONV_SDOT] = {4, 1, 1, 4},
    [CONV_MATRIX] = {8, 1, 1, 2},        [CONV_F32] = {1, 4, 4, 0},
    [CONV_DEPTHWISE] = {1, 2, 2, 1},     [CONV_DEPTHWISE_DOT] = {4, 1, 1, 1},
    [CONV_DEPTHWISE_F32] = {1, 4, 4, 0}, [CONV_WINOGRAD] = {2, 2, 2, 2},
};

static int64_t round_up(int64_t value, int64_t to)
{
    return (value + to - 1) / to * to;
}

#define CACHE_LINE 64
// Weights that do not stay in the cache beside the rows are read once for several rows.
#define CACHE_FOR_WEIGHTS ((size_t)192 << 10)
#define CACHE_FOR_ROWS    ((size_t)160 << 10)

static int64_t choose_band(const struct conv *conv, int64_t reach)
{
    int64_t band = 1;
    if (conv->kind == CONV_TILES)
        return conv->out[0] < CONV_MAX_BAND ? conv->out[0] : CONV_MAX_BAND;
    if ((size_t)conv->blocks * conv->block_bytes <= CACHE_FOR_WEIGHTS)
        return 1;
    while (band < CONV_MAX_BAND && band < conv->out[0] &&
           (size_t)(reach + band * conv->stride[0]) * conv->row_bytes <= CACHE_FOR_ROWS)
        band++;
    return band;
}

size_t conv_row_bytes(const struct conv *conv)
{
    size_t bytes = (size_t)(conv->columns * conv->depth) * conv_formats[conv->kind].x_element;
    return (bytes + ROW_SLACK + 63) & ~(size_t)63;
}

// Every tap is one pixel inside the picture, whose values the kernel takes as they are; what it
// reads behind the channels is still of the pixel, and meets weights that are zero.
void conv_read_in_place(struct conv *conv)
{
    const struct conv_format *format = &conv_formats[conv->kind];
    bool same = conv_is_real(conv->kind) || (conv_reads_bytes(conv->kind) && conv_flip(conv) == 0);
    int64_t reach = (int64_t)conv->run_length * format->granule;
    if (!same || !conv->merged || conv->kernel[0] != 1 || conv->kernel[1] != 1 ||
        conv->pad[0] != 0 || conv->pad[1] != 0 || conv->columns > conv->in[1] ||
        (conv->out[0] - 1) * conv->stride[0] >= conv->in[0] || reach > conv->padded)
        return;
    conv->direct = true;
    conv->x_step = (size_t)conv->padded * format->x_element;
    conv->pixel_step = (size_t)conv->stride[1] * conv->x_step;
    conv->ring = 0;
}

// A run becomes tiles of the same number of granules, as few as there can be: whole cache lines
// where pixels begin with one, otherwise as short as they can be. Where the run is longer for that,
// its end reads on into the row's slack.
static void share_out_tiles(struct conv *conv)
{
    const uint32_t tiles = (conv->run_length + CPU_TILE - 1) / CPU_TILE;
    const bool lines = conv->depth * conv->stride[1] % CACHE_LINE == 0 && conv->kernel[1] > 1;
    conv->tile = lines ? CPU_TILE : (conv->run_length + tiles - 1) / tiles;
    conv->run_length = conv->tile * tiles;
    conv->unit = conv->tile;
}

// Few products are over sooner than sums have left the tiles, and short rows fill none.
static bool suits_tiles(const struct conv *conv)
{
    const int64_t least = conv->out_channels > CPU_BLOCK ? 32 : 48; // products
    return conv->kind == CONV_DOT && cpu_has_tiles(conv->kernels) && conv->group == 1 &&
           conv->out[1] >= CPU_LEAST_ROW &&
           conv->kernel[0] * conv->kernel[1] * conv->channels >= least;
}

bool conv_layout(struct conv *conv)
{
    if (suits_tiles(conv))
        conv->kind = CONV_TILES;
    const struct conv_format *format = &conv_formats[conv->kind];
    int64_t granule = format->granule;
    bool depthwise = conv_is_depthwise(conv->kind);
    conv->merged = conv->dilation[1] == 1 && !depthwise;
    conv->depth = conv->merged ? conv->channels : round_up(conv->channels, granule);
    // A single tap takes the pixel as it stands in NHWC: what lies behind the channels meets zeros.
    bool pixel = conv->kernel[0] == 1 && conv->kernel[1] == 1 && !conv_is_real(conv->kind);
    conv->depth = depthwise || pixel ? conv->padded : conv->depth;
    bool taps = conv->kind == CONV_DEPTHWISE_DOT; // granules have four taps of a channel
    conv->row_runs = conv->merged || taps ? 1 : conv->kernel[1];
    int64_t runs = conv->kernel[0] * conv->row_runs;
    int64_t values = conv->merged || taps ? conv->kernel[1] : 1; // of a run
    values *= depthwise ? 1 : conv->depth;
    conv->columns =
        (conv->out[1] - 1) * conv->stride[1] + (conv->kernel[1] - 1) * conv->dilation[1] + 1;
    int64_t reach = (conv->kernel[0] - 1) * conv->dilation[0] + 1;
    if (conv->kernel[0] > CPU_MAX_RUNS || runs > CPU_MAX_RUNS || conv->columns > 1 << 20 ||
        conv->depth > 1 << 16 || reach > 1 << 12)
        return false;
    conv->n_runs = (uint32_t)runs;
    conv->run_length = (uint32_t)(round_up(values, granule) / granule);
    conv->unit = taps ? conv->run_length : format->unit;
    if (conv->kind == CONV_TILES)
        share_out_tiles(conv);
    conv->row_bytes = conv_row_bytes(conv);
    conv->x_step = (size_t)conv->depth * format->x_element;
    conv->pixel_step = (size_t)conv->stride[1] * conv->x_step;
    conv->run_step = (size_t)conv->dilation[1] * conv->x_step;
    conv->blocks = round_up(conv->out_channels, CPU_BLOCK) / CPU_BLOCK;
    conv->out_padded = conv->blocks * CPU_BLOCK;
    if (conv->y_step == 0) { // dense
        conv->y_step = (size_t)conv->out_padded * conv->y_element;
        conv->y_row = (size_t)conv->out[1] * conv->y_step;
        conv->y_picture = (size_t)conv->out[0] * conv->y_row;
    }
    conv->block_bytes =
        (size_t)conv->n_runs * conv->run_length * (size_t)granule * CPU_BLOCK * format->w_element;
    conv->band = choose_band(conv, reach);
    conv->ring = reach + (conv->band - 1) * conv->stride[0];
    conv->run_rows = conv_rows;
    if (conv->kind == CONV_WINOGRAD)
        winograd_layout(conv);
    return true;
}
