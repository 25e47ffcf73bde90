// Convolutions of a tape, on matrix products.
#ifndef SL_INFERENCE_WORKSHOP_TAPE_CONV_H
#define SL_INFERENCE_WORKSHOP_TAPE_CONV_H

#include "inference/workshop/tape.h"

// Numbers of the matrix of windows of one group.
uint64_t tape_columns(const struct tape *tape, const struct sl_node *node);
void tape_conv_forward(struct tape *tape, uint32_t node);
void tape_conv_backward(struct tape *tape, uint32_t node);

#endif
