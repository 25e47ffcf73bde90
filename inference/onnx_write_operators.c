// Operators of the network description as nodes of an ONNX file.
#include "inference/onnx_writer.h"

#include "accel/reference.h"
#include "accel/tensor.h"

#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <string.h>

enum { MOST_INPUTS = 64 };

// One operator on its way out. `inputs` are names; operators add constants to them.
struct out {
    struct writer *w;
    const struct sl_node *node;
    const char *inputs[MOST_INPUTS + 4];
    uint32_t n_inputs;
    const char *result;
};

static const struct sl_tensor *input(const struct out *o, uint32_t i)
{
    return &o->w->graph->tensors[o->node->inputs[i]];
}

static const struct sl_tensor *output(const struct out *o)
{
    return &o->w->graph->tensors[o->node->outputs[0]];
}

static Onnx__NodeProto *emit(struct out *o, const char *op)
{
    return writer_node(o->w, op, o->node->name, o->inputs, o->n_inputs, o->result);
}

static void add_ints(struct out *o, const char *what, const int64_t *values, uint32_t count)
{
    o->inputs[o->n_inputs++] = writer_ints(o->w, o->node->name, what, values, count);
}

static const char *const unary_names[] = {
    [SL_UNARY_ABS] = "Abs",
    [SL_UNARY_NEG] = "Neg",
    [SL_UNARY_CEIL] = "Ceil",
    [SL_UNARY_FLOOR] = "Floor",
    [SL_UNARY_ROUND] = "Round",
    [SL_UNARY_SQRT] = "Sqrt",
    [SL_UNARY_EXP] = "Exp",
    [SL_UNARY_LOG] = "Log",
    [SL_UNARY_RECIPROCAL] = "Reciprocal",
    [SL_UNARY_SIGN] = "Sign",
    [SL_UNARY_ERF] = "Erf",
    [SL_UNARY_NOT] = "Not",
    [SL_UNARY_RELU] = "Relu",
    [SL_UNARY_LEAKY_RELU] = "LeakyRelu",
    [SL_UNARY_ELU] = "Elu",
    [SL_UNARY_SIGMOID] = "Sigmoid",
    [SL_UNARY_HARD_SIGMOID] = "HardSigmoid",
    [SL_UNARY_HARD_SWISH] = "HardSwish",
    [SL_UNARY_TANH] = "Tanh",
    [SL_UNARY_SOFTPLUS] = "Softplus",
    [SL_UNARY_SIN] = "Sin",
    [SL_UNARY_COS] = "Cos",
};

static const char *const binary_names[] = {
    [SL_BINARY_ADD] = "Add",
    [SL_BINARY_SUB] = "Sub",
    [SL_BINARY_MUL] = "Mul",
    [SL_BINARY_DIV] = "Div",
    [SL_BINARY_POW] = "Pow",
    [SL_BINARY_MIN] = "Min",
    [SL_BINARY_MAX] = "Max",
    [SL_BINARY_MOD] = "Mod",
    [SL_BINARY_EQUAL] = "Equal",
    [SL_BINARY_LESS] = "Less",
    [SL_BINARY_LESS_EQUAL] = "LessOrEqual",
    [SL_BINARY_GREATER] = "Greater",
    [SL_BINARY_GREATER_EQUAL] = "GreaterOrEqual",
    [SL_BINARY_AND] = "And",
    [SL_BINARY_OR] = "Or",
    [SL_BINARY_XOR] = "Xor",
    [SL_BINARY_FMOD] = "Mod",
};

static const char *const reduce_names[] = {
    [SL_REDUCE_MEAN] = "ReduceMean", [SL_REDUCE_SUM] = "ReduceSum",
    [SL_REDUCE_MAX] = "ReduceMax",   [SL_REDUCE_MIN] = "ReduceMin",
    [SL_REDUCE_PROD] = "ReduceProd", [SL_REDUCE_L1] = "ReduceL1",
    [SL_REDUCE_L2] = "ReduceL2",     [SL_REDUCE_SUM_SQUARE] = "ReduceSumSquare",
};

static void emit_clip(struct writer *w, const char *name, const char *x, float low, float high,
                      const char *result)
{
    const char *inputs[3] = {x, low > -FLT_MAX ? writer_float(w, name, "_min", low) : "",
                             high < FLT_MAX ? writer_float(w, name, "_max", high) : ""};
    writer_node(w, "Clip", name, inputs, *inputs[2] ? 3 : *inputs[1] ? 2 : 1, result);
}

// x times a function of x: what ONNX has no operator for in this set.
static void emit_gated(struct writer *w, const char *name, const char *x, uint32_t kind,
                       const char *result)
{
    const char *gate = writer_name(w, result, "_gate"), *first = x;
    if (kind == SL_UNARY_MISH) {
        first = writer_name(w, result, "_softplus");
        writer_node(w, "Softplus", first, &x, 1, first);
    }
    writer_node(w, kind == SL_UNARY_MISH ? "Tanh" : "Sigmoid", gate, &first, 1, gate);
    writer_node(w, "Mul", name, (const char *[]){x, gate}, 2, result);
}

// A function of one number, as an operator of its own or after another one.
static void emit_function(struct writer *w, const char *name, const char *x,
                          const struct sl_activation *a, const char *result)
{
    if (a->kind == SL_ACT_CLIP) {
        emit_clip(w, name, x, a->alpha, a->beta, result);
        return;
    }
    if (a->kind == SL_UNARY_SILU || a->kind == SL_UNARY_MISH) {
        emit_gated(w, name, x, a->kind, result);
        return;
    }
    Onnx__NodeProto *node = writer_node(w, unary_names[a->kind], name, &x, 1, result);
    if (a->kind == SL_UNARY_LEAKY_RELU || a->kind == SL_UNARY_ELU ||
        a->kind == SL_UNARY_HARD_SIGMOID)
        writer_set_float(w, node, "alpha", a->alpha);
    if (a->kind == SL_UNARY_HARD_SIGMOID)
        writer_set_float(w, node, "beta", a->beta);
}

static void set_pair(struct out *o, Onnx__NodeProto *node, const char *name, const int64_t *values)
{
    const uint32_t spatial = input(o, 0)->rank - 2;
    writer_set_ints(o->w, node, name, values + 2 - spatial, spatial);
}

static void set_pads(struct out *o, Onnx__NodeProto *node, const int64_t *pad)
{
    if (input(o, 0)->rank == 3)
        writer_set_ints(o->w, node, "pads", (int64_t[]){pad[1], pad[3]}, 2);
    else
        writer_set_ints(o->w, node, "pads", pad, 4);
}

static int emit_conv(struct out *o)
{
    const struct sl_conv_attrs *a = &o->node->attrs.conv;
    const bool transposed = o->node->op == SL_OP_CONV_TRANSPOSE;
    Onnx__NodeProto *node = emit(o, transposed ? "ConvTranspose" : "Conv");
    writer_set_int(o->w, node, "group", a->group);
    set_pair(o, node, "kernel_shape", a->kernel);
    set_pair(o, node, "strides", a->stride);
    set_pair(o, node, "dilations", a->dilation);
    set_pads(o, node, a->pad);
    if (transposed)
        set_pair(o, node, "output_padding", a->output_pad);
    return 0;
}

static int emit_gemm(struct out *o)
{
    const struct sl_gemm_attrs *a = &o->node->attrs.gemm;
    Onnx__NodeProto *node = emit(o, "Gemm");
    writer_set_float(o->w, node, "alpha", a->alpha);
    writer_set_float(o->w, node, "beta", a->beta);
    writer_set_int(o->w, node, "transA", a->trans_a);
    writer_set_int(o->w, node, "transB", a->trans_b);
    return 0;
}

static int emit_matmul(struct out *o)
{
    emit(o, "MatMul");
    return 0;
}

static int emit_pool(struct out *o)
{
    const struct sl_pool_attrs *a = &o->node->attrs.pool;
    const bool average = o->node->op == SL_OP_AVERAGE_POOL;
    Onnx__NodeProto *node = emit(o, average ? "AveragePool" : "MaxPool");
    set_pair(o, node, "kernel_shape", a->kernel);
    set_pair(o, node, "strides", a->stride);
    set_pads(o, node, a->pad);
    writer_set_int(o->w, node, "ceil_mode", a->ceil_mode);
    if (average)
        writer_set_int(o->w, node, "count_include_pad", a->count_include_pad);
    else
        set_pair(o, node, "dilations", a->dilation);
    return 0;
}

static int emit_reduce(struct out *o)
{
    const struct sl_reduce_attrs *a = &o->node->attrs.reduce;
    int64_t axes[SL_MAX_RANK];
    uint32_t count = 0;
    for (uint32_t i = 0; i < input(o, 0)->rank; i++)
        if (a->axes >> i & 1)
            axes[count++] = i;
    if (a->kind == SL_REDUCE_SUM)
        add_ints(o, "_axes", axes, count);
    Onnx__NodeProto *node = emit(o, reduce_names[a->kind]);
    if (a->kind != SL_REDUCE_SUM)
        writer_set_ints(o->w, node, "axes", axes, count);
    writer_set_int(o->w, node, "keepdims", a->keep_dims);
    return 0;
}

static int emit_arg(struct out *o)
{
    const struct sl_arg_attrs *a = &o->node->attrs.arg;
    Onnx__NodeProto *node = emit(o, a->smallest ? "ArgMin" : "ArgMax");
    writer_set_int(o->w, node, "axis", a->axis);
    writer_set_int(o->w, node, "keepdims", a->keep_dims);
    writer_set_int(o->w, node, "select_last_index", a->select_last);
    return 0;
}

static int emit_top_k(struct out *o)
{
    const struct sl_top_k_attrs *a = &o->node->attrs.top_k;
    add_ints(o, "_k", &a->k, 1);
    Onnx__NodeProto *node = emit(o, "TopK");
    writer_set_int(o->w, node, "axis", a->axis);
    writer_set_int(o->w, node, "largest", !a->smallest);
    if (!node || o->node->n_outputs < 2)
        return 0;
    char **both = pool_array(&o->w->pool, 2, sizeof(*both));
    if (!both) {
        o->w->failed = true;
        return 0;
    }
    both[0] = node->output[0];
    const char *second = o->w->names[o->node->outputs[1]].real;
    both[1] = pool_string(&o->w->pool, second, strlen(second));
    node->output = both;
    node->n_output = 2;
    return 0;
}

static int emit_unary(struct out *o)
{
    const struct sl_unary_attrs *a = &o->node->attrs.unary;
    const struct sl_activation function = {a->kind, a->alpha, a->beta};
    emit_function(o->w, o->node->name, o->inputs[0], &function, o->result);
    return 0;
}

static int emit_binary(struct out *o)
{
    Onnx__NodeProto *node = emit(o, binary_names[o->node->attrs.binary]);
    if (o->node->attrs.binary == SL_BINARY_FMOD)
        writer_set_int(o->w, node, "fmod", 1);
    return 0;
}

static int emit_where(struct out *o)
{
    emit(o, "Where");
    return 0;
}

static int emit_cast(struct out *o)
{
    writer_set_int(o->w, emit(o, "Cast"), "to", writer_onnx_type(output(o)->dtype));
    return 0;
}

static int emit_clip_node(struct out *o)
{
    const struct sl_clip_attrs *a = &o->node->attrs.clip;
    if (input(o, 0)->dtype != SL_F32 && input(o, 0)->quant.count == 0)
        return -ENOTSUP; // limits are float here
    emit_clip(o->w, o->node->name, o->inputs[0], a->low, a->high, o->result);
    return 0;
}

static int emit_prelu(struct out *o)
{
    emit(o, "PRelu");
    return 0;
}

static int emit_softmax(struct out *o)
{
    writer_set_int(o->w, emit(o, "Softmax"), "axis", o->node->attrs.axis);
    return 0;
}

static int emit_batch_norm(struct out *o)
{
    writer_set_float(o->w, emit(o, "BatchNormalization"), "epsilon", o->node->attrs.epsilon);
    return 0;
}

static int emit_reshape(struct out *o)
{
    add_ints(o, "_shape", output(o)->dims, output(o)->rank);
    Onnx__NodeProto *node = emit(o, "Reshape");
    for (uint32_t i = 0; i < output(o)->rank; i++)
        if (output(o)->dims[i] == 0) {
            writer_set_int(o->w, node, "allowzero", 1);
            break;
        }
    return 0;
}

static int emit_transpose(struct out *o)
{
    int64_t perm[SL_MAX_RANK];
    for (uint32_t i = 0; i < input(o, 0)->rank; i++)
        perm[i] = o->node->attrs.perm[i];
    writer_set_ints(o->w, emit(o, "Transpose"), "perm", perm, input(o, 0)->rank);
    return 0;
}

static int emit_concat(struct out *o)
{
    writer_set_int(o->w, emit(o, "Concat"), "axis", o->node->attrs.axis);
    return 0;
}

static int emit_slice(struct out *o)
{
    const struct sl_slice_attrs *a = &o->node->attrs.slice;
    const uint32_t rank = input(o, 0)->rank;
    int64_t end[SL_MAX_RANK], axes[SL_MAX_RANK];
    for (uint32_t i = 0; i < rank; i++) {
        const int64_t count = output(o)->dims[i], reach = (count - 1) * a->step[i];
        axes[i] = i;
        end[i] = count == 0       ? a->start[i]
                 : a->step[i] > 0 ? a->start[i] + reach + 1
                 : a->start[i] + reach > 0
                     ? a->start[i] + reach - 1
                     : -input(o, 0)->dims[i] - 1; // -1 would mean the last one
    }
    add_ints(o, "_starts", a->start, rank);
    add_ints(o, "_ends", end, rank);
    add_ints(o, "_axes", axes, rank);
    add_ints(o, "_steps", a->step, rank);
    emit(o, "Slice");
    return 0;
}

static int emit_pad(struct out *o)
{
    static const char *const modes[] = {
        [SL_PAD_CONSTANT] = "constant", [SL_PAD_EDGE] = "edge", [SL_PAD_REFLECT] = "reflect"};
    const struct sl_pad_attrs *a = &o->node->attrs.pad;
    const uint32_t rank = input(o, 0)->rank;
    int64_t pads[2 * SL_MAX_RANK] = {0};
    const bool plain_integers = input(o, 0)->dtype != SL_F32 && input(o, 0)->quant.count == 0;
    if (plain_integers && a->value != 0)
        return -ENOTSUP; // the value has the tensor's type
    for (uint32_t i = 0; i < rank; i++) {
        pads[i] = a->before[i];
        pads[rank + i] = a->after[i];
    }
    add_ints(o, "_pads", pads, 2 * rank);
    if (!plain_integers)
        o->inputs[o->n_inputs++] = writer_float(o->w, o->node->name, "_value", a->value);
    writer_set_text(o->w, emit(o, "Pad"), "mode", modes[a->mode]);
    return 0;
}

static int emit_gather(struct out *o)
{
    writer_set_int(o->w, emit(o, "Gather"), "axis", o->node->attrs.axis);
    return 0;
}

static int emit_expand(struct out *o)
{
    add_ints(o, "_shape", output(o)->dims, output(o)->rank);
    emit(o, "Expand");
    return 0;
}

static int emit_tile(struct out *o)
{
    int64_t repeats[SL_MAX_RANK];
    for (uint32_t i = 0; i < output(o)->rank; i++)
        repeats[i] = input(o, 0)->dims[i] ? output(o)->dims[i] / input(o, 0)->dims[i] : 1;
    add_ints(o, "_repeats", repeats, output(o)->rank);
    emit(o, "Tile");
    return 0;
}

static const char *const coordinates[] = {
    [SL_RESIZE_HALF_PIXEL] = "half_pixel",
    [SL_RESIZE_PYTORCH_HALF_PIXEL] = "pytorch_half_pixel",
    [SL_RESIZE_ALIGN_CORNERS] = "align_corners",
    [SL_RESIZE_ASYMMETRIC] = "asymmetric",
    [SL_RESIZE_TF_CROP_AND_RESIZE] = "tf_crop_and_resize",
};
static const char *const roundings[] = {
    [SL_RESIZE_ROUND_PREFER_FLOOR] = "round_prefer_floor",
    [SL_RESIZE_ROUND_PREFER_CEIL] = "round_prefer_ceil",
    [SL_RESIZE_FLOOR] = "floor",
    [SL_RESIZE_CEIL] = "ceil",
};
static const char *const resize_modes[] = {
    [SL_RESIZE_NEAREST] = "nearest", [SL_RESIZE_LINEAR] = "linear", [SL_RESIZE_CUBIC] = "cubic"};

// True if the scales alone give the output's sides, as ONNX computes them.
static bool scales_suffice(const struct out *o)
{
    const struct sl_resize_attrs *a = &o->node->attrs.resize;
    for (uint32_t i = 0; i < output(o)->rank; i++)
        if ((int64_t)((float)input(o, 0)->dims[i] * a->scale[i]) != output(o)->dims[i])
            return false;
    return true;
}

static int emit_resize(struct out *o)
{
    const struct sl_resize_attrs *a = &o->node->attrs.resize;
    const uint32_t rank = output(o)->rank;
    const bool crop = a->coordinates == SL_RESIZE_TF_CROP_AND_RESIZE;
    if (a->coordinates == SL_RESIZE_TF_HALF_PIXEL)
        return -ENOTSUP; // left ONNX with set 13
    const int64_t rois = 2 * (int64_t)rank, scales = rank;
    o->inputs[1] =
        crop ? writer_constant(o->w, o->node->name, "_roi", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1,
                               &rois, a->roi, 2 * rank * sizeof(float))
             : "";
    o->n_inputs = 2;
    if (!crop && scales_suffice(o)) {
        o->inputs[o->n_inputs++] =
            writer_constant(o->w, o->node->name, "_scales", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 1,
                            &scales, a->scale, rank * sizeof(float));
    } else {
        o->inputs[o->n_inputs++] = "";
        add_ints(o, "_sizes", output(o)->dims, rank);
    }
    Onnx__NodeProto *node = emit(o, "Resize");
    writer_set_text(o->w, node, "mode", resize_modes[a->mode]);
    writer_set_text(o->w, node, "coordinate_transformation_mode", coordinates[a->coordinates]);
    if (a->mode == SL_RESIZE_NEAREST && roundings[a->rounding])
        writer_set_text(o->w, node, "nearest_mode", roundings[a->rounding]);
    if (a->mode == SL_RESIZE_CUBIC)
        writer_set_float(o->w, node, "cubic_coeff_a", a->cubic_a);
    writer_set_int(o->w, node, "exclude_outside", a->exclude_outside);
    if (crop)
        writer_set_float(o->w, node, "extrapolation_value", a->extrapolation);
    return 0;
}

static int emit_blocks(struct out *o)
{
    const bool up = o->node->op == SL_OP_DEPTH_TO_SPACE;
    Onnx__NodeProto *node = emit(o, up ? "DepthToSpace" : "SpaceToDepth");
    writer_set_int(o->w, node, "blocksize", o->node->attrs.block.block);
    if (up)
        writer_set_text(o->w, node, "mode", o->node->attrs.block.crd ? "CRD" : "DCR");
    return 0;
}

static const struct {
    uint32_t op;
    int (*emit)(struct out *o);
} rows[] = {
    {SL_OP_CONV, emit_conv},
    {SL_OP_CONV_TRANSPOSE, emit_conv},
    {SL_OP_GEMM, emit_gemm},
    {SL_OP_MATMUL, emit_matmul},
    {SL_OP_MAX_POOL, emit_pool},
    {SL_OP_AVERAGE_POOL, emit_pool},
    {SL_OP_REDUCE, emit_reduce},
    {SL_OP_ARG_MAX, emit_arg},
    {SL_OP_TOP_K, emit_top_k},
    {SL_OP_UNARY, emit_unary},
    {SL_OP_BINARY, emit_binary},
    {SL_OP_WHERE, emit_where},
    {SL_OP_CAST, emit_cast},
    {SL_OP_CLIP, emit_clip_node},
    {SL_OP_PRELU, emit_prelu},
    {SL_OP_SOFTMAX, emit_softmax},
    {SL_OP_BATCH_NORM, emit_batch_norm},
    {SL_OP_RESHAPE, emit_reshape},
    {SL_OP_TRANSPOSE, emit_transpose},
    {SL_OP_CONCAT, emit_concat},
    {SL_OP_SLICE, emit_slice},
    {SL_OP_PAD, emit_pad},
    {SL_OP_GATHER, emit_gather},
    {SL_OP_EXPAND, emit_expand},
    {SL_OP_TILE, emit_tile},
    {SL_OP_RESIZE, emit_resize},
    {SL_OP_DEPTH_TO_SPACE, emit_blocks},
    {SL_OP_SPACE_TO_DEPTH, emit_blocks},
};

int writer_operator(struct writer *w, const struct sl_node *node, struct sl_error *error)
{
    struct out o = {.w = w, .node = node, .n_inputs = node->n_inputs};
    const char *real = w->names[node->outputs[0]].real;
    int status = -ENOTSUP;
    if (node->n_inputs > MOST_INPUTS)
        return sl_error_set(error, -E2BIG, "%u inputs, at most %d", node->n_inputs, MOST_INPUTS);
    for (uint32_t i = 0; i < node->n_inputs; i++)
        o.inputs[i] = node->inputs[i] == SL_NO_TENSOR ? "" : w->names[node->inputs[i]].rounded;
    o.result = node->activation.kind == SL_ACT_NONE ? real : writer_name(w, real, "_linear");
    // An integer product without scales has plain integers for its result.
    const bool plain_sum = output(&o)->dtype == SL_I32 && input(&o, 0)->quant.count > 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) && !plain_sum && !w->failed; i++)
        if (rows[i].op == node->op)
            status = rows[i].emit(&o);
    if (status < 0 && !w->failed)
        return sl_error_set(error, status, "%s of this kind cannot be written to an ONNX file",
                            sl_node_op_name(node));
    if (node->activation.kind != SL_ACT_NONE)
        emit_function(w, writer_name(w, node->name, "_activation"), o.result, &node->activation,
                      real);
    return 0;
}
