// The `onnxruntime` back end: any execution provider of ONNX Runtime, by name.
//
//     onnxruntime[,threads=N][,library=FILE][,provider=NAME][,provider.KEY=VALUE…]
//         [,fallback=yes|no][,exact=yes|no]
//
// provider: QNN, OpenVINO, VitisAI, XNNPACK …, as the library was built; without it the CPU's.
// fallback=no refuses a model of which the provider leaves a node to the CPU (ONNX Runtime 1.14 and
// later). exact=no lets INT8 products saturate where the processor's fastest instruction does,
// which is ONNX Runtime's own default on x86.
//
// Where a provider is asked for, the model is run once with zeros when it is compiled, to count the
// nodes that the provider took: the status says so where others ran on the CPU.
//
// A model is given to ONNX Runtime as the bytes of its ONNX file, so a graph without them is
// refused. A run that is beyond its deadline goes on in the program's own thread; `wait` reports it
// and the next submit is refused until it has ended. Not run on any accelerator's hardware.
#ifndef SL_ACCEL_ONNXRUNTIME_BACKEND_H
#define SL_ACCEL_ONNXRUNTIME_BACKEND_H

#include "accel/plugin.h"

extern const struct sl_backend sl_onnxruntime_backend;

#endif
