// Counting multiply-accumulates.
#include "inference/model.h"

#include "accel/reference.h"

static int64_t elements(const struct sl_tensor *t)
{
    int64_t product = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        product *= t->dims[i];
    return product;
}

static bool is_zero(const struct sl_tensor *t, int64_t i)
{
    const int64_t per_channel = t->quant.count > 1 ? elements(t) / t->dims[t->quant.axis] : 0;
    switch (t->dtype) {
    case SL_F32:
        return ((const float *)t->data)[i] == 0;
    case SL_I8:
    case SL_U8: {
        // Only per-tensor zero points and those along the first axis occur for weights.
        const int64_t k = per_channel && t->quant.axis == 0 ? i / per_channel : 0;
        const int32_t zero = t->quant.count ? t->quant.zero_point[k] : 0;
        return (t->dtype == SL_I8 ? ((const int8_t *)t->data)[i] : ((const uint8_t *)t->data)[i]) ==
               zero;
    }
    default:
        return false;
    }
}

struct sl_macs sl_node_macs(const struct sl_graph *graph, const struct sl_node *node)
{
    struct sl_macs macs = {0, 0};
    if (node->op != SL_OP_CONV && node->op != SL_OP_CONV_TRANSPOSE && node->op != SL_OP_GEMM &&
        node->op != SL_OP_MATMUL)
        return macs;
    const struct sl_tensor *x = &graph->tensors[node->inputs[0]];
    const struct sl_tensor *w = &graph->tensors[node->inputs[1]];
    const struct sl_tensor *y = &graph->tensors[node->outputs[0]];
    const int64_t weights = elements(w);
    int64_t uses; // how often each weight is used
    if (node->op == SL_OP_CONV)
        uses = y->dims[1] ? elements(y) / y->dims[1] : 0;
    else if (node->op == SL_OP_CONV_TRANSPOSE)
        uses = x->dims[1] ? elements(x) / x->dims[1] : 0;
    else
        uses = y->rank && y->dims[y->rank - 1] ? elements(y) / y->dims[y->rank - 1] : 1;
    if (node->op == SL_OP_MATMUL && w->rank > 2)
        uses = w->dims[w->rank - 1] && weights
                   ? elements(y) / w->dims[w->rank - 1] * w->dims[w->rank - 2] *
                         w->dims[w->rank - 1] / weights
                   : 0;
    macs.dense = weights * uses;
    if (!w->data) {
        macs.nonzero = macs.dense;
        return macs;
    }
    for (int64_t i = 0; i < weights; i++)
        macs.nonzero += is_zero(w, i) ? 0 : uses;
    return macs;
}

struct sl_macs sl_graph_macs(const struct sl_graph *graph)
{
    struct sl_macs sum = {0, 0};
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const struct sl_macs one = sl_node_macs(graph, &graph->nodes[i]);
        sum.dense += one.dense;
        sum.nonzero += one.nonzero;
    }
    return sum;
}
