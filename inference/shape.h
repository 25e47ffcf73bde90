// Shape inference: what a node of accel/graph.h makes of the shapes and types it is given.
//
// The importer calls it for every node that it makes, so a node that is in a graph has inputs that
// fit its attributes and each other.
#ifndef SL_INFERENCE_SHAPE_H
#define SL_INFERENCE_SHAPE_H

#include "accel/error.h"
#include "accel/graph.h"

#include <stdint.h>

// Fills dtype, rank, dims and bytes of the node's outputs (`outputs[i]` is the i-th). Where a shape
// does not follow from the inputs and the attributes (Reshape, Slice, Expand, Tile, Resize) the
// caller has set rank and dims, and they are checked. A dtype that the caller has set is kept.
// -EINVAL: the inputs do not fit; -E2BIG: an output is beyond SL_ONNX_MAX_ELEMENTS.
int shape_infer(const struct sl_tensor *tensors, const struct sl_node *node,
                struct sl_tensor *outputs, struct sl_error *error);

// "1x3x640x640", or "scalar".
#define SHAPE_TEXT 96
const char *shape_text(const int64_t *dims, uint32_t rank, char out[SHAPE_TEXT]);

// The result of numpy broadcasting, or -EINVAL.
int shape_broadcast(const struct sl_tensor *a, const struct sl_tensor *b, struct sl_tensor *out);

struct shape_node {
    const struct sl_node *node;
    const struct sl_tensor *in[4]; // the first inputs, NULL where absent
    const struct sl_tensor *tensors;
    struct sl_tensor *out;
    struct sl_error *error;
};

// The rules that live in shape_conv.c.
int shape_conv(struct shape_node *s);
int shape_conv_transpose(struct shape_node *s);
int shape_pool(struct shape_node *s);
int shape_gemm(struct shape_node *s);
int shape_matmul(struct shape_node *s);

#endif
