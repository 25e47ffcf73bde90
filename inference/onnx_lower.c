// What every lowering needs: attributes, known inputs, and adding nodes with their shapes inferred.
#include "inference/onnx_lower.h"

#include "accel/operator.h"
#include "accel/reference.h"
#include "inference/shape.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int lower_fail(struct lower *l, int status, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return sl_error_set(l->error, status, "%s", text);
}

const Onnx__AttributeProto *lower_attribute(const struct lower *l, const char *name)
{
    for (size_t i = 0; i < l->node->n_attribute; i++)
        if (l->node->attribute[i]->name && !strcmp(l->node->attribute[i]->name, name))
            return l->node->attribute[i];
    return NULL;
}

int64_t lower_int(const struct lower *l, const char *name, int64_t usual)
{
    const Onnx__AttributeProto *a = lower_attribute(l, name);
    return a ? a->i : usual;
}

float lower_float(const struct lower *l, const char *name, float usual)
{
    const Onnx__AttributeProto *a = lower_attribute(l, name);
    return a ? a->f : usual;
}

bool lower_is(const struct lower *l, const char *name, const char *value, const char *usual)
{
    const Onnx__AttributeProto *a = lower_attribute(l, name);
    if (!a)
        return !strcmp(usual, value);
    return a->s.len == strlen(value) && !memcmp(a->s.data, value, a->s.len);
}

int lower_ints(struct lower *l, const char *name, int64_t *values, uint32_t most, uint32_t *count)
{
    const Onnx__AttributeProto *a = lower_attribute(l, name);
    if (!a)
        return 0;
    if (a->n_ints > most)
        return lower_fail(l, -EINVAL, "attribute '%s' has %zu numbers, at most %u fit", name,
                          a->n_ints, most);
    if (a->n_ints)
        memcpy(values, a->ints, a->n_ints * sizeof(*values));
    *count = (uint32_t)a->n_ints;
    return 0;
}

const struct sl_tensor *lower_input(const struct lower *l, uint32_t index)
{
    if (index >= l->n_in || l->in[index] == SL_NO_TENSOR)
        return NULL;
    return &l->graph->tensors[l->in[index]];
}

static int known_input(struct lower *l, uint32_t index, uint32_t most, const struct sl_tensor **out)
{
    const struct sl_tensor *t = lower_input(l, index);
    if (!t || !t->data)
        return lower_fail(l, -ENOTSUP, "input %u must be known when the model is loaded", index);
    if (t->rank > 1 || graph_elements(t->dims, t->rank, most) < 0)
        return lower_fail(l, -EINVAL, "input %u must be a list of at most %u numbers", index, most);
    *out = t;
    return 0;
}

int lower_const_ints(struct lower *l, uint32_t index, int64_t *values, uint32_t most,
                     uint32_t *count)
{
    const struct sl_tensor *t = NULL;
    const int status = known_input(l, index, most, &t);
    if (status < 0)
        return status;
    *count = (uint32_t)graph_elements(t->dims, t->rank, most);
    for (uint32_t i = 0; i < *count; i++) {
        if (t->dtype == SL_I64)
            values[i] = ((const int64_t *)t->data)[i];
        else if (t->dtype == SL_I32)
            values[i] = ((const int32_t *)t->data)[i];
        else
            return lower_fail(l, -ENOTSUP, "input %u: expected int64, found %s", index,
                              sl_dtype_name(t->dtype));
    }
    return 0;
}

int lower_const_floats(struct lower *l, uint32_t index, float *values, uint32_t most,
                       uint32_t *count)
{
    const struct sl_tensor *t = NULL;
    const int status = known_input(l, index, most, &t);
    if (status < 0)
        return status;
    if (t->dtype != SL_F32)
        return lower_fail(l, -ENOTSUP, "input %u: expected float32, found %s", index,
                          sl_dtype_name(t->dtype));
    *count = (uint32_t)graph_elements(t->dims, t->rank, most);
    if (*count)
        memcpy(values, t->data, *count * sizeof(*values));
    return 0;
}

int lower_axis(struct lower *l, int64_t axis, uint32_t rank, uint32_t *out)
{
    if (axis < -(int64_t)rank || axis >= (int64_t)rank)
        return lower_fail(l, -EINVAL, "axis %lld is outside a tensor of %u dimensions",
                          (long long)axis, rank);
    *out = (uint32_t)(axis < 0 ? axis + rank : axis);
    return 0;
}

static bool all_constant(const struct graph *graph, const uint32_t *inputs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (inputs[i] != SL_NO_TENSOR && !graph_is_constant(graph, inputs[i]))
            return false;
    return count > 0;
}

// Computes the node with the reference interpreter; its outputs become constants.
static int fold(struct lower *l, const struct sl_node *node)
{
    struct graph *g = l->graph;
    void **data = pool_array(&g->pool, g->n_tensors, sizeof(*data));
    if (!data)
        return pool_error(&g->pool, l->error);
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        data[node->outputs[i]] = pool_alloc(&g->pool, g->tensors[node->outputs[i]].bytes);
        if (!data[node->outputs[i]])
            return pool_error(&g->pool, l->error);
    }
    const int status = sl_reference_run(g->tensors, node, data, l->error);
    for (uint32_t i = 0; i < node->n_outputs && status == 0; i++)
        g->tensors[node->outputs[i]].data = data[node->outputs[i]];
    pool_release(&g->pool, data);
    return status;
}

// Operators that only move elements keep the meaning of the integers that they move.
static bool keeps_quant(const struct sl_node *node)
{
    switch (node->op) {
    case SL_OP_MAX_POOL:
    case SL_OP_RESHAPE:
    case SL_OP_TRANSPOSE:
    case SL_OP_CONCAT:
    case SL_OP_SLICE:
    case SL_OP_GATHER:
    case SL_OP_EXPAND:
    case SL_OP_TILE:
    case SL_OP_DEPTH_TO_SPACE:
    case SL_OP_SPACE_TO_DEPTH:
        return true;
    case SL_OP_RESIZE:
        return node->attrs.resize.mode == SL_RESIZE_NEAREST;
    default:
        return false;
    }
}

static void set_result(struct lower *l, const struct sl_node *node, struct sl_tensor *outs)
{
    const struct sl_tensor *first = &l->graph->tensors[node->inputs[0]];
    if (l->result_type) {
        outs[0].dtype = l->result_type;
        outs[0].quant = l->result_quant;
    } else if (keeps_quant(node) && first->quant.count == 1) {
        outs[0].quant = first->quant;
    }
}

// The rules that every back end relies on, before anything runs.
static int check_node(struct lower *l, const struct sl_node *node)
{
    struct sl_error error = {""};
    const int status = sl_node_check(l->graph->tensors, node, &error);
    if (status == 0)
        return 0;
    // The caller says which node it is.
    const char *reason = strstr(error.message, "): ");
    return lower_fail(l, status, "%s", reason ? reason + 3 : error.message);
}

static int infer_and_add(struct lower *l, struct sl_node *node, struct sl_tensor *outs,
                         uint32_t *out, bool may_fold)
{
    struct graph *g = l->graph;
    node->name = l->name;
    int status = shape_infer(g->tensors, node, outs, l->error);
    for (uint32_t i = 0; i < node->n_outputs && status == 0; i++) {
        if (!outs[i].name)
            outs[i].name = l->name;
        status = graph_add_tensor(g, &outs[i], &out[i], l->error);
    }
    node->outputs = out;
    if (status == 0)
        status = check_node(l, node);
    if (status < 0)
        return status;
    if (may_fold && all_constant(g, node->inputs, node->n_inputs))
        return fold(l, node);
    return graph_add_node(g, node, l->error);
}

int lower_emit(struct lower *l, struct sl_node *node, const uint32_t *inputs, uint32_t n_inputs,
               struct sl_tensor *outs, uint32_t n_outs, uint32_t *out)
{
    struct sl_tensor none[LOWER_MAX_OUTPUTS] = {0};
    node->inputs = inputs;
    node->n_inputs = n_inputs;
    node->n_outputs = n_outs;
    set_result(l, node, outs ? outs : none);
    return infer_and_add(l, node, outs ? outs : none, out, true);
}

int lower_emit_kept(struct lower *l, struct sl_node *node, uint32_t input,
                    struct sl_tensor *out_tensor, uint32_t *out)
{
    node->inputs = &input;
    node->n_inputs = 1;
    node->n_outputs = 1;
    return infer_and_add(l, node, out_tensor, out, false);
}

int lower_emit_reshape(struct lower *l, uint32_t input, uint32_t rank, const int64_t *dims,
                       uint32_t *out)
{
    struct sl_node node = {.op = SL_OP_RESHAPE};
    struct sl_tensor t = {.rank = rank};
    if (rank > SL_MAX_RANK)
        return lower_fail(l, -ENOTSUP, "more than %d dimensions", SL_MAX_RANK);
    if (rank)
        memcpy(t.dims, dims, rank * sizeof(*dims));
    return lower_emit(l, &node, &input, 1, &t, 1, out);
}

int lower_emit_constant(struct lower *l, uint32_t dtype, uint32_t rank, const int64_t *dims,
                        const void *data, uint32_t *out)
{
    struct sl_tensor t = {.name = l->name, .dtype = dtype, .rank = rank};
    if (rank)
        memcpy(t.dims, dims, rank * sizeof(*dims));
    const int64_t elements = graph_elements(dims, rank, SL_ONNX_MAX_ELEMENTS);
    if (elements < 0)
        return lower_fail(l, -E2BIG, "a constant beyond %lld elements",
                          (long long)SL_ONNX_MAX_ELEMENTS);
    t.bytes = (uint64_t)elements * sl_dtype_size(dtype);
    t.data = pool_copy(&l->graph->pool, data, t.bytes);
    if (!t.data)
        return pool_error(&l->graph->pool, l->error);
    return graph_add_tensor(l->graph, &t, out, l->error);
}
