// Which tensors become integers.
#include "inference/workshop/quantize_impl.h"

#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// How a node treats integers: not at all, in real arithmetic with a scale of its own for the
// result, or by moving them.
enum treatment { FLOAT_ONLY, REAL, MOVE };

static enum treatment treatment_of(const struct sl_node *node)
{
    switch (node->op) {
    case SL_OP_MAX_POOL:
    case SL_OP_RESHAPE:
    case SL_OP_TRANSPOSE:
    case SL_OP_CONCAT:
    case SL_OP_SLICE:
    case SL_OP_PAD:
    case SL_OP_GATHER:
    case SL_OP_EXPAND:
    case SL_OP_TILE:
    case SL_OP_DEPTH_TO_SPACE:
    case SL_OP_SPACE_TO_DEPTH:
        return node->activation.kind == SL_ACT_NONE ? MOVE : REAL;
    case SL_OP_RESIZE:
        return node->attrs.resize.mode == SL_RESIZE_NEAREST ? MOVE : REAL;
    case SL_OP_AVERAGE_POOL:
    case SL_OP_UNARY:
    case SL_OP_CLIP:
        return REAL;
    case SL_OP_BINARY:
        return node->attrs.binary == SL_BINARY_ADD || node->attrs.binary == SL_BINARY_SUB ||
                       node->attrs.binary == SL_BINARY_MUL
                   ? REAL
                   : FLOAT_ONLY;
    default:
        return FLOAT_ONLY;
    }
}

static bool is_data(const struct sl_node *node, uint32_t input)
{
    return node->inputs[input] != SL_NO_TENSOR && !(node->op == SL_OP_GATHER && input == 1);
}

// Operators with constant operands keep them exact by staying in float.
static bool can_be_integer(const struct graph *graph, const struct sl_node *node)
{
    if (treatment_of(node) == FLOAT_ONLY)
        return false;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (is_data(node, i) && graph_is_constant(graph, node->inputs[i]))
            return false;
    return true;
}

bool plan_is_integer(const struct plan *plan, uint32_t node)
{
    const struct sl_node *n = &plan->graph->nodes[node];
    if (weight_rows_exist(plan->graph, n))
        return !plan->kept[node];
    if (!plan->wanted[n->outputs[0]] || !can_be_integer(plan->graph, n))
        return false;
    for (uint32_t i = 0; i < n->n_inputs; i++)
        if (is_data(n, i) && !plan->wanted[n->inputs[i]])
            return false;
    return true;
}

uint32_t plan_root(const struct plan *plan, uint32_t tensor)
{
    while (plan->parent[tensor] != tensor)
        tensor = plan->parent[tensor] = plan->parent[plan->parent[tensor]];
    return tensor;
}

struct tensor_group *plan_group(const struct plan *plan, uint32_t tensor)
{
    return &plan->groups[plan_root(plan, tensor)];
}

// From the end: what a layer reads, and what the operators between two layers read.
static void want_tensors(struct plan *plan)
{
    const struct graph *g = plan->graph;
    memset(plan->wanted, 0, g->n_tensors * sizeof(*plan->wanted));
    for (uint32_t n = g->n_nodes; n-- > 0;) {
        const struct sl_node *node = &g->nodes[n];
        if (node->op == SL_OP_NONE)
            continue;
        if (weight_rows_exist(g, node)) {
            if (!plan->kept[n])
                plan->wanted[node->inputs[0]] = true;
            continue;
        }
        if (!plan->wanted[node->outputs[0]] || !can_be_integer(g, node))
            continue;
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (is_data(node, i))
                plan->wanted[node->inputs[i]] = true;
    }
}

int plan_tensors(struct plan *plan, struct sl_error *error)
{
    const struct graph *g = plan->graph;
    uint32_t count = 0;
    want_tensors(plan);
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        plan->parent[t] = t;
        count += plan->wanted[t];
        if (plan->wanted[t] && g->tensors[t].dtype != SL_F32)
            return sl_error_set(error, -ENOTSUP, "tensor '%s' holds integers, expected float32",
                                g->tensors[t].name);
    }
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const struct sl_node *node = &g->nodes[n];
        if (node->op == SL_OP_NONE || treatment_of(node) != MOVE || !plan_is_integer(plan, n))
            continue;
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (is_data(node, i))
                plan->parent[plan_root(plan, node->inputs[i])] = plan_root(plan, node->outputs[0]);
    }
    plan->report->n_tensors = count;
    if (count == 0)
        return sl_error_set(error, -ENOTSUP,
                            "nothing to quantise: no convolution or product with constant weights "
                            "(or all of them are kept in float)");
    return 0;
}
