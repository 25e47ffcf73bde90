// Inside of the ONNX import: the whole of a ModelProto into a graph.
#ifndef SL_INFERENCE_ONNX_IMPORT_H
#define SL_INFERENCE_ONNX_IMPORT_H

#include "inference/graph.h"
#include "inference/onnx.h"
#include "inference/onnx.pb-c.h"

// Names of the model stay in the proto's memory, which must live as long as the graph is used.
int onnx_import(const Onnx__ModelProto *model, const struct sl_onnx_options *options,
                struct graph *graph, int64_t *opset, struct sl_error *error);

#endif
