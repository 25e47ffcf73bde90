// Lowers MaxPool and AveragePool.
#include "accel/opencl/program.h"

#include "accel/reference.h"

#include <stdlib.h>

static void sizes(const struct sl_tensor *t, int64_t size[2])
{
    size[0] = t->rank == 3 ? 1 : t->dims[2];
    size[1] = t->dims[t->rank - 1];
}

static uint32_t pack_window(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    const struct sl_pool_attrs *a = &node->attrs.pool;
    const int32_t flip = ocl_flip(x);
    int64_t in[2], out[2];
    sizes(x, in);
    sizes(y, out);
    const int64_t all[] = {in[0],
                           in[1],
                           out[0],
                           out[1],
                           a->kernel[0],
                           a->kernel[1],
                           a->stride[0],
                           a->stride[1],
                           a->dilation[0],
                           a->dilation[1],
                           a->pad[0],
                           a->pad[1],
                           flip,
                           sl_is_quantised(x) ? x->quant.zero_point[0] + flip : 0,
                           sl_is_quantised(y) ? y->quant.zero_point[0] : 0};
    int32_t window[sizeof(all) / sizeof(*all)];
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        window[i] = (int32_t)all[i];
    return ocl_constant(c, window, sizeof(window));
}

// A table from bytes to bytes: what a quantised element becomes after the pooling. The kernel gives
// the table's index without the flip, as an unsigned rank turned back into the byte.
static int max_table(struct ocl_compiler *c, const struct sl_node *node, uint8_t table[256])
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    struct sl_node copy = {
        .name = node->name, .op = SL_OP_QUANTIZE, .activation = node->activation, .n_inputs = 1};
    copy.n_outputs = 1;
    for (int i = 0; i < 256; i++)
        table[i] = (uint8_t)i;
    if (!sl_is_quantised(x) || (sl_same_quant(x, y) && node->activation.kind == SL_ACT_NONE))
        return 0;
    return ocl_fill_table(c, &copy, x, y, table);
}

int ocl_lower_max_pool(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    const bool real = x->dtype == SL_F32;
    uint8_t table[256];
    int64_t out[2];
    if (!(real && y->dtype == SL_F32 && node->activation.kind == SL_ACT_NONE) &&
        !(ocl_one_scale(x) && ocl_one_scale(y)))
        return ocl_refuse(c, node, "a type other than float32 or 8 bits of one scale");
    int status = max_table(c, node, table);
    if (status)
        return status;
    sizes(y, out);
    struct ocl_step *step = ocl_add_step(c, real ? "max_pool_float" : "max_pool_uchar",
                                         out[0] * out[1], y->dims[0] * y->dims[1], 1);
    if (!step)
        return ocl_no_memory(c);
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[0]));
    ocl_arg_slot(step, ocl_write_slot(c, node->outputs[0]));
    ocl_arg_slot(step, ocl_constant(c, table, sizeof(table)));
    ocl_arg_slot(step, pack_window(c, node));
    return 0;
}

// How many positions a window divides by along one axis.
static int64_t positions(const struct sl_pool_attrs *a, int axis, int64_t in, int64_t at)
{
    const int64_t start = at * a->stride[axis] - a->pad[axis], step = a->dilation[axis];
    int64_t count = 0;
    for (int64_t k = 0; k < a->kernel[axis]; k++) {
        const int64_t place = start + k * step;
        count += a->count_include_pad ? place < in + a->pad[axis + 2] : place >= 0 && place < in;
    }
    return count;
}

static uint32_t pack_factors(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    int64_t in[2], out[2], at = 0;
    sizes(x, in);
    sizes(y, out);
    const size_t bytes = (size_t)(out[0] * out[1]) * sizeof(float);
    float *factors = malloc(bytes + 1);
    for (int64_t oy = 0; factors && oy < out[0]; oy++)
        for (int64_t ox = 0; ox < out[1]; ox++) {
            const int64_t n = positions(&node->attrs.pool, 0, in[0], oy) *
                              positions(&node->attrs.pool, 1, in[1], ox);
            const float count = (float)(n > 0 ? n : 1);
            factors[at++] =
                sl_is_quantised(x) ? x->quant.scale[0] / (y->quant.scale[0] * count) : 1.0f / count;
        }
    const uint32_t slot = ocl_constant(c, factors, bytes);
    free(factors);
    c->failed |= !factors;
    return slot;
}

int ocl_lower_average_pool(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = ocl_in(c, node, 0), *y = ocl_out(c, node);
    const bool real = x->dtype == SL_F32 && y->dtype == SL_F32;
    int32_t low = 0, high = 0, zero = 0;
    int64_t in[2], out[2];
    if ((!real && !(ocl_one_scale(x) && ocl_one_scale(y))) || node->activation.kind != SL_ACT_NONE)
        return ocl_refuse(c, node, "a type other than float32 or 8 bits of one scale");
    sizes(x, in);
    sizes(y, out);
    if (!real) {
        sl_quant_bounds(y, &node->activation, &low, &high);
        zero = y->quant.zero_point[0];
        if (node->attrs.pool.kernel[0] * node->attrs.pool.kernel[1] > INT32_MAX / 512)
            return ocl_refuse(c, node, "a window whose sum needs more than 32 bits");
    }
    struct ocl_step *step = ocl_add_step(c, real ? "average_pool_real" : "average_pool_int",
                                         out[0] * out[1], y->dims[0] * y->dims[1], 1);
    if (!step)
        return ocl_no_memory(c);
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[0]));
    ocl_arg_slot(step, ocl_write_slot(c, node->outputs[0]));
    ocl_arg_slot(step, pack_factors(c, node));
    ocl_arg_slot(step, pack_window(c, node));
    ocl_arg_float(step, (float)(low - zero));
    ocl_arg_float(step, (float)(high - zero));
    return 0;
}
