// Dequantise -> operator -> quantise becomes one operator on integers.
#include "inference/passes.h"

#include <math.h>
#include <string.h>

enum kind {
    STAYS_FLOAT = 0,
    PRODUCT, // integer sums: also with a float result
    REAL,    // any operator that accel/graph.h defines through real numbers
    MOVE,    // only moves elements
};

static enum kind kind_of(const struct sl_node *node)
{
    switch (node->op) {
    case SL_OP_CONV:
    case SL_OP_CONV_TRANSPOSE:
    case SL_OP_GEMM:
    case SL_OP_MATMUL:
        return PRODUCT;
    case SL_OP_MAX_POOL:
    case SL_OP_AVERAGE_POOL:
    case SL_OP_REDUCE:
    case SL_OP_UNARY:
    case SL_OP_CLIP:
    case SL_OP_BINARY:
    case SL_OP_PAD:
    case SL_OP_SOFTMAX:
        return REAL;
    case SL_OP_RESIZE:
        return node->attrs.resize.mode == SL_RESIZE_NEAREST ? MOVE : REAL;
    case SL_OP_RESHAPE:
    case SL_OP_TRANSPOSE:
    case SL_OP_CONCAT:
    case SL_OP_SLICE:
    case SL_OP_EXPAND:
    case SL_OP_TILE:
    case SL_OP_DEPTH_TO_SPACE:
    case SL_OP_SPACE_TO_DEPTH:
    case SL_OP_GATHER:
        return MOVE;
    default:
        return STAYS_FLOAT;
    }
}

// The integers behind a float tensor, or SL_NO_TENSOR.
static uint32_t integers_of(const struct uses *uses, uint32_t tensor)
{
    const struct sl_node *from = graph_writer(uses->graph, &uses->index, tensor, SL_OP_DEQUANTIZE);
    return from ? from->inputs[0] : SL_NO_TENSOR;
}

// Which axis of the second operand holds the output's channels.
static int32_t channel_axis(const struct sl_node *node, const struct sl_tensor *weight)
{
    switch (node->op) {
    case SL_OP_CONV:
        return 0;
    case SL_OP_CONV_TRANSPOSE:
        return 1;
    case SL_OP_GEMM:
        return node->attrs.gemm.trans_b ? 0 : 1;
    default:
        return (int32_t)weight->rank - 1;
    }
}

static bool is_byte(const struct sl_tensor *t)
{
    return t->dtype == SL_U8 || t->dtype == SL_I8;
}

static bool operands_fit(const struct graph *graph, const struct sl_node *node, uint32_t x,
                         uint32_t w)
{
    const struct sl_tensor *tx = &graph->tensors[x], *tw = &graph->tensors[w];
    if (!is_byte(tx) || !is_byte(tw) || tx->quant.count != 1)
        return false;
    if (node->op == SL_OP_GEMM && (node->attrs.gemm.alpha != 1 || node->attrs.gemm.beta != 1))
        return false;
    if (node->op == SL_OP_CONV_TRANSPOSE && tw->quant.count > 1 && node->attrs.conv.group != 1)
        return false;
    return tw->quant.count == 1 || tw->quant.axis == channel_axis(node, tw);
}

// The bias as float numbers, wherever it comes from; false if it is not constant.
static bool bias_value(const struct uses *uses, uint32_t tensor, int64_t i, double *out)
{
    const struct graph *g = uses->graph;
    const uint32_t integers = integers_of(uses, tensor);
    if (graph_is_constant(g, tensor) && g->tensors[tensor].dtype == SL_F32) {
        *out = (double)((const float *)g->tensors[tensor].data)[i];
        return true;
    }
    if (!graph_is_constant(g, integers) || g->tensors[integers].dtype != SL_I32)
        return false;
    const struct sl_quant *q = &g->tensors[integers].quant;
    const int64_t k = q->count > 1 ? i : 0;
    *out = ((double)((const int32_t *)g->tensors[integers].data)[i] - q->zero_point[k]) *
           (double)q->scale[k];
    return true;
}

// The bias with scale s_x s_w, as the integer sum needs it. Files carry it so; a float bias is
// rounded to it (an error of at most half of s_x s_w).
static int make_bias(const struct uses *uses, const struct sl_node *node, uint32_t x, uint32_t w,
                     uint32_t *out, bool *fits, struct sl_error *error)
{
    struct graph *g = uses->graph;
    const struct sl_quant *qx = &g->tensors[x].quant, *qw = &g->tensors[w].quant;
    const struct sl_tensor old = g->tensors[node->inputs[2]];
    const int64_t count = graph_elements(old.dims, old.rank, 1 << 24);
    *fits = old.rank == 1 && count >= 0 && (qw->count == 1 || qw->count == (uint32_t)count);
    if (!*fits)
        return 0;
    struct sl_tensor bias = {.name = old.name,
                             .dtype = SL_I32,
                             .rank = 1,
                             .dims = {count},
                             .bytes = (uint64_t)count * sizeof(int32_t)};
    int32_t *data = pool_array(&g->pool, (uint64_t)count, sizeof(*data));
    float *scale = pool_array(&g->pool, qw->count, sizeof(*scale));
    if (!data || !scale)
        return pool_error(&g->pool, error);
    for (uint32_t i = 0; i < qw->count; i++)
        scale[i] = qx->scale[0] * qw->scale[i];
    for (int64_t i = 0; i < count && *fits; i++) {
        double value;
        *fits = bias_value(uses, node->inputs[2], i, &value);
        const double q = *fits ? rint(value / (double)scale[qw->count > 1 ? i : 0]) : 0;
        *fits = *fits && fabs(q) <= INT32_MAX;
        data[i] = *fits ? (int32_t)q : 0;
    }
    bias.data = data;
    const int status = graph_make_quant(g, qw->count, 0, scale, NULL, &bias.quant, error);
    return status < 0 || !*fits ? status : graph_add_tensor(g, &bias, out, error);
}

// The quantise node that alone reads the result, or NULL.
static struct sl_node *quantise_after(const struct uses *uses, const struct sl_node *node)
{
    struct sl_node *next = uses_only_reader(uses, node->outputs[0]);
    if (!next || next->op != SL_OP_QUANTIZE || next->activation.kind != SL_ACT_NONE ||
        uses->graph->tensors[next->outputs[0]].quant.count != 1)
        return NULL;
    return next;
}

static int take_over(struct graph *graph, struct sl_node *node, struct sl_node *quantise,
                     const uint32_t *inputs, uint32_t count, struct sl_error *error)
{
    int status = graph_set_inputs(graph, node, inputs, count, error);
    if (status == 0 && quantise) {
        status = graph_set_output(graph, node, quantise->outputs[0], error);
        quantise->op = SL_OP_NONE;
    }
    return status;
}

// Kernels round what Relu and Clip leave; other functions are computed on the float result.
static bool rounds_in_place(const struct sl_node *node)
{
    const uint32_t kind = node->activation.kind;
    return kind == SL_ACT_NONE || kind == SL_ACT_CLIP || kind == SL_UNARY_RELU;
}

static int fuse_product(const struct uses *uses, struct sl_node *node, struct sl_error *error)
{
    uint32_t inputs[3] = {integers_of(uses, node->inputs[0]), integers_of(uses, node->inputs[1]),
                          SL_NO_TENSOR};
    uint32_t count = 2;
    bool fits = true;
    if (inputs[0] == SL_NO_TENSOR || inputs[1] == SL_NO_TENSOR ||
        !operands_fit(uses->graph, node, inputs[0], inputs[1]))
        return 0;
    if (node->n_inputs > 2 && node->inputs[2] != SL_NO_TENSOR) {
        const int status = make_bias(uses, node, inputs[0], inputs[1], &inputs[2], &fits, error);
        if (status < 0 || !fits)
            return status;
        count = 3;
    }
    struct sl_node *quantise = rounds_in_place(node) ? quantise_after(uses, node) : NULL;
    return take_over(uses->graph, node, quantise, inputs, count, error);
}

static int fuse_real(const struct uses *uses, struct sl_node *node, struct sl_error *error)
{
    uint32_t inputs[64];
    struct sl_node *quantise = quantise_after(uses, node);
    if (!quantise || node->n_inputs > 64)
        return 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        inputs[i] = node->inputs[i];
        if (node->op == SL_OP_GATHER && i == 1) // indices
            continue;
        inputs[i] = integers_of(uses, node->inputs[i]);
        if (inputs[i] == SL_NO_TENSOR || !is_byte(&uses->graph->tensors[inputs[i]]) ||
            uses->graph->tensors[inputs[i]].quant.count != 1)
            return 0;
    }
    return take_over(uses->graph, node, quantise, inputs, node->n_inputs, error);
}

// Dequantise -> move, without a quantise: the bytes are moved and dequantised afterwards, so that
// what follows can still be fused. The two nodes change places.
static int sink_dequantise(const struct uses *uses, struct sl_node *node, struct sl_error *error)
{
    struct graph *g = uses->graph;
    if (node->n_inputs != 1 || uses->index.readers[node->inputs[0]] != 1)
        return 0;
    struct sl_node *before = graph_writer(g, &uses->index, node->inputs[0], SL_OP_DEQUANTIZE);
    if (!before || g->tensors[before->inputs[0]].quant.count != 1 ||
        !is_byte(&g->tensors[before->inputs[0]]) || graph_is_constant(g, before->inputs[0]))
        return 0;
    struct sl_tensor bytes = g->tensors[node->outputs[0]];
    bytes.dtype = g->tensors[before->inputs[0]].dtype;
    bytes.quant = g->tensors[before->inputs[0]].quant;
    bytes.bytes /= sizeof(float);
    uint32_t moved;
    int status = graph_add_tensor(g, &bytes, &moved, error);
    if (status < 0)
        return status;
    const struct sl_node move = *node;
    *node = *before;
    node->name = move.name;
    status = graph_set_inputs(g, node, &moved, 1, error);
    if (status == 0)
        status = graph_set_output(g, node, move.outputs[0], error);
    const uint32_t source = before->inputs[0];
    *before = move;
    if (status == 0)
        status = graph_set_inputs(g, before, &source, 1, error);
    return status < 0 ? status : graph_set_output(g, before, moved, error);
}

static int sink_all(struct graph *graph, struct sl_error *error)
{
    struct uses uses;
    int status = 0;
    for (uint32_t n = 0; n < graph->n_nodes && status == 0; n++) {
        struct sl_node *node = &graph->nodes[n];
        if (node->op == SL_OP_NONE || kind_of(node) != MOVE || node->activation.kind != SL_ACT_NONE)
            continue;
        status = uses_begin(graph, &uses, error);
        if (status == 0 && !quantise_after(&uses, node))
            status = sink_dequantise(&uses, node, error);
        if (status == 0)
            uses_end(&uses);
    }
    return status;
}

int pass_quant(struct graph *graph, struct sl_error *error)
{
    struct uses uses;
    int status = sink_all(graph, error);
    if (status == 0)
        status = uses_begin(graph, &uses, error);
    if (status < 0)
        return status;
    const uint32_t n_tensors = graph->n_tensors;
    for (uint32_t n = 0; n < graph->n_nodes && status == 0; n++) {
        struct sl_node *node = &graph->nodes[n];
        const enum kind kind = node->op == SL_OP_NONE ? STAYS_FLOAT : kind_of(node);
        // Tensors made in this loop are biases: constants, of which nobody asks here.
        if (kind == STAYS_FLOAT || node->outputs[0] >= n_tensors)
            continue;
        status = kind == PRODUCT ? fuse_product(&uses, node, error) : fuse_real(&uses, node, error);
    }
    uses_end(&uses);
    return status;
}
