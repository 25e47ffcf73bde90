// A model on the workbench: what is known about it, and its network as something to be rewritten.
//
// The network is the one that the engine runs: constants folded, batch normalisation in the
// convolutions, activations in the nodes before them (struct sl_node, `activation`).
#ifndef SL_INFERENCE_WORKSHOP_NETWORK_H
#define SL_INFERENCE_WORKSHOP_NETWORK_H

#include "accel/error.h"
#include "inference/graph.h"
#include "inference/model.h"
#include "inference/onnx_write.h"

struct network {
    const struct sl_model *model; // as it was read; its names and constants are used by `graph`
    struct graph graph;           // free to change
    struct pool constants;        // what `graph` uses beside the model
};

// `path` is a model's folder, or an .onnx file with a model.yaml beside it; `contract` is another
// model.yaml to be used for it, or NULL. -EINVAL names what is missing.
int network_open(const char *path, const char *contract, struct network *out,
                 struct sl_error *error);
void network_close(struct network *network);

// True if a tensor of the network is quantised already.
bool network_is_quantised(const struct network *network);

// A copy with nodes and lists of its own; constants' contents are shared with `from`.
int network_copy(const struct graph *from, struct graph *to, struct sl_error *error);

// Puts a copy of `graph`, with all that its outputs need, in the place of network->graph; `graph`
// may use what the old one holds, and is not used afterwards.
int network_replace(struct network *network, const struct graph *graph, struct sl_error *error);

// The part of the graph that `outputs` need, as a description whose outputs they are, in `pool`.
int network_cut(const struct graph *graph, const uint32_t *outputs, uint32_t count,
                struct pool *pool, struct sl_graph *out, struct sl_error *error);

// The network as an .onnx file, to be freed by the caller. Metadata of the file that was read is
// kept; `more` is added to it or replaces what has the same key.
int network_bytes(const struct network *network, enum sl_weight_storage weights,
                  const struct sl_onnx_metadata *more, uint32_t n_more, void **bytes, size_t *size,
                  struct sl_error *error);

// Writes folder `out`: the network, model.yaml and all that it names (licence, golden pictures).
// All or nothing: a folder that exists is refused (-EEXIST), and none is left after a failure.
int network_save(const struct network *network, const char *out, enum sl_weight_storage weights,
                 const struct sl_onnx_metadata *more, uint32_t n_more, struct sl_error *error);

#endif
