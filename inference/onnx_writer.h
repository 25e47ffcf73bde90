// Inside of the ONNX writer: messages being built, and what every operator needs for it.
#ifndef SL_INFERENCE_ONNX_WRITER_H
#define SL_INFERENCE_ONNX_WRITER_H

#include "inference/onnx.pb-c.h"
#include "inference/onnx_write.h"
#include "inference/pool.h"

// The names under which a tensor appears. A quantised one has all three.
struct writer_names {
    const char *real;     // float, as its node computes it
    const char *integers; // after QuantizeLinear
    const char *rounded;  // after DequantizeLinear; as `real` for plain tensors
};

struct writer {
    struct pool pool;
    const struct sl_graph *graph;
    enum sl_weight_storage weights;
    Onnx__GraphProto *proto;
    uint32_t room_nodes, room_initialisers;
    struct writer_names *names; // per tensor
    const char **used;          // hash table of names
    uint32_t n_used, used_mask;
    bool failed; // out of memory: checked once at the end
};

// A name that is not in use yet: `stem`, or `stem` with a suffix. NULL only after `failed` is set.
const char *writer_name(struct writer *w, const char *stem, const char *suffix);

// Adds a node with the given inputs ("" for an absent one) and one output.
Onnx__NodeProto *writer_node(struct writer *w, const char *op, const char *name,
                             const char *const *inputs, uint32_t n_inputs, const char *output);
void writer_set_int(struct writer *w, Onnx__NodeProto *node, const char *name, int64_t value);
void writer_set_ints(struct writer *w, Onnx__NodeProto *node, const char *name,
                     const int64_t *values, uint32_t count);
void writer_set_float(struct writer *w, Onnx__NodeProto *node, const char *name, float value);
void writer_set_text(struct writer *w, Onnx__NodeProto *node, const char *name, const char *value);

// Adds a constant and returns its name. `onnx_type` is one of Onnx__TensorProto__DataType.
const char *writer_constant(struct writer *w, const char *stem, const char *suffix,
                            int32_t onnx_type, uint32_t rank, const int64_t *dims,
                            const void *bytes, uint64_t size);
const char *writer_ints(struct writer *w, const char *stem, const char *suffix,
                        const int64_t *values, uint32_t count);
const char *writer_float(struct writer *w, const char *stem, const char *suffix, float value);

int32_t writer_onnx_type(uint32_t dtype);

// A weight in the storage that was asked for; the name of the float32 tensor.
const char *writer_weight(struct writer *w, const struct sl_tensor *tensor);

// One node of the network, with its activation; its result has the name `real` of its output.
int writer_operator(struct writer *w, const struct sl_node *node, struct sl_error *error);

#endif
