// The finished network: what the outputs need, renumbered and packed into read-only arrays.
#include "inference/graph.h"

#include <string.h>

struct freeze {
    const struct graph *graph;
    struct pool *pool;
    uint32_t *number; // of each tensor in the result, UINT32_MAX if it is not part of it
    struct sl_tensor *tensors;
    uint32_t n_tensors;
};

static bool copy_quant(struct freeze *f, struct sl_quant *quant)
{
    if (quant->count == 0) {
        *quant = (struct sl_quant){0};
        return true;
    }
    quant->scale = pool_copy(f->pool, quant->scale, (uint64_t)quant->count * sizeof(float));
    quant->zero_point =
        pool_copy(f->pool, quant->zero_point, (uint64_t)quant->count * sizeof(int32_t));
    return quant->scale && quant->zero_point;
}

static bool keep_tensor(struct freeze *f, uint32_t tensor)
{
    if (tensor == SL_NO_TENSOR || f->number[tensor] != UINT32_MAX) {
        return true;
    }
    struct sl_tensor *copy = &f->tensors[f->n_tensors];
    *copy = f->graph->tensors[tensor];
    copy->name = pool_string(f->pool, copy->name, strlen(copy->name));
    if (copy->data) {
        copy->data = pool_copy(f->pool, copy->data, copy->bytes);
    }
    f->number[tensor] = f->n_tensors++;
    return copy->name && copy_quant(f, &copy->quant) &&
           (!f->graph->tensors[tensor].data || copy->data);
}

static const uint32_t *renumber(struct freeze *f, const uint32_t *tensors, uint32_t count)
{
    uint32_t *copy = pool_array(f->pool, count, sizeof(*copy));
    for (uint32_t i = 0; copy && i < count; i++) {
        if (!keep_tensor(f, tensors[i])) {
            return NULL;
        }
        copy[i] = tensors[i] == SL_NO_TENSOR ? SL_NO_TENSOR : f->number[tensors[i]];
    }
    return copy;
}

static bool freeze_nodes(struct freeze *f, struct sl_graph *out)
{
    struct sl_node *nodes = pool_array(f->pool, f->graph->n_nodes, sizeof(*nodes));
    if (!nodes) {
        return false;
    }
    for (uint32_t n = 0; n < f->graph->n_nodes; n++) {
        const struct sl_node *node = &f->graph->nodes[n];
        if (node->op == SL_OP_NONE) {
            continue;
        }
        struct sl_node *copy = &nodes[out->n_nodes++];
        *copy = *node;
        copy->name = pool_string(f->pool, node->name, strlen(node->name));
        copy->inputs = renumber(f, node->inputs, node->n_inputs);
        copy->outputs = renumber(f, node->outputs, node->n_outputs);
        if (!copy->name || !copy->inputs || !copy->outputs) {
            return false;
        }
    }
    out->nodes = nodes;
    return true;
}

static bool freeze_all(struct freeze *f, const char *name, struct sl_graph *out)
{
    f->tensors = pool_array(f->pool, f->graph->n_tensors, sizeof(*f->tensors));
    f->number = pool_array(f->pool, f->graph->n_tensors, sizeof(*f->number));
    if (!f->tensors || !f->number) {
        return false;
    }
    memset(f->number, 0xFF, f->graph->n_tensors * sizeof(*f->number));
    *out = (struct sl_graph){
        .version = SL_GRAPH_VERSION,
        .struct_size = sizeof(*out),
        .name = pool_string(f->pool, name, strlen(name)),
        .n_inputs = f->graph->n_inputs,
        .n_outputs = f->graph->n_outputs,
        .inputs = renumber(f, f->graph->inputs, f->graph->n_inputs),
        .outputs = renumber(f, f->graph->outputs, f->graph->n_outputs),
    };
    if (!out->name || !out->inputs || !out->outputs || !freeze_nodes(f, out)) {
        return false;
    }
    out->tensors = f->tensors;
    out->n_tensors = f->n_tensors;
    pool_release(f->pool, f->number);
    return true;
}

int graph_freeze(const struct graph *graph, struct pool *pool, const char *name,
                 struct sl_graph *out, struct sl_error *error)
{
    struct freeze f = {.graph = graph, .pool = pool};
    struct sl_graph frozen;
    if (!freeze_all(&f, name, &frozen)) {
        return pool_error(pool, error);
    }
    *out = frozen;
    return 0;
}
