// The reference interpreter: one node at a time, plain C, every operator of graph.h.
//
// It is the definition that every kernel is tested against, what folds constants at import, and
// what runs an operator that has no faster kernel.
#ifndef SL_ACCEL_REFERENCE_H
#define SL_ACCEL_REFERENCE_H

#include "accel/error.h"
#include "accel/graph.h"

// Runs `node` of a graph with these tensors. `data[t]` is the memory of tensor t: dense row-major,
// caller-owned; where it is NULL the tensor's constant contents are read. Scratch memory is
// allocated where an operator needs it (-ENOMEM). -ENOTSUP names the operator and the type that it
// does not take.
int sl_reference_run(const struct sl_tensor *tensors, const struct sl_node *node, void *const *data,
                     struct sl_error *error);

// Bytes of one element; 0 for an unknown type.
uint32_t sl_dtype_size(uint32_t dtype);
const char *sl_dtype_name(uint32_t dtype); // "float32", "uint8" …
const char *sl_op_name(uint32_t op);       // "Conv" …

#endif
