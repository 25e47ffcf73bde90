// Inside of the ONNX import: bytes -> protobuf-c messages, bounded in memory, time and depth.
#ifndef SL_INFERENCE_ONNX_PARSE_H
#define SL_INFERENCE_ONNX_PARSE_H

#include "accel/error.h"
#include "inference/onnx.pb-c.h"
#include "inference/pool.h"

#include <stddef.h>

// Walks the bytes along the message descriptors before protobuf-c may allocate anything: lengths
// that lie, nesting beyond any real model (protobuf-c recurses), single fields given twice
// (protobuf-c merges them, in quadratic time), and names that are not printable UTF-8.
int onnx_check_wire(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size,
                    struct sl_error *error);

// Decodes one message of `type`, checked first; it lives in the pool. -EINVAL, -E2BIG, -ENOMEM.
int onnx_parse(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size,
               struct pool *pool, const ProtobufCMessage **out, struct sl_error *error);

#endif
