// Lowering of quantisation: the QDQ pair, and the operators that carry their scales as inputs.
#include "inference/onnx_lower.h"

#include "accel/reference.h"
#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <string.h>

// A product of two scales, as biases have, is still a normal float32.
#define LEAST_SCALE 1e-18f
#define MOST_SCALE  1e18f

// Scale and zero point as two inputs -> quantisation of a tensor with the dims of `of`.
static int read_quant(struct lower *l, uint32_t scale_input, uint32_t zero_input,
                      const struct sl_tensor *of, int64_t axis, struct sl_quant *out,
                      uint32_t *dtype)
{
    const struct sl_tensor *scale = lower_input(l, scale_input), *zero = lower_input(l, zero_input);
    if (!scale || !scale->data || (zero && !zero->data))
        return lower_fail(l, -ENOTSUP,
                          "scale and zero point must be known when the model is loaded");
    const int64_t count = graph_elements(scale->dims, scale->rank, 1 << 20);
    if (scale->dtype != SL_F32 || scale->rank > 1 || count < 1)
        return lower_fail(l, -EINVAL, "the scale must be one float32 number or a list of them");
    if (zero && graph_elements(zero->dims, zero->rank, 1 << 20) != count)
        return lower_fail(l, -EINVAL, "scale and zero point differ in their number");
    if (zero && zero->dtype != SL_U8 && zero->dtype != SL_I8 && zero->dtype != SL_I32)
        return lower_fail(l, -ENOTSUP, "zero point of type %s", sl_dtype_name(zero->dtype));
    uint32_t index = 0;
    int status = count > 1 ? lower_axis(l, axis, of->rank, &index) : 0;
    if (status < 0)
        return status;
    if (count > 1 && of->dims[index] != count)
        return lower_fail(l, -EINVAL, "%lld scales for an axis of %lld", (long long)count,
                          (long long)of->dims[index]);
    int32_t *zeros = pool_array(&l->graph->pool, (uint64_t)count, sizeof(*zeros));
    if (!zeros)
        return pool_error(&l->graph->pool, l->error);
    for (int64_t i = 0; i < count; i++) {
        const float s = ((const float *)scale->data)[i];
        if (!(s >= LEAST_SCALE && s <= MOST_SCALE))
            return lower_fail(l, -EINVAL, "scale %lld of '%s' is %g, expected %g to %g",
                              (long long)i, scale->name, (double)s, (double)LEAST_SCALE,
                              (double)MOST_SCALE);
        if (zero)
            zeros[i] = zero->dtype == SL_U8   ? ((const uint8_t *)zero->data)[i]
                       : zero->dtype == SL_I8 ? ((const int8_t *)zero->data)[i]
                                              : ((const int32_t *)zero->data)[i];
    }
    if (dtype)
        *dtype = zero ? zero->dtype : SL_U8;
    status = graph_make_quant(l->graph, (uint32_t)count, (int32_t)index, scale->data, zeros, out,
                              l->error);
    pool_release(&l->graph->pool, zeros);
    return status;
}

// From version 21 on scales may be those of blocks along an axis.
static int refuse_blocks(struct lower *l)
{
    const int64_t block = lower_int(l, "block_size", 0);
    return block == 0 ? 0
                      : lower_fail(l, -ENOTSUP,
                                   "block_size %lld is not supported, expected 0: one scale per "
                                   "tensor or per channel",
                                   (long long)block);
}

int lower_quantize(struct lower *l)
{
    struct sl_tensor out = {0};
    struct sl_node node = {.op = SL_OP_QUANTIZE};
    const int64_t type = lower_int(l, "output_dtype", 0); // from version 21 on
    int status = refuse_blocks(l);
    if (status == 0)
        status =
            read_quant(l, 1, 2, lower_input(l, 0), lower_int(l, "axis", 1), &out.quant, &out.dtype);
    if (status < 0)
        return status;
    if (type && !lower_input(l, 2))
        out.dtype = lower_dtype((int32_t)type);
    if (type && (lower_dtype((int32_t)type) != out.dtype || !sl_is_8bit(&out)))
        return lower_fail(l, -ENOTSUP, "quantisation to ONNX type %lld", (long long)type);
    if (out.dtype == SL_I32)
        return lower_fail(l, -ENOTSUP, "quantisation to int32 is not supported");
    return lower_emit_kept(l, &node, l->in[0], &out, l->out);
}

// What is computed as plain integers, or was read as such, cannot mean something else later.
static bool is_unread_input(const struct graph *graph, uint32_t tensor)
{
    bool is_input = false;
    for (uint32_t i = 0; i < graph->n_inputs; i++)
        is_input |= graph->inputs[i] == tensor;
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->nodes[n].n_inputs; i++)
            if (graph->nodes[n].inputs[i] == tensor)
                return false;
    return is_input;
}

// The integers with their meaning: the same tensor if it has none yet, else a copy that shares
// data.
static int give_meaning(struct lower *l, uint32_t tensor, const struct sl_quant *quant,
                        uint32_t *out)
{
    struct sl_tensor *t = &l->graph->tensors[tensor];
    *out = tensor;
    if (graph_same_quant(&t->quant, quant))
        return 0;
    if (t->data) {
        struct sl_tensor copy = *t;
        copy.quant = *quant;
        return graph_add_tensor(l->graph, &copy, out, l->error);
    }
    if (t->quant.count)
        return lower_fail(l, -ENOTSUP, "tensor '%s' is read with two different scales", t->name);
    if (!is_unread_input(l->graph, tensor))
        return lower_fail(l, -ENOTSUP, "tensor '%s' holds plain integers, not quantised numbers",
                          t->name);
    t->quant = *quant;
    return 0;
}

int lower_dequantize(struct lower *l)
{
    const struct sl_tensor *x = lower_input(l, 0);
    struct sl_tensor out = {.dtype = SL_F32};
    struct sl_node node = {.op = SL_OP_DEQUANTIZE};
    struct sl_quant quant;
    uint32_t input;
    if (x->dtype != SL_U8 && x->dtype != SL_I8 && x->dtype != SL_I32)
        return lower_fail(l, -ENOTSUP, "input of type %s", sl_dtype_name(x->dtype));
    int status = refuse_blocks(l);
    if (status == 0)
        status = read_quant(l, 1, 2, x, lower_int(l, "axis", 1), &quant, NULL);
    if (status == 0)
        status = give_meaning(l, l->in[0], &quant, &input);
    return status < 0 ? status : lower_emit_kept(l, &node, input, &out, l->out);
}

// Integer products without scales: real numbers with scale 1, the sum is the output.
int lower_integer_product(struct lower *l)
{
    static const float one = 1;
    uint32_t inputs[2];
    struct sl_tensor out = {.dtype = SL_I32};
    for (uint32_t i = 0; i < 2; i++) {
        const struct sl_tensor *zero = lower_input(l, 2 + i);
        struct sl_quant quant;
        int32_t value = 0;
        if (zero && !zero->data)
            return lower_fail(l, -ENOTSUP, "zero points must be known when the model is loaded");
        if (zero && (graph_elements(zero->dims, zero->rank, 1) != 1 ||
                     (zero->dtype != SL_U8 && zero->dtype != SL_I8)))
            return lower_fail(l, -ENOTSUP, "one zero point of 8 bits per tensor is supported");
        if (zero)
            value =
                zero->dtype == SL_U8 ? *(const uint8_t *)zero->data : *(const int8_t *)zero->data;
        int status = graph_make_quant(l->graph, 1, 0, &one, &value, &quant, l->error);
        if (status == 0)
            status = give_meaning(l, l->in[i], &quant, &inputs[i]);
        if (status < 0)
            return status;
    }
    if (l->argument == SL_OP_MATMUL) {
        struct sl_node node = {.op = SL_OP_MATMUL};
        return lower_emit(l, &node, inputs, 2, &out, 1, l->out);
    }
    l->in[0] = inputs[0];
    l->in[1] = inputs[1];
    l->n_in = 2;
    l->result_type = SL_I32;
    return lower_conv(l);
}

// x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero[, bias]
static int qlinear_inputs(struct lower *l, int64_t weight_axis, uint32_t operands[3],
                          struct sl_quant *y, uint32_t *y_type)
{
    static const struct sl_tensor one_value = {.rank = 0}; // the result has one scale
    struct sl_quant x, w;
    int status = read_quant(l, 1, 2, lower_input(l, 0), 0, &x, NULL);
    if (status == 0)
        status = read_quant(l, 4, 5, lower_input(l, 3), weight_axis, &w, NULL);
    if (status == 0)
        status = read_quant(l, 6, 7, &one_value, 0, y, y_type);
    if (status == 0)
        status = give_meaning(l, l->in[0], &x, &operands[0]);
    if (status == 0)
        status = give_meaning(l, l->in[3], &w, &operands[1]);
    operands[2] = SL_NO_TENSOR;
    if (status < 0 || !lower_input(l, 8))
        return status;
    float *scale = pool_array(&l->graph->pool, w.count, sizeof(*scale));
    struct sl_quant bias;
    if (!scale)
        return pool_error(&l->graph->pool, l->error);
    for (uint32_t i = 0; i < w.count; i++)
        scale[i] = x.scale[0] * w.scale[i];
    status = graph_make_quant(l->graph, w.count, 0, scale, NULL, &bias, l->error);
    return status < 0 ? status : give_meaning(l, l->in[8], &bias, &operands[2]);
}

int lower_qlinear_conv(struct lower *l)
{
    uint32_t operands[3], y_type;
    struct sl_quant y;
    int status = qlinear_inputs(l, 0, operands, &y, &y_type);
    if (status < 0)
        return status;
    memcpy(l->in, operands, sizeof(operands));
    l->n_in = operands[2] == SL_NO_TENSOR ? 2 : 3;
    l->result_type = y_type;
    l->result_quant = y;
    return lower_conv(l);
}

int lower_qlinear_matmul(struct lower *l)
{
    uint32_t operands[3], y_type;
    struct sl_quant y;
    struct sl_node node = {.op = SL_OP_MATMUL};
    int status = qlinear_inputs(l, (int64_t)lower_input(l, 3)->rank - 1, operands, &y, &y_type);
    if (status < 0)
        return status;
    l->result_type = y_type;
    l->result_quant = y;
    return lower_emit(l, &node, operands, 2, NULL, 1, l->out);
}
