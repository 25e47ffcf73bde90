// The operators that can be imported, one row each.
#include "inference/onnx_lower.h"

#include <stdlib.h>
#include <string.h>

#define UNARY(name, kind)                                                                          \
    {                                                                                              \
        name, 1, LOWER_NEWEST, 1, 1, lower_unary, SL_UNARY_##kind                                  \
    }
#define BINARY(name, kind)                                                                         \
    {                                                                                              \
        name, 7, LOWER_NEWEST, 2, 2, lower_binary, SL_BINARY_##kind                                \
    }
#define REDUCE(name, kind)                                                                         \
    {                                                                                              \
        name, 1, LOWER_NEWEST, 1, 2, lower_reduce, SL_REDUCE_##kind                                \
    }

// Sorted by name.
static const struct lower_row rows[] = {
    UNARY("Abs", ABS),
    BINARY("Add", ADD),
    BINARY("And", AND),
    {"ArgMax", 1, LOWER_NEWEST, 1, 1, lower_arg, 0},
    {"ArgMin", 1, LOWER_NEWEST, 1, 1, lower_arg, 1},
    {"AveragePool", 7, LOWER_NEWEST, 1, 1, lower_pool, SL_OP_AVERAGE_POOL},
    {"BatchNormalization", 7, LOWER_NEWEST, 5, 5, lower_batch_norm, 0},
    {"Cast", 6, LOWER_NEWEST, 1, 1, lower_cast, 0},
    UNARY("Ceil", CEIL),
    {"Clip", 6, LOWER_NEWEST, 1, 3, lower_clip, 0},
    {"Concat", 4, LOWER_NEWEST, 1, LOWER_MAX_INPUTS, lower_concat, 0},
    {"Constant", 1, LOWER_NEWEST, 0, 0, lower_constant, 0},
    {"ConstantOfShape", 9, LOWER_NEWEST, 1, 1, lower_constant_of_shape, 0},
    {"Conv", 1, LOWER_NEWEST, 2, 3, lower_conv, 0},
    {"ConvInteger", 10, LOWER_NEWEST, 2, 4, lower_integer_product, SL_OP_CONV},
    {"ConvTranspose", 1, LOWER_NEWEST, 2, 3, lower_conv_transpose, 0},
    UNARY("Cos", COS),
    {"DepthToSpace", 1, LOWER_NEWEST, 1, 1, lower_blocks, SL_OP_DEPTH_TO_SPACE},
    {"DequantizeLinear", 10, LOWER_NEWEST, 2, 3, lower_dequantize, 0},
    BINARY("Div", DIV),
    {"Dropout", 7, LOWER_NEWEST, 1, 3, lower_dropout, 0},
    UNARY("Elu", ELU),
    BINARY("Equal", EQUAL),
    UNARY("Erf", ERF),
    UNARY("Exp", EXP),
    {"Expand", 8, LOWER_NEWEST, 2, 2, lower_expand, 0},
    {"Flatten", 1, LOWER_NEWEST, 1, 1, lower_flatten, 0},
    UNARY("Floor", FLOOR),
    {"Gather", 1, LOWER_NEWEST, 2, 2, lower_gather, 0},
    {"Gemm", 7, LOWER_NEWEST, 2, 3, lower_gemm, 0},
    {"GlobalAveragePool", 1, LOWER_NEWEST, 1, 1, lower_global_pool, SL_OP_AVERAGE_POOL},
    {"GlobalMaxPool", 1, LOWER_NEWEST, 1, 1, lower_global_pool, SL_OP_MAX_POOL},
    BINARY("Greater", GREATER),
    BINARY("GreaterOrEqual", GREATER_EQUAL),
    UNARY("HardSigmoid", HARD_SIGMOID),
    UNARY("HardSwish", HARD_SWISH),
    {"Identity", 1, LOWER_NEWEST, 1, 1, lower_identity, 0},
    UNARY("LeakyRelu", LEAKY_RELU),
    BINARY("Less", LESS),
    BINARY("LessOrEqual", LESS_EQUAL),
    UNARY("Log", LOG),
    {"LogSoftmax", 1, LOWER_NEWEST, 1, 1, lower_softmax, 1},
    {"MatMul", 1, LOWER_NEWEST, 2, 2, lower_matmul, 0},
    {"MatMulInteger", 10, LOWER_NEWEST, 2, 4, lower_integer_product, SL_OP_MATMUL},
    {"Max", 6, LOWER_NEWEST, 1, LOWER_MAX_INPUTS, lower_variadic, SL_BINARY_MAX},
    {"MaxPool", 1, LOWER_NEWEST, 1, 1, lower_pool, SL_OP_MAX_POOL},
    {"Mean", 6, LOWER_NEWEST, 1, LOWER_MAX_INPUTS, lower_variadic, -1},
    {"Min", 6, LOWER_NEWEST, 1, LOWER_MAX_INPUTS, lower_variadic, SL_BINARY_MIN},
    BINARY("Mod", MOD),
    BINARY("Mul", MUL),
    UNARY("Neg", NEG),
    UNARY("Not", NOT),
    BINARY("Or", OR),
    {"PRelu", 7, LOWER_NEWEST, 2, 2, lower_prelu, 0},
    {"Pad", 2, LOWER_NEWEST, 1, 4, lower_pad, 0},
    BINARY("Pow", POW),
    {"QLinearConv", 10, LOWER_NEWEST, 8, 9, lower_qlinear_conv, 0},
    {"QLinearMatMul", 10, LOWER_NEWEST, 8, 8, lower_qlinear_matmul, 0},
    {"QuantizeLinear", 10, LOWER_NEWEST, 2, 3, lower_quantize, 0},
    {"Range", 11, LOWER_NEWEST, 3, 3, lower_range, 0},
    UNARY("Reciprocal", RECIPROCAL),
    REDUCE("ReduceL1", L1),
    REDUCE("ReduceL2", L2),
    REDUCE("ReduceMax", MAX),
    REDUCE("ReduceMean", MEAN),
    REDUCE("ReduceMin", MIN),
    REDUCE("ReduceProd", PROD),
    REDUCE("ReduceSum", SUM),
    REDUCE("ReduceSumSquare", SUM_SQUARE),
    UNARY("Relu", RELU),
    {"Reshape", 5, LOWER_NEWEST, 2, 2, lower_reshape, 0},
    {"Resize", 10, LOWER_NEWEST, 2, 4, lower_resize, 0},
    UNARY("Round", ROUND),
    {"Shape", 1, LOWER_NEWEST, 1, 1, lower_shape, 0},
    UNARY("Sigmoid", SIGMOID),
    UNARY("Sign", SIGN),
    UNARY("Sin", SIN),
    {"Size", 1, LOWER_NEWEST, 1, 1, lower_shape, 1},
    {"Slice", 1, LOWER_NEWEST, 1, 5, lower_slice, 0},
    {"Softmax", 1, LOWER_NEWEST, 1, 1, lower_softmax, 0},
    UNARY("Softplus", SOFTPLUS),
    {"SpaceToDepth", 1, LOWER_NEWEST, 1, 1, lower_blocks, SL_OP_SPACE_TO_DEPTH},
    {"Split", 2, LOWER_NEWEST, 1, 2, lower_split, 0},
    UNARY("Sqrt", SQRT),
    {"Squeeze", 1, LOWER_NEWEST, 1, 2, lower_squeeze, 0},
    BINARY("Sub", SUB),
    {"Sum", 6, LOWER_NEWEST, 1, LOWER_MAX_INPUTS, lower_variadic, SL_BINARY_ADD},
    UNARY("Tanh", TANH),
    {"Tile", 6, LOWER_NEWEST, 2, 2, lower_tile, 0},
    {"TopK", 1, LOWER_NEWEST, 1, 2, lower_top_k, 0},
    {"Transpose", 1, LOWER_NEWEST, 1, 1, lower_transpose, 0},
    {"Unsqueeze", 1, LOWER_NEWEST, 1, 2, lower_unsqueeze, 0},
    {"Upsample", 7, 9, 1, 2, lower_resize, 0},
    {"Where", 9, LOWER_NEWEST, 3, 3, lower_where, 0},
    BINARY("Xor", XOR),
};

static int by_name(const void *key, const void *row)
{
    return strcmp(key, ((const struct lower_row *)row)->op);
}

const struct lower_row *lower_find(const char *op)
{
    return bsearch(op, rows, sizeof(rows) / sizeof(rows[0]), sizeof(rows[0]), by_name);
}
