// Small questions about tensors of a graph, asked by the checker, the interpreter and back ends.
#ifndef SL_ACCEL_TENSOR_H
#define SL_ACCEL_TENSOR_H

#include "accel/graph.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// "[1,16,320,320]", cut where `size` ends. Returns `text`.
char *sl_dims_text(uint32_t rank, const int64_t *dims, char *text, size_t size);
#define SL_DIMS_TEXT 96

int64_t sl_elements(const struct sl_tensor *tensor);
bool sl_same_dims(const struct sl_tensor *a, const struct sl_tensor *b);
// Product of dims[from] … dims[to - 1].
int64_t sl_dims_product(const struct sl_tensor *tensor, uint32_t from, uint32_t to);

// -1 counts from the end, as everywhere in ONNX. Returns rank if out of range.
uint32_t sl_axis(int32_t axis, uint32_t rank);

// numpy broadcasting of `shape` into the running result; false if they do not fit.
bool sl_broadcast(uint32_t *rank, int64_t *dims, const struct sl_tensor *shape);
// Strides in elements with which `tensor` is read when it is broadcast to `rank` dimensions.
void sl_broadcast_strides(const struct sl_tensor *tensor, uint32_t rank, int64_t *strides);

static inline bool sl_is_quantised(const struct sl_tensor *tensor)
{
    return tensor->quant.count > 0;
}

static inline bool sl_is_8bit(const struct sl_tensor *tensor)
{
    return tensor->dtype == SL_U8 || tensor->dtype == SL_I8;
}

// One scale and zero point for both, and they are equal; or neither is quantised.
bool sl_same_quant(const struct sl_tensor *a, const struct sl_tensor *b);

// Least and greatest number that an integer type holds.
void sl_dtype_range(uint32_t dtype, int64_t *low, int64_t *high);

#endif
