// The network while it is being built: tensors, nodes, and who reads what.
#include "inference/graph.h"

#include <string.h>

void graph_init(struct graph *graph, uint64_t memory_limit)
{
    *graph = (struct graph){0};
    pool_init(&graph->pool, memory_limit);
}

void graph_free(struct graph *graph)
{
    pool_free(&graph->pool);
}

int graph_add_tensor(struct graph *graph, const struct sl_tensor *tensor, uint32_t *out,
                     struct sl_error *error)
{
    void *array = graph->tensors;
    if (!pool_grow(&graph->pool, &array, graph->n_tensors, &graph->room_tensors, sizeof(*tensor))) {
        return pool_error(&graph->pool, error);
    }
    graph->tensors = array;
    graph->tensors[graph->n_tensors] = *tensor;
    *out = graph->n_tensors++;
    return 0;
}

int graph_set_inputs(struct graph *graph, struct sl_node *node, const uint32_t *inputs,
                     uint32_t count, struct sl_error *error)
{
    uint32_t *copy = pool_copy(&graph->pool, inputs, (uint64_t)count * sizeof(*inputs));
    if (!copy) {
        return pool_error(&graph->pool, error);
    }
    node->inputs = copy;
    node->n_inputs = count;
    return 0;
}

int graph_set_output(struct graph *graph, struct sl_node *node, uint32_t tensor,
                     struct sl_error *error)
{
    uint32_t *copy =
        pool_copy(&graph->pool, node->outputs, (uint64_t)node->n_outputs * sizeof(*copy));
    if (!copy) {
        return pool_error(&graph->pool, error);
    }
    copy[0] = tensor;
    node->outputs = copy;
    return 0;
}

int graph_add_node(struct graph *graph, const struct sl_node *node, struct sl_error *error)
{
    void *array = graph->nodes;
    if (!pool_grow(&graph->pool, &array, graph->n_nodes, &graph->room_nodes, sizeof(*node))) {
        return pool_error(&graph->pool, error);
    }
    graph->nodes = array;
    struct sl_node *added = &graph->nodes[graph->n_nodes];
    *added = *node;
    int status = graph_set_inputs(graph, added, node->inputs, node->n_inputs, error);
    if (status) {
        return status;
    }
    added->outputs =
        pool_copy(&graph->pool, node->outputs, (uint64_t)node->n_outputs * sizeof(uint32_t));
    if (!added->outputs) {
        return pool_error(&graph->pool, error);
    }
    graph->n_nodes++;
    return 0;
}

static int add_number(struct pool *pool, uint32_t **numbers, uint32_t *count, uint32_t *room,
                      uint32_t number, struct sl_error *error)
{
    void *array = *numbers;
    if (!pool_grow(pool, &array, *count, room, sizeof(number))) {
        return pool_error(pool, error);
    }
    *numbers = array;
    (*numbers)[(*count)++] = number;
    return 0;
}

int graph_add_input(struct graph *graph, uint32_t tensor, struct sl_error *error)
{
    return add_number(&graph->pool, &graph->inputs, &graph->n_inputs, &graph->room_inputs, tensor,
                      error);
}

int graph_add_output(struct graph *graph, uint32_t tensor, struct sl_error *error)
{
    return add_number(&graph->pool, &graph->outputs, &graph->n_outputs, &graph->room_outputs,
                      tensor, error);
}

int graph_make_quant(struct graph *graph, uint32_t count, int32_t axis, const float *scale,
                     const int32_t *zero_point, struct sl_quant *out, struct sl_error *error)
{
    float *scales = pool_copy(&graph->pool, scale, (uint64_t)count * sizeof(*scale));
    int32_t *zeros = pool_array(&graph->pool, count, sizeof(*zeros));
    if (!scales || !zeros) {
        return pool_error(&graph->pool, error);
    }
    if (zero_point) {
        memcpy(zeros, zero_point, count * sizeof(*zeros));
    }
    *out = (struct sl_quant){
        .count = count, .axis = count > 1 ? axis : 0, .scale = scales, .zero_point = zeros};
    return 0;
}

bool graph_same_quant(const struct sl_quant *a, const struct sl_quant *b)
{
    if (a->count != b->count || (a->count > 1 && a->axis != b->axis)) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (a->scale[i] != b->scale[i] || a->zero_point[i] != b->zero_point[i]) {
            return false;
        }
    }
    return true;
}

int64_t graph_elements(const int64_t *dims, uint32_t rank, int64_t limit)
{
    int64_t elements = 1;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] < 0 || dims[i] > limit || (dims[i] > 0 && elements > limit / dims[i])) {
            return -1;
        }
        elements *= dims[i];
    }
    return elements;
}

bool graph_same_dims(const struct sl_tensor *a, const struct sl_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0])) == 0;
}

bool graph_is_constant(const struct graph *graph, uint32_t tensor)
{
    return tensor < graph->n_tensors && graph->tensors[tensor].data;
}

static void count_reader(struct graph_index *index, uint32_t tensor)
{
    if (tensor != SL_NO_TENSOR) {
        index->readers[tensor]++;
    }
}

int graph_index(struct graph *graph, struct graph_index *out, struct sl_error *error)
{
    struct graph_index index = {
        .writer = pool_array(&graph->pool, graph->n_tensors, sizeof(uint32_t)),
        .readers = pool_array(&graph->pool, graph->n_tensors, sizeof(uint32_t)),
    };
    if (!index.writer || !index.readers) {
        return pool_error(&graph->pool, error);
    }
    memset(index.writer, 0xFF, graph->n_tensors * sizeof(uint32_t));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const struct sl_node *node = &graph->nodes[n];
        for (uint32_t i = 0; node->op != SL_OP_NONE && i < node->n_inputs; i++) {
            count_reader(&index, node->inputs[i]);
        }
        for (uint32_t i = 0; node->op != SL_OP_NONE && i < node->n_outputs; i++) {
            index.writer[node->outputs[i]] = n;
        }
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        count_reader(&index, graph->outputs[i]);
    }
    *out = index;
    return 0;
}

void graph_index_free(struct graph *graph, struct graph_index *index)
{
    pool_release(&graph->pool, index->writer);
    pool_release(&graph->pool, index->readers);
}

struct sl_node *graph_writer(const struct graph *graph, const struct graph_index *index,
                             uint32_t tensor, uint32_t op)
{
    if (tensor == SL_NO_TENSOR || index->writer[tensor] == UINT32_MAX) {
        return NULL;
    }
    struct sl_node *node = &graph->nodes[index->writer[tensor]];
    return node->op == SL_OP_NONE || (op != SL_OP_NONE && node->op != op) ? NULL : node;
}
