// ONNX in: bytes of a .onnx file -> the network description that back ends compile from.
//
// Import order: parse (protobuf-c) -> nodes and shapes -> constant folding -> passes (batch-norm
// folding, QDQ fusion into quantised operators, activation fusion, dead code) -> `struct sl_graph`.
// The bytes are untrusted: every size is checked before it is used, limits are stated below, and a
// refusal names the node, the operator and the reason.
#ifndef SL_INFERENCE_ONNX_H
#define SL_INFERENCE_ONNX_H

#include "accel/error.h"
#include "accel/graph.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Limits on what is accepted; far above any detector that runs on a camera.
#define SL_ONNX_MAX_BYTES    (512u << 20) // file
#define SL_ONNX_MAX_NODES    20000u
#define SL_ONNX_MAX_ELEMENTS (256ll << 20) // one tensor

// A value that the model leaves open, given at load: the contents of an input that only steers
// shapes (Reshape's target, Resize's sizes), as in ONNX's own operator tests.
struct sl_onnx_fixed_input {
    const char *name;
    uint32_t dtype, rank;
    int64_t dims[SL_MAX_RANK];
    const void *data;
};

struct sl_onnx_options {
    bool keep_float; // no QDQ fusion: quantise and dequantise nodes stay as they are
    bool no_fusion;  // none of the passes that change what a node computes (for tests)
    int64_t batch;   // value of a symbolic batch dimension; 0 means 1
    const struct sl_onnx_fixed_input *fixed;
    uint32_t n_fixed;
};

// What the importer knows beside the network.
struct sl_onnx_metadata {
    const char *key, *value; // metadata_props
};

struct sl_onnx; // owns the description and all it points to

// `bytes` are copied where needed; they may be freed after the call unless the caller wants
// `graph->onnx` (then they must live as long as the result). On failure *out is untouched. -EINVAL:
// not a valid ONNX file; -ENOTSUP: valid, but it holds something that cannot be run here; -E2BIG:
// beyond a limit.
int sl_onnx_load(const void *bytes, size_t size, const struct sl_onnx_options *options,
                 struct sl_onnx **out, struct sl_error *error);
void sl_onnx_free(struct sl_onnx *onnx); // NULL is fine

const struct sl_graph *sl_onnx_graph(const struct sl_onnx *onnx);
const struct sl_onnx_metadata *sl_onnx_metadata(const struct sl_onnx *onnx, uint32_t *count);
int64_t sl_onnx_opset(const struct sl_onnx *onnx);

#endif
