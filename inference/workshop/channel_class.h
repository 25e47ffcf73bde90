// Which channels of a network carry the same numbers: those of a convolution's result stay one
// class through everything that only moves, pools or adds them, however they are mixed (shuffles,
// concatenations, slices), up to the convolutions that read them.
//
// All numbers of a class can be divided by s > 0 without a change of what the network computes: its
// writers' rows are divided and its readers' columns multiplied by s.
//
// Found by sending labels through the network's own operators: each element of a tensor is the
// number of its class.
#ifndef SL_INFERENCE_WORKSHOP_CHANNEL_CLASS_H
#define SL_INFERENCE_WORKSHOP_CHANNEL_CLASS_H

#include "accel/error.h"
#include "inference/graph.h"

#include <stdbool.h>
#include <stdint.h>

// Class of channels that must stay as they are: read or written by something else.
enum { CHANNEL_FIXED = 1 };

struct channel_classes {
    uint32_t n_nodes, count; // classes are numbers below `count`
    // Per convolution (NULL for other nodes): the class of each input and output channel.
    uint32_t **reads, **writes;
};

int channel_classes_find(const struct graph *graph, struct channel_classes *out,
                         struct sl_error *error);
void channel_classes_free(struct channel_classes *classes);

#endif
