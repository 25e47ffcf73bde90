// A patch of a picture through the convolutional part of a network, and the way back: derivatives
// of a loss by all weights and biases (reverse accumulation; Linnainmaa, 1970).
//
// The network is followed up to its heads, the last convolutions before its outputs. Patches are
// smaller than pictures: feature maps shrink with them.
#ifndef SL_INFERENCE_WORKSHOP_TAPE_H
#define SL_INFERENCE_WORKSHOP_TAPE_H

#include "inference/workshop/prune_channels.h"

struct tape_map { // of one tensor
    int64_t channels, height, width;
    float *value, *grad;
};

struct tape_layer { // weights of a convolution
    uint32_t node;
    uint64_t n_weights, n_biases;
    float *weights, *biases;          // not the tape's: shared between tapes
    float *weight_grads, *bias_grads; // sums until they are cleared
};

struct tape {
    const struct graph *graph;
    struct channels channels;
    uint32_t *nodes, n_nodes; // that lead to the heads, in execution order
    struct tape_map *maps;    // per tensor
    float **inner;            // per node: its results before the activation, where that is needed
    struct tape_layer *layers;
    uint32_t n_layers, *layer; // per node, UINT32_MAX
    float *columns, *column_grads;
    uint64_t most_columns;
    bool learns; // has gradients
};

// For patches of `height` x `width`. -ENOTSUP names a node of which no derivative is known.
int tape_open(const struct graph *graph, const uint32_t *heads, uint32_t n_heads, int64_t height,
              int64_t width, bool learns, struct tape *out, struct sl_error *error);
void tape_close(struct tape *tape);

// The input's map is filled in by the caller.
void tape_forward(struct tape *tape);
// Gradients of the heads' maps are filled in by the caller; those of the layers are added to.
void tape_backward(struct tape *tape);
void tape_clear_grads(struct tape *tape); // of all maps

#endif
