// The network description: what inference/ lowers a model into and every back end compiles from.
//
// A flat, read-only view. Nodes stand in execution order; every tensor is written by at most one
// node. The description and all it points to belongs to whoever built it (inference/) and is valid
// during the compile call: a back end copies what it keeps.
//
// Meaning. Each operator means what the ONNX operator of the same name means (opset 13 unless said
// otherwise) on dense row-major tensors, dimensions in ONNX order (N, C, H, W). Shapes are static.
//
// Quantisation. A tensor with `quant.count > 0` holds integers q that stand for the real numbers
// (q - zero_point) * scale. A node with quantised inputs or outputs means: take the real numbers,
// apply the ONNX operator and then the fused activation in real arithmetic, and quantise the result
// as ONNX QuantizeLinear does: q = saturate(round_half_even(y / scale) + zero_point).
// Integer products are accumulated exactly in 32 bits; the rescaling is single precision:
//     q = saturate(round_half_even((float)acc * (float)(s_x * s_w / s_y)) + z_y)
// which is what ONNX Runtime computes, so results are comparable byte for byte. The bias of a
// quantised convolution is int32 with scale s_x * s_w and zero point 0. For the same reason the sum
// of two quantised tensors with one scale each (SL_BINARY_ADD, no activation but Relu and Clip) is,
// in single precision and with r_a = s_a / s_y and r_b = s_b / s_y,
//     q = saturate(round_half_even(fma(a, r_a, fma(b, r_b, z_y - fma(r_a, z_a, r_b * z_b)))))
// and their product (SL_BINARY_MUL) where all three are uint8
//     q = saturate(round_half_even((float)((a - z_a) * (b - z_b)) * (s_a * s_b / s_y) + z_y))
//
// Versioning: append-only. New members go to the end of `struct sl_graph` (a reader checks
// `struct_size`), new operators to the end of their group; numbers are never used again.
#ifndef SL_ACCEL_GRAPH_H
#define SL_ACCEL_GRAPH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SL_GRAPH_VERSION 1u
#define SL_MAX_RANK      8
#define SL_NO_TENSOR     UINT32_MAX // an optional input that is absent

enum sl_dtype {
    SL_F32 = 1,
    SL_U8 = 2,
    SL_I8 = 3,
    SL_I32 = 4,
    SL_I64 = 5,
    SL_BOOL = 6, // one byte, 0 or 1
};

// Real = (q - zero_point[i]) * scale[i], i = 0 for count 1, else the index along `axis`.
struct sl_quant {
    uint32_t count; // 0: the tensor holds plain numbers
    int32_t axis;   // meaningful for count > 1
    const float *scale;
    const int32_t *zero_point;
};

struct sl_tensor {
    const char *name;
    uint32_t dtype; // enum sl_dtype
    uint32_t rank;  // 0 is a scalar
    int64_t dims[SL_MAX_RANK];
    struct sl_quant quant;
    const void *data; // constant contents, NULL for what is computed or given at run time
    uint64_t bytes;   // product of dims times the size of dtype
};

// Numbers are fixed for good; the gaps leave each group room to grow.
enum sl_op {
    SL_OP_NONE = 0,
    // convolution family
    SL_OP_CONV = 1,           // x, w[, b]
    SL_OP_CONV_TRANSPOSE = 2, // x, w[, b]
    SL_OP_GEMM = 3,           // a, b[, c]
    SL_OP_MATMUL = 4,
    // pooling and reduction
    SL_OP_MAX_POOL = 10,
    SL_OP_AVERAGE_POOL = 11, // GlobalAveragePool is lowered to it
    SL_OP_REDUCE = 12,       // attrs.reduce
    SL_OP_ARG_MAX = 13,      // attrs.arg
    SL_OP_TOP_K = 14,        // attrs.top_k; outputs values, indices
    // element by element
    SL_OP_UNARY = 20,  // attrs.unary
    SL_OP_BINARY = 21, // attrs.binary, numpy broadcasting
    SL_OP_WHERE = 22,  // condition, a, b
    SL_OP_CAST = 23,   // to the output tensor's dtype
    SL_OP_CLIP = 24,   // attrs.clip
    SL_OP_PRELU = 25,  // x, slope
    // along an axis
    SL_OP_SOFTMAX = 30,    // attrs.axis
    SL_OP_BATCH_NORM = 31, // x, scale, bias, mean, variance; attrs.epsilon
    // quantisation; scale and zero point stand on the tensors
    SL_OP_QUANTIZE = 40,   // real or quantised -> quantised
    SL_OP_DEQUANTIZE = 41, // quantised -> real
    // moving data
    SL_OP_RESHAPE = 50, // same elements, other dims: Flatten, Squeeze, Identity … too
    SL_OP_TRANSPOSE = 51,
    SL_OP_CONCAT = 52,
    SL_OP_SLICE = 53, // Split is lowered to slices
    SL_OP_PAD = 54,
    SL_OP_GATHER = 55, // x, indices; attrs.axis
    SL_OP_EXPAND = 56, // numpy broadcast to the output's dims
    SL_OP_TILE = 57,   // repeats follow from the dims
    SL_OP_RESIZE = 58,
    SL_OP_DEPTH_TO_SPACE = 59,
    SL_OP_SPACE_TO_DEPTH = 60,
};

enum sl_unary {
    SL_UNARY_ABS = 1,
    SL_UNARY_NEG = 2,
    SL_UNARY_CEIL = 3,
    SL_UNARY_FLOOR = 4,
    SL_UNARY_ROUND = 5, // half to even
    SL_UNARY_SQRT = 6,
    SL_UNARY_EXP = 7,
    SL_UNARY_LOG = 8,
    SL_UNARY_RECIPROCAL = 9,
    SL_UNARY_SIGN = 10,
    SL_UNARY_ERF = 11,
    SL_UNARY_NOT = 12,
    SL_UNARY_RELU = 13,
    SL_UNARY_LEAKY_RELU = 14, // alpha
    SL_UNARY_ELU = 15,        // alpha
    SL_UNARY_SIGMOID = 16,
    SL_UNARY_HARD_SIGMOID = 17, // max(0, min(1, alpha x + beta))
    SL_UNARY_HARD_SWISH = 18,   // x max(0, min(1, x / 6 + 0.5))
    SL_UNARY_TANH = 19,
    SL_UNARY_SOFTPLUS = 20,
    SL_UNARY_SILU = 21, // x sigmoid(x), fused from Mul and Sigmoid
    SL_UNARY_MISH = 22, // x tanh(softplus(x))
    SL_UNARY_SIN = 23,
    SL_UNARY_COS = 24,
};

enum sl_binary {
    SL_BINARY_ADD = 1,
    SL_BINARY_SUB = 2,
    SL_BINARY_MUL = 3,
    SL_BINARY_DIV = 4, // integers truncate toward zero; division by zero gives 0
    SL_BINARY_POW = 5,
    SL_BINARY_MIN = 6,
    SL_BINARY_MAX = 7,
    SL_BINARY_MOD = 8, // integers: sign of the divisor; real numbers: as FMOD
    SL_BINARY_EQUAL = 9,
    SL_BINARY_LESS = 10,
    SL_BINARY_LESS_EQUAL = 11,
    SL_BINARY_GREATER = 12,
    SL_BINARY_GREATER_EQUAL = 13,
    SL_BINARY_AND = 14,
    SL_BINARY_OR = 15,
    SL_BINARY_XOR = 16,
    SL_BINARY_FMOD = 17, // sign of the dividend
};

enum sl_reduce {
    SL_REDUCE_MEAN = 1,
    SL_REDUCE_SUM = 2,
    SL_REDUCE_MAX = 3,
    SL_REDUCE_MIN = 4,
    SL_REDUCE_PROD = 5,
    SL_REDUCE_L1 = 6,
    SL_REDUCE_L2 = 7,
    SL_REDUCE_SUM_SQUARE = 8,
};

// A function of one real number applied to a node's result before it is stored.
#define SL_ACT_NONE 0u
#define SL_ACT_CLIP 1000u // max(alpha, min(beta, x))
struct sl_activation {
    uint32_t kind; // SL_ACT_NONE, SL_ACT_CLIP or an enum sl_unary
    float alpha, beta;
};

struct sl_conv_attrs {
    int64_t group;
    int64_t kernel[2]; // height, width; a 1-D operator has height 1 (and rank 3 tensors)
    int64_t stride[2];
    int64_t dilation[2];
    int64_t pad[4];        // top, left, bottom, right; auto_pad is resolved at import
    int64_t output_pad[2]; // transposed convolution only
};

struct sl_pool_attrs {
    int64_t kernel[2]; // a 1-D operator has height 1
    int64_t stride[2];
    int64_t dilation[2];
    int64_t pad[4];
    uint32_t ceil_mode;
    uint32_t count_include_pad; // average only
};

struct sl_gemm_attrs {
    float alpha, beta;
    uint32_t trans_a, trans_b;
};

struct sl_reduce_attrs {
    uint32_t kind; // enum sl_reduce
    uint32_t axes; // bit i: axis i is reduced
    uint32_t keep_dims;
};

struct sl_slice_attrs { // per axis of the input; step may be negative
    int64_t start[SL_MAX_RANK];
    int64_t step[SL_MAX_RANK];
};

enum sl_pad_mode { SL_PAD_CONSTANT = 1, SL_PAD_EDGE = 2, SL_PAD_REFLECT = 3 };
struct sl_pad_attrs {
    int64_t before[SL_MAX_RANK]; // negative: cut away
    int64_t after[SL_MAX_RANK];
    uint32_t mode;
    float value; // a real number
};

enum sl_resize_mode { SL_RESIZE_NEAREST = 1, SL_RESIZE_LINEAR = 2, SL_RESIZE_CUBIC = 3 };
enum sl_resize_coordinates {
    SL_RESIZE_HALF_PIXEL = 1,
    SL_RESIZE_PYTORCH_HALF_PIXEL = 2,
    SL_RESIZE_ALIGN_CORNERS = 3,
    SL_RESIZE_ASYMMETRIC = 4,
    SL_RESIZE_TF_CROP_AND_RESIZE = 5,
    SL_RESIZE_TF_HALF_PIXEL = 6, // opset 11's tf_half_pixel_for_nn
};
enum sl_resize_rounding {
    SL_RESIZE_ROUND_PREFER_FLOOR = 1,
    SL_RESIZE_ROUND_PREFER_CEIL = 2,
    SL_RESIZE_FLOOR = 3,
    SL_RESIZE_CEIL = 4,
};
struct sl_resize_attrs {
    uint32_t mode, coordinates, rounding, exclude_outside;
    float cubic_a, extrapolation;
    float scale[SL_MAX_RANK];   // output / input per axis, as the model gives it
    float roi[2 * SL_MAX_RANK]; // all starts, then all ends, for tf_crop_and_resize
};

struct sl_block_attrs {
    int64_t block;
    uint32_t crd; // DepthToSpace: 0 is DCR, 1 is CRD
};

struct sl_unary_attrs {
    uint32_t kind; // enum sl_unary
    float alpha, beta;
};

struct sl_clip_attrs {
    float low, high;
};

struct sl_arg_attrs {
    int32_t axis;
    uint32_t keep_dims, select_last, smallest; // smallest: ArgMin
};

struct sl_top_k_attrs {
    int32_t axis;
    uint32_t smallest;
    int64_t k;
};

union sl_attrs {
    struct sl_conv_attrs conv;
    struct sl_pool_attrs pool;
    struct sl_gemm_attrs gemm;
    struct sl_reduce_attrs reduce;
    struct sl_slice_attrs slice;
    struct sl_pad_attrs pad;
    struct sl_resize_attrs resize;
    struct sl_block_attrs block;
    struct sl_unary_attrs unary;
    struct sl_clip_attrs clip;
    struct sl_arg_attrs arg;
    struct sl_top_k_attrs top_k;
    uint32_t binary;           // enum sl_binary
    int32_t axis;              // concat, softmax, gather
    float epsilon;             // batch normalisation
    int32_t perm[SL_MAX_RANK]; // transpose
    uint8_t reserved[256];     // fixes the size for good
};

struct sl_node {
    const char *name;
    uint32_t op; // enum sl_op
    uint32_t n_inputs, n_outputs;
    const uint32_t *inputs; // tensor numbers, SL_NO_TENSOR where an optional one is absent
    const uint32_t *outputs;
    struct sl_activation activation;
    union sl_attrs attrs;
};

struct sl_graph {
    uint32_t version;     // SL_GRAPH_VERSION
    uint32_t struct_size; // sizeof(struct sl_graph) of the builder
    const char *name;
    uint32_t n_tensors, n_nodes, n_inputs, n_outputs;
    const struct sl_tensor *tensors;
    const struct sl_node *nodes;
    const uint32_t *inputs; // tensor numbers
    const uint32_t *outputs;
    const void *onnx; // the original ONNX bytes, for back ends that prefer them; may be NULL
    uint64_t onnx_bytes;
};

#ifdef __cplusplus
}
#endif
#endif
