// Inside of the ONNX import: one ONNX node on its way to nodes of accel/graph.h.
#ifndef SL_INFERENCE_ONNX_LOWER_H
#define SL_INFERENCE_ONNX_LOWER_H

#include "inference/graph.h"
#include "inference/onnx.h"
#include "inference/onnx.pb-c.h"

#define LOWER_NEWEST      21 // operator set
#define LOWER_MAX_INPUTS  64
#define LOWER_MAX_OUTPUTS 64

struct lower {
    struct graph *graph;
    const Onnx__NodeProto *node;
    const char *name; // the node's, or its first output's
    int64_t opset;
    int32_t argument; // of the table's row
    uint32_t n_in, n_out;
    uint32_t in[LOWER_MAX_INPUTS];   // tensor numbers, SL_NO_TENSOR where absent
    uint32_t out[LOWER_MAX_OUTPUTS]; // to be filled: one tensor per output of the ONNX node
    uint32_t result_type;            // where the operator says so itself: the type of what is
    struct sl_quant result_quant;    // emitted, and its scale
    struct sl_error *error;
};

struct lower_row {
    const char *op;
    int64_t first, last; // versions of the operator set
    uint32_t min_inputs, max_inputs;
    int (*lower)(struct lower *l);
    int32_t argument;
};

// NULL if the operator is not in the table.
const struct lower_row *lower_find(const char *op);

// Where the rows' functions live, by subject.
int lower_conv(struct lower *l);
int lower_conv_transpose(struct lower *l);
int lower_gemm(struct lower *l);
int lower_matmul(struct lower *l);
int lower_integer_product(struct lower *l); // ConvInteger, MatMulInteger
int lower_qlinear_conv(struct lower *l);
int lower_qlinear_matmul(struct lower *l);
int lower_pool(struct lower *l);
int lower_global_pool(struct lower *l);
int lower_reduce(struct lower *l);
int lower_arg(struct lower *l);
int lower_top_k(struct lower *l);
int lower_unary(struct lower *l);
int lower_binary(struct lower *l);
int lower_variadic(struct lower *l); // Sum, Mean, Max, Min
int lower_where(struct lower *l);
int lower_cast(struct lower *l);
int lower_clip(struct lower *l);
int lower_prelu(struct lower *l);
int lower_softmax(struct lower *l);
int lower_batch_norm(struct lower *l);
int lower_quantize(struct lower *l);
int lower_dequantize(struct lower *l);
int lower_identity(struct lower *l);
int lower_dropout(struct lower *l);
int lower_reshape(struct lower *l);
int lower_flatten(struct lower *l);
int lower_squeeze(struct lower *l);
int lower_unsqueeze(struct lower *l);
int lower_transpose(struct lower *l);
int lower_concat(struct lower *l);
int lower_slice(struct lower *l);
int lower_split(struct lower *l);
int lower_pad(struct lower *l);
int lower_gather(struct lower *l);
int lower_expand(struct lower *l);
int lower_tile(struct lower *l);
int lower_resize(struct lower *l);
int lower_blocks(struct lower *l);
int lower_constant(struct lower *l);
int lower_constant_of_shape(struct lower *l);
int lower_shape(struct lower *l);
int lower_range(struct lower *l);

// Attributes; the second form says whether the attribute is there.
const Onnx__AttributeProto *lower_attribute(const struct lower *l, const char *name);
int64_t lower_int(const struct lower *l, const char *name, int64_t usual);
float lower_float(const struct lower *l, const char *name, float usual);
bool lower_is(const struct lower *l, const char *name, const char *value, const char *usual);
// At most `most` numbers; *count is untouched if the attribute is absent. -EINVAL if there are
// more.
int lower_ints(struct lower *l, const char *name, int64_t *values, uint32_t most, uint32_t *count);

// Inputs.
const struct sl_tensor *lower_input(const struct lower *l, uint32_t index); // NULL if absent
// The contents of an integer input that must be known at load. Refuses with the input's number.
int lower_const_ints(struct lower *l, uint32_t index, int64_t *values, uint32_t most,
                     uint32_t *count);
int lower_const_floats(struct lower *l, uint32_t index, float *values, uint32_t most,
                       uint32_t *count);
// An axis from -rank to rank - 1, made positive.
int lower_axis(struct lower *l, int64_t axis, uint32_t rank, uint32_t *out);

int lower_fail(struct lower *l, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Adds a node of operator `node->op` with `inputs`. Its outputs' types and shapes are inferred;
// `outs`, where given, sets what inference cannot know. A node whose inputs are all constant is
// computed here and now instead. Puts the outputs' numbers into `out`.
int lower_emit(struct lower *l, struct sl_node *node, const uint32_t *inputs, uint32_t n_inputs,
               struct sl_tensor *outs, uint32_t n_outs, uint32_t *out);
// The same for one output, without folding (quantisation keeps its integers).
int lower_emit_kept(struct lower *l, struct sl_node *node, uint32_t input,
                    struct sl_tensor *out_tensor, uint32_t *out);
// A view of other dims.
int lower_emit_reshape(struct lower *l, uint32_t input, uint32_t rank, const int64_t *dims,
                       uint32_t *out);
// A constant; `data` is copied.
int lower_emit_constant(struct lower *l, uint32_t dtype, uint32_t rank, const int64_t *dims,
                        const void *data, uint32_t *out);

// The tensor of a TensorProto, its data in the graph's memory. -ENOTSUP names the type.
int lower_tensor_proto(struct graph *graph, const Onnx__TensorProto *proto, struct sl_tensor *out,
                       struct sl_error *error);
// Our type for an ONNX type, 0 if there is none.
uint32_t lower_dtype(int32_t onnx_type);

#endif
