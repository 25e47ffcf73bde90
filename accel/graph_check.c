// The check of a whole network description: nothing in it is believed before it passes.
#include "accel/graph_check.h"

#include "accel/operator.h"
#include "accel/reference.h"
#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

static const char *name_of(const struct sl_tensor *tensor)
{
    return tensor->name ? tensor->name : "";
}

static int check_header(const struct sl_graph *graph, struct sl_error *error)
{
    if (!graph)
        return sl_error_set(error, -EINVAL, "graph: NULL");
    if (graph->version != SL_GRAPH_VERSION)
        return sl_error_set(error, -ENOTSUP, "graph: version %u, expected %u", graph->version,
                            SL_GRAPH_VERSION);
    if (graph->struct_size < sizeof(struct sl_graph))
        return sl_error_set(error, -EINVAL, "graph: struct_size is %u, expected at least %zu",
                            graph->struct_size, sizeof(struct sl_graph));
    if (graph->n_tensors > SL_GRAPH_MAX_TENSORS || graph->n_nodes > SL_GRAPH_MAX_NODES)
        return sl_error_set(error, -E2BIG, "graph: %u tensors and %u nodes, at most %u and %u",
                            graph->n_tensors, graph->n_nodes, SL_GRAPH_MAX_TENSORS,
                            SL_GRAPH_MAX_NODES);
    if (graph->n_inputs > graph->n_tensors || graph->n_outputs > graph->n_tensors)
        return sl_error_set(error, -EINVAL, "graph: more inputs or outputs than tensors");
    if (graph->n_outputs == 0)
        return sl_error_set(error, -EINVAL, "graph: no outputs");
    if ((graph->n_tensors && !graph->tensors) || (graph->n_nodes && !graph->nodes) ||
        (graph->n_inputs && !graph->inputs) || !graph->outputs)
        return sl_error_set(error, -EINVAL, "graph: a table is NULL");
    return 0;
}

static int check_size(const struct sl_tensor *tensor, struct sl_error *error)
{
    uint64_t bytes = sl_dtype_size(tensor->dtype);
    if (bytes == 0)
        return sl_error_set(error, -ENOTSUP, "type %u is not known", tensor->dtype);
    if (tensor->rank > SL_MAX_RANK)
        return sl_error_set(error, -EINVAL, "%u dimensions, at most %d", tensor->rank, SL_MAX_RANK);
    bool empty = false;
    for (uint32_t i = 0; i < tensor->rank; i++) {
        int64_t dim = tensor->dims[i];
        if (dim < 0)
            return sl_error_set(error, -EINVAL, "dimension %u is %lld", i, (long long)dim);
        if (dim == 0)
            empty = true;
        else if ((uint64_t)dim > SL_GRAPH_MAX_TENSOR_BYTES / bytes)
            return sl_error_set(error, -E2BIG, "larger than %llu bytes",
                                (unsigned long long)SL_GRAPH_MAX_TENSOR_BYTES);
        else
            bytes *= (uint64_t)dim;
    }
    bytes = empty ? 0 : bytes;
    if (tensor->bytes != bytes)
        return sl_error_set(error, -EINVAL, "%llu bytes, but %llu follow from the dimensions",
                            (unsigned long long)tensor->bytes, (unsigned long long)bytes);
    return 0;
}

static int check_quant(const struct sl_tensor *tensor, struct sl_error *error)
{
    const struct sl_quant *quant = &tensor->quant;
    if (quant->count == 0)
        return 0;
    if (!sl_is_8bit(tensor) && tensor->dtype != SL_I32)
        return sl_error_set(error, -ENOTSUP, "quantised %s", sl_dtype_name(tensor->dtype));
    if (!quant->scale || !quant->zero_point)
        return sl_error_set(error, -EINVAL, "scale or zero point is NULL");
    if (quant->count > 1) {
        uint32_t axis = sl_axis(quant->axis, tensor->rank);
        if (axis == tensor->rank || tensor->dims[axis] != quant->count)
            return sl_error_set(error, -EINVAL, "%u scales do not fit axis %d", quant->count,
                                quant->axis);
    }
    int64_t low, high;
    sl_dtype_range(tensor->dtype, &low, &high);
    for (uint32_t i = 0; i < quant->count; i++) {
        if (!(quant->scale[i] > 0.0f) || !isnormal(quant->scale[i]))
            return sl_error_set(error, -EINVAL, "scale %u is %g", i, (double)quant->scale[i]);
        if (quant->zero_point[i] < low || quant->zero_point[i] > high)
            return sl_error_set(error, -EINVAL, "zero point %u is %d, outside of %s", i,
                                quant->zero_point[i], sl_dtype_name(tensor->dtype));
    }
    return 0;
}

static int check_tensors(const struct sl_graph *graph, struct sl_error *error)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < graph->n_tensors; i++) {
        const struct sl_tensor *tensor = &graph->tensors[i];
        int status = check_size(tensor, error);
        if (status == 0)
            status = check_quant(tensor, error);
        if (status)
            return sl_error_prefix(error, status, "tensor %u '%s'", i, name_of(tensor));
        total += tensor->bytes; // at most 2^18 times 2^31
    }
    if (total > SL_GRAPH_MAX_BYTES)
        return sl_error_set(error, -E2BIG, "graph: tensors of %llu bytes, at most %llu",
                            (unsigned long long)total, (unsigned long long)SL_GRAPH_MAX_BYTES);
    return 0;
}

// `known[t]`: tensor t has contents by the time the next node runs.
struct progress {
    const struct sl_graph *graph;
    unsigned char *known;
    struct sl_error *error;
};

static int check_inputs(struct progress *p)
{
    const struct sl_graph *graph = p->graph;
    for (uint32_t i = 0; i < graph->n_tensors; i++)
        p->known[i] = graph->tensors[i].data != NULL;
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        uint32_t number = graph->inputs[i];
        if (number >= graph->n_tensors)
            return sl_error_set(p->error, -EINVAL, "graph: input %u is tensor %u of %u", i, number,
                                graph->n_tensors);
        if (p->known[number])
            return sl_error_set(p->error, -EINVAL,
                                "graph: input %u '%s' is constant or stands twice", i,
                                name_of(&graph->tensors[number]));
        p->known[number] = 1;
    }
    return 0;
}

static int bad_operand(const struct progress *p, const struct sl_node *node, const char *what,
                       uint32_t index, const char *problem)
{
    return sl_error_set(p->error, -EINVAL, "node '%s' (%s): %s %u %s", node->name ? node->name : "",
                        sl_node_op_name(node), what, index, problem);
}

static int check_reads(const struct progress *p, const struct sl_node *node)
{
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        uint32_t number = node->inputs[i];
        if (number == SL_NO_TENSOR)
            continue;
        if (number >= p->graph->n_tensors)
            return bad_operand(p, node, "input", i, "is not a tensor of the graph");
        if (!p->known[number])
            return bad_operand(p, node, "input", i, "is read before it is written");
    }
    return 0;
}

static int check_writes(struct progress *p, const struct sl_node *node)
{
    for (uint32_t i = 0; i < node->n_outputs; i++) {
        uint32_t number = node->outputs[i];
        if (number == SL_NO_TENSOR)
            continue; // refused by the operator's rules, if it is
        if (number >= p->graph->n_tensors)
            return bad_operand(p, node, "output", i, "is not a tensor of the graph");
        if (p->known[number])
            return bad_operand(p, node, "output", i, "is constant or already written");
        p->known[number] = 1;
    }
    return 0;
}

static int check_nodes(struct progress *p)
{
    const struct sl_graph *graph = p->graph;
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const struct sl_node *node = &graph->nodes[i];
        if ((node->n_inputs && !node->inputs) || (node->n_outputs && !node->outputs))
            return sl_error_set(p->error, -EINVAL, "node %u: inputs or outputs are NULL", i);
        int status = check_reads(p, node);
        if (status == 0)
            status = check_writes(p, node);
        if (status == 0)
            status = sl_node_check(graph->tensors, node, p->error);
        if (status)
            return status;
    }
    return 0;
}

static int check_outputs(const struct progress *p)
{
    const struct sl_graph *graph = p->graph;
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        uint32_t number = graph->outputs[i];
        if (number >= graph->n_tensors)
            return sl_error_set(p->error, -EINVAL, "graph: output %u is tensor %u of %u", i, number,
                                graph->n_tensors);
        if (!p->known[number])
            return sl_error_set(p->error, -EINVAL, "graph: output %u '%s' is never written", i,
                                name_of(&graph->tensors[number]));
    }
    return 0;
}

int sl_graph_check(const struct sl_graph *graph, struct sl_error *error)
{
    int status = check_header(graph, error);
    if (status == 0)
        status = check_tensors(graph, error);
    if (status)
        return status;
    struct progress p = {graph, calloc(graph->n_tensors + 1u, 1), error};
    if (!p.known)
        return sl_error_set(error, -ENOMEM, "graph: no memory for %u tensors", graph->n_tensors);
    status = check_inputs(&p);
    if (status == 0)
        status = check_nodes(&p);
    if (status == 0)
        status = check_outputs(&p);
    free(p.known);
    return status;
}
