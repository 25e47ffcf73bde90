// Convolution followed by batch normalisation: one convolution with other weights.
//
//     y = (w x + b - mean) s + bias,  s = scale / sqrt(variance + epsilon)
//       = (s w) x + (b - mean) s + bias
#include "inference/passes.h"

#include <math.h>
#include <string.h>

static bool constants(const struct graph *graph, const struct sl_node *node, uint32_t from)
{
    for (uint32_t i = from; i < node->n_inputs; i++)
        if (node->inputs[i] != SL_NO_TENSOR && (!graph_is_constant(graph, node->inputs[i]) ||
                                                graph->tensors[node->inputs[i]].dtype != SL_F32))
            return false;
    return true;
}

static const float *values(const struct graph *graph, const struct sl_node *node, uint32_t input)
{
    return graph->tensors[node->inputs[input]].data;
}

static int fold_into(struct graph *graph, struct sl_node *conv, const struct sl_node *norm,
                     struct sl_error *error)
{
    struct sl_tensor weight = graph->tensors[conv->inputs[1]];
    const int64_t channels = weight.dims[0];
    const int64_t each = channels ? (int64_t)(weight.bytes / sizeof(float)) / channels : 0;
    const bool has_bias = conv->n_inputs > 2 && conv->inputs[2] != SL_NO_TENSOR;
    const float *old_bias = has_bias ? values(graph, conv, 2) : NULL;
    const float *scale = values(graph, norm, 1), *shift = values(graph, norm, 2);
    const float *mean = values(graph, norm, 3), *variance = values(graph, norm, 4);
    float *w = pool_copy(&graph->pool, weight.data, weight.bytes);
    float *b = pool_array(&graph->pool, (uint64_t)channels, sizeof(float));
    if (!w || !b)
        return pool_error(&graph->pool, error);
    for (int64_t c = 0; c < channels; c++) {
        const float s = scale[c] / sqrtf(variance[c] + norm->attrs.epsilon);
        for (int64_t i = 0; i < each; i++)
            w[c * each + i] *= s;
        b[c] = ((old_bias ? old_bias[c] : 0) - mean[c]) * s + shift[c];
    }
    struct sl_tensor bias = {.name = norm->name,
                             .dtype = SL_F32,
                             .rank = 1,
                             .dims = {channels},
                             .data = b,
                             .bytes = (uint64_t)channels * sizeof(float)};
    uint32_t inputs[3] = {conv->inputs[0], 0, 0};
    weight.data = w;
    int status = graph_add_tensor(graph, &weight, &inputs[1], error);
    if (status == 0)
        status = graph_add_tensor(graph, &bias, &inputs[2], error);
    if (status == 0)
        status = graph_set_inputs(graph, conv, inputs, 3, error);
    return status < 0 ? status : graph_set_output(graph, conv, norm->outputs[0], error);
}

static bool same_channels(const struct graph *graph, const struct sl_node *conv,
                          const struct sl_node *norm)
{
    const struct sl_tensor *t = &graph->tensors[norm->inputs[1]];
    return t->rank == 1 && t->dims[0] == graph->tensors[conv->inputs[1]].dims[0];
}

int pass_batch_norm(struct graph *graph, struct sl_error *error)
{
    struct uses uses;
    int status = uses_begin(graph, &uses, error);
    if (status < 0)
        return status;
    for (uint32_t n = 0; n < graph->n_nodes && status == 0; n++) {
        struct sl_node *conv = &graph->nodes[n];
        if (conv->op != SL_OP_CONV || !constants(graph, conv, 1))
            continue;
        struct sl_node *norm = uses_only_reader(&uses, conv->outputs[0]);
        if (!norm || norm->op != SL_OP_BATCH_NORM || !constants(graph, norm, 1) ||
            !same_channels(graph, conv, norm))
            continue;
        status = fold_into(graph, conv, norm, error);
        norm->op = SL_OP_NONE;
    }
    uses_end(&uses);
    return status;
}
