// Lowering of operators with a sliding window: convolution and pooling.
#include "inference/onnx_lower.h"

#include <errno.h>
#include <string.h>

// Attributes that come per spatial axis; one-dimensional operators get a height of 1.
struct window {
    uint32_t spatial; // 1 or 2
    int64_t kernel[2], stride[2], dilation[2], pad[4], output_pad[2];
};

static int read_pair(struct lower *l, const char *name, uint32_t spatial, int64_t out[2])
{
    int64_t values[2];
    uint32_t count = 0;
    const int status = lower_ints(l, name, values, 2, &count);
    if (status < 0 || count == 0)
        return status;
    if (count != spatial)
        return lower_fail(l, -EINVAL, "attribute '%s' has %u numbers, expected %u", name, count,
                          spatial);
    for (uint32_t i = 0; i < spatial; i++)
        out[2 - spatial + i] = values[i];
    return 0;
}

static int read_pads(struct lower *l, struct window *w)
{
    int64_t values[4];
    uint32_t count = 0;
    const int status = lower_ints(l, "pads", values, 4, &count);
    if (status < 0 || count == 0)
        return status;
    if (count != 2 * w->spatial)
        return lower_fail(l, -EINVAL, "attribute 'pads' has %u numbers, expected %u", count,
                          2 * w->spatial);
    for (uint32_t i = 0; i < w->spatial; i++) {
        w->pad[2 - w->spatial + i] = values[i];
        w->pad[4 - w->spatial + i] = values[w->spatial + i];
    }
    return 0;
}

static int64_t input_side(const struct sl_tensor *x, uint32_t spatial, int axis)
{
    return axis == 0 && spatial == 1 ? 1 : x->dims[x->rank - 2 + (uint32_t)axis];
}

static int check_window(struct lower *l, const struct window *w)
{
    for (int i = 0; i < 2; i++) {
        if (w->kernel[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1 || w->kernel[i] > 65536 ||
            w->stride[i] > 65536 || w->dilation[i] > 65536)
            return lower_fail(l, -EINVAL, "kernel, stride and dilation must be 1 to 65536");
        if (w->pad[i] < 0 || w->pad[2 + i] < 0 || w->pad[i] > 65536 || w->pad[2 + i] > 65536)
            return lower_fail(l, -EINVAL, "padding must be 0 to 65536");
    }
    return 0;
}

// auto_pad SAME: as much padding as makes the output ceil(input / stride).
static void pad_same(struct window *w, const struct sl_tensor *x, bool upper)
{
    for (int i = 0; i < 2; i++) {
        const int64_t side = input_side(x, w->spatial, i);
        const int64_t out = (side + w->stride[i] - 1) / w->stride[i];
        const int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
        const int64_t need = (out - 1) * w->stride[i] + reach - side;
        const int64_t total = need > 0 ? need : 0;
        w->pad[i] = upper ? total / 2 : total - total / 2;
        w->pad[2 + i] = total - w->pad[i];
    }
}

static int read_window(struct lower *l, const struct sl_tensor *kernel_of, struct window *w)
{
    const struct sl_tensor *x = lower_input(l, 0);
    *w = (struct window){.kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}};
    if (x->rank != 3 && x->rank != 4)
        return lower_fail(l, -ENOTSUP,
                          "expected 3 or 4 dimensions (batch, channels, sides), found %u", x->rank);
    w->spatial = x->rank - 2;
    if (kernel_of && kernel_of->rank != x->rank)
        return lower_fail(l, -EINVAL, "input and weights have %u and %u dimensions", x->rank,
                          kernel_of->rank);
    for (uint32_t i = 0; kernel_of && i < w->spatial; i++)
        w->kernel[2 - w->spatial + i] = kernel_of->dims[2 + i];
    int status = read_pair(l, "kernel_shape", w->spatial, w->kernel);
    if (status == 0)
        status = read_pair(l, "strides", w->spatial, w->stride);
    if (status == 0)
        status = read_pair(l, "dilations", w->spatial, w->dilation);
    if (status == 0)
        status = read_pair(l, "output_padding", w->spatial, w->output_pad);
    if (status == 0)
        status = read_pads(l, w);
    if (status == 0)
        status = check_window(l, w);
    if (status == 0 && (lower_is(l, "auto_pad", "SAME_UPPER", "NOTSET") ||
                        lower_is(l, "auto_pad", "SAME_LOWER", "NOTSET")))
        pad_same(w, x, lower_is(l, "auto_pad", "SAME_UPPER", "NOTSET"));
    else if (status == 0 && lower_is(l, "auto_pad", "VALID", "NOTSET"))
        memset(w->pad, 0, sizeof(w->pad));
    return status;
}

static struct sl_conv_attrs conv_attrs(const struct lower *l, const struct window *w)
{
    struct sl_conv_attrs a = {.group = lower_int(l, "group", 1)};
    memcpy(a.kernel, w->kernel, sizeof(a.kernel));
    memcpy(a.stride, w->stride, sizeof(a.stride));
    memcpy(a.dilation, w->dilation, sizeof(a.dilation));
    memcpy(a.pad, w->pad, sizeof(a.pad));
    memcpy(a.output_pad, w->output_pad, sizeof(a.output_pad));
    return a;
}

int lower_conv(struct lower *l)
{
    struct window w;
    const int status = read_window(l, lower_input(l, 1), &w);
    struct sl_node node = {.op = SL_OP_CONV};
    if (status < 0)
        return status;
    node.attrs.conv = conv_attrs(l, &w);
    return lower_emit(l, &node, l->in, l->n_in, NULL, 1, l->out);
}

// output_shape and auto_pad choose the padding so that the output has a given size.
static int transpose_pads(struct lower *l, struct window *w)
{
    const struct sl_tensor *x = lower_input(l, 0);
    int64_t wanted[2] = {0, 0};
    const bool upper = lower_is(l, "auto_pad", "SAME_UPPER", "NOTSET");
    const bool same = upper || lower_is(l, "auto_pad", "SAME_LOWER", "NOTSET");
    const bool given = lower_attribute(l, "output_shape") != NULL;
    int64_t values[4];
    uint32_t count = 0;
    int status = lower_ints(l, "output_shape", values, 4, &count);
    if (status < 0 || (!given && !same))
        return status;
    if (given && count < w->spatial)
        return lower_fail(l, -EINVAL, "attribute 'output_shape' has %u numbers", count);
    for (uint32_t i = 0; given && i < w->spatial; i++)
        wanted[2 - w->spatial + i] = values[count - w->spatial + i];
    for (int i = 0; i < 2; i++) {
        const int64_t side = input_side(x, w->spatial, i);
        if (w->spatial == 1 && i == 0)
            continue;
        if (!given)
            wanted[i] = side * w->stride[i];
        const int64_t reach = (w->kernel[i] - 1) * w->dilation[i] + 1;
        const int64_t need = (side - 1) * w->stride[i] + w->output_pad[i] + reach - wanted[i];
        const int64_t total = need > 0 ? need : 0;
        w->pad[i] = upper ? total / 2 : total - total / 2;
        w->pad[2 + i] = total - w->pad[i];
        if (need < 0)
            w->output_pad[i] -= need; // more rows than the kernel reaches: they hold the bias
    }
    return 0;
}

int lower_conv_transpose(struct lower *l)
{
    struct window w;
    int status = read_window(l, lower_input(l, 1), &w);
    if (status == 0)
        status = transpose_pads(l, &w);
    struct sl_node node = {.op = SL_OP_CONV_TRANSPOSE};
    if (status < 0)
        return status;
    node.attrs.conv = conv_attrs(l, &w);
    return lower_emit(l, &node, l->in, l->n_in, NULL, 1, l->out);
}

int lower_pool(struct lower *l)
{
    struct window w;
    const int status = read_window(l, NULL, &w);
    struct sl_node node = {.op = (uint32_t)l->argument};
    if (status < 0)
        return status;
    if (l->n_out > 1)
        return lower_fail(l, -ENOTSUP, "the second output (indices) is not supported");
    if (!lower_attribute(l, "kernel_shape"))
        return lower_fail(l, -EINVAL, "attribute 'kernel_shape' is missing");
    struct sl_pool_attrs *a = &node.attrs.pool;
    memcpy(a->kernel, w.kernel, sizeof(a->kernel));
    memcpy(a->stride, w.stride, sizeof(a->stride));
    memcpy(a->dilation, w.dilation, sizeof(a->dilation));
    memcpy(a->pad, w.pad, sizeof(a->pad));
    a->ceil_mode = lower_int(l, "ceil_mode", 0) != 0;
    a->count_include_pad = lower_int(l, "count_include_pad", 0) != 0;
    return lower_emit(l, &node, l->in, 1, NULL, 1, l->out);
}

int lower_global_pool(struct lower *l)
{
    const struct sl_tensor *x = lower_input(l, 0);
    if (x->rank < 3)
        return lower_fail(l, -ENOTSUP, "expected at least 3 dimensions, found %u", x->rank);
    struct sl_node node = {.op = (uint32_t)l->argument};
    if (x->rank > 4) { // any number of sides: a reduction
        node.op = SL_OP_REDUCE;
        node.attrs.reduce =
            (struct sl_reduce_attrs){l->argument == SL_OP_MAX_POOL ? SL_REDUCE_MAX : SL_REDUCE_MEAN,
                                     ((1u << x->rank) - 1) & ~3u, 1};
        return lower_emit(l, &node, l->in, 1, NULL, 1, l->out);
    }
    struct sl_pool_attrs *a = &node.attrs.pool;
    for (int i = 0; i < 2; i++) {
        a->kernel[i] = input_side(x, x->rank - 2, i);
        a->stride[i] = a->dilation[i] = 1;
    }
    return lower_emit(l, &node, l->in, 1, NULL, 1, l->out);
}
