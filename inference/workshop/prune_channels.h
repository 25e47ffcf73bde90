// Which channels of a network can only go together, and which have to stay.
//
// A plane is one channel of a feature map [1][C][H][W]. Every plane that a node computes has a
// slot; slots that can only go together are joined. Tensors that merely rearrange planes (Concat,
// Slice, the channel shuffle's Reshape and Transpose) have none of their own: they are lists of
// others', whatever the dimensions before the planes, and also where rows and columns have become
// one dimension.
#ifndef SL_INFERENCE_WORKSHOP_PRUNE_CHANNELS_H
#define SL_INFERENCE_WORKSHOP_PRUNE_CHANNELS_H

#include "inference/graph.h"

#include <stdbool.h>

struct prune_plane {
    uint32_t tensor, channel; // where it is computed
};

struct channels {
    const struct graph *graph;
    struct pool pool;
    uint32_t *count;            // per tensor: its planes; 0 where it is not made of planes
    struct prune_plane **moved; // per tensor: its planes if it only rearranges; NULL: its own
    int64_t (*plane)[2];        // per tensor with planes: their rows and columns
    bool *flat;                 // per tensor: rows and columns are one dimension
    uint32_t *first;            // per tensor: slot of its own plane 0
    uint32_t n_slots;
    uint32_t *parent;      // per slot
    const char **fixed_by; // per slot, at its root: the node for which it has to stay, or NULL
    bool *gone;            // per slot, at its root
};

// How a node treats the channels of its first input.
enum channel_rule {
    CHANNELS_WHOLE,     // not known: all that it reads and writes has to stay
    CHANNELS_MIX,       // a dense convolution: new channels from all
    CHANNELS_KEEP,      // channel by channel
    CHANNELS_REARRANGE, // moves planes
};
enum channel_rule channels_rule(const struct channels *channels, const struct sl_node *node);

// The graph must outlive it. -ENOTSUP: batches of several pictures.
int channels_find(const struct graph *graph, struct channels *out, struct sl_error *error);
void channels_free(struct channels *channels);

struct prune_plane channels_plane(const struct channels *channels, uint32_t tensor, uint32_t i);
// The root slot of plane `i` of a tensor.
uint32_t channels_slot(const struct channels *channels, uint32_t tensor, uint32_t i);
// Planes of the tensor that are not gone.
uint32_t channels_left(const struct channels *channels, uint32_t tensor);

#endif
