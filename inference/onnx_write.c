// The frame of an ONNX file: names, constants, quantisation around the operators, packing.
#include "inference/onnx_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPERATOR_SET = 17, IR_VERSION = 8 };

static uint32_t hash(const char *text) // FNV-1a
{
    uint32_t h = 2166136261u;
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 16777619u;
    return h;
}

static bool is_used(const struct writer *w, const char *name, uint32_t *slot)
{
    for (*slot = hash(name) & w->used_mask; w->used[*slot]; *slot = (*slot + 1) & w->used_mask)
        if (!strcmp(w->used[*slot], name))
            return true;
    return false;
}

static bool grow_used(struct writer *w)
{
    const uint32_t size = w->used ? (w->used_mask + 1) * 2 : 1024;
    const char **old = w->used;
    const uint32_t old_size = old ? w->used_mask + 1 : 0;
    w->used = pool_array(&w->pool, size, sizeof(*w->used));
    if (!w->used)
        return false;
    w->used_mask = size - 1;
    for (uint32_t i = 0, slot; i < old_size; i++)
        if (old[i] && !is_used(w, old[i], &slot))
            w->used[slot] = old[i];
    return true;
}

const char *writer_name(struct writer *w, const char *stem, const char *suffix)
{
    char text[1024];
    stem = *stem || *suffix ? stem : "t";
    const int length = sl_text_length(stem, 900);
    uint32_t slot;
    if ((!w->used || w->n_used * 2 > w->used_mask) && !grow_used(w)) {
        w->failed = true;
        return NULL;
    }
    snprintf(text, sizeof(text), "%.*s%s", length, stem, suffix);
    for (uint32_t i = 1; is_used(w, text, &slot); i++)
        snprintf(text, sizeof(text), "%.*s%s_%u", length, stem, suffix, i);
    const char *copy = pool_string(&w->pool, text, strlen(text));
    w->used[slot] = copy;
    w->n_used++;
    w->failed |= !copy;
    return copy;
}

static char *copy_text(struct writer *w, const char *text)
{
    char *copy = text ? pool_string(&w->pool, text, strlen(text)) : NULL;
    w->failed |= !copy;
    return copy;
}

// Names of nodes are unique too, in a space of their own: a prefix that is not written keeps them
// apart from those of tensors.
static const char *node_name(struct writer *w, const char *name)
{
    static const char prefix[] = "node ";
    char text[900];
    snprintf(text, sizeof(text), "%s%.*s", prefix, sl_text_length(name, 800), name);
    const char *unique = writer_name(w, text, "");
    return unique ? unique + strlen(prefix) : NULL;
}

Onnx__NodeProto *writer_node(struct writer *w, const char *op, const char *name,
                             const char *const *inputs, uint32_t n_inputs, const char *output)
{
    enum { MOST_ATTRIBUTES = 8 };
    Onnx__GraphProto *g = w->proto;
    Onnx__NodeProto *node = pool_alloc(&w->pool, sizeof(*node));
    char **in = pool_array(&w->pool, n_inputs, sizeof(*in));
    char **out = pool_array(&w->pool, 1, sizeof(*out));
    Onnx__AttributeProto **attributes =
        pool_array(&w->pool, MOST_ATTRIBUTES, sizeof(Onnx__AttributeProto *));
    void *nodes = g->node;
    if (!node || !in || !out || !attributes ||
        !pool_grow(&w->pool, &nodes, (uint32_t)g->n_node, &w->room_nodes, sizeof(*g->node))) {
        w->failed = true;
        return NULL;
    }
    onnx__node_proto__init(node);
    for (uint32_t i = 0; i < n_inputs; i++)
        in[i] = copy_text(w, inputs[i]);
    out[0] = copy_text(w, output);
    node->input = in;
    node->n_input = n_inputs;
    node->output = out;
    node->n_output = 1;
    node->attribute = attributes;
    node->op_type = copy_text(w, op);
    node->name = copy_text(w, node_name(w, name));
    g->node = nodes;
    g->node[g->n_node++] = node;
    return node;
}

static Onnx__AttributeProto *add_attribute(struct writer *w, Onnx__NodeProto *node,
                                           const char *name,
                                           Onnx__AttributeProto__AttributeType type)
{
    Onnx__AttributeProto *a = node ? pool_alloc(&w->pool, sizeof(*a)) : NULL;
    if (!a) {
        w->failed = true;
        return NULL;
    }
    onnx__attribute_proto__init(a);
    a->name = copy_text(w, name);
    a->has_type = 1;
    a->type = type;
    node->attribute[node->n_attribute++] = a;
    return a;
}

void writer_set_int(struct writer *w, Onnx__NodeProto *node, const char *name, int64_t value)
{
    Onnx__AttributeProto *a =
        add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT);
    if (!a)
        return;
    a->has_i = 1;
    a->i = value;
}

void writer_set_ints(struct writer *w, Onnx__NodeProto *node, const char *name,
                     const int64_t *values, uint32_t count)
{
    Onnx__AttributeProto *a =
        add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS);
    if (!a)
        return;
    a->ints = pool_copy(&w->pool, values, count * sizeof(*values));
    a->n_ints = a->ints ? count : 0;
    w->failed |= !a->ints;
}

void writer_set_float(struct writer *w, Onnx__NodeProto *node, const char *name, float value)
{
    Onnx__AttributeProto *a =
        add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
    if (!a)
        return;
    a->has_f = 1;
    a->f = value;
}

void writer_set_text(struct writer *w, Onnx__NodeProto *node, const char *name, const char *value)
{
    Onnx__AttributeProto *a =
        add_attribute(w, node, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING);
    if (!a)
        return;
    a->has_s = 1;
    a->s.data = (uint8_t *)copy_text(w, value);
    a->s.len = a->s.data ? strlen(value) : 0;
}

const char *writer_constant(struct writer *w, const char *stem, const char *suffix,
                            int32_t onnx_type, uint32_t rank, const int64_t *dims,
                            const void *bytes, uint64_t size)
{
    Onnx__GraphProto *g = w->proto;
    const char *name = writer_name(w, stem, suffix);
    Onnx__TensorProto *t = pool_alloc(&w->pool, sizeof(*t));
    int64_t *copied_dims = pool_copy(&w->pool, dims, rank * sizeof(*dims));
    void *copied = pool_copy(&w->pool, bytes, size), *list = g->initializer;
    if (!name || !t || !copied_dims || !copied ||
        !pool_grow(&w->pool, &list, (uint32_t)g->n_initializer, &w->room_initialisers,
                   sizeof(*g->initializer))) {
        w->failed = true;
        return "";
    }
    onnx__tensor_proto__init(t);
    t->name = copy_text(w, name);
    t->has_data_type = 1;
    t->data_type = onnx_type;
    t->dims = copied_dims;
    t->n_dims = rank;
    t->has_raw_data = 1;
    t->raw_data = (ProtobufCBinaryData){size, copied};
    g->initializer = list;
    g->initializer[g->n_initializer++] = t;
    return name;
}

const char *writer_ints(struct writer *w, const char *stem, const char *suffix,
                        const int64_t *values, uint32_t count)
{
    return writer_constant(w, stem, suffix, ONNX__TENSOR_PROTO__DATA_TYPE__INT64, 1,
                           (int64_t[]){count}, values, count * sizeof(*values));
}

const char *writer_float(struct writer *w, const char *stem, const char *suffix, float value)
{
    return writer_constant(w, stem, suffix, ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, 0, NULL, &value,
                           sizeof(value));
}

int32_t writer_onnx_type(uint32_t dtype)
{
    switch (dtype) {
    case SL_U8:
        return ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
    case SL_I8:
        return ONNX__TENSOR_PROTO__DATA_TYPE__INT8;
    case SL_I32:
        return ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    case SL_I64:
        return ONNX__TENSOR_PROTO__DATA_TYPE__INT64;
    case SL_BOOL:
        return ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    default:
        return ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    }
}

// Scale and zero point of a tensor as constants: inputs 1 and 2 of both quantisation operators.
static void add_quant(struct writer *w, const struct sl_tensor *t, const char *out[2])
{
    const struct sl_quant *q = &t->quant;
    const uint32_t size = t->dtype == SL_I32 ? 4 : 1, rank = q->count > 1 ? 1 : 0;
    const int64_t dims[1] = {q->count};
    uint8_t *zeros = pool_array(&w->pool, q->count, size);
    out[0] = out[1] = "";
    if (!zeros) {
        w->failed = true;
        return;
    }
    for (uint32_t i = 0; i < q->count; i++) {
        if (size == 1)
            zeros[i] = (uint8_t)q->zero_point[i];
        else
            memcpy(zeros + 4 * i, &q->zero_point[i], 4);
    }
    out[0] = writer_constant(w, t->name, "_scale", ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT, rank, dims,
                             q->scale, q->count * sizeof(float));
    out[1] = writer_constant(w, t->name, "_zero_point", writer_onnx_type(t->dtype), rank, dims,
                             zeros, (uint64_t)q->count * size);
}

static void add_dequantise(struct writer *w, const struct sl_tensor *t, const char *integers,
                           const char *quant[2], const char *output)
{
    const char *inputs[3] = {integers, quant[0], quant[1]};
    Onnx__NodeProto *node = writer_node(w, "DequantizeLinear", output, inputs, 3, output);
    if (t->quant.count > 1)
        writer_set_int(w, node, "axis", t->quant.axis);
}

// QuantizeLinear and DequantizeLinear after the float value of a tensor (or before, for a constant
// and for an input or output of the network that is quantised itself).
static void add_pair(struct writer *w, uint32_t tensor, bool has_integers)
{
    const struct sl_tensor *t = &w->graph->tensors[tensor];
    struct writer_names *n = &w->names[tensor];
    const char *quant[2];
    add_quant(w, t, quant);
    if (!has_integers) {
        const char *inputs[3] = {n->real, quant[0], quant[1]};
        writer_node(w, "QuantizeLinear", n->integers, inputs, 3, n->integers);
    }
    add_dequantise(w, t, n->integers, quant, n->rounded);
}

static void add_constant(struct writer *w, uint32_t tensor)
{
    const struct sl_tensor *t = &w->graph->tensors[tensor];
    struct writer_names *n = &w->names[tensor];
    if (t->quant.count == 0 && t->dtype == SL_F32) {
        n->real = n->rounded = writer_weight(w, t);
        return;
    }
    const bool quantised = t->quant.count > 0;
    const char *name =
        writer_constant(w, t->name, quantised ? "_quantized" : "", writer_onnx_type(t->dtype),
                        t->rank, t->dims, t->data, t->bytes);
    n->real = n->rounded = n->integers = name;
    if (!quantised)
        return;
    n->rounded = writer_name(w, t->name, "");
    add_pair(w, tensor, true);
}

static Onnx__ValueInfoProto *describe(struct writer *w, uint32_t tensor, const char *name)
{
    const struct sl_tensor *t = &w->graph->tensors[tensor];
    Onnx__ValueInfoProto *info = pool_alloc(&w->pool, sizeof(*info));
    Onnx__TypeProto *type = pool_alloc(&w->pool, sizeof(*type));
    Onnx__TypeProto__Tensor *kind = pool_alloc(&w->pool, sizeof(*kind));
    Onnx__TensorShapeProto *shape = pool_alloc(&w->pool, sizeof(*shape));
    Onnx__TensorShapeProto__Dimension **dims = pool_array(&w->pool, t->rank, sizeof(*dims));
    if (!info || !type || !kind || !shape || !dims) {
        w->failed = true;
        return NULL;
    }
    onnx__value_info_proto__init(info);
    onnx__type_proto__init(type);
    onnx__type_proto__tensor__init(kind);
    onnx__tensor_shape_proto__init(shape);
    for (uint32_t i = 0; i < t->rank; i++) {
        dims[i] = pool_alloc(&w->pool, sizeof(*dims[i]));
        if (!dims[i]) {
            w->failed = true;
            return NULL;
        }
        onnx__tensor_shape_proto__dimension__init(dims[i]);
        dims[i]->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        dims[i]->dim_value = t->dims[i];
    }
    shape->dim = dims;
    shape->n_dim = t->rank;
    kind->has_elem_type = 1;
    kind->elem_type = writer_onnx_type(t->dtype);
    kind->shape = shape;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = kind;
    info->name = copy_text(w, name);
    info->type = type;
    return info;
}

// A quantised input or output of the network is its integers; else it is the float value.
static void name_ends(struct writer *w)
{
    const struct sl_graph *g = w->graph;
    for (uint32_t i = 0; i < g->n_inputs + g->n_outputs; i++) {
        const uint32_t tensor = i < g->n_inputs ? g->inputs[i] : g->outputs[i - g->n_inputs];
        struct writer_names *n = &w->names[tensor];
        const char **own = g->tensors[tensor].quant.count && g->tensors[tensor].dtype != SL_F32
                               ? &n->integers
                               : &n->real;
        if (!*own)
            *own = writer_name(w, g->tensors[tensor].name, "");
    }
}

static void name_tensor(struct writer *w, uint32_t tensor)
{
    const struct sl_tensor *t = &w->graph->tensors[tensor];
    struct writer_names *n = &w->names[tensor];
    if (!n->real)
        n->real = writer_name(w, t->name, n->integers ? "_real" : "");
    if (t->quant.count == 0) {
        n->rounded = n->integers = n->real;
        return;
    }
    if (!n->integers)
        n->integers = writer_name(w, t->name, "_quantized");
    n->rounded = writer_name(w, t->name, "_dequantized");
}

static void add_ends(struct writer *w)
{
    const struct sl_graph *g = w->graph;
    w->proto->input = pool_array(&w->pool, g->n_inputs, sizeof(*w->proto->input));
    w->proto->output = pool_array(&w->pool, g->n_outputs, sizeof(*w->proto->output));
    if (!w->proto->input || !w->proto->output) {
        w->failed = true;
        return;
    }
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const bool quantised = g->tensors[g->inputs[i]].quant.count > 0;
        struct writer_names *n = &w->names[g->inputs[i]];
        w->proto->input[i] = describe(w, g->inputs[i], quantised ? n->integers : n->real);
        if (quantised)
            add_pair(w, g->inputs[i], true);
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const bool quantised = g->tensors[g->outputs[i]].quant.count > 0;
        struct writer_names *n = &w->names[g->outputs[i]];
        w->proto->output[i] = describe(w, g->outputs[i], quantised ? n->integers : n->real);
    }
    w->proto->n_input = g->n_inputs;
    w->proto->n_output = g->n_outputs;
}

static int add_node(struct writer *w, const struct sl_node *node, struct sl_error *error)
{
    const struct sl_graph *g = w->graph;
    const struct sl_tensor *out = &g->tensors[node->outputs[0]];
    struct writer_names *n = &w->names[node->outputs[0]];
    if (node->op == SL_OP_QUANTIZE) {
        n->real = w->names[node->inputs[0]].rounded;
        add_pair(w, node->outputs[0], false);
        return 0;
    }
    if (node->op == SL_OP_DEQUANTIZE) {
        const char *quant[2];
        const struct sl_tensor *in = &g->tensors[node->inputs[0]];
        add_quant(w, in, quant);
        add_dequantise(w, in, w->names[node->inputs[0]].integers, quant, n->real);
        return 0;
    }
    const int status = writer_operator(w, node, error);
    if (status < 0)
        return sl_error_prefix(error, status, "node '%s'", node->name);
    if (out->quant.count)
        add_pair(w, node->outputs[0], false);
    return 0;
}

static int add_all(struct writer *w, struct sl_error *error)
{
    const struct sl_graph *g = w->graph;
    int status = 0;
    name_ends(w);
    for (uint32_t i = 0; i < g->n_tensors; i++) {
        if (g->tensors[i].data)
            add_constant(w, i);
        else
            name_tensor(w, i);
    }
    add_ends(w);
    for (uint32_t i = 0; i < g->n_nodes && status == 0 && !w->failed; i++)
        status = add_node(w, &g->nodes[i], error);
    return status;
}

static void add_metadata(struct writer *w, const struct sl_onnx_write_options *options,
                         Onnx__ModelProto *model)
{
    model->metadata_props =
        pool_array(&w->pool, options->n_metadata, sizeof(*model->metadata_props));
    for (uint32_t i = 0; model->metadata_props && i < options->n_metadata; i++) {
        Onnx__StringStringEntryProto *row = pool_alloc(&w->pool, sizeof(*row));
        if (!row)
            break;
        onnx__string_string_entry_proto__init(row);
        row->key = copy_text(w, options->metadata[i].key);
        row->value = copy_text(w, options->metadata[i].value);
        model->metadata_props[model->n_metadata_props++] = row;
    }
    w->failed |= model->n_metadata_props != options->n_metadata;
}

static int pack(struct writer *w, const Onnx__ModelProto *model, void **bytes, size_t *size,
                struct sl_error *error)
{
    if (w->failed)
        return pool_error(&w->pool, error);
    const size_t need = onnx__model_proto__get_packed_size(model);
    if (need > SL_ONNX_MAX_BYTES)
        return sl_error_set(error, -E2BIG, "the file would have %zu bytes, at most %u", need,
                            SL_ONNX_MAX_BYTES);
    void *out = malloc(need ? need : 1);
    if (!out)
        return sl_error_set(error, -ENOMEM, "out of memory for a file of %zu bytes", need);
    onnx__model_proto__pack(model, out);
    *bytes = out;
    *size = need;
    return 0;
}

int sl_onnx_write(const struct sl_graph *graph, const struct sl_onnx_write_options *options,
                  void **bytes, size_t *size, struct sl_error *error)
{
    static const struct sl_onnx_write_options usual;
    const struct sl_onnx_write_options *o = options ? options : &usual;
    Onnx__ModelProto model = ONNX__MODEL_PROTO__INIT;
    Onnx__GraphProto proto = ONNX__GRAPH_PROTO__INIT;
    Onnx__OperatorSetIdProto set = ONNX__OPERATOR_SET_ID_PROTO__INIT, *sets[1] = {&set};
    struct writer w = {.graph = graph, .proto = &proto, .weights = o->weights};
    pool_init(&w.pool, (uint64_t)SL_ONNX_MAX_BYTES * 4);
    w.names = pool_array(&w.pool, graph->n_tensors, sizeof(*w.names));
    w.failed = !w.names;
    set.domain = copy_text(&w, "");
    set.has_version = 1;
    set.version = OPERATOR_SET;
    model.has_ir_version = 1;
    model.ir_version = IR_VERSION;
    model.opset_import = sets;
    model.n_opset_import = 1;
    model.producer_name = copy_text(&w, "sightline");
    model.producer_version = copy_text(&w, SIGHTLINE_VERSION);
    model.graph = &proto;
    proto.name = copy_text(&w, graph->name && *graph->name ? graph->name : "network");
    add_metadata(&w, o, &model);
    int status = w.failed ? 0 : add_all(&w, error);
    if (status == 0)
        status = pack(&w, &model, bytes, size, error);
    pool_free(&w.pool);
    return status;
}
