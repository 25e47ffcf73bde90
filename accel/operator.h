// The table of operators: names, how many inputs, which types, and what dimensions each demands.
//
// A node that passes sl_node_check is well formed: whoever runs it may rely on every dimension,
// attribute and type without looking again. (Values that only run time knows, such as the indices
// of Gather, are not covered.)
#ifndef SL_ACCEL_OPERATOR_H
#define SL_ACCEL_OPERATOR_H

#include "accel/error.h"
#include "accel/graph.h"

#include <stddef.h>

struct sl_op_view {
    const struct sl_tensor *tensors;
    const struct sl_node *node;
    struct sl_error *error;
};

struct sl_operator {
    const char *name;
    uint32_t min_inputs, max_inputs, n_outputs;
    int (*types)(const struct sl_op_view *view);
    int (*dims)(const struct sl_op_view *view);
};

// NULL if the number is not an operator.
const struct sl_operator *sl_operator_find(uint32_t op);

// The node's tensor numbers must be in range. -EINVAL: malformed; -ENOTSUP: an operator or type
// that is not known.
int sl_node_check(const struct sl_tensor *tensors, const struct sl_node *node,
                  struct sl_error *error);

// Input or output of the node; NULL for an optional input that is absent.
static inline const struct sl_tensor *sl_op_input(const struct sl_op_view *view, uint32_t index)
{
    if (index >= view->node->n_inputs || view->node->inputs[index] == SL_NO_TENSOR)
        return NULL;
    return &view->tensors[view->node->inputs[index]];
}

static inline const struct sl_tensor *sl_op_output(const struct sl_op_view *view, uint32_t index)
{
    return &view->tensors[view->node->outputs[index]];
}

// Sets "node 'NAME' (OPERATOR): …".
int sl_op_fail(const struct sl_op_view *view, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// What the type of a tensor is for an operator: quantised tensors are real numbers.
static inline uint32_t sl_op_type(const struct sl_tensor *tensor)
{
    return tensor->quant.count > 0 ? (uint32_t)SL_F32 : tensor->dtype;
}

// Rules of types, in operator_types.c.
int sl_types_real(const struct sl_op_view *view);    // all float32 or quantised
int sl_types_product(const struct sl_op_view *view); // real, or integer sums of quantised inputs
int sl_types_move(const struct sl_op_view *view);    // any, the same everywhere
int sl_types_number(const struct sl_op_view *view);  // any but bool, the same everywhere
int sl_types_arg(const struct sl_op_view *view);     // a number; the last output int64
int sl_types_unary(const struct sl_op_view *view);
int sl_types_binary(const struct sl_op_view *view);
int sl_types_where(const struct sl_op_view *view);
int sl_types_resize(const struct sl_op_view *view); // any for nearest, real otherwise
int sl_types_gather(const struct sl_op_view *view);
int sl_types_any(const struct sl_op_view *view);

// Rules of dimensions, in operator_dims.c and operator_dims_window.c.
int sl_dims_conv(const struct sl_op_view *view);
int sl_dims_conv_transpose(const struct sl_op_view *view);
int sl_dims_pool(const struct sl_op_view *view);
int sl_dims_gemm(const struct sl_op_view *view);
int sl_dims_matmul(const struct sl_op_view *view);
int sl_dims_reduce(const struct sl_op_view *view);
int sl_dims_arg(const struct sl_op_view *view);
int sl_dims_top_k(const struct sl_op_view *view);
int sl_dims_same(const struct sl_op_view *view);
int sl_dims_broadcast(const struct sl_op_view *view);
int sl_dims_prelu(const struct sl_op_view *view);
int sl_dims_softmax(const struct sl_op_view *view);
int sl_dims_batch_norm(const struct sl_op_view *view);
int sl_dims_reshape(const struct sl_op_view *view);
int sl_dims_transpose(const struct sl_op_view *view);
int sl_dims_concat(const struct sl_op_view *view);
int sl_dims_slice(const struct sl_op_view *view);
int sl_dims_pad(const struct sl_op_view *view);
int sl_dims_gather(const struct sl_op_view *view);
int sl_dims_expand(const struct sl_op_view *view);
int sl_dims_tile(const struct sl_op_view *view);
int sl_dims_resize(const struct sl_op_view *view);
int sl_dims_depth_to_space(const struct sl_op_view *view);
int sl_dims_space_to_depth(const struct sl_op_view *view);

// Helper of the rules: output 0 must have these dimensions.
int sl_dims_expect(const struct sl_op_view *view, uint32_t rank, const int64_t *dims);

#endif
