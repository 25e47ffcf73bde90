// Steps of a transposed convolution: one ordinary convolution for each phase of its stride.
//
// In one dimension output o is the sum over the taps k of x[i] w[k] with i * stride + k = o + pad.
// Outputs with the same phase (o + pad) % stride = p use the taps p, p + stride … alone: they are a
// convolution with stride 1 of those taps, in reverse order, whose outputs stand `stride` apart.
#include "accel/cpu/conv.h"

struct phase {
    int64_t first; // output
    int64_t count; // of outputs
    int64_t tap;   // the first tap
    int64_t taps;
    int64_t pad;
};

static struct phase find_phase(const struct sl_conv_attrs *attrs, int axis, int64_t out, int64_t p)
{
    int64_t stride = attrs->stride[axis], pad = attrs->pad[axis], kernel = attrs->kernel[axis];
    struct phase phase = {.first = ((p - pad) % stride + stride) % stride, .tap = p};
    phase.count = phase.first < out ? (out - phase.first + stride - 1) / stride : 0;
    phase.taps = p < kernel ? (kernel - p + stride - 1) / stride : 1; // one that is zero
    phase.pad = phase.taps - 1 - (phase.first + pad) / stride;
    return phase;
}

struct weights {
    const struct sl_tensor *tensor; // [input channel][output channel of a group][row][column]
    int64_t group_inputs;
    struct phase phases[2];
    int64_t stride[2];
};

// The tap of the whole kernel, or -1.
static int64_t find_tap(const struct weights *w, int axis, int64_t k)
{
    const struct phase *phase = &w->phases[axis];
    int64_t tap = phase->tap + (phase->taps - 1 - k) * w->stride[axis];
    return tap < w->tensor->dims[2 + axis] ? tap : -1;
}

static float weight_at(const void *ctx, int64_t o, int64_t c, int64_t ky, int64_t kx)
{
    const struct weights *w = ctx;
    const int64_t *dims = w->tensor->dims;
    int64_t y = find_tap(w, 0, ky), x = find_tap(w, 1, kx);
    if (y < 0 || x < 0)
        return 0;
    int64_t in = o / dims[1] * w->group_inputs + c;
    return cpu_weight(w->tensor, ((in * dims[1] + o % dims[1]) * dims[2] + y) * dims[3] + x, o);
}

static bool fits(const struct cpu_compiler *c, const struct sl_node *node, enum conv_kind *kind)
{
    const struct sl_conv_attrs *attrs = &node->attrs.conv;
    const struct sl_tensor *x = cpu_in(c, node, 0), *w = cpu_in(c, node, 1);
    const struct sl_tensor *b = cpu_in(c, node, 2), *y = cpu_out(c, node);
    if (node->op != SL_OP_CONV_TRANSPOSE || !w->data || (b && !b->data) || !cpu_fits_nhwc(x) ||
        !cpu_fits_nhwc(y) || sl_elements(y) == 0 || sl_elements(w) == 0 || sl_elements(x) == 0 ||
        (attrs->group > 1 && w->quant.count > 1) || attrs->dilation[0] != 1 ||
        attrs->dilation[1] != 1 || !conv_clamps(node->activation.kind) ||
        !cpu_conv_kind(c, node, 1, kind))
        return false;
    if (conv_is_depthwise_node(node, x, y))
        *kind = conv_is_real(*kind) ? CONV_DEPTHWISE_F32 : CONV_DEPTHWISE;
    for (int axis = 0; axis < 2; axis++)
        for (int64_t p = 0; p < attrs->stride[axis]; p++)
            if (find_phase(attrs, axis, y->dims[2 + axis], p).pad < 0)
                return false;
    return true;
}

static void set_geometry(const struct cpu_compiler *c, const struct sl_node *node,
                         const struct phase phases[2], struct conv *conv)
{
    const struct sl_conv_attrs *attrs = &node->attrs.conv;
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    size_t pixel = (size_t)cpu_round_channels(y->dims[1]) * sl_dtype_size(y->dtype);
    size_t row = (size_t)y->dims[3] * pixel;
    conv->kernels = c->kernels;
    conv->n = x->dims[0];
    conv->group = attrs->group;
    conv->fold = 1;
    conv->channels = x->dims[1];
    conv->padded = cpu_round_channels(x->dims[1]);
    conv->out_channels = y->dims[1];
    conv->x_layout = CPU_NHWC;
    conv->x_dtype = x->dtype;
    conv->x_zero = sl_is_quantised(x) ? x->quant.zero_point[0] : 0;
    conv->residual = CPU_NONE;
    conv->y_element = sl_dtype_size(y->dtype);
    conv->y_step = (size_t)attrs->stride[1] * pixel;
    conv->y_row = (size_t)attrs->stride[0] * row;
    conv->y_picture = (size_t)y->dims[2] * row;
    conv->y_first = (size_t)phases[0].first * row + (size_t)phases[1].first * pixel;
    for (int i = 0; i < 2; i++) {
        conv->in[i] = x->dims[2 + i];
        conv->out[i] = phases[i].count;
        conv->kernel[i] = phases[i].taps;
        conv->stride[i] = conv->dilation[i] = 1;
        conv->pad[i] = phases[i].pad;
    }
}

static int add_phase(struct cpu_compiler *c, const struct sl_node *node, struct conv *conv,
                     const struct phase phases[2])
{
    const int64_t *stride = node->attrs.conv.stride;
    const struct weights w = {cpu_in(c, node, 1),
                              conv->channels / conv->group,
                              {phases[0], phases[1]},
                              {stride[0], stride[1]}};
    int status = cpu_conv_constants(c, node, conv, weight_at, &w);
    return status ? status : cpu_conv_step(c, node, conv);
}

static void find_phases(const struct cpu_compiler *c, const struct sl_node *node, int64_t i,
                        struct phase phases[2])
{
    const struct sl_conv_attrs *attrs = &node->attrs.conv;
    const struct sl_tensor *y = cpu_out(c, node);
    phases[0] = find_phase(attrs, 0, y->dims[2], i / attrs->stride[1]);
    phases[1] = find_phase(attrs, 1, y->dims[3], i % attrs->stride[1]);
}

int cpu_lower_conv_transpose(struct cpu_compiler *c, const struct sl_node *node)
{
    enum conv_kind kind;
    if (!fits(c, node, &kind))
        return 0;
    struct phase phases[2];
    int64_t count = node->attrs.conv.stride[0] * node->attrs.conv.stride[1];
    struct conv *convs = cpu_take(c, (size_t)count, sizeof(*convs));
    if (!convs)
        return cpu_no_memory(c);
    for (int64_t i = 0; i < count; i++) {
        find_phases(c, node, i, phases);
        convs[i].kind = kind;
        set_geometry(c, node, phases, &convs[i]);
        if (!conv_layout(&convs[i]))
            return 0;
    }
    uint32_t x, y;
    int status = cpu_want(c, node->inputs[0], CPU_NHWC, &x);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], CPU_NHWC, &y);
    for (int64_t i = 0; status == 0 && i < count; i++) {
        find_phases(c, node, i, phases);
        convs[i].x = x;
        convs[i].y = y;
        if (phases[0].count > 0 && phases[1].count > 0)
            status = add_phase(c, node, &convs[i], phases);
    }
    return status ? status : 1;
}
