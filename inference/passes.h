// Passes over an imported graph: each makes it smaller without changing what it computes, within
// the rounding that accel/graph.h defines.
#ifndef SL_INFERENCE_PASSES_H
#define SL_INFERENCE_PASSES_H

#include "inference/graph.h"
#include "inference/onnx.h"

// Runs what the options allow, in order, and removes what is dead.
int passes_run(struct graph *graph, const struct sl_onnx_options *options, struct sl_error *error);

// Reshapes to the same shape.
int pass_identity(struct graph *graph, struct sl_error *error);
// Batch normalisation into the convolution before it.
int pass_batch_norm(struct graph *graph, struct sl_error *error);
// x * sigmoid(x), and activations into the operator before them.
int pass_activation(struct graph *graph, struct sl_error *error);
// Dequantise -> operator -> quantise into one quantised operator.
int pass_quant(struct graph *graph, struct sl_error *error);
// What is computed from constants alone (dequantised weights of operators that stayed in float).
int pass_fold(struct graph *graph, struct sl_error *error);
// Nodes whose results nobody reads.
int pass_dead(struct graph *graph, struct sl_error *error);

// Who writes and reads each tensor, for one pass.
struct uses {
    struct graph *graph;
    struct graph_index index;
    uint32_t *reader; // the last node that reads the tensor, UINT32_MAX if none
};

int uses_begin(struct graph *graph, struct uses *uses, struct sl_error *error);
void uses_end(struct uses *uses);
// The node that alone reads the tensor, or NULL (also if it is an output of the graph).
struct sl_node *uses_only_reader(const struct uses *uses, uint32_t tensor);
// Every reader of `from` and the graph's outputs read `to` from now on.
int uses_replace(struct uses *uses, uint32_t from, uint32_t to, struct sl_error *error);

#endif
