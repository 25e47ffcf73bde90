// The heads of a detector: its last convolutions, from which outputs are reached without another
// one.
#ifndef SL_INFERENCE_WORKSHOP_HEADS_H
#define SL_INFERENCE_WORKSHOP_HEADS_H

#include "inference/graph.h"

// Tensors of rank 4 that they write. -ENOSPC beyond `most`.
int heads_find(const struct graph *graph, uint32_t *out, uint32_t *count, uint32_t most,
               struct sl_error *error);

#endif
