// The order of the passes, and what they share.
#include "inference/passes.h"

#include "accel/reference.h"

#include <errno.h>
#include <math.h>
#include <string.h>

int uses_begin(struct graph *graph, struct uses *uses, struct sl_error *error)
{
    *uses = (struct uses){.graph = graph};
    int status = graph_index(graph, &uses->index, error);
    if (status < 0)
        return status;
    uses->reader = pool_array(&graph->pool, graph->n_tensors, sizeof(*uses->reader));
    if (!uses->reader) {
        status = pool_error(&graph->pool, error);
        graph_index_free(graph, &uses->index);
        return status;
    }
    memset(uses->reader, 0xff, graph->n_tensors * sizeof(*uses->reader));
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; graph->nodes[n].op != SL_OP_NONE && i < graph->nodes[n].n_inputs; i++)
            if (graph->nodes[n].inputs[i] != SL_NO_TENSOR)
                uses->reader[graph->nodes[n].inputs[i]] = n;
    return 0;
}

void uses_end(struct uses *uses)
{
    pool_release(&uses->graph->pool, uses->reader);
    graph_index_free(uses->graph, &uses->index);
}

struct sl_node *uses_only_reader(const struct uses *uses, uint32_t tensor)
{
    if (uses->index.readers[tensor] != 1 || uses->reader[tensor] == UINT32_MAX)
        return NULL;
    struct sl_node *node = &uses->graph->nodes[uses->reader[tensor]];
    return node->op == SL_OP_NONE ? NULL : node;
}

int uses_replace(struct uses *uses, uint32_t from, uint32_t to, struct sl_error *error)
{
    struct graph *g = uses->graph;
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        struct sl_node *node = &g->nodes[n];
        uint32_t inputs[64];
        bool changed = false;
        if (node->op == SL_OP_NONE || node->n_inputs > 64)
            continue;
        for (uint32_t i = 0; i < node->n_inputs; i++) {
            inputs[i] = node->inputs[i] == from ? to : node->inputs[i];
            changed |= inputs[i] != node->inputs[i];
        }
        const int status = changed ? graph_set_inputs(g, node, inputs, node->n_inputs, error) : 0;
        if (status < 0)
            return status;
        if (changed)
            uses->reader[to] = n;
    }
    uses->index.readers[to] += uses->index.readers[from];
    uses->index.readers[from] = 0;
    return 0;
}

static bool is_output(const struct graph *graph, uint32_t tensor)
{
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        if (graph->outputs[i] == tensor)
            return true;
    return false;
}

int pass_identity(struct graph *graph, struct sl_error *error)
{
    struct uses uses;
    int status = uses_begin(graph, &uses, error);
    if (status < 0)
        return status;
    for (uint32_t n = 0; n < graph->n_nodes && status == 0; n++) {
        struct sl_node *node = &graph->nodes[n];
        if (node->op != SL_OP_RESHAPE || node->activation.kind != SL_ACT_NONE ||
            is_output(graph, node->outputs[0]) ||
            !graph_same_dims(&graph->tensors[node->inputs[0]], &graph->tensors[node->outputs[0]]))
            continue;
        status = uses_replace(&uses, node->outputs[0], node->inputs[0], error);
        node->op = SL_OP_NONE;
    }
    uses_end(&uses);
    return status;
}

static bool all_constant(const struct graph *graph, const struct sl_node *node)
{
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] != SL_NO_TENSOR && !graph_is_constant(graph, node->inputs[i]))
            return false;
    return node->n_inputs > 0;
}

int pass_fold(struct graph *graph, struct sl_error *error)
{
    void **data = pool_array(&graph->pool, graph->n_tensors, sizeof(*data));
    int status = data ? 0 : pool_error(&graph->pool, error);
    for (uint32_t n = 0; n < graph->n_nodes && status == 0; n++) {
        struct sl_node *node = &graph->nodes[n];
        if (node->op == SL_OP_NONE || !all_constant(graph, node))
            continue;
        for (uint32_t i = 0; i < node->n_outputs && status == 0; i++) {
            struct sl_tensor *t = &graph->tensors[node->outputs[i]];
            data[node->outputs[i]] = pool_alloc(&graph->pool, t->bytes);
            if (!data[node->outputs[i]])
                status = pool_error(&graph->pool, error);
        }
        if (status == 0)
            status = sl_reference_run(graph->tensors, node, data, error);
        for (uint32_t i = 0; i < node->n_outputs; i++)
            graph->tensors[node->outputs[i]].data = data[node->outputs[i]];
        node->op = SL_OP_NONE;
    }
    return status;
}

int pass_dead(struct graph *graph, struct sl_error *error)
{
    bool *needed = pool_array(&graph->pool, graph->n_tensors, sizeof(*needed));
    if (!needed)
        return pool_error(&graph->pool, error);
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        needed[graph->outputs[i]] = true;
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        struct sl_node *node = &graph->nodes[n];
        bool live = false;
        for (uint32_t i = 0; node->op != SL_OP_NONE && i < node->n_outputs; i++)
            live |= needed[node->outputs[i]];
        if (!live)
            node->op = SL_OP_NONE;
        for (uint32_t i = 0; live && i < node->n_inputs; i++)
            if (node->inputs[i] != SL_NO_TENSOR)
                needed[node->inputs[i]] = true;
    }
    pool_release(&graph->pool, needed);
    return 0;
}

// Weights and biases that are no numbers would spread over every result: the file is damaged.
static int check_weights(struct graph *graph, struct sl_error *error)
{
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const struct sl_node *node = &graph->nodes[n];
        if (node->op != SL_OP_CONV && node->op != SL_OP_CONV_TRANSPOSE && node->op != SL_OP_GEMM &&
            node->op != SL_OP_MATMUL)
            continue;
        for (uint32_t i = 1; i < node->n_inputs; i++) {
            const uint32_t input = node->inputs[i];
            if (input == SL_NO_TENSOR || !graph_is_constant(graph, input) ||
                graph->tensors[input].dtype != SL_F32)
                continue;
            const struct sl_tensor *t = &graph->tensors[input];
            const float *values = t->data;
            for (uint64_t k = 0; k < t->bytes / sizeof(float); k++)
                if (!isfinite(values[k]))
                    return sl_error_set(error, -EINVAL,
                                        "node '%s' (%s): value %llu of '%s' is %g, expected a "
                                        "finite number; export it again from a training that "
                                        "did not diverge",
                                        node->name, sl_node_op_name(node), (unsigned long long)k,
                                        t->name ? t->name : "", (double)values[k]);
        }
    }
    return 0;
}

int passes_run(struct graph *graph, const struct sl_onnx_options *options, struct sl_error *error)
{
    const struct {
        int (*run)(struct graph *graph, struct sl_error *error);
        bool wanted;
    } passes[] = {
        {pass_identity, !options->no_fusion},
        {pass_batch_norm, !options->no_fusion},
        {pass_activation, !options->no_fusion},
        {pass_quant, !options->no_fusion && !options->keep_float},
        {pass_fold, true},
        {pass_dead, true},
        {check_weights, true},
    };
    int status = 0;
    for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]) && status == 0; i++)
        if (passes[i].wanted)
            status = passes[i].run(graph, error);
    return status;
}
