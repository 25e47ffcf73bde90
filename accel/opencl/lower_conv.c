// Lowers Conv: packs the weights for the kernels of conv.cl.
#include "accel/opencl/program.h"

#include "accel/reference.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 8, PIXELS = 4 };

struct conv {
    const struct sl_tensor *x, *w, *bias, *y;
    const struct sl_conv_attrs *attrs;
    const struct sl_activation *activation;
    bool real, blocked;
    int64_t in[2], out[2], group_in, group_out, channels, taps;
};

static struct conv conv_of(const struct ocl_compiler *c, const struct sl_node *node)
{
    struct conv conv = {.x = ocl_in(c, node, 0),
                        .w = ocl_in(c, node, 1),
                        .bias = ocl_in(c, node, 2),
                        .y = ocl_out(c, node),
                        .attrs = &node->attrs.conv,
                        .activation = &node->activation};
    const bool flat = conv.x->rank == 3;
    for (int i = 0; i < 2; i++) {
        conv.in[i] = flat ? (i ? conv.x->dims[2] : 1) : conv.x->dims[2 + i];
        conv.out[i] = flat ? (i ? conv.y->dims[2] : 1) : conv.y->dims[2 + i];
    }
    conv.real = conv.x->dtype == SL_F32;
    conv.channels = conv.y->dims[1];
    conv.group_in = conv.x->dims[1] / conv.attrs->group;
    conv.group_out = conv.channels / conv.attrs->group;
    conv.blocked = conv.attrs->group == 1 || conv.group_out % BLOCK == 0;
    conv.taps = conv.group_in * conv.attrs->kernel[0] * conv.attrs->kernel[1];
    return conv;
}

static const char *unsupported(const struct conv *conv)
{
    const uint32_t kind = conv->activation->kind;
    if (!conv->w->data || (conv->bias && !conv->bias->data))
        return "weights that are not constant";
    if (conv->real)
        return conv->w->dtype != SL_F32 || conv->y->dtype != SL_F32 ? "a mix of types" : NULL;
    if (!ocl_one_scale(conv->x) || !sl_is_8bit(conv->w) || conv->w->quant.count == 0 ||
        (conv->w->quant.count > 1 && sl_axis(conv->w->quant.axis, conv->w->rank) != 0))
        return "a quantisation other than 8 bits, by tensor or output channel";
    if (conv->bias && conv->bias->dtype != SL_I32)
        return "a bias that is not int32";
    if (sl_is_quantised(conv->y) && !ocl_one_scale(conv->y))
        return "an output of several scales or not of 8 bits";
    if (sl_is_quantised(conv->y) && kind != SL_ACT_NONE && kind != SL_UNARY_RELU &&
        kind != SL_ACT_CLIP)
        return "an activation that is not exact on the device";
    return NULL;
}

static int32_t centred_weight(const struct sl_tensor *w, int64_t i, int64_t channel)
{
    const int32_t zero = w->quant.zero_point[w->quant.count > 1 ? channel : 0];
    return (w->dtype == SL_I8 ? ((const int8_t *)w->data)[i] : ((const uint8_t *)w->data)[i]) -
           zero;
}

// [block][input channel][row][column][8 channels], or as they are.
static uint32_t pack_weights(struct ocl_compiler *c, const struct conv *conv)
{
    const int64_t wide = conv->blocked ? BLOCK : 1;
    const int64_t padded = (conv->channels + wide - 1) / wide * wide;
    const size_t element = conv->real ? sizeof(float) : sizeof(int16_t);
    const size_t bytes = (size_t)(padded * conv->taps) * element;
    unsigned char *packed = calloc(1, bytes + 1);
    for (int64_t k = 0; packed && k < conv->channels; k++)
        for (int64_t t = 0; t < conv->taps; t++) {
            const int64_t from = k * conv->taps + t;
            const int64_t to = (k / wide * conv->taps + t) * wide + k % wide;
            if (conv->real)
                ((float *)(void *)packed)[to] = ((const float *)conv->w->data)[from];
            else
                ((int16_t *)(void *)packed)[to] = (int16_t)centred_weight(conv->w, from, k);
        }
    const uint32_t slot = ocl_constant(c, packed, bytes);
    free(packed);
    c->failed |= !packed;
    return slot;
}

static uint32_t pack_bias(struct ocl_compiler *c, const struct conv *conv)
{
    const size_t bytes = (size_t)conv->channels * 4;
    void *zeros = conv->bias ? NULL : calloc(1, bytes + 1);
    c->failed |= !conv->bias && !zeros;
    const uint32_t slot = ocl_constant(c, conv->bias ? conv->bias->data : zeros, bytes);
    free(zeros);
    return slot;
}

static uint32_t pack_scales(struct ocl_compiler *c, const struct conv *conv)
{
    const struct sl_quant *w = &conv->w->quant;
    float *scales = calloc((size_t)conv->channels + 1, sizeof(*scales));
    for (int64_t k = 0; scales && !conv->real && k < conv->channels; k++) {
        scales[k] = conv->x->quant.scale[0] * w->scale[w->count > 1 ? k : 0];
        if (sl_is_quantised(conv->y))
            scales[k] = scales[k] / conv->y->quant.scale[0];
    }
    const uint32_t slot = ocl_constant(c, scales, (size_t)conv->channels * sizeof(*scales));
    free(scales);
    c->failed |= !scales;
    return slot;
}

static uint32_t pack_geometry(struct ocl_compiler *c, const struct conv *conv)
{
    const struct sl_conv_attrs *a = conv->attrs;
    const bool quantised = sl_is_quantised(conv->y);
    const int32_t kind = quantised ? 0 : conv->y->dtype == SL_F32 ? 1 : 2;
    const int32_t flip = conv->real ? 0 : ocl_flip(conv->x);
    const int64_t all[] = {conv->x->dims[1],
                           conv->in[0],
                           conv->in[1],
                           conv->out[0],
                           conv->out[1],
                           conv->group_in,
                           conv->group_out,
                           conv->channels,
                           a->kernel[0],
                           a->kernel[1],
                           a->stride[0],
                           a->stride[1],
                           a->dilation[0],
                           a->dilation[1],
                           a->pad[0],
                           a->pad[1],
                           flip,
                           conv->real ? 0 : conv->x->quant.zero_point[0] + flip,
                           quantised ? conv->y->quant.zero_point[0] : 0,
                           kind,
                           conv->activation->kind};
    int32_t geometry[sizeof(all) / sizeof(*all)];
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        geometry[i] = (int32_t)all[i];
    return ocl_constant(c, geometry, sizeof(geometry));
}

int ocl_lower_conv(struct ocl_compiler *c, const struct sl_node *node)
{
    const struct conv conv = conv_of(c, node);
    const char *reason = unsupported(&conv);
    if (reason)
        return ocl_refuse(c, node, reason);
    int32_t low = 0, high = 0, zero = 0;
    if (sl_is_quantised(conv.y)) {
        sl_quant_bounds(conv.y, conv.activation, &low, &high);
        zero = conv.y->quant.zero_point[0];
    }
    static const char *const names[2][2] = {{"conv1_int", "conv8_int"},
                                            {"conv1_real", "conv8_real"}};
    const int64_t rows = conv.out[0] * ((conv.out[1] + PIXELS - 1) / PIXELS);
    const int64_t blocks = conv.blocked ? (conv.channels + BLOCK - 1) / BLOCK : conv.channels;
    struct ocl_step *step =
        ocl_add_step(c, names[conv.real][conv.blocked], rows, blocks, conv.x->dims[0]);
    if (!step)
        return ocl_no_memory(c);
    step->macs = (uint64_t)(conv.taps * sl_elements(conv.y));
    ocl_arg_slot(step, ocl_read_slot(c, node->inputs[0]));
    ocl_arg_slot(step, pack_weights(c, &conv));
    ocl_arg_slot(step, pack_bias(c, &conv));
    ocl_arg_slot(step, pack_scales(c, &conv));
    ocl_arg_slot(step, ocl_write_slot(c, node->outputs[0]));
    ocl_arg_slot(step, pack_geometry(c, &conv));
    ocl_arg_float(step, (float)(low - zero));
    ocl_arg_float(step, (float)(high - zero));
    ocl_arg_float(step, conv.activation->alpha);
    ocl_arg_float(step, conv.activation->beta);
    return 0;
}
