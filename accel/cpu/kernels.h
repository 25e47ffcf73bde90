// The table of kernels: one slot per kind, each filled with the best function for the machine.
#ifndef SL_ACCEL_CPU_KERNELS_H
#define SL_ACCEL_CPU_KERNELS_H

#include "accel/cpu/features.h"
#include "accel/reference.h"

#include <stddef.h>
#include <stdint.h>

#define CPU_BLOCK     16 // output channels that a convolution kernel computes together
#define CPU_MAX_RUNS  64
#define CPU_TILE      16 // pixels, granules or channels of a tile at most
#define CPU_LEAST_ROW 4  // pixels of a row that tiles compute, at least

// Both operands quantised: y = round(clamp(fma(a, a_ratio, fma(b, b_ratio, offset)), low, high))
// with bytes as they stand, which are int8 where a_signed or b_signed says so. Both bounds are int8
// values, or both are uint8 values.
struct cpu_add {
    float a_ratio, b_ratio, offset, low, high;
    uint32_t a_signed, b_signed;
    uint32_t residual_is_a; // in an epilogue: the residual is a and the convolution's byte b
};

// How sums become outputs, for a block of CPU_BLOCK channels.
//   to_real 0: y = round_half_even(clamp(sum * multiplier, low, high)) + zero, one byte
//   to_real 1: y = clamp(sum * multiplier, low, high), float32
//   to_sums 1: y = sum, int32
// Bounds are those of the real quotient, so that low = lowest q - zero; bytes are int8 where
// y_signed says so, and low + zero and high + zero are bytes. For conv_f32 the sums are
// real, start with bias_real and are not multiplied.
// With `add` that byte and the residual's are added as cpu_add says. The residual of pixel p stands
// at residual + p * residual_step.
struct cpu_epilogue {
    const int32_t *bias;
    const float *bias_real;
    const float *multiplier;
    float low, high;
    int32_t zero;
    uint32_t to_real, to_sums, y_signed;
    uint32_t shrinks;          // every multiplier is below 1: no product is too large for an int32
    uint32_t saturates;        // sums below 0 give the lowest byte, those from 2^23 on the highest,
                               // and none reaches 2^26
    const struct cpu_add *add; // NULL: none
    const uint8_t *residual;
    size_t residual_step; // bytes
};

// Granules [first, first + length) of a run: where weights are not zero.
struct cpu_segment {
    uint32_t run, first, length;
};

// A row of output pixels times one block of output channels. Output pixel p is the sum over the
// segments s and k < s.length of the granule at runs[s.run] + p * step + (s.first + k) * granule
// bytes, times the weights at [segment][k][CPU_BLOCK][granule]. Granules: conv_s16 two int16
// (centred input times int16 weights), conv_dot four bytes (uint8 input times int8 weights),
// conv_sdot four bytes (int8 times int8), conv_matrix eight bytes (uint8 times int8), conv_f32 one
// float.
struct cpu_conv_row {
    const void *const *runs;
    const struct cpu_segment *segments;
    uint32_t n_segments;
    size_t step;     // bytes
    uint32_t taps;   // for depthwise_dot
    size_t tap_step; // bytes, for depthwise_dot
    int64_t pixels;
    const void *weights;
    const void *next_weights; // of the next block, for conv_dot_pair
    const struct cpu_epilogue *epilogue;
    void *y;
    size_t y_step; // bytes
};

// Weights of CPU_BLOCK output channels: the granules of the segments, one after the other.
struct cpu_conv_block {
    const struct cpu_segment *segments;
    uint32_t n_segments;
    bool pairs; // the next block has the same segments, and both are computed together
    const void *weights;
};

// Output rows that follow each other times all blocks of channels, as conv_dot computes them. Bias,
// multipliers, y and residual are those of the first row and block.
struct cpu_conv_band {
    const void *const (*runs)[CPU_MAX_RUNS]; // of each row
    int64_t rows, pixels;                    // pixels: of a row, CPU_LEAST_ROW or more
    size_t step;                             // bytes
    uint32_t granules; // of a tile: the length of every segment is a multiple of it
    const struct cpu_conv_block *blocks;
    int64_t n_blocks;
    const struct cpu_epilogue *epilogue;
    void *y;
    size_t y_step, y_row, residual_row; // bytes
};

struct cpu_quant {
    float scale, low, high; // low and high as in the epilogue
    int32_t zero;
    uint32_t is_signed;
};

typedef void cpu_conv_s16_fn(const struct cpu_conv_row *row);
// conv_dot for two blocks with the same segments: the second one's bias, multipliers, outputs and
// residual stand behind the first one's.
typedef cpu_conv_s16_fn cpu_conv_dot_pair_fn;
typedef void cpu_conv_tiles_fn(const struct cpu_conv_band *band);
typedef cpu_conv_s16_fn cpu_conv_dot_fn, cpu_conv_sdot_fn, cpu_conv_matrix_fn, cpu_conv_f32_fn;
// y[i] = x[i] - zero
typedef void cpu_widen_fn(const uint8_t *x, int16_t *y, int64_t count, int32_t zero,
                          uint32_t is_signed);
// y[i * channels + c] = x[c * plane + i] - zero
typedef void cpu_widen_planes_fn(const uint8_t *x, int64_t plane, int64_t channels, int16_t *y,
                                 int64_t count, int32_t zero, uint32_t is_signed);
// y[i * y_step + c] = x[c * plane + i] ^ flip, for c < channels <= y_step
typedef void cpu_interleave_fn(const uint8_t *x, int64_t plane, int64_t channels, uint8_t *y,
                               int64_t y_step, int64_t count, uint8_t flip);
typedef void cpu_add_q8_fn(const struct cpu_add *add, const uint8_t *a, const uint8_t *b,
                           uint8_t *y, int64_t count);
// a and b are uint8.
typedef void cpu_mul_q8_fn(const struct sl_quantised_product *mul, const uint8_t *a,
                           const uint8_t *b, uint8_t *y, int64_t count);
typedef void cpu_quantize_fn(const struct cpu_quant *quant, const float *x, uint8_t *y,
                             int64_t count);
typedef void cpu_dequantize_fn(const struct cpu_quant *quant, const uint8_t *x, float *y,
                               int64_t count);
// y[i] = table[x[i]]
typedef void cpu_lookup_fn(const uint8_t table[256], const uint8_t *x, uint8_t *y, int64_t count);

// A row of windows in NHWC. Tap (k, j) of output pixel p stands at
// x + p * x_step + k * row_step + j * column_step bytes, `channels` values behind each other.
struct cpu_windows {
    const void *x;
    void *y;
    size_t x_step, y_step, row_step, column_step;
    int64_t pixels, rows, columns, channels;
};
// y = the greatest value of a window; the lowest there is if it has no taps. NaN is never greater.
typedef void cpu_max_q8_fn(const struct cpu_windows *w, uint32_t is_signed);
typedef void cpu_max_f32_fn(const struct cpu_windows *w);
// y = round_half_even(clamp(sum(x - x_zero) * multiplier, low, high)) + y_zero, with the bounds as
// in the epilogue
struct cpu_average {
    int32_t x_zero, y_zero;
    uint32_t x_signed;
    float multiplier, low, high;
};
typedef void cpu_average_q8_fn(const struct cpu_windows *w, const struct cpu_average *average);

// y[i] = f(x[i]) on real numbers; NaN stays NaN. x and y may be the same.
struct cpu_unary {
    enum {
        CPU_CLAMP, // to [alpha, beta]
        CPU_LEAKY, // alpha x below 0
        CPU_SIGMOID,
        CPU_SILU,
        CPU_HARD_SIGMOID, // alpha x + beta, clamped to [0, 1]
        CPU_HARD_SWISH,
    } kind;
    float alpha, beta;
};
typedef void cpu_unary_f32_fn(const struct cpu_unary *f, const float *x, float *y, int64_t count);
enum cpu_binary { CPU_ADD, CPU_SUB, CPU_MUL, CPU_DIV };
typedef void cpu_binary_f32_fn(enum cpu_binary kind, const float *a, const float *b, float *y,
                               int64_t count);
// A convolution row in which every output channel reads its own input channel: segment s is the
// single tap runs[s.run], weights are [segment][CPU_BLOCK] int16, and the input of output pixel p,
// channel i stands at runs[s.run] + p * step + 2 i bytes.
// depthwise_f32: the same with float32 values and weights.
typedef cpu_conv_s16_fn cpu_depthwise_s16_fn, cpu_depthwise_f32_fn;

// The same with bytes and whole rows of taps: segment s is the row of `taps` pixels that begins at
// runs[s.run] + p * step, tap_step bytes from one to the next, of uint8. `step` is one or two times
// tap_step, and `taps` 3, 5 or 7. Weights are [segment][granule][CPU_BLOCK][4] int8, where
// cpu_tap_place says which tap stands where and the others are 0.
typedef cpu_conv_s16_fn cpu_depthwise_dot_fn;
#define CPU_TAPS 4 // in a granule
static inline uint32_t cpu_tap_granules(uint32_t taps)
{
    return taps > CPU_TAPS ? 2 : 1;
}
// Of tap k: granule times CPU_TAPS plus the place in it. The last tap is the last one of the last
// granule.
static inline uint32_t cpu_tap_place(uint32_t taps, uint32_t k)
{
    uint32_t places = cpu_tap_granules(taps) * CPU_TAPS;
    return taps > CPU_TAPS && k < CPU_TAPS ? k : k + places - taps;
}

// 3 x 3 convolutions by Winograd's method, in integers: a tile of 4 x 4 outputs is
// A^T [ (G g G^T) * (B^T d B) ] A, the products summed over the input channels. Lavin and Gray,
// "Fast Algorithms for Convolutional Neural Networks", 2015.
//
// Stride 1, F(4, 3): interpolation at 0, 1, -1, 2, -2 and infinity, 6 positions in each dimension.
// Stride 2, F(4, 2) on the even columns with the outer taps, at 0, 1, -1, 2 and infinity; the odd
// columns meet the middle tap alone: 5 + 4 positions.
//
// G is 24 or 6 times the usual one, the last column of stride 1's A halved in turn, so that all
// numbers are integers and fit 16 bits. Sums are thus 24^2 = 9 * 64 or 6^2 = 9 * 4 times those of
// the plain convolution. They are formed modulo 2^32, where 9 has an inverse: what remains is 64 or
// 4 times the plain sum, and that is right where it fits 32 bits.
#define CPU_WINOGRAD_TILE 4
#define CPU_WINOGRAD_SIDE 9 // positions in a dimension, at most
#define CPU_WINOGRAD      (CPU_WINOGRAD_SIDE * CPU_WINOGRAD_SIDE)
#define CPU_WINOGRAD_NINE 0x38E38E39u // 1 / 9
static inline uint32_t cpu_winograd_side(uint32_t stride)
{
    return stride == 1 ? 6 : 9;
}
static inline int32_t cpu_winograd_scale(uint32_t stride)
{
    return stride == 1 ? 64 : 4;
}

// v[position][tile][channel] = B^T d B of the tile whose first column is 4 * stride * tile. Rows
// reach to the last column of the last tile; `depth` is a multiple of CPU_BLOCK.
struct cpu_winograd_input {
    const int16_t *rows[CPU_WINOGRAD_SIDE];
    uint32_t stride; // 1 or 2
    int64_t tiles, depth;
    int16_t *v;
    size_t plane; // values from position to position
};
typedef void cpu_winograd_input_fn(const struct cpu_winograd_input *job);

// One block of channels: the transformed sums m[position][tile][CPU_BLOCK] become `pixels` outputs
// in each of `rows` rows, four at most. Bias and multiplier of the epilogue are for sums that are
// cpu_winograd_scale times the plain ones.
struct cpu_winograd_output {
    const int32_t *m;
    size_t plane; // values from position to position
    int64_t pixels;
    uint32_t stride, rows;
    const struct cpu_epilogue *epilogue;
    void *y;
    size_t y_step, y_row; // bytes from pixel to pixel, from row to row
    size_t residual_row;
};
typedef void cpu_winograd_output_fn(const struct cpu_winograd_output *job);

// y[p][channel + i] = x[source][p][offset + mask[i]], for i < 16 whose mask is below 16; the others
// come from further parts of the same group, and are 0 if there is none. Parts of a group stand
// together. Rows of bytes, a multiple of 16.
#define CPU_MAX_SOURCES 64
struct cpu_gather_part {
    uint32_t source, offset, channel;
    uint8_t mask[16]; // 0x80: not from here
};
struct cpu_gather {
    const uint8_t *const *x;
    const size_t *x_steps; // bytes from pixel to pixel
    const struct cpu_gather_part *parts;
    uint32_t n_parts;
    int64_t pixels;
    uint8_t *y;
    size_t y_step;
};
typedef void cpu_gather_fn(const struct cpu_gather *job);

// What dense INT8 convolutions are computed with, where the layer allows it; conv_s16 takes all.
enum cpu_int8 {
    CPU_INT8_S16,
    CPU_INT8_WINOGRAD,
    CPU_INT8_SDOT,
    CPU_INT8_DOT,
    CPU_INT8_MATRIX,
};

struct cpu_kernels {
    enum cpu_isa isa; // the best that is allowed
    enum cpu_int8 int8;
    cpu_conv_s16_fn *conv_s16;
    cpu_conv_dot_fn *conv_dot;
    cpu_conv_dot_pair_fn *conv_dot_pair;
    cpu_conv_tiles_fn *conv_tiles;
    cpu_conv_sdot_fn *conv_sdot;
    cpu_conv_matrix_fn *conv_matrix;
    cpu_conv_f32_fn *conv_f32;
    cpu_widen_fn *widen;
    cpu_widen_planes_fn *widen_planes;
    cpu_interleave_fn *interleave;
    cpu_add_q8_fn *add_q8;
    cpu_mul_q8_fn *mul_q8;
    cpu_quantize_fn *quantize;
    cpu_dequantize_fn *dequantize;
    cpu_lookup_fn *lookup;
    cpu_max_q8_fn *max_q8;
    cpu_max_f32_fn *max_f32;
    cpu_average_q8_fn *average_q8;
    cpu_depthwise_s16_fn *depthwise_s16;
    cpu_depthwise_dot_fn *depthwise_dot;
    cpu_winograd_input_fn *winograd_input;
    cpu_winograd_output_fn *winograd_output;
    cpu_gather_fn *gather;
    cpu_depthwise_f32_fn *depthwise_f32;
    cpu_unary_f32_fn *unary_f32;
    cpu_binary_f32_fn *binary_f32;
};

// What belongs to a later block of the same row.
static inline struct cpu_epilogue cpu_epilogue_of(const struct cpu_epilogue *first, int64_t block)
{
    struct cpu_epilogue e = *first;
    e.bias += block * CPU_BLOCK;
    e.multiplier += block * CPU_BLOCK;
    if (e.add)
        e.residual += block * CPU_BLOCK;
    return e;
}
static inline size_t cpu_element(const struct cpu_epilogue *e) // bytes of an output
{
    return e->to_real || e->to_sums ? 4 : 1;
}
// Row and block of a band, without its runs and weights.
static inline struct cpu_conv_row cpu_band_row(const struct cpu_conv_band *band, int64_t row,
                                               int64_t block, struct cpu_epilogue *epilogue)
{
    *epilogue = cpu_epilogue_of(band->epilogue, block);
    if (epilogue->add)
        epilogue->residual += (size_t)row * band->residual_row;
    size_t at = (size_t)row * band->y_row + (size_t)(block * CPU_BLOCK) * cpu_element(epilogue);
    return (struct cpu_conv_row){.step = band->step,
                                 .pixels = band->pixels,
                                 .epilogue = epilogue,
                                 .y = (char *)band->y + at,
                                 .y_step = band->y_step};
}

// Tap (row, column) of output pixel p.
static inline const void *cpu_window_tap(const struct cpu_windows *w, int64_t p, int64_t row,
                                         int64_t column)
{
    return (const char *)w->x + (size_t)p * w->x_step + (size_t)row * w->row_step +
           (size_t)column * w->column_step;
}
static inline void *cpu_window_output(const struct cpu_windows *w, int64_t p)
{
    return (char *)w->y + (size_t)p * w->y_step;
}
// What is left when `done` channels of `element` bytes are.
static inline struct cpu_windows cpu_windows_rest(const struct cpu_windows *w, int64_t done,
                                                  size_t element)
{
    struct cpu_windows rest = *w;
    rest.x = (const char *)w->x + (size_t)done * element;
    rest.y = (char *)w->y + (size_t)done * element;
    rest.channels -= done;
    return rest;
}

#define KERNEL(slot, isa, function) cpu_##slot##_fn function;
#include "accel/cpu/kernels.def"
#undef KERNEL

// Is conv_dot_pair faster than conv_dot twice?
static inline bool cpu_pairs_blocks(const struct cpu_kernels *kernels)
{
    return kernels->conv_dot_pair != cpu_conv_dot_pair_c;
}

static inline bool cpu_has_tiles(const struct cpu_kernels *kernels)
{
    return kernels->conv_tiles != cpu_conv_tiles_c;
}

// What the epilogue says, in plain C, of one pixel's CPU_BLOCK sums.
void cpu_store_sums_c(const struct cpu_conv_row *row, int64_t pixel, const int32_t *sums);

void cpu_kernels_fill(struct cpu_kernels *kernels, enum cpu_isa isa);

#endif
