// A layer's constants as rows, and back.
#include "inference/workshop/weight_rows.h"

#include "accel/tensor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_product(uint32_t op)
{
    return op == SL_OP_CONV || op == SL_OP_CONV_TRANSPOSE || op == SL_OP_GEMM || op == SL_OP_MATMUL;
}

bool weight_rows_exist(const struct graph *graph, const struct sl_node *node)
{
    if (!is_product(node->op) || node->n_inputs < 2 || graph_is_constant(graph, node->inputs[0]) ||
        !graph_is_constant(graph, node->inputs[1]))
        return false;
    if (node->n_inputs > 2 && node->inputs[2] != SL_NO_TENSOR &&
        (!graph_is_constant(graph, node->inputs[2]) || graph->tensors[node->inputs[2]].rank != 1))
        return false;
    if (node->op == SL_OP_GEMM &&
        (node->attrs.gemm.alpha != 1 || node->attrs.gemm.beta != 1 || node->attrs.gemm.trans_a))
        return false;
    if (node->op == SL_OP_CONV_TRANSPOSE && node->attrs.conv.group != 1)
        return false;
    const struct sl_tensor *w = &graph->tensors[node->inputs[1]];
    return w->dtype == SL_F32 && (node->op != SL_OP_MATMUL || w->rank == 2);
}

uint64_t weight_rows_index(const struct graph *graph, const struct sl_node *node, uint32_t i,
                           uint32_t j)
{
    const struct sl_tensor *w = &graph->tensors[node->inputs[1]];
    switch (node->op) {
    case SL_OP_CONV:
        return (uint64_t)i * (uint64_t)sl_dims_product(w, 1, w->rank) + j;
    case SL_OP_CONV_TRANSPOSE: { // [in][out][kernel]
        const uint64_t area = (uint64_t)sl_dims_product(w, 2, w->rank);
        return (j / area * (uint64_t)w->dims[1] + i) * area + j % area;
    }
    case SL_OP_GEMM:
        if (node->attrs.gemm.trans_b)
            return (uint64_t)i * (uint64_t)w->dims[1] + j;
        return (uint64_t)j * (uint64_t)w->dims[1] + i;
    default:
        return (uint64_t)j * (uint64_t)w->dims[w->rank - 1] + i;
    }
}

int weight_rows_read(const struct graph *graph, const struct sl_node *node, struct weight_rows *out,
                     struct sl_error *error)
{
    const struct sl_tensor *w = &graph->tensors[node->inputs[1]];
    const uint64_t total = (uint64_t)sl_elements(w);
    struct weight_rows r = {.groups = 1};
    r.m = (uint32_t)(node->op == SL_OP_CONV                               ? w->dims[0]
                     : node->op == SL_OP_CONV_TRANSPOSE                   ? w->dims[1]
                     : node->op == SL_OP_GEMM && node->attrs.gemm.trans_b ? w->dims[0]
                                                                          : w->dims[w->rank - 1]);
    r.k = r.m ? (uint32_t)(total / r.m) : 0;
    if (node->op == SL_OP_CONV)
        r.groups = (uint32_t)node->attrs.conv.group;
    r.values = malloc(total * sizeof(*r.values) + 1);
    if (!r.values)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < r.m; i++)
        for (uint32_t j = 0; j < r.k; j++)
            r.values[(uint64_t)i * r.k + j] =
                ((const float *)w->data)[weight_rows_index(graph, node, i, j)];
    *out = r;
    return 0;
}

static int write_bias(struct graph *g, const struct sl_node *node, uint32_t m, const float *change,
                      uint32_t *out, struct sl_error *error)
{
    const bool has_bias = node->n_inputs > 2 && node->inputs[2] != SL_NO_TENSOR;
    struct sl_tensor bias = {
        .name = node->name, .dtype = SL_F32, .rank = 1, .dims = {m}, .bytes = m * sizeof(float)};
    float *sums = pool_array(&g->pool, m, sizeof(*sums));
    if (!sums)
        return pool_error(&g->pool, error);
    if (has_bias) {
        bias = g->tensors[node->inputs[2]];
        memcpy(sums, bias.data, m * sizeof(*sums));
    }
    for (uint32_t i = 0; i < m; i++)
        sums[i] += change[i];
    bias.data = sums;
    return graph_add_tensor(g, &bias, out, error);
}

int weight_rows_write(struct graph *graph, uint32_t node, const struct weight_rows *rows,
                      const float *bias_change, struct sl_error *error)
{
    struct sl_node *n = &graph->nodes[node];
    struct sl_tensor weight = graph->tensors[n->inputs[1]];
    uint32_t inputs[3] = {n->inputs[0], 0, n->n_inputs > 2 ? n->inputs[2] : SL_NO_TENSOR};
    float *values = pool_alloc(&graph->pool, weight.bytes);
    bool changed = false;
    if (!values)
        return pool_error(&graph->pool, error);
    for (uint32_t i = 0; i < rows->m; i++)
        for (uint32_t j = 0; j < rows->k; j++)
            values[weight_rows_index(graph, n, i, j)] = rows->values[(uint64_t)i * rows->k + j];
    for (uint32_t i = 0; bias_change && i < rows->m; i++)
        changed |= bias_change[i] != 0;
    weight.data = values;
    int status = graph_add_tensor(graph, &weight, &inputs[1], error);
    if (status == 0 && changed && n->op != SL_OP_MATMUL)
        status = write_bias(graph, n, rows->m, bias_change, &inputs[2], error);
    return status < 0
               ? status
               : graph_set_inputs(graph, n, inputs, inputs[2] == SL_NO_TENSOR ? 2 : 3, error);
}
