// The table of operators and the check of one node against it.
#include "accel/operator.h"

#include "accel/reference.h"
#include "accel/tensor.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define MANY UINT32_MAX

// clang-format off
static const struct sl_operator operators[] = {
    [SL_OP_CONV]           = {"Conv",               2, 3, 1, sl_types_product, sl_dims_conv},
    [SL_OP_CONV_TRANSPOSE] = {"ConvTranspose",      2, 3, 1, sl_types_real,    sl_dims_conv_transpose},
    [SL_OP_GEMM]           = {"Gemm",               2, 3, 1, sl_types_product, sl_dims_gemm},
    [SL_OP_MATMUL]         = {"MatMul",             2, 2, 1, sl_types_product, sl_dims_matmul},
    [SL_OP_MAX_POOL]       = {"MaxPool",            1, 1, 1, sl_types_number,  sl_dims_pool},
    [SL_OP_AVERAGE_POOL]   = {"AveragePool",        1, 1, 1, sl_types_real,    sl_dims_pool},
    [SL_OP_REDUCE]         = {"Reduce",             1, 1, 1, sl_types_number,  sl_dims_reduce},
    [SL_OP_ARG_MAX]        = {"ArgMax",             1, 1, 1, sl_types_arg,     sl_dims_arg},
    [SL_OP_TOP_K]          = {"TopK",               1, 1, 2, sl_types_arg,     sl_dims_top_k},
    [SL_OP_UNARY]          = {"Unary",              1, 1, 1, sl_types_unary,   sl_dims_same},
    [SL_OP_BINARY]         = {"Binary",             2, 2, 1, sl_types_binary,  sl_dims_broadcast},
    [SL_OP_WHERE]          = {"Where",              3, 3, 1, sl_types_where,   sl_dims_broadcast},
    [SL_OP_CAST]           = {"Cast",               1, 1, 1, sl_types_any,     sl_dims_same},
    [SL_OP_CLIP]           = {"Clip",               1, 1, 1, sl_types_number,  sl_dims_same},
    [SL_OP_PRELU]          = {"PRelu",              2, 2, 1, sl_types_number,  sl_dims_prelu},
    [SL_OP_SOFTMAX]        = {"Softmax",            1, 1, 1, sl_types_real,    sl_dims_softmax},
    [SL_OP_BATCH_NORM]     = {"BatchNormalization", 5, 5, 1, sl_types_real,    sl_dims_batch_norm},
    [SL_OP_QUANTIZE]       = {"QuantizeLinear",     1, 1, 1, sl_types_real,    sl_dims_same},
    [SL_OP_DEQUANTIZE]     = {"DequantizeLinear",   1, 1, 1, sl_types_real,    sl_dims_same},
    [SL_OP_RESHAPE]        = {"Reshape",            1, 1, 1, sl_types_move,    sl_dims_reshape},
    [SL_OP_TRANSPOSE]      = {"Transpose",          1, 1, 1, sl_types_move,    sl_dims_transpose},
    [SL_OP_CONCAT]         = {"Concat",          1, MANY, 1, sl_types_move,    sl_dims_concat},
    [SL_OP_SLICE]          = {"Slice",              1, 1, 1, sl_types_move,    sl_dims_slice},
    [SL_OP_PAD]            = {"Pad",                1, 1, 1, sl_types_move,    sl_dims_pad},
    [SL_OP_GATHER]         = {"Gather",             2, 2, 1, sl_types_gather,  sl_dims_gather},
    [SL_OP_EXPAND]         = {"Expand",             1, 1, 1, sl_types_move,    sl_dims_expand},
    [SL_OP_TILE]           = {"Tile",               1, 1, 1, sl_types_move,    sl_dims_tile},
    [SL_OP_RESIZE]         = {"Resize",             1, 1, 1, sl_types_resize,  sl_dims_resize},
    [SL_OP_DEPTH_TO_SPACE] = {"DepthToSpace",       1, 1, 1, sl_types_move,    sl_dims_depth_to_space},
    [SL_OP_SPACE_TO_DEPTH] = {"SpaceToDepth",       1, 1, 1, sl_types_move,    sl_dims_space_to_depth},
};

static const char *const unary_names[] = {
    [SL_UNARY_ABS] = "Abs", [SL_UNARY_NEG] = "Neg", [SL_UNARY_CEIL] = "Ceil",
    [SL_UNARY_FLOOR] = "Floor", [SL_UNARY_ROUND] = "Round", [SL_UNARY_SQRT] = "Sqrt",
    [SL_UNARY_EXP] = "Exp", [SL_UNARY_LOG] = "Log", [SL_UNARY_RECIPROCAL] = "Reciprocal",
    [SL_UNARY_SIGN] = "Sign", [SL_UNARY_ERF] = "Erf", [SL_UNARY_NOT] = "Not",
    [SL_UNARY_RELU] = "Relu", [SL_UNARY_LEAKY_RELU] = "LeakyRelu", [SL_UNARY_ELU] = "Elu",
    [SL_UNARY_SIGMOID] = "Sigmoid", [SL_UNARY_HARD_SIGMOID] = "HardSigmoid",
    [SL_UNARY_HARD_SWISH] = "HardSwish", [SL_UNARY_TANH] = "Tanh",
    [SL_UNARY_SOFTPLUS] = "Softplus", [SL_UNARY_SILU] = "Silu", [SL_UNARY_MISH] = "Mish",
    [SL_UNARY_SIN] = "Sin", [SL_UNARY_COS] = "Cos",
};

static const char *const binary_names[] = {
    [SL_BINARY_ADD] = "Add", [SL_BINARY_SUB] = "Sub", [SL_BINARY_MUL] = "Mul",
    [SL_BINARY_DIV] = "Div", [SL_BINARY_POW] = "Pow", [SL_BINARY_MIN] = "Min",
    [SL_BINARY_MAX] = "Max", [SL_BINARY_MOD] = "Mod", [SL_BINARY_EQUAL] = "Equal",
    [SL_BINARY_LESS] = "Less", [SL_BINARY_LESS_EQUAL] = "LessOrEqual",
    [SL_BINARY_GREATER] = "Greater", [SL_BINARY_GREATER_EQUAL] = "GreaterOrEqual",
    [SL_BINARY_AND] = "And", [SL_BINARY_OR] = "Or", [SL_BINARY_XOR] = "Xor",
    [SL_BINARY_FMOD] = "Fmod",
};

static const char *const reduce_names[] = {
    [SL_REDUCE_MEAN] = "ReduceMean", [SL_REDUCE_SUM] = "ReduceSum", [SL_REDUCE_MAX] = "ReduceMax",
    [SL_REDUCE_MIN] = "ReduceMin", [SL_REDUCE_PROD] = "ReduceProd", [SL_REDUCE_L1] = "ReduceL1",
    [SL_REDUCE_L2] = "ReduceL2", [SL_REDUCE_SUM_SQUARE] = "ReduceSumSquare",
};
// clang-format on

#define NAME_OF(names, kind)                                                                       \
    ((kind) < sizeof(names) / sizeof(*(names)) && (names)[kind] ? (names)[kind] : NULL)

const struct sl_operator *sl_operator_find(uint32_t op)
{
    if (op >= sizeof(operators) / sizeof(*operators) || !operators[op].name)
        return NULL;
    return &operators[op];
}

const char *sl_op_name(uint32_t op)
{
    const struct sl_operator *found = sl_operator_find(op);
    return found ? found->name : "unknown operator";
}

const char *sl_unary_name(uint32_t kind)
{
    return NAME_OF(unary_names, kind);
}

const char *sl_node_op_name(const struct sl_node *node)
{
    const char *name = NULL;
    if (node->op == SL_OP_UNARY)
        name = NAME_OF(unary_names, node->attrs.unary.kind);
    else if (node->op == SL_OP_BINARY)
        name = NAME_OF(binary_names, node->attrs.binary);
    else if (node->op == SL_OP_REDUCE)
        name = NAME_OF(reduce_names, node->attrs.reduce.kind);
    return name ? name : sl_op_name(node->op);
}

int sl_op_fail(const struct sl_op_view *view, int status, const char *format, ...)
{
    char text[SL_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return sl_error_set(view->error, status, "node '%s' (%s): %s",
                        view->node->name ? view->node->name : "", sl_node_op_name(view->node),
                        text);
}

static int check_arity(const struct sl_op_view *view, const struct sl_operator *op)
{
    const struct sl_node *node = view->node;
    if (node->n_inputs < op->min_inputs || node->n_inputs > op->max_inputs)
        return sl_op_fail(view, -EINVAL, "%u inputs, expected %u to %u", node->n_inputs,
                          op->min_inputs, op->max_inputs);
    if (node->n_outputs != op->n_outputs)
        return sl_op_fail(view, -EINVAL, "%u outputs, expected %u", node->n_outputs, op->n_outputs);
    uint32_t required = op->max_inputs == MANY ? node->n_inputs : op->min_inputs;
    for (uint32_t i = 0; i < required; i++)
        if (node->inputs[i] == SL_NO_TENSOR)
            return sl_op_fail(view, -EINVAL, "input %u is absent, but it is not optional", i);
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (node->outputs[i] == SL_NO_TENSOR)
            return sl_op_fail(view, -EINVAL, "output %u is absent", i);
    return 0;
}

static int check_activation(const struct sl_op_view *view)
{
    uint32_t kind = view->node->activation.kind;
    if (kind == SL_ACT_NONE)
        return 0;
    if (kind != SL_ACT_CLIP && (!sl_unary_name(kind) || kind == SL_UNARY_NOT))
        return sl_op_fail(view, -EINVAL, "fused activation %u is not known", kind);
    const struct sl_tensor *output = sl_op_output(view, 0);
    if (sl_op_type(output) != SL_F32)
        return sl_op_fail(view, -ENOTSUP, "fused activation on %s", sl_dtype_name(output->dtype));
    return 0;
}

int sl_node_check(const struct sl_tensor *tensors, const struct sl_node *node,
                  struct sl_error *error)
{
    struct sl_op_view view = {tensors, node, error};
    const struct sl_operator *op = sl_operator_find(node->op);
    if (!op)
        return sl_op_fail(&view, -ENOTSUP, "operator number %u is not known", node->op);
    int status = check_arity(&view, op);
    if (status == 0)
        status = op->types(&view);
    if (status == 0)
        status = op->dims(&view);
    return status == 0 ? check_activation(&view) : status;
}
