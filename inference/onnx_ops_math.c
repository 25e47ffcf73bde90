// Lowering of arithmetic: products, element by element, reductions, softmax, normalisation.
#include "inference/onnx_lower.h"

#include "accel/reference.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <string.h>

int lower_gemm(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_GEMM};
    node.attrs.gemm =
        (struct sl_gemm_attrs){lower_float(l, "alpha", 1), lower_float(l, "beta", 1),
                               lower_int(l, "transA", 0) != 0, lower_int(l, "transB", 0) != 0};
    return lower_emit(l, &node, l->in, l->n_in, NULL, 1, l->out);
}

int lower_matmul(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_MATMUL};
    return lower_emit(l, &node, l->in, 2, NULL, 1, l->out);
}

static int emit_unary(struct lower *l, uint32_t input, struct sl_unary_attrs attrs, uint32_t *out)
{
    struct sl_node node = {.op = SL_OP_UNARY};
    node.attrs.unary = attrs;
    return lower_emit(l, &node, &input, 1, NULL, 1, out);
}

int lower_unary(struct lower *l)
{
    struct sl_unary_attrs a = {(uint32_t)l->argument, 0, 0};
    if (a.kind == SL_UNARY_LEAKY_RELU)
        a.alpha = lower_float(l, "alpha", 0.01f);
    if (a.kind == SL_UNARY_ELU)
        a.alpha = lower_float(l, "alpha", 1);
    if (a.kind == SL_UNARY_HARD_SIGMOID) {
        a.alpha = lower_float(l, "alpha", 0.2f);
        a.beta = lower_float(l, "beta", 0.5f);
    }
    return emit_unary(l, l->in[0], a, l->out);
}

static int emit_binary(struct lower *l, uint32_t kind, uint32_t a, uint32_t b, uint32_t *out)
{
    struct sl_node node = {.op = SL_OP_BINARY};
    const uint32_t inputs[2] = {a, b};
    node.attrs.binary = kind;
    return lower_emit(l, &node, inputs, 2, NULL, 1, out);
}

int lower_binary(struct lower *l)
{
    uint32_t kind = (uint32_t)l->argument;
    const struct sl_tensor *a = lower_input(l, 0), *b = lower_input(l, 1);
    if (kind == SL_BINARY_MOD && lower_int(l, "fmod", 0))
        kind = SL_BINARY_FMOD;
    if (kind != SL_BINARY_POW && a->dtype != b->dtype)
        return lower_fail(l, -EINVAL, "inputs are %s and %s", sl_dtype_name(a->dtype),
                          sl_dtype_name(b->dtype));
    return emit_binary(l, kind, l->in[0], l->in[1], l->out);
}

int lower_variadic(struct lower *l)
{
    const bool mean = l->argument < 0;
    const uint32_t kind = mean ? SL_BINARY_ADD : (uint32_t)l->argument;
    uint32_t sum = l->in[0];
    int status = l->n_in == 1 && !mean ? lower_identity(l) : 0;
    for (uint32_t i = 1; i < l->n_in && status == 0; i++) {
        if (l->in[i] == SL_NO_TENSOR)
            return lower_fail(l, -EINVAL, "input %u is missing", i);
        status = emit_binary(l, kind, sum, l->in[i], &sum);
    }
    if (status < 0 || (l->n_in == 1 && !mean))
        return status;
    if (mean) {
        const float share = 1 / (float)l->n_in;
        uint32_t factor;
        status = lower_emit_constant(l, SL_F32, 0, NULL, &share, &factor);
        if (status == 0)
            status = emit_binary(l, SL_BINARY_MUL, sum, factor, &sum);
    }
    l->out[0] = sum;
    return status;
}

int lower_where(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_WHERE};
    return lower_emit(l, &node, l->in, 3, NULL, 1, l->out);
}

int lower_cast(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_CAST};
    struct sl_tensor out = {.dtype = lower_dtype((int32_t)lower_int(l, "to", 0))};
    if (!out.dtype)
        return lower_fail(l, -ENOTSUP, "cast to ONNX type %lld", (long long)lower_int(l, "to", 0));
    return lower_emit(l, &node, l->in, 1, &out, 1, l->out);
}

static int clip_limit(struct lower *l, uint32_t index, float *limit)
{
    const struct sl_tensor *t = lower_input(l, index);
    int64_t integer;
    uint32_t count = 1;
    int status = 0;
    if (!t)
        return 0;
    if (t->dtype == SL_F32) {
        status = lower_const_floats(l, index, limit, 1, &count);
    } else if (t->data && (t->dtype == SL_I8 || t->dtype == SL_U8)) {
        *limit = t->dtype == SL_I8 ? *(const int8_t *)t->data : *(const uint8_t *)t->data;
    } else {
        status = lower_const_ints(l, index, &integer, 1, &count);
        *limit = (float)integer;
    }
    return status == 0 && count != 1 ? lower_fail(l, -EINVAL, "limits must be scalars") : status;
}

int lower_clip(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_CLIP};
    struct sl_clip_attrs *a = &node.attrs.clip;
    a->low = lower_float(l, "min", -FLT_MAX);
    a->high = lower_float(l, "max", FLT_MAX);
    int status = clip_limit(l, 1, &a->low);
    if (status == 0)
        status = clip_limit(l, 2, &a->high);
    return status < 0 ? status : lower_emit(l, &node, l->in, 1, NULL, 1, l->out);
}

int lower_prelu(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_PRELU};
    return lower_emit(l, &node, l->in, 2, NULL, 1, l->out);
}

static int emit_softmax(struct lower *l, uint32_t input, uint32_t axis, uint32_t *out)
{
    struct sl_node node = {.op = SL_OP_SOFTMAX};
    node.attrs.axis = (int32_t)axis;
    return lower_emit(l, &node, &input, 1, NULL, 1, out);
}

// Before version 13, softmax ran over everything from the axis on.
static int old_softmax(struct lower *l, uint32_t axis, uint32_t *out)
{
    const struct sl_tensor x = *lower_input(l, 0);
    int64_t flat[2] = {1, 1};
    for (uint32_t i = 0; i < x.rank; i++)
        flat[i >= axis] *= x.dims[i];
    uint32_t t;
    int status = lower_emit_reshape(l, l->in[0], 2, flat, &t);
    if (status == 0)
        status = emit_softmax(l, t, 1, &t);
    return status < 0 ? status : lower_emit_reshape(l, t, x.rank, x.dims, out);
}

int lower_softmax(struct lower *l)
{
    const uint32_t rank = lower_input(l, 0)->rank;
    uint32_t axis = 0, t = 0;
    int status = lower_axis(l, lower_int(l, "axis", l->opset < 13 ? 1 : -1), rank, &axis);
    if (status == 0)
        status = l->opset < 13 ? old_softmax(l, axis, &t) : emit_softmax(l, l->in[0], axis, &t);
    if (status == 0 && l->argument) // LogSoftmax
        status = emit_unary(l, t, (struct sl_unary_attrs){SL_UNARY_LOG, 0, 0}, &t);
    l->out[0] = t;
    return status;
}

int lower_batch_norm(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_BATCH_NORM};
    if (lower_int(l, "training_mode", 0))
        return lower_fail(l, -ENOTSUP, "training mode is not supported");
    node.attrs.epsilon = lower_float(l, "epsilon", 1e-5f);
    return lower_emit(l, &node, l->in, 5, NULL, 1, l->out);
}

// Axes as attribute or, from some version on, as input; none means all.
static int read_axes(struct lower *l, uint32_t rank, uint32_t *mask)
{
    int64_t axes[SL_MAX_RANK];
    uint32_t count = 0;
    int status = lower_ints(l, "axes", axes, SL_MAX_RANK, &count);
    if (status == 0 && lower_input(l, 1))
        status = lower_const_ints(l, 1, axes, SL_MAX_RANK, &count);
    *mask = count ? 0 : (1u << rank) - 1;
    for (uint32_t i = 0; i < count && status == 0; i++) {
        uint32_t axis;
        status = lower_axis(l, axes[i], rank, &axis);
        if (status == 0)
            *mask |= 1u << axis;
    }
    if (count == 0 && lower_int(l, "noop_with_empty_axes", 0))
        *mask = 0;
    return status;
}

int lower_reduce(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_REDUCE};
    uint32_t mask;
    const int status = read_axes(l, lower_input(l, 0)->rank, &mask);
    if (status < 0)
        return status;
    if (mask == 0)
        return lower_identity(l);
    node.attrs.reduce =
        (struct sl_reduce_attrs){(uint32_t)l->argument, mask, lower_int(l, "keepdims", 1) != 0};
    return lower_emit(l, &node, l->in, 1, NULL, 1, l->out);
}

int lower_arg(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_ARG_MAX};
    uint32_t axis;
    const int status = lower_axis(l, lower_int(l, "axis", 0), lower_input(l, 0)->rank, &axis);
    if (status < 0)
        return status;
    node.attrs.arg =
        (struct sl_arg_attrs){(int32_t)axis, lower_int(l, "keepdims", 1) != 0,
                              lower_int(l, "select_last_index", 0) != 0, (uint32_t)l->argument};
    struct sl_tensor out = {.dtype = SL_I64};
    return lower_emit(l, &node, l->in, 1, &out, 1, l->out);
}

int lower_top_k(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_TOP_K};
    uint32_t axis, count = 1;
    int64_t k = lower_int(l, "k", 0);
    int status = lower_axis(l, lower_int(l, "axis", -1), lower_input(l, 0)->rank, &axis);
    if (status == 0 && l->opset >= 10)
        status = lower_const_ints(l, 1, &k, 1, &count);
    if (status < 0)
        return status;
    if (count != 1 || k < 1)
        return lower_fail(l, -EINVAL, "k must be one number above 0");
    node.attrs.top_k = (struct sl_top_k_attrs){(int32_t)axis, lower_int(l, "largest", 1) == 0, k};
    struct sl_tensor outs[2] = {{0}, {.dtype = SL_I64}};
    return lower_emit(l, &node, l->in, 1, outs, 2, l->out);
}
