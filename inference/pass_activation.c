// Activations become part of the operator before them.
#include "inference/passes.h"

static bool takes_activation(uint32_t op)
{
    return op == SL_OP_CONV || op == SL_OP_CONV_TRANSPOSE || op == SL_OP_GEMM ||
           op == SL_OP_MATMUL || op == SL_OP_BINARY;
}

// x * sigmoid(x), in either order.
static void fuse_silu(const struct uses *uses, struct sl_node *mul, struct sl_error *error)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct sl_node *gate = graph_writer(uses->graph, &uses->index, mul->inputs[i], SL_OP_UNARY);
        if (!gate || gate->attrs.unary.kind != SL_UNARY_SIGMOID ||
            gate->inputs[0] != mul->inputs[1 - i] || gate->activation.kind != SL_ACT_NONE)
            continue;
        const uint32_t input = gate->inputs[0];
        if (graph_set_inputs(uses->graph, mul, &input, 1, error) == 0) {
            mul->op = SL_OP_UNARY;
            mul->attrs = (union sl_attrs){.unary = {SL_UNARY_SILU, 0, 0}};
        }
        return;
    }
}

static bool as_activation(const struct sl_node *node, struct sl_activation *out)
{
    if (node->op == SL_OP_CLIP) {
        *out = (struct sl_activation){SL_ACT_CLIP, node->attrs.clip.low, node->attrs.clip.high};
        return true;
    }
    if (node->op != SL_OP_UNARY || node->attrs.unary.kind == SL_UNARY_NOT)
        return false;
    *out = (struct sl_activation){node->attrs.unary.kind, node->attrs.unary.alpha,
                                  node->attrs.unary.beta};
    return true;
}

static int fuse_next(const struct uses *uses, struct sl_node *node, struct sl_error *error)
{
    struct graph *graph = uses->graph;
    struct sl_activation activation;
    if (!takes_activation(node->op) || node->activation.kind != SL_ACT_NONE ||
        graph->tensors[node->outputs[0]].dtype != SL_F32)
        return 0;
    struct sl_node *next = uses_only_reader(uses, node->outputs[0]);
    if (!next || next->activation.kind != SL_ACT_NONE || !as_activation(next, &activation))
        return 0;
    const int status = graph_set_output(graph, node, next->outputs[0], error);
    node->activation = activation;
    next->op = SL_OP_NONE;
    return status;
}

int pass_activation(struct graph *graph, struct sl_error *error)
{
    struct uses uses;
    int status = uses_begin(graph, &uses, error);
    if (status < 0)
        return status;
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (graph->nodes[n].op == SL_OP_BINARY && graph->nodes[n].attrs.binary == SL_BINARY_MUL)
            fuse_silu(&uses, &graph->nodes[n], error);
    uses_end(&uses);
    status = pass_dead(graph, error);
    if (status == 0)
        status = uses_begin(graph, &uses, error);
    if (status < 0)
        return status;
    for (uint32_t n = 0; n < graph->n_nodes && status == 0; n++)
        status = fuse_next(&uses, &graph->nodes[n], error);
    uses_end(&uses);
    return status;
}
