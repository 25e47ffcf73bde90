// Inside the reference interpreter: what its files share.
#ifndef SL_ACCEL_REFERENCE_IMPL_H
#define SL_ACCEL_REFERENCE_IMPL_H

#include "accel/operator.h"
#include "accel/reference.h"
#include "accel/tensor.h"

// One node about to run. The node has passed sl_node_check.
struct ref {
    struct sl_op_view view;
    void *const *data;
};

static inline const struct sl_tensor *ref_in(const struct ref *ref, uint32_t index)
{
    return sl_op_input(&ref->view, index);
}

static inline const struct sl_tensor *ref_out(const struct ref *ref, uint32_t index)
{
    return sl_op_output(&ref->view, index);
}

static inline const void *ref_src(const struct ref *ref, uint32_t index)
{
    uint32_t number = ref->view.node->inputs[index];
    const void *given = ref->data[number];
    return given ? given : ref->view.tensors[number].data;
}

static inline void *ref_dst(const struct ref *ref, uint32_t index)
{
    return ref->data[ref->view.node->outputs[index]];
}

#define REF_MAX_OPERANDS 4

// Walks a dense output row by row: for every row of the last dimension calls `row` with the
// element at which the row begins in the output, and for every operand the element at which it
// begins and the stride within the row.
struct ref_walk {
    uint32_t rank;
    const int64_t *dims;
    uint32_t n_operands;
    int64_t strides[REF_MAX_OPERANDS][SL_MAX_RANK];
};
typedef void (*ref_row)(void *ctx, int64_t at, const int64_t *from, const int64_t *step,
                        int64_t count);
void ref_walk_rows(const struct ref_walk *walk, ref_row row, void *ctx);

// y[i] = x[from + i * strides] for every index of the dense output `dims`.
void ref_copy_strided(void *y, uint32_t rank, const int64_t *dims, const void *x, int64_t from,
                      const int64_t *strides, uint32_t element);

// Value in [low, high] that a real number becomes in a quantised tensor's channel i.
int32_t ref_quantise(float real, const struct sl_tensor *tensor, uint32_t channel);
// The value that `sum` times `multiplier` becomes in a tensor of one scale and zero point.
int32_t ref_rescale(int64_t sum, float multiplier, const struct sl_tensor *tensor);
// Conversions of whole tensors between quantised and float32.
void ref_dequantise_all(const struct sl_tensor *tensor, const void *quantised, float *real);
void ref_quantise_all(const struct sl_tensor *tensor, const float *real, void *quantised);
// Index along the quantisation axis of element i (0 if there is one scale).
uint32_t ref_quant_channel(const struct sl_tensor *tensor, int64_t element);

float ref_unary(uint32_t kind, float alpha, float beta, float x);

// Integer operators on quantised tensors: what turns an exact sum into an output element.
struct ref_sum {
    const struct sl_tensor *out;
    const struct sl_activation *activation;
    float scale_x;
    const struct sl_quant *w; // per tensor, or per output channel
    int32_t low, high;
    void *y;
};
void ref_sum_begin(struct ref_sum *sum, const struct ref *ref);
void ref_sum_store(const struct ref_sum *sum, int64_t at, int64_t channel, int32_t acc);
// True if Conv, Gemm or MatMul `node` works on integers: inputs quantised to 8 bits, x by one
// scale, w by one or by output channel along `axis`, bias absent or int32.
bool ref_is_integer_product(const struct ref *ref, uint32_t w_axis);

// True if the node is the sum or the product of quantised tensors that graph.h defines.
bool ref_is_quantised_pair(const struct ref *ref);

static inline int32_t ref_load8(const void *data, uint32_t dtype, int64_t i)
{
    return dtype == SL_I8 ? (int32_t)((const int8_t *)data)[i]
                          : (int32_t)((const uint8_t *)data)[i];
}

int ref_conv(const struct ref *ref);
int ref_conv_transpose(const struct ref *ref);
int ref_gemm(const struct ref *ref);
int ref_matmul(const struct ref *ref);
int ref_max_pool(const struct ref *ref);
int ref_average_pool(const struct ref *ref);
int ref_reduce(const struct ref *ref);
int ref_arg_max(const struct ref *ref);
int ref_top_k(const struct ref *ref);
int ref_unary_node(const struct ref *ref);
int ref_binary(const struct ref *ref);
int ref_where(const struct ref *ref);
int ref_cast(const struct ref *ref);
int ref_clip(const struct ref *ref);
int ref_prelu(const struct ref *ref);
int ref_softmax(const struct ref *ref);
int ref_batch_norm(const struct ref *ref);
int ref_copy(const struct ref *ref);
int ref_transpose(const struct ref *ref);
int ref_concat(const struct ref *ref);
int ref_slice(const struct ref *ref);
int ref_pad(const struct ref *ref);
int ref_gather(const struct ref *ref);
int ref_expand(const struct ref *ref);
int ref_tile(const struct ref *ref);
int ref_resize(const struct ref *ref);
int ref_depth_to_space(const struct ref *ref);
int ref_space_to_depth(const struct ref *ref);

#endif
