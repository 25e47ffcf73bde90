// Shape inference, one rule per operator.
#include "inference/shape.h"

#include "accel/reference.h"
#include "inference/graph.h"
#include "inference/onnx.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *shape_text(const int64_t *dims, uint32_t rank, char out[SHAPE_TEXT])
{
    size_t used = 0;
    snprintf(out, SHAPE_TEXT, "scalar");
    for (uint32_t i = 0; i < rank && used < SHAPE_TEXT; i++) {
        used += (size_t)snprintf(out + used, SHAPE_TEXT - used, i ? "x%lld" : "%lld",
                                 (long long)dims[i]);
    }
    return out;
}

int shape_broadcast(const struct sl_tensor *a, const struct sl_tensor *b, struct sl_tensor *out)
{
    uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
    struct sl_tensor both = {.rank = rank};
    for (uint32_t i = 0; i < rank; i++) {
        uint32_t from_end = rank - 1 - i;
        int64_t da = from_end < a->rank ? a->dims[a->rank - 1 - from_end] : 1;
        int64_t db = from_end < b->rank ? b->dims[b->rank - 1 - from_end] : 1;
        if (da != db && da != 1 && db != 1) {
            return -EINVAL;
        }
        both.dims[i] = da == 1 ? db : da;
    }
    out->rank = rank;
    memcpy(out->dims, both.dims, sizeof(out->dims));
    return 0;
}

static void copy_dims(struct sl_tensor *to, const struct sl_tensor *from)
{
    to->rank = from->rank;
    memcpy(to->dims, from->dims, sizeof(to->dims));
}

static int same_as_input(struct shape_node *s)
{
    copy_dims(s->out, s->in[0]);
    return 0;
}

static int fail_broadcast(struct shape_node *s, const struct sl_tensor *a,
                          const struct sl_tensor *b)
{
    char first[SHAPE_TEXT], second[SHAPE_TEXT];
    return sl_error_set(s->error, -EINVAL, "shapes %s and %s do not fit each other",
                        shape_text(a->dims, a->rank, first), shape_text(b->dims, b->rank, second));
}

static bool gives_bool(uint32_t binary)
{
    return binary >= SL_BINARY_EQUAL && binary <= SL_BINARY_XOR;
}

static int binary(struct shape_node *s)
{
    if (shape_broadcast(s->in[0], s->in[1], s->out)) {
        return fail_broadcast(s, s->in[0], s->in[1]);
    }
    if (!s->out->dtype && gives_bool(s->node->attrs.binary)) {
        s->out->dtype = SL_BOOL;
    }
    return 0;
}

static int where(struct shape_node *s)
{
    if (shape_broadcast(s->in[1], s->in[2], s->out)) {
        return fail_broadcast(s, s->in[1], s->in[2]);
    }
    if (shape_broadcast(s->out, s->in[0], s->out)) {
        return fail_broadcast(s, s->out, s->in[0]);
    }
    s->out->dtype = s->in[1]->dtype;
    return 0;
}

static int prelu(struct shape_node *s)
{
    struct sl_tensor both;
    if (shape_broadcast(s->in[0], s->in[1], &both) || !graph_same_dims(&both, s->in[0])) {
        return fail_broadcast(s, s->in[0], s->in[1]);
    }
    return same_as_input(s);
}

static int check_axis(struct shape_node *s, int32_t axis)
{
    if (axis < 0 || (uint32_t)axis >= s->in[0]->rank) {
        return sl_error_set(s->error, -EINVAL, "axis %d of a tensor of %u dimensions", axis,
                            s->in[0]->rank);
    }
    return 0;
}

static int softmax(struct shape_node *s)
{
    copy_dims(s->out, s->in[0]);
    return check_axis(s, s->node->attrs.axis);
}

static int batch_norm(struct shape_node *s)
{
    const struct sl_tensor *x = s->in[0];
    int64_t channels = x->rank > 1 ? x->dims[1] : 1;
    for (uint32_t i = 1; i < 5; i++) {
        const struct sl_tensor *p = &s->tensors[s->node->inputs[i]];
        if (p->rank != 1 || p->dims[0] != channels) {
            char text[SHAPE_TEXT];
            return sl_error_set(s->error, -EINVAL,
                                "input %u is %s, expected one value for each "
                                "of %lld channels",
                                i, shape_text(p->dims, p->rank, text), (long long)channels);
        }
    }
    return same_as_input(s);
}

static int reduce(struct shape_node *s)
{
    const struct sl_reduce_attrs *a = &s->node->attrs.reduce;
    const struct sl_tensor *x = s->in[0];
    if (a->axes >> x->rank) {
        return sl_error_set(s->error, -EINVAL, "reduces an axis beyond its %u dimensions", x->rank);
    }
    s->out->rank = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        bool reduced = a->axes >> i & 1u;
        if (!reduced || a->keep_dims) {
            s->out->dims[s->out->rank++] = reduced ? 1 : x->dims[i];
        }
    }
    return 0;
}

static int arg_max(struct shape_node *s)
{
    const struct sl_arg_attrs *a = &s->node->attrs.arg;
    int status = check_axis(s, a->axis);
    if (status) {
        return status;
    }
    if (s->in[0]->dims[a->axis] == 0) {
        return sl_error_set(s->error, -EINVAL, "axis %d is empty", a->axis);
    }
    s->out->rank = 0;
    for (int32_t i = 0; i < (int32_t)s->in[0]->rank; i++) {
        if (i != a->axis || a->keep_dims) {
            s->out->dims[s->out->rank++] = i == a->axis ? 1 : s->in[0]->dims[i];
        }
    }
    s->out->dtype = SL_I64;
    return 0;
}

static int top_k(struct shape_node *s)
{
    const struct sl_top_k_attrs *a = &s->node->attrs.top_k;
    int status = check_axis(s, a->axis);
    if (status) {
        return status;
    }
    if (a->k < 0 || a->k > s->in[0]->dims[a->axis]) {
        return sl_error_set(s->error, -EINVAL, "k is %lld, the axis has %lld", (long long)a->k,
                            (long long)s->in[0]->dims[a->axis]);
    }
    for (uint32_t i = 0; i < s->node->n_outputs; i++) {
        copy_dims(&s->out[i], s->in[0]);
        s->out[i].dims[a->axis] = a->k;
        s->out[i].dtype = i == 0 ? s->in[0]->dtype : SL_I64;
    }
    return 0;
}

static int reshape(struct shape_node *s)
{
    int64_t before = graph_elements(s->in[0]->dims, s->in[0]->rank, SL_ONNX_MAX_ELEMENTS);
    if (graph_elements(s->out->dims, s->out->rank, SL_ONNX_MAX_ELEMENTS) != before) {
        char from[SHAPE_TEXT], to[SHAPE_TEXT];
        return sl_error_set(s->error, -EINVAL, "%s cannot become %s",
                            shape_text(s->in[0]->dims, s->in[0]->rank, from),
                            shape_text(s->out->dims, s->out->rank, to));
    }
    return 0;
}

static int transpose(struct shape_node *s)
{
    const struct sl_tensor *x = s->in[0];
    uint32_t seen = 0;
    s->out->rank = x->rank;
    for (uint32_t i = 0; i < x->rank; i++) {
        int32_t from = s->node->attrs.perm[i];
        if (from < 0 || (uint32_t)from >= x->rank || seen >> from & 1u) {
            return sl_error_set(s->error, -EINVAL, "perm is not an order of %u dimensions",
                                x->rank);
        }
        seen |= 1u << from;
        s->out->dims[i] = x->dims[from];
    }
    return 0;
}

static int concat(struct shape_node *s)
{
    int32_t axis = s->node->attrs.axis;
    int status = check_axis(s, axis);
    if (status) {
        return status;
    }
    copy_dims(s->out, s->in[0]);
    for (uint32_t i = 1; i < s->node->n_inputs; i++) {
        const struct sl_tensor *t = &s->tensors[s->node->inputs[i]];
        struct sl_tensor like = *t;
        like.dims[axis] = s->in[0]->dims[axis];
        if (!graph_same_dims(&like, s->in[0]) || t->dtype != s->in[0]->dtype) {
            return fail_broadcast(s, s->in[0], t);
        }
        s->out->dims[axis] += t->dims[axis];
        if (s->out->dims[axis] > SL_ONNX_MAX_ELEMENTS) {
            break; // refused with every output that is too large
        }
    }
    return 0;
}

static int slice(struct shape_node *s)
{
    const struct sl_slice_attrs *a = &s->node->attrs.slice;
    const struct sl_tensor *x = s->in[0];
    if (s->out->rank != x->rank) {
        return sl_error_set(s->error, -EINVAL, "a slice keeps the number of dimensions");
    }
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t size = x->dims[i], count = s->out->dims[i], first = a->start[i];
        if (count == 0) {
            continue;
        }
        bool inside = first >= 0 && first < size && a->step[i] != 0;
        int64_t room = !inside          ? 0
                       : a->step[i] > 0 ? (size - 1 - first) / a->step[i]
                                        : first / -a->step[i];
        if (!inside || count - 1 > room) {
            return sl_error_set(s->error, -EINVAL, "axis %u is cut beyond its end", i);
        }
    }
    return 0;
}

static int pad(struct shape_node *s)
{
    const struct sl_pad_attrs *a = &s->node->attrs.pad;
    const struct sl_tensor *x = s->in[0];
    s->out->rank = x->rank;
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t limit = SL_ONNX_MAX_ELEMENTS, before = a->before[i], after = a->after[i];
        if (before > limit || after > limit || before < -x->dims[i] || after < -x->dims[i] ||
            x->dims[i] + before + after < 0) {
            return sl_error_set(s->error, -EINVAL, "axis %u of %lld is padded by %lld and %lld", i,
                                (long long)x->dims[i], (long long)before, (long long)after);
        }
        int64_t reach = before > after ? before : after;
        bool reflects_too_far = a->mode == SL_PAD_REFLECT && reach >= x->dims[i] && reach > 0;
        bool edge_of_nothing = a->mode == SL_PAD_EDGE && x->dims[i] == 0 && reach > 0;
        if (reflects_too_far || edge_of_nothing) {
            return sl_error_set(s->error, -EINVAL, "axis %u of %lld is too short for its padding",
                                i, (long long)x->dims[i]);
        }
        s->out->dims[i] = x->dims[i] + before + after;
    }
    return 0;
}

static int gather(struct shape_node *s)
{
    const struct sl_tensor *x = s->in[0], *indices = s->in[1];
    int32_t axis = s->node->attrs.axis;
    int status = check_axis(s, axis);
    if (status) {
        return status;
    }
    if (x->rank - 1 + indices->rank > SL_MAX_RANK) {
        return sl_error_set(s->error, -ENOTSUP, "the output would have %u dimensions",
                            x->rank - 1 + indices->rank);
    }
    s->out->rank = 0;
    for (int32_t i = 0; i < axis; i++) {
        s->out->dims[s->out->rank++] = x->dims[i];
    }
    for (uint32_t i = 0; i < indices->rank; i++) {
        s->out->dims[s->out->rank++] = indices->dims[i];
    }
    for (uint32_t i = (uint32_t)axis + 1; i < x->rank; i++) {
        s->out->dims[s->out->rank++] = x->dims[i];
    }
    return 0;
}

static int expand(struct shape_node *s)
{
    struct sl_tensor both;
    if (shape_broadcast(s->in[0], s->out, &both) || !graph_same_dims(&both, s->out)) {
        return fail_broadcast(s, s->in[0], s->out);
    }
    return 0;
}

static int tile(struct shape_node *s)
{
    const struct sl_tensor *x = s->in[0];
    bool good = s->out->rank == x->rank;
    for (uint32_t i = 0; good && i < x->rank; i++) {
        good = x->dims[i] == 0 ? s->out->dims[i] == 0 : s->out->dims[i] % x->dims[i] == 0;
    }
    return good ? 0 : fail_broadcast(s, x, s->out);
}

static int resize(struct shape_node *s)
{
    const struct sl_tensor *x = s->in[0];
    for (uint32_t i = 0; i < x->rank; i++) {
        bool bad_scale = !(s->node->attrs.resize.scale[i] > 0);
        if (s->out->rank != x->rank || bad_scale || (x->dims[i] == 0 && s->out->dims[i] > 0)) {
            char from[SHAPE_TEXT], to[SHAPE_TEXT];
            return sl_error_set(s->error, -EINVAL, "%s cannot be resized to %s",
                                shape_text(x->dims, x->rank, from),
                                shape_text(s->out->dims, s->out->rank, to));
        }
    }
    return 0;
}

static int blocks(struct shape_node *s, bool to_depth)
{
    const struct sl_tensor *x = s->in[0];
    int64_t b = s->node->attrs.block.block;
    if (x->rank != 4 || b < 1 || b > 4096) {
        return sl_error_set(s->error, -EINVAL, "blocks of %lld in a tensor of %u dimensions",
                            (long long)b, x->rank);
    }
    copy_dims(s->out, x);
    if (to_depth ? x->dims[2] % b || x->dims[3] % b : x->dims[1] % (b * b)) {
        char text[SHAPE_TEXT];
        return sl_error_set(s->error, -EINVAL, "%s is not made of blocks of %lld",
                            shape_text(x->dims, x->rank, text), (long long)b);
    }
    if (x->dims[1] > SL_ONNX_MAX_ELEMENTS / (b * b)) {
        return sl_error_set(s->error, -E2BIG, "%lld channels become too many",
                            (long long)x->dims[1]);
    }
    s->out->dims[1] = to_depth ? x->dims[1] * b * b : x->dims[1] / (b * b);
    s->out->dims[2] = to_depth ? x->dims[2] / b : x->dims[2] * b;
    s->out->dims[3] = to_depth ? x->dims[3] / b : x->dims[3] * b;
    return 0;
}

static int depth_to_space(struct shape_node *s)
{
    return blocks(s, false);
}

static int space_to_depth(struct shape_node *s)
{
    return blocks(s, true);
}

static int dequantize(struct shape_node *s)
{
    s->out->dtype = SL_F32;
    return same_as_input(s);
}

static const struct {
    uint32_t op;
    int (*infer)(struct shape_node *s);
} rules[] = {
    {SL_OP_CONV, shape_conv},
    {SL_OP_CONV_TRANSPOSE, shape_conv_transpose},
    {SL_OP_GEMM, shape_gemm},
    {SL_OP_MATMUL, shape_matmul},
    {SL_OP_MAX_POOL, shape_pool},
    {SL_OP_AVERAGE_POOL, shape_pool},
    {SL_OP_REDUCE, reduce},
    {SL_OP_ARG_MAX, arg_max},
    {SL_OP_TOP_K, top_k},
    {SL_OP_UNARY, same_as_input},
    {SL_OP_BINARY, binary},
    {SL_OP_WHERE, where},
    {SL_OP_CAST, same_as_input},
    {SL_OP_CLIP, same_as_input},
    {SL_OP_PRELU, prelu},
    {SL_OP_SOFTMAX, softmax},
    {SL_OP_BATCH_NORM, batch_norm},
    {SL_OP_QUANTIZE, same_as_input},
    {SL_OP_DEQUANTIZE, dequantize},
    {SL_OP_RESHAPE, reshape},
    {SL_OP_TRANSPOSE, transpose},
    {SL_OP_CONCAT, concat},
    {SL_OP_SLICE, slice},
    {SL_OP_PAD, pad},
    {SL_OP_GATHER, gather},
    {SL_OP_EXPAND, expand},
    {SL_OP_TILE, tile},
    {SL_OP_RESIZE, resize},
    {SL_OP_DEPTH_TO_SPACE, depth_to_space},
    {SL_OP_SPACE_TO_DEPTH, space_to_depth},
};

static int finish(struct shape_node *s)
{
    for (uint32_t i = 0; i < s->node->n_outputs; i++) {
        struct sl_tensor *out = &s->out[i];
        if (!out->dtype) {
            out->dtype = s->in[0]->dtype;
        }
        int64_t elements = graph_elements(out->dims, out->rank, SL_ONNX_MAX_ELEMENTS);
        if (elements < 0) {
            char text[SHAPE_TEXT];
            return sl_error_set(s->error, -E2BIG, "the output would be %s, beyond %lld elements",
                                shape_text(out->dims, out->rank, text), SL_ONNX_MAX_ELEMENTS);
        }
        out->bytes = (uint64_t)elements * sl_dtype_size(out->dtype);
    }
    return 0;
}

int shape_infer(const struct sl_tensor *tensors, const struct sl_node *node,
                struct sl_tensor *outputs, struct sl_error *error)
{
    struct shape_node s = {.node = node, .tensors = tensors, .out = outputs, .error = error};
    for (uint32_t i = 0; i < node->n_inputs && i < 4; i++) {
        s.in[i] = node->inputs[i] == SL_NO_TENSOR ? NULL : &tensors[node->inputs[i]];
    }
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rules[i].op == node->op) {
            int status = rules[i].infer(&s);
            return status ? status : finish(&s);
        }
    }
    return sl_error_set(error, -ENOTSUP, "operator number %u has no rule for its shape", node->op);
}
