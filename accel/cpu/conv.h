// A convolution as compiled: geometry, packed weights, and how input rows are prepared.
//
// The kernels read input rows that were prepared for them: padded left and right, channels dense,
// values in the kernel's type (int16 centred on the zero point, bytes, or float32). A row is
// prepared once and kept while output rows still read it, so the pixel loop never asks about
// padding, layout or type. Rows of x that are right as they stand are read in place.
#ifndef SL_ACCEL_CPU_CONV_H
#define SL_ACCEL_CPU_CONV_H

#include "accel/cpu/compile.h"

enum conv_kind {
    CONV_S16,
    CONV_DOT,
    CONV_TILES,
    CONV_SDOT,
    CONV_MATRIX,
    CONV_F32,
    CONV_DEPTHWISE,
    CONV_DEPTHWISE_DOT,
    CONV_DEPTHWISE_F32,
    CONV_WINOGRAD,
    CONV_KINDS
};
static inline bool conv_is_depthwise(enum conv_kind kind)
{
    return kind == CONV_DEPTHWISE || kind == CONV_DEPTHWISE_DOT || kind == CONV_DEPTHWISE_F32;
}
// Does every output channel of the node read its own input channel alone?
bool conv_is_depthwise_node(const struct sl_node *node, const struct sl_tensor *x,
                            const struct sl_tensor *y);
static inline bool conv_is_real(enum conv_kind kind)
{
    return kind == CONV_F32 || kind == CONV_DEPTHWISE_F32;
}
// Does the kernel read bytes as they are, not centred on their zero point?
static inline bool conv_reads_bytes(enum conv_kind kind)
{
    return kind == CONV_DOT || kind == CONV_TILES || kind == CONV_SDOT || kind == CONV_MATRIX ||
           kind == CONV_DEPTHWISE_DOT;
}

struct conv_format {
    uint32_t granule;   // values of K that the kernel takes together
    uint32_t x_element; // bytes of a prepared input value
    uint32_t w_element;
    uint32_t unit; // granules that are left out together where their weights are zero; 0: never
};
extern const struct conv_format conv_formats[CONV_KINDS];

#define CONV_MAX_BAND 8
#define ROW_SLACK     ((size_t)256) // bytes behind a prepared row that kernels may read

struct conv_memory {
    const void *x, *residual; // residual: laid out as y; NULL if none
    void *y, *scratch;        // scratch: of one thread
};

struct conv {
    enum conv_kind kind;
    // Computes the output rows [first, end) of picture n.
    void (*run_rows)(const struct conv *conv, const struct conv_memory *memory, int64_t n,
                     int64_t first, int64_t end);
    const struct cpu_kernels *kernels;
    uint32_t x, y, scratch; // values
    enum cpu_layout x_layout;
    uint32_t x_dtype;
    int32_t x_zero;
    int64_t n, group, channels, padded; // channels in all; padded: channels of x in NHWC
    int64_t fold; // 2: blocks of 2 x 2 pixels of x count as one pixel of four times the channels
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], pad[2];
    int64_t out_channels, blocks, out_padded;
    uint32_t y_element;
    // Bytes from output to output, row to row, picture to picture, and where the first one stands.
    size_t y_step, y_row, y_picture, y_first;
    size_t residual_step, residual_row; // bytes; the residual is dense

    bool merged;       // the taps of a kernel row stand side by side: one run
    bool direct;       // rows are read in place
    int64_t depth;     // values of one prepared pixel
    size_t x_step;     // bytes from pixel to pixel of the rows that the kernels read
    size_t pixel_step; // bytes from output pixel to output pixel in them
    int64_t columns;   // of a padded row
    size_t row_bytes;  // of a prepared row, with slack
    int64_t band;      // output rows that one block of weights computes before the next comes
    int64_t ring;      // prepared rows that are kept
    uint32_t n_runs, run_length;
    int64_t row_runs;   // runs in a row of the kernel
    size_t run_step;    // bytes from one to the next
    uint32_t unit;      // granules that are left out together; 0: never
    uint32_t tile;      // granules of a tile, for CONV_TILES
    size_t block_bytes; // of packed weights, were none left out

    const struct cpu_conv_block *weights; // of each block of output channels
    uint64_t granules, kept;              // of all blocks; kept: those that are computed
    const int32_t *bias;
    const float *bias_real, *multiplier;
    struct cpu_epilogue epilogue; // without the pointers into bias and multiplier
    uint32_t residual;            // value that is added to the result, CPU_NONE: none
    struct cpu_add add;
    bool activates; // real outputs go through `after`
    struct cpu_unary after;
};

// What is xored to the input's bytes, so that they are uint8 or, for CONV_SDOT, int8.
static inline uint8_t conv_flip(const struct conv *conv)
{
    return (conv->x_dtype == SL_I8) != (conv->kind == CONV_SDOT) ? 0x80 : 0;
}

// Weight of output channel `o`, tap (ky, kx), input channel `c`, centred.
typedef float (*conv_weight)(const void *ctx, int64_t o, int64_t c, int64_t ky, int64_t kx);

// Fills in what follows from the geometry; false if the kernels cannot run it.
bool conv_layout(struct conv *conv);
// May the kernels read the rows of x, an NHWC map of the arena, in place? Says so in `direct`.
void conv_read_in_place(struct conv *conv);
// Packs the weights of all blocks and leaves out what is zero; -ENOMEM.
int conv_pack(struct cpu_compiler *c, struct conv *conv, conv_weight weight, const void *ctx);
// How many of the layer's multiply-accumulates are left out: the share of granules.
static inline uint64_t conv_left_out(const struct conv *conv, uint64_t macs)
{
    double share = conv->granules ? 1.0 - (double)conv->kept / (double)conv->granules : 0.0;
    return (uint64_t)((double)macs * share);
}
size_t conv_row_bytes(const struct conv *conv); // of a prepared row, with slack
// Of one thread: the prepared rows, then what Winograd's convolution needs.
size_t conv_scratch_bytes(const struct conv *conv);
static inline const unsigned char *
conv_residual(const struct conv *conv, const unsigned char *residual, int64_t n, int64_t row)
{
    return residual + (size_t)(n * conv->out[0] + row) * conv->residual_row;
}
void conv_rows(const struct conv *conv, const struct conv_memory *memory, int64_t n, int64_t first,
               int64_t end);

// Input rows as the kernels want them, in one thread's scratch memory.
struct conv_input {
    const struct conv *conv;
    const unsigned char *x; // of this picture
    int64_t *tags;          // which input row a place of the ring holds
    unsigned char *padding, *ring, *spare;
};
size_t conv_input_bytes(const struct conv *conv);
struct conv_input conv_input_begin(const struct conv *conv, const struct conv_memory *memory,
                                   int64_t n);
// The prepared row, which may lie outside the picture; it stays while `ring` rows are used.
const unsigned char *conv_input_row(const struct conv_input *input, int64_t row);

// What is left to do for rows of real outputs at y.
void conv_activate(const struct conv *conv, void *y, int64_t rows);

// Winograd's convolution: what conv_layout, conv_scratch_bytes and run_rows do for it.
void winograd_layout(struct conv *conv);
size_t winograd_scratch_bytes(const struct conv *conv);
void winograd_rows(const struct conv *conv, const struct conv_memory *memory, int64_t n,
                   int64_t first, int64_t end);

// What convolutions and matrix products share when they are compiled, in step_conv.c.
//
// Sets kind and fold for a Conv node; false: the kernels cannot run it.
bool conv_choose(const struct cpu_compiler *c, const struct sl_node *node, struct conv *conv);
// Is the activation, or its absence, nothing but bounds?
static inline bool conv_clamps(uint32_t activation)
{
    return activation == SL_ACT_NONE || activation == SL_UNARY_RELU || activation == SL_ACT_CLIP;
}
// Which kernel computes the node with weights quantised along `w_axis`; false: none.
bool cpu_conv_kind(const struct cpu_compiler *c, const struct sl_node *node, uint32_t w_axis,
                   enum conv_kind *kind);
// Packs the weights and sets bias, multipliers and bounds.
int cpu_conv_constants(struct cpu_compiler *c, const struct sl_node *node, struct conv *conv,
                       conv_weight weight, const void *ctx);
// Adds the step that computes conv->y from conv->x.
int cpu_conv_step(struct cpu_compiler *c, const struct sl_node *node, struct conv *conv);
// Element i of a constant tensor, centred on its zero point.
float cpu_weight(const struct sl_tensor *tensor, int64_t i, int64_t channel);

#endif
