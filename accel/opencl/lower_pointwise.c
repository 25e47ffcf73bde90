// Lowers functions of one and two elements, and Softmax.
#include "accel/opencl/program.h"

#include "accel/reference.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ocl_fill_table(struct ocl_compiler *c, const struct sl_node *node, const struct sl_tensor *x,
                   const struct sl_tensor *y, uint8_t table[256])
{
    static const uint32_t numbers[2] = {0, 1};
    struct sl_tensor tensors[2] = {*x, *y};
    uint8_t values[256];
    void *data[2] = {values, table};
    struct sl_node copy = *node;
    copy.inputs = numbers;
    copy.outputs = numbers + 1;
    for (int i = 0; i < 2; i++) {
        tensors[i].rank = 1;
        tensors[i].dims[0] = 256;
        tensors[i].bytes = 256u * sl_dtype_size(tensors[i].dtype);
        tensors[i].data = NULL;
    }
    for (int i = 0; i < 256; i++)
        values[i] = (uint8_t)i;
    return sl_reference_run(tensors, &copy, data, c->error);
}

static int by_table(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    const bool real = y->dtype == SL_F32;
    float table[256] = {0.0f};
    int status = ocl_fill_table(c, node, x, y, (uint8_t *)(void *)table);
    if (status)
        return status;
    const int64_t n = sl_elements(y);
    struct ocl_step *step = ocl_add_step(c, real ? "dequantise" : "table1", n, 1, 1);
    if (!step)
        return ocl_no_memory(c);
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[0]));
    ocl_arg_slot(step, ocl_write_slot(c, node->outputs[0]));
    ocl_arg_slot(step, ocl_constant(c, table, real ? sizeof(table) : 256));
    ocl_arg_int(step, n);
    return 0;
}

static int quantise(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *y = ocl_out(c, node);
    const int64_t n = sl_elements(y);
    int32_t low, high, zero = y->quant.zero_point[0];
    sl_quant_bounds(y, &node->activation, &low, &high);
    struct ocl_step *step = ocl_add_step(c, "quantise", n, 1, 1);
    if (!step)
        return ocl_no_memory(c);
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[0]));
    ocl_arg_slot(step, ocl_write_slot(c, node->outputs[0]));
    ocl_arg_float(step, y->quant.scale[0]);
    ocl_arg_int(step, zero);
    ocl_arg_float(step, (float)(low - zero));
    ocl_arg_float(step, (float)(high - zero));
    ocl_arg_int(step, n);
    return 0;
}

static int real_function(struct ocl_compiler *c, const struct sl_node *node)
{
    const int64_t n = sl_elements(ocl_out(c, node));
    const bool clip = node->op == SL_OP_CLIP;
    struct ocl_step *step = ocl_add_step(c, "unary", n, 1, 1);
    if (!step)
        return ocl_no_memory(c);
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[0]));
    ocl_arg_slot(step, ocl_write_slot(c, node->outputs[0]));
    ocl_arg_int(step, clip ? SL_ACT_CLIP : node->attrs.unary.kind);
    ocl_arg_float(step, clip ? node->attrs.clip.low : node->attrs.unary.alpha);
    ocl_arg_float(step, clip ? node->attrs.clip.high : node->attrs.unary.beta);
    ocl_arg_int(step, node->activation.kind);
    ocl_arg_float(step, node->activation.alpha);
    ocl_arg_float(step, node->activation.beta);
    ocl_arg_int(step, n);
    return 0;
}

int ocl_lower_pointwise(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    const bool real_x = x->dtype == SL_F32, real_y = y->dtype == SL_F32;
    if (ocl_one_scale(x) && (ocl_one_scale(y) || real_y))
        return by_table(c, node);
    if (node->op == SL_OP_QUANTIZE && real_x && ocl_one_scale(y) &&
        (node->activation.kind == SL_ACT_NONE || node->activation.kind == SL_UNARY_RELU))
        return quantise(c, node);
    if ((node->op == SL_OP_UNARY || node->op == SL_OP_CLIP) && real_x && real_y)
        return real_function(c, node);
    return ocl_refuse(c, node, "types other than float32 and 8 bits of one scale");
}

// Where both operands are read, in stretches of what is not equal to the output's dimensions: for
// every element of a stretch a pair of places, and the steps between stretches.
struct places {
    int32_t *pairs;
    int64_t period, step[2];
};

static bool find_places(const struct sl_tensor *const x[2], const struct sl_tensor *y,
                        struct places *out)
{
    int64_t strides[2][SL_MAX_RANK], index[SL_MAX_RANK] = {0}, at[2] = {0, 0};
    for (int k = 0; k < 2; k++)
        sl_broadcast_strides(x[k], y->rank, strides[k]);
    out->period = y->rank > 0 ? sl_dims_product(y, 1, y->rank) : 1;
    for (int k = 0; k < 2; k++)
        out->step[k] = y->rank > 0 ? strides[k][0] : 0;
    if (sl_same_dims(x[0], y) && sl_same_dims(x[1], y))
        out->period = out->step[0] = out->step[1] = 1;
    out->pairs = calloc((size_t)out->period + 1, 2 * sizeof(*out->pairs));
    for (int64_t i = 0; out->pairs && i < out->period; i++) {
        for (int k = 0; k < 2; k++)
            out->pairs[2 * i + k] = (int32_t)at[k];
        for (uint32_t axis = y->rank; axis-- > 1;) {
            const bool carry = ++index[axis] == y->dims[axis];
            for (int k = 0; k < 2; k++)
                at[k] += carry ? -(y->dims[axis] - 1) * strides[k][axis] : strides[k][axis];
            if (!carry)
                break;
            index[axis] = 0;
        }
    }
    return out->pairs != NULL;
}

// All 65536 pairs of bytes.
static int fill_pairs(struct ocl_compiler *c, const struct sl_node *node, uint8_t *values,
                      uint8_t *table)
{
    static const uint32_t numbers[3] = {0, 1, 2};
    struct sl_tensor tensors[3] = {*ocl_in(c, node, 0), *ocl_in(c, node, 1), *ocl_out(c, node)};
    void *data[3] = {values, values + 65536, table};
    struct sl_node copy = *node;
    copy.inputs = numbers;
    copy.outputs = numbers + 2;
    for (int i = 0; i < 3; i++) {
        tensors[i].rank = 1;
        tensors[i].dims[0] = 65536;
        tensors[i].bytes = 65536;
        tensors[i].data = NULL;
    }
    for (int i = 0; i < 65536; i++) {
        values[i] = (uint8_t)(i >> 8);
        values[65536 + i] = (uint8_t)i;
    }
    return sl_reference_run(tensors, &copy, data, c->error);
}

static int add_binary(struct ocl_compiler *c, const struct sl_node *node, const uint8_t *table)
{
    const struct sl_tensor *const x[2] = {ocl_in(c, node, 0), ocl_in(c, node, 1)};
    const struct sl_tensor *y = ocl_out(c, node);
    const int64_t n = sl_elements(y);
    struct places places;
    struct ocl_step *step = ocl_add_step(c, table ? "table2" : "binary", n, 1, 1);
    if (!step || !find_places(x, y, &places))
        return ocl_no_memory(c);
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[0]));
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[1]));
    ocl_arg_slot(step, ocl_write_slot(c, node->outputs[0]));
    if (table)
        ocl_arg_slot(step, ocl_constant(c, table, 65536));
    else
        ocl_arg_int(step, node->attrs.binary);
    ocl_arg_slot(step, ocl_constant(c, places.pairs, (size_t)places.period * 8));
    free(places.pairs);
    ocl_arg_int(step, places.period);
    ocl_arg_int(step, places.step[0]);
    ocl_arg_int(step, places.step[1]);
    if (!table) {
        ocl_arg_int(step, node->activation.kind);
        ocl_arg_float(step, node->activation.alpha);
        ocl_arg_float(step, node->activation.beta);
    }
    ocl_arg_int(step, n);
    return 0;
}

static bool has_real_kernel(uint32_t kind)
{
    return kind == SL_BINARY_ADD || kind == SL_BINARY_SUB || kind == SL_BINARY_MUL ||
           kind == SL_BINARY_DIV || kind == SL_BINARY_MIN || kind == SL_BINARY_MAX;
}

int ocl_lower_binary(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *a = ocl_in(c, node, 0), *b = ocl_in(c, node, 1), *y = ocl_out(c, node);
    if (a->dtype == SL_F32 && b->dtype == SL_F32 && y->dtype == SL_F32 &&
        has_real_kernel(node->attrs.binary))
        return add_binary(c, node, NULL);
    if (!ocl_one_scale(a) || !ocl_one_scale(b) || !ocl_one_scale(y))
        return ocl_refuse(c, node, "types other than float32 and 8 bits of one scale");
    uint8_t *values = malloc(3 * (size_t)65536);
    if (!values)
        return ocl_no_memory(c);
    int status = fill_pairs(c, node, values, values + (size_t)2 * 65536);
    if (status == 0)
        status = add_binary(c, node, values + (size_t)2 * 65536);
    free(values);
    return status;
}

int ocl_lower_softmax(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    const uint32_t axis = sl_axis(node->attrs.axis, x->rank);
    if (x->dtype != SL_F32 || y->dtype != SL_F32 || node->activation.kind != SL_ACT_NONE)
        return ocl_refuse(c, node, "a type other than float32");
    const int64_t stride = sl_dims_product(x, axis + 1, x->rank);
    const int64_t rows = sl_dims_product(x, 0, axis) * stride;
    struct ocl_step *step = ocl_add_step(c, "softmax", rows, 1, 1);
    if (!step)
        return ocl_no_memory(c);
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[0]));
    ocl_arg_slot(step, ocl_write_slot(c, node->outputs[0]));
    ocl_arg_int(step, x->dims[axis]);
    ocl_arg_int(step, stride);
    ocl_arg_int(step, rows);
    return 0;
}
