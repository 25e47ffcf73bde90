// Convolution: input rows in the kernels' type, padded, kept while output rows read them.
#include "accel/cpu/conv.h"

#include <string.h>

// One thread's scratch memory: tags of the ring, a row of padding, the ring.
static size_t tag_bytes(const struct conv *conv)
{
    return ((size_t)conv->ring * sizeof(int64_t) + 63) & ~(size_t)63;
}

// Where two rows of x are centred before they are folded.
static size_t spare_bytes(const struct conv *conv)
{
    size_t bytes = 0;
    if (conv->fold > 1)
        bytes = (size_t)(conv->in[1] * conv->channels / 2) * sizeof(int16_t);
    return (bytes + ROW_SLACK + 63) & ~(size_t)63;
}

size_t conv_input_bytes(const struct conv *conv)
{
    return tag_bytes(conv) + (size_t)(conv->ring + 1) * conv->row_bytes + 2 * spare_bytes(conv);
}

// What padding looks like to the kernel.
static void fill_padding(const struct conv *conv, unsigned char *y, size_t bytes)
{
    int value = conv_reads_bytes(conv->kind) ? conv->x_zero ^ conv_flip(conv) : 0;
    memset(y, value & 0xFF, bytes);
}

// One NHWC pixel or row of `count` values into the kernel's type.
static void convert(const struct conv *conv, const unsigned char *x, unsigned char *y,
                    int64_t count)
{
    if (conv_formats[conv->kind].x_element == sizeof(int16_t))
        conv->kernels->widen(x, (int16_t *)(void *)y, count, conv->x_zero, conv->x_dtype == SL_I8);
    else if (conv_is_real(conv->kind))
        memcpy(y, x, (size_t)count * sizeof(float));
    else if (conv_flip(conv) == 0)
        memcpy(y, x, (size_t)count);
    else
        for (int64_t i = 0; i < count; i++)
            y[i] = x[i] ^ 0x80;
}

static void prepare_nhwc(const struct conv_input *input, int64_t row, int64_t first, int64_t count,
                         unsigned char *y)
{
    const struct conv *conv = input->conv;
    size_t element = sl_dtype_size(conv->x_dtype);
    size_t y_step = (size_t)conv->depth * conv_formats[conv->kind].x_element;
    const unsigned char *x =
        input->x + (size_t)((row * conv->in[1] + first) * conv->padded) * element;
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

static void prepare_plain(const struct conv_input *input, int64_t row, int64_t first, int64_t count,
                          unsigned char *y)
{
    const struct conv *conv = input->conv;
    int64_t plane = conv->in[0] * conv->in[1], at = row * conv->in[1] + first;
    if (conv->kind == CONV_S16 && conv->depth == conv->channels) {
        conv->kernels->widen_planes(input->x + at, plane, conv->channels, (int16_t *)(void *)y,
                                    count, conv->x_zero, conv->x_dtype == SL_I8);
        return;
    }
    if (conv_is_real(conv->kind))
        interleave_f32(conv, (const float *)(const void *)input->x + at, plane, (float *)(void *)y,
                       count);
    else if (conv_formats[conv->kind].x_element == sizeof(int16_t))
        interleave_s16(conv, input->x + at, plane, (int16_t *)(void *)y, count);
    else
        conv->kernels->interleave(input->x + at, plane, conv->channels, y, conv->depth, count,
                                  conv_flip(conv));
}

// Pairs of pixels of two rows become one pixel each: `pair` values of either row, then zeros.
static inline __attribute__((always_inline)) void fold(const int16_t *upper, const int16_t *lower,
                                                       int16_t *y, int64_t count, const size_t pair,
                                                       const size_t depth)
{
    for (; count > 0; count--, upper += pair, lower += pair, y += depth) {
        memcpy(y, upper, pair * sizeof(*y));
        memcpy(y + pair, lower, pair * sizeof(*y));
        memset(y + 2 * pair, 0, (depth - 2 * pair) * sizeof(*y));
    }
}

// The same with bytes, of which a pair has eight at most: what is copied beyond it is overwritten
// by what follows, or lies in the row's slack.
static void fold_bytes(const unsigned char *upper, const unsigned char *lower, unsigned char *y,
                       int64_t count, size_t pair)
{
    for (; count > 0; count--, upper += pair, lower += pair, y += 2 * pair) {
        memcpy(y, upper, 8);
        memcpy(y + pair, lower, 8);
    }
}

static void prepare_folded_bytes(const struct conv_input *input, int64_t row, unsigned char *y)
{
    const struct conv *conv = input->conv;
    int64_t width = 2 * conv->in[1], channels = conv->channels / 4;
    int64_t plane = 2 * conv->in[0] * width;
    unsigned char *rows[2];
    for (int i = 0; i < 2; i++) {
        rows[i] = input->spare + (size_t)i * spare_bytes(conv);
        conv->kernels->interleave(input->x + (2 * row + i) * width, plane, channels, rows[i],
                                  channels, width, conv_flip(conv));
    }
    fold_bytes(rows[0], rows[1], y, conv->in[1], 2 * (size_t)channels);
}

static void prepare_folded(const struct conv_input *input, int64_t row, unsigned char *bytes)
{
    const struct conv *conv = input->conv;
    int64_t width = 2 * conv->in[1], channels = conv->channels / 4;
    int64_t plane = 2 * conv->in[0] * width;
    int16_t *y = (int16_t *)(void *)bytes, *rows[2];
    for (int i = 0; i < 2; i++) {
        rows[i] = (int16_t *)(void *)(input->spare + (size_t)i * spare_bytes(conv));
        conv->kernels->widen_planes(input->x + (2 * row + i) * width, plane, channels, rows[i],
                                    width, conv->x_zero, conv->x_dtype == SL_I8);
    }
    if (channels == 3) // sizes that the compiler knows
        fold(rows[0], rows[1], y, conv->in[1], 6, CPU_BLOCK);
    else
        fold(rows[0], rows[1], y, conv->in[1], 2 * (size_t)channels, (size_t)conv->depth);
}

// Row of x with its padding, in the kernel's type.
static void pad(const struct conv_input *input, int64_t row, unsigned char *y)
{
    const struct conv *conv = input->conv;
    size_t pixel = (size_t)conv->depth * conv_formats[conv->kind].x_element;
    int64_t left = conv->pad[1] < conv->columns ? conv->pad[1] : conv->columns;
    int64_t count = conv->columns - left < conv->in[1] ? conv->columns - left : conv->in[1];
    if (conv->fold > 1 && conv_reads_bytes(conv->kind))
        prepare_folded_bytes(input, row, y + (size_t)left * pixel);
    else if (conv->fold > 1)
        prepare_folded(input, row, y + (size_t)left * pixel);
    else if (conv->x_layout == CPU_NHWC)
        prepare_nhwc(input, row, 0, count, y + (size_t)left * pixel);
    else
        prepare_plain(input, row, 0, count, y + (size_t)left * pixel);
    fill_padding(conv, y, (size_t)left * pixel);
    fill_padding(conv, y + (size_t)(left + count) * pixel,
                 (size_t)(conv->columns - left - count) * pixel);
}

const unsigned char *conv_input_row(const struct conv_input *input, int64_t row)
{
    const struct conv *conv = input->conv;
    if (conv->direct)
        return input->x + (size_t)(row * conv->in[1]) * conv->x_step;
    if (row < 0 || row >= conv->in[0])
        return input->padding;
    int64_t place = row % conv->ring;
    unsigned char *y = input->ring + (size_t)place * conv->row_bytes;
    if (input->tags[place] != row) {
        pad(input, row, y);
        input->tags[place] = row;
    }
    return y;
}

struct conv_input conv_input_begin(const struct conv *conv, const struct conv_memory *memory,
                                   int64_t n)
{
    const unsigned char *x = memory->x;
    unsigned char *scratch = memory->scratch;
    int64_t depth = conv->x_layout == CPU_NHWC ? conv->padded : conv->channels;
    size_t picture = (size_t)(conv->in[0] * conv->in[1] * depth) * sl_dtype_size(conv->x_dtype);
    struct conv_input input = {conv,
                               x + (size_t)n * picture,
                               (int64_t *)memory->scratch,
                               scratch + tag_bytes(conv),
                               scratch + tag_bytes(conv) + conv->row_bytes,
                               scratch + conv_input_bytes(conv) - 2 * spare_bytes(conv)};
    for (int64_t i = 0; i < conv->ring; i++)
        input.tags[i] = -1;
    fill_padding(conv, input.padding, conv->row_bytes);
    return input;
}
