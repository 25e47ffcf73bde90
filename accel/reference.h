// The reference interpreter: one node at a time, plain C, every operator of graph.h.
//
// It is the definition that every kernel is tested against, what folds constants at import, and
// what runs an operator that has no faster kernel.
#ifndef SL_ACCEL_REFERENCE_H
#define SL_ACCEL_REFERENCE_H

#include "accel/error.h"
#include "accel/graph.h"

#include <stdbool.h>

#include <stddef.h>

// Runs `node` of a graph with these tensors. `data[t]` is the memory of tensor t: dense row-major,
// caller-owned; where it is NULL the tensor's constant contents are read. The node is checked first
// (-EINVAL, -ENOTSUP name the node, the operator and the reason); scratch memory is allocated where
// an operator needs it (-ENOMEM). -EINVAL also comes from values, such as an index out of range.
int sl_reference_run(const struct sl_tensor *tensors, const struct sl_node *node, void *const *data,
                     struct sl_error *error);

// The same for a node that has passed the check, with scratch memory of the caller, aligned to 64
// bytes: allocates nothing.
size_t sl_reference_scratch(const struct sl_tensor *tensors, const struct sl_node *node);
int sl_reference_run_in(const struct sl_tensor *tensors, const struct sl_node *node,
                        void *const *data, void *scratch, struct sl_error *error);

// What a fused activation makes of a real number.
float sl_activate(const struct sl_activation *activation, float x);
// Bounds of the quantised value after a Relu or Clip; any other activation leaves the type's range.
// The tensor has one scale and zero point.
void sl_quant_bounds(const struct sl_tensor *tensor, const struct sl_activation *activation,
                     int32_t *low, int32_t *high);

// What output position `at` of one axis of a linear Resize is made of: `count` input positions and
// their weights. One position has no weight: it is copied.
struct sl_resize_taps {
    int count;
    int64_t position[2];
    float weight[2];
};
// The coordinates are not tf_crop_and_resize, and the lengths are not zero.
struct sl_resize_taps sl_linear_taps(const struct sl_resize_attrs *attrs, uint32_t axis, int64_t in,
                                     int64_t out, int64_t at);

// The sum of two quantised tensors and their product, as graph.h defines them:
//     q = round_half_even(clamp(fma(a, a_ratio, fma(b, b_ratio, offset)), low, high))
struct sl_quantised_sum {
    float a_ratio, b_ratio, offset, low, high;
};
bool sl_is_quantised_sum(const struct sl_node *node, const struct sl_tensor *a,
                         const struct sl_tensor *b, const struct sl_tensor *y);
struct sl_quantised_sum sl_make_quantised_sum(const struct sl_tensor *a, const struct sl_tensor *b,
                                              const struct sl_tensor *y,
                                              const struct sl_activation *activation);
//     q = round_half_even(clamp((a - a_zero) * (b - b_zero) * ratio + offset, low, high))
// of uint8, the product with ratio and the sum with offset each rounded by itself.
struct sl_quantised_product {
    int32_t a_zero, b_zero;
    float ratio, offset, low, high;
};
bool sl_is_quantised_product(const struct sl_node *node, const struct sl_tensor *a,
                             const struct sl_tensor *b, const struct sl_tensor *y);
struct sl_quantised_product sl_make_quantised_product(const struct sl_tensor *a,
                                                      const struct sl_tensor *b,
                                                      const struct sl_tensor *y,
                                                      const struct sl_activation *activation);

// Bytes of one element; 0 for an unknown type.
uint32_t sl_dtype_size(uint32_t dtype);
const char *sl_dtype_name(uint32_t dtype);               // "float32", "uint8" …
const char *sl_op_name(uint32_t op);                     // "Conv" …
const char *sl_unary_name(uint32_t kind);                // "Sigmoid" …; NULL if unknown
const char *sl_node_op_name(const struct sl_node *node); // as ONNX calls it: "Add", "Relu" …

#endif
