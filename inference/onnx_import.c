// Walking a model: initialisers, inputs, nodes, outputs.
#include "inference/onnx_import.h"

#include "inference/onnx_lower.h"

#include "accel/reference.h"

#include <errno.h>
#include <string.h>

// Name -> tensor: open addressing, never more than half full.
struct names {
    uint32_t mask;
    const char **key;
    uint32_t *tensor;
};

struct import {
    struct graph *graph;
    const Onnx__GraphProto *proto;
    const struct sl_onnx_options *options;
    struct names names;
    int64_t opset;
    struct sl_error *error;
};

static uint32_t hash(const char *text)
{
    uint32_t h = 2166136261u; // FNV-1a
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 16777619u;
    return h;
}

static uint32_t slot_of(const struct names *names, const char *name)
{
    uint32_t i = hash(name) & names->mask;
    while (names->key[i] && strcmp(names->key[i], name))
        i = (i + 1) & names->mask;
    return i;
}

static int bind_name(struct import *im, const char *name, uint32_t tensor)
{
    const uint32_t slot = slot_of(&im->names, name);
    if (im->names.key[slot])
        return sl_error_set(im->error, -EINVAL, "tensor '%s' is defined twice", name);
    im->names.key[slot] = name;
    im->names.tensor[slot] = tensor;
    return 0;
}

// SL_NO_TENSOR if no such name is known yet.
static uint32_t find_name(const struct import *im, const char *name)
{
    const uint32_t slot = slot_of(&im->names, name);
    return im->names.key[slot] ? im->names.tensor[slot] : SL_NO_TENSOR;
}

static int make_names(struct import *im)
{
    uint64_t count = im->proto->n_initializer + im->proto->n_input + 16;
    for (size_t i = 0; i < im->proto->n_node; i++)
        count += im->proto->node[i]->n_output;
    uint64_t size = 64;
    while (size < 2 * count)
        size *= 2;
    im->names.mask = (uint32_t)size - 1;
    im->names.key = pool_array(&im->graph->pool, size, sizeof(*im->names.key));
    im->names.tensor = pool_array(&im->graph->pool, size, sizeof(*im->names.tensor));
    return im->names.key && im->names.tensor ? 0 : pool_error(&im->graph->pool, im->error);
}

static int read_opset(const Onnx__ModelProto *model, int64_t *out, struct sl_error *error)
{
    int64_t opset = 0;
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const char *domain = model->opset_import[i]->domain;
        if (!domain || !*domain || !strcmp(domain, "ai.onnx"))
            opset = model->opset_import[i]->version;
    }
    if (opset < 1 || opset > LOWER_NEWEST)
        return sl_error_set(error, -ENOTSUP,
                            "the model uses ONNX operator set %lld, supported are 1 to %d",
                            (long long)opset, LOWER_NEWEST);
    *out = opset;
    return 0;
}

static int add_initialisers(struct import *im)
{
    int status = im->proto->n_sparse_initializer
                     ? sl_error_set(im->error, -ENOTSUP, "sparse tensors are not supported")
                     : 0;
    for (size_t i = 0; i < im->proto->n_initializer && status == 0; i++) {
        const Onnx__TensorProto *proto = im->proto->initializer[i];
        struct sl_tensor t;
        uint32_t number;
        if (!proto->name || !*proto->name)
            return sl_error_set(im->error, -EINVAL, "initialiser %zu has no name", i);
        status = lower_tensor_proto(im->graph, proto, &t, im->error);
        if (status == 0)
            status = graph_add_tensor(im->graph, &t, &number, im->error);
        if (status == 0)
            status = bind_name(im, proto->name, number);
    }
    return status;
}

static int input_side(struct import *im, const char *name, size_t axis,
                      const Onnx__TensorShapeProto__Dimension *dim, int64_t *out)
{
    if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) {
        *out = dim->dim_value;
        return 0;
    }
    if (axis == 0) { // the batch
        *out = im->options->batch > 0 ? im->options->batch : 1;
        return 0;
    }
    return sl_error_set(
        im->error, -ENOTSUP,
        "input '%s': side %zu ('%s') is open; export the model with fixed sizes", name, axis,
        dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM ? dim->dim_param
                                                                                : "unknown");
}

static int input_shape(struct import *im, const Onnx__ValueInfoProto *info, struct sl_tensor *t)
{
    const char *name = info->name;
    if (!info->type || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return sl_error_set(im->error, -ENOTSUP, "input '%s' is not a tensor", name);
    const Onnx__TypeProto__Tensor *type = info->type->tensor_type;
    t->dtype = lower_dtype(type->elem_type);
    if (!t->dtype)
        return sl_error_set(im->error, -ENOTSUP,
                            "input '%s' has ONNX type %d; known are float32, "
                            "uint8, int8, int32, int64 and bool",
                            name, type->elem_type);
    if (!type->shape || type->shape->n_dim > SL_MAX_RANK)
        return sl_error_set(im->error, -ENOTSUP, "input '%s' has %s", name,
                            type->shape ? "too many dimensions" : "no shape");
    t->rank = (uint32_t)type->shape->n_dim;
    for (size_t i = 0; i < type->shape->n_dim; i++) {
        const int status = input_side(im, name, i, type->shape->dim[i], &t->dims[i]);
        if (status < 0)
            return status;
    }
    const int64_t elements = graph_elements(t->dims, t->rank, SL_ONNX_MAX_ELEMENTS);
    if (elements < 0)
        return sl_error_set(im->error, -E2BIG,
                            "input '%s': its sides are negative or beyond %lld elements", name,
                            (long long)SL_ONNX_MAX_ELEMENTS);
    t->bytes = (uint64_t)elements * sl_dtype_size(t->dtype);
    return 0;
}

static int add_fixed(struct import *im, const struct sl_onnx_fixed_input *fixed, const char *name)
{
    struct sl_tensor t = {.name = name, .dtype = fixed->dtype, .rank = fixed->rank};
    uint32_t number;
    memcpy(t.dims, fixed->dims, sizeof(t.dims));
    const int64_t elements = graph_elements(t.dims, t.rank, SL_ONNX_MAX_ELEMENTS);
    if (elements < 0)
        return sl_error_set(im->error, -EINVAL, "fixed input '%s' is too large", name);
    t.bytes = (uint64_t)elements * sl_dtype_size(t.dtype);
    t.data = pool_copy(&im->graph->pool, fixed->data, t.bytes);
    if (!t.data)
        return pool_error(&im->graph->pool, im->error);
    const int status = graph_add_tensor(im->graph, &t, &number, im->error);
    return status < 0 ? status : bind_name(im, name, number);
}

static int add_input(struct import *im, const Onnx__ValueInfoProto *info)
{
    struct sl_tensor t = {.name = info->name};
    uint32_t number;
    if (!info->name || !*info->name)
        return sl_error_set(im->error, -EINVAL, "an input has no name");
    if (find_name(im, info->name) != SL_NO_TENSOR)
        return 0; // an initialiser that is listed as input too
    for (uint32_t i = 0; i < im->options->n_fixed; i++)
        if (!strcmp(im->options->fixed[i].name, info->name))
            return add_fixed(im, &im->options->fixed[i], info->name);
    int status = input_shape(im, info, &t);
    if (status == 0)
        status = graph_add_tensor(im->graph, &t, &number, im->error);
    if (status == 0)
        status = graph_add_input(im->graph, number, im->error);
    return status < 0 ? status : bind_name(im, info->name, number);
}

static int read_operands(struct import *im, struct lower *l)
{
    const Onnx__NodeProto *node = l->node;
    while (l->n_in > 0 && !*node->input[l->n_in - 1])
        l->n_in--; // trailing absent inputs
    for (uint32_t i = 0; i < l->n_in; i++) {
        l->in[i] = *node->input[i] ? find_name(im, node->input[i]) : SL_NO_TENSOR;
        if (*node->input[i] && l->in[i] == SL_NO_TENSOR)
            return lower_fail(l, -EINVAL,
                              "input '%s' is not known here (a cycle, a wrong order, or missing)",
                              node->input[i]);
    }
    return 0;
}

static int check_row(const struct lower_row *row, struct lower *l)
{
    if (l->node->domain && *l->node->domain && strcmp(l->node->domain, "ai.onnx"))
        return lower_fail(l, -ENOTSUP, "operators of domain '%s' are not supported",
                          l->node->domain);
    if (!row)
        return lower_fail(
            l, -ENOTSUP,
            "this operator is not supported; replace it, or end the network before it");
    if (l->opset < row->first || l->opset > row->last)
        return lower_fail(l, -ENOTSUP, "not supported in operator set %lld (it is in %lld to %lld)",
                          (long long)l->opset, (long long)row->first, (long long)row->last);
    if (l->node->n_input > LOWER_MAX_INPUTS || l->node->n_output > LOWER_MAX_OUTPUTS ||
        l->node->n_output < 1)
        return lower_fail(l, -ENOTSUP, "%zu inputs and %zu outputs", l->node->n_input,
                          l->node->n_output);
    return 0;
}

static int check_operands(const struct lower_row *row, struct lower *l)
{
    uint32_t least = row->min_inputs;
    // Slice, TopK and others took attributes where newer versions take inputs.
    if (l->n_in < least || l->n_in > row->max_inputs)
        return lower_fail(l, -EINVAL, "%u inputs, expected %u to %u", l->n_in, least,
                          row->max_inputs);
    for (uint32_t i = 0; i < least && i < 2; i++)
        if (l->in[i] == SL_NO_TENSOR && strcmp(row->op, "Resize"))
            return lower_fail(l, -EINVAL, "input %u is missing", i);
    return 0;
}

static uint32_t outputs_used(const Onnx__NodeProto *node)
{
    uint32_t count = (uint32_t)node->n_output;
    while (count > 1 && !*node->output[count - 1])
        count--;
    return count;
}

static int add_node(struct import *im, const Onnx__NodeProto *node)
{
    const char *op = node->op_type ? node->op_type : "";
    const struct lower_row *row = lower_find(op);
    struct lower l = {.graph = im->graph,
                      .node = node,
                      .opset = im->opset,
                      .error = im->error,
                      .argument = row ? row->argument : 0};
    l.name = node->name && *node->name ? node->name : node->n_output ? node->output[0] : "";
    int status = check_row(row, &l);
    if (status == 0) {
        l.n_in = (uint32_t)node->n_input;
        l.n_out = outputs_used(node);
        status = read_operands(im, &l);
    }
    if (status == 0)
        status = check_operands(row, &l);
    memset(l.out, 0xff, sizeof(l.out));
    if (status == 0)
        status = row->lower(&l);
    for (uint32_t i = 0; i < l.n_out && status == 0; i++)
        if (l.out[i] == SL_NO_TENSOR)
            status =
                lower_fail(&l, -ENOTSUP, "output %u ('%s') is not supported", i, node->output[i]);
    if (status < 0)
        return sl_error_prefix(im->error, status, "node '%s' (%s)", l.name, op);
    for (uint32_t i = 0; i < l.n_out && status == 0; i++) {
        if (!*node->output[i])
            continue;
        if (!im->graph->tensors[l.out[i]].name || im->graph->tensors[l.out[i]].name == l.name)
            im->graph->tensors[l.out[i]].name = node->output[i];
        status = bind_name(im, node->output[i], l.out[i]);
    }
    return status;
}

static int add_outputs(struct import *im)
{
    int status = im->proto->n_output ? 0 : sl_error_set(im->error, -EINVAL, "no outputs");
    for (size_t i = 0; i < im->proto->n_output && status == 0; i++) {
        const char *name = im->proto->output[i]->name ? im->proto->output[i]->name : "";
        const uint32_t tensor = find_name(im, name);
        if (tensor == SL_NO_TENSOR)
            return sl_error_set(im->error, -EINVAL, "output '%s' is made by no node", name);
        im->graph->tensors[tensor].name = name;
        status = graph_add_output(im->graph, tensor, im->error);
    }
    return status;
}

int onnx_import(const Onnx__ModelProto *model, const struct sl_onnx_options *options,
                struct graph *graph, int64_t *opset, struct sl_error *error)
{
    struct import im = {.graph = graph, .proto = model->graph, .options = options, .error = error};
    if (!model->graph)
        return sl_error_set(error, -EINVAL, "the file holds no graph");
    if (model->n_functions)
        return sl_error_set(error, -ENOTSUP, "functions are not supported");
    if (model->graph->n_node > SL_ONNX_MAX_NODES)
        return sl_error_set(error, -E2BIG, "%zu nodes, at most %u", model->graph->n_node,
                            SL_ONNX_MAX_NODES);
    int status = read_opset(model, &im.opset, error);
    if (status == 0)
        status = make_names(&im);
    if (status == 0)
        status = add_initialisers(&im);
    for (size_t i = 0; i < model->graph->n_input && status == 0; i++)
        status = add_input(&im, model->graph->input[i]);
    for (size_t i = 0; i < model->graph->n_node && status == 0; i++)
        status = add_node(&im, model->graph->node[i]);
    if (status == 0)
        status = add_outputs(&im);
    *opset = im.opset;
    return status;
}
