// ONNX out: a network description -> bytes of a .onnx file. The inverse of inference/onnx.h: what
// is written and loaded again is the same network, node for node.
//
// Operator set 17, file format (IR) 8. Quantised tensors are written in the QDQ form: every result
// is followed by QuantizeLinear and DequantizeLinear, constants stand as integers before a
// DequantizeLinear. Fused activations become nodes of their own; operators that ONNX does not have
// (SiLU, Mish) are written with the ones that it has.
#ifndef SL_INFERENCE_ONNX_WRITE_H
#define SL_INFERENCE_ONNX_WRITE_H

#include "accel/error.h"
#include "accel/graph.h"
#include "inference/onnx.h"

#include <stddef.h>
#include <stdint.h>

// How float weights of convolutions and products lie in the file; loading gives float32 again.
enum sl_weight_storage {
    SL_WEIGHTS_AS_THEY_ARE,
    SL_WEIGHTS_FP16, // half the size; relative error up to 2^-11
    SL_WEIGHTS_INT4, // an eighth: 15 levels per output channel and group of 32 weights
};
enum { SL_INT4_GROUP = 32, SL_INT4_LEVELS = 7 }; // -7 … 7 times the group's scale

struct sl_onnx_write_options {
    const struct sl_onnx_metadata *metadata; // to be written as metadata_props
    uint32_t n_metadata;
    enum sl_weight_storage weights;
};

// How that constant is stored where `wanted` is: few numbers, and groups that would be mostly
// padding (depthwise weights), stay as they are.
enum sl_weight_storage sl_onnx_weight_storage(const struct sl_tensor *tensor,
                                              enum sl_weight_storage wanted);

// *bytes is to be freed by the caller. `options` may be NULL. -ENOTSUP names a node that ONNX
// cannot express (products of plain integers); -ENOMEM; -E2BIG beyond SL_ONNX_MAX_BYTES.
int sl_onnx_write(const struct sl_graph *graph, const struct sl_onnx_write_options *options,
                  void **bytes, size_t *size, struct sl_error *error);

#endif
