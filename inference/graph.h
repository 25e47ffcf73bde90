// The network while it is being built: what import fills, passes rewrite, and is then frozen into
// the read-only description of accel/graph.h.
//
// Tensors and nodes are those of accel/graph.h. Nodes stand in execution order; a node with
// SL_OP_NONE is dead and goes with the next sweep. All memory is the pool's.
#ifndef SL_INFERENCE_GRAPH_H
#define SL_INFERENCE_GRAPH_H

#include "accel/error.h"
#include "accel/graph.h"
#include "inference/pool.h"

#include <stdbool.h>
#include <stdint.h>

struct graph {
    struct pool pool;
    struct sl_tensor *tensors;
    struct sl_node *nodes;
    uint32_t *inputs, *outputs;
    uint32_t n_tensors, n_nodes, n_inputs, n_outputs;
    uint32_t room_tensors, room_nodes, room_inputs, room_outputs;
};

void graph_init(struct graph *graph, uint64_t memory_limit);
void graph_free(struct graph *graph);

// Adds a copy of `tensor`; what it points to must live as long as the graph.
int graph_add_tensor(struct graph *graph, const struct sl_tensor *tensor, uint32_t *out,
                     struct sl_error *error);
// Adds a copy of `node` and of its lists of inputs and outputs, at the end.
int graph_add_node(struct graph *graph, const struct sl_node *node, struct sl_error *error);
int graph_add_input(struct graph *graph, uint32_t tensor, struct sl_error *error);
int graph_add_output(struct graph *graph, uint32_t tensor, struct sl_error *error);

// Gives a node another list of inputs.
int graph_set_inputs(struct graph *graph, struct sl_node *node, const uint32_t *inputs,
                     uint32_t count, struct sl_error *error);
// Makes a node write another tensor in place of its first output.
int graph_set_output(struct graph *graph, struct sl_node *node, uint32_t tensor,
                     struct sl_error *error);

// Quantisation parameters in the graph's memory; zero_point may be NULL for zeros.
int graph_make_quant(struct graph *graph, uint32_t count, int32_t axis, const float *scale,
                     const int32_t *zero_point, struct sl_quant *out, struct sl_error *error);
bool graph_same_quant(const struct sl_quant *a, const struct sl_quant *b);

// A product of dims, or -1 beyond `limit` (negative dims too).
int64_t graph_elements(const int64_t *dims, uint32_t rank, int64_t limit);
bool graph_same_dims(const struct sl_tensor *a, const struct sl_tensor *b);
bool graph_is_constant(const struct graph *graph, uint32_t tensor); // false for SL_NO_TENSOR

// Who writes and how many read each tensor; a graph output counts as a reader.
struct graph_index {
    uint32_t *writer; // node number or UINT32_MAX
    uint32_t *readers;
};
int graph_index(struct graph *graph, struct graph_index *out, struct sl_error *error);
void graph_index_free(struct graph *graph, struct graph_index *index);
// The live node that writes `tensor`, or NULL; `op` SL_OP_NONE means any.
struct sl_node *graph_writer(const struct graph *graph, const struct graph_index *index,
                             uint32_t tensor, uint32_t op);

// Puts everything that the outputs need, and all inputs, into one description in `pool`.
int graph_freeze(const struct graph *graph, struct pool *pool, const char *name,
                 struct sl_graph *out, struct sl_error *error);

#endif
