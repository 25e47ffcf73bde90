// Shapes of the convolution family and of pooling.
#include "inference/shape.h"

#include <errno.h>
#include <stdbool.h>

// Attributes of a window have these limits, so that no arithmetic on them can overflow.
#define WINDOW_MAX (1 << 20)

static bool in_window_range(int64_t value, int64_t least)
{
    return value >= least && value <= WINDOW_MAX;
}

// Spatial axis `i` of 2: the dims index in a tensor of rank 4 or 3 (one spatial axis, the height
// is 1), or -1.
static int spatial_axis(const struct sl_tensor *x, int i)
{
    return x->rank == 4 ? 2 + i : i == 1 ? 2 : -1;
}

static int64_t spatial_size(const struct sl_tensor *x, int i)
{
    int axis = spatial_axis(x, i);
    return axis < 0 ? 1 : x->dims[axis];
}

static void set_spatial(struct sl_tensor *out, int i, int64_t size)
{
    int axis = spatial_axis(out, i);
    if (axis >= 0) {
        out->dims[axis] = size;
    }
}

static int check_picture(struct shape_node *s)
{
    const struct sl_tensor *x = s->in[0];
    if (x->rank != 3 && x->rank != 4) {
        return sl_error_set(s->error, -ENOTSUP, "expected an input of 3 or 4 dimensions, found %u",
                            x->rank);
    }
    return 0;
}

static int check_window(struct shape_node *s, const int64_t kernel[2], const int64_t stride[2],
                        const int64_t dilation[2], const int64_t pad[4])
{
    for (int i = 0; i < 2; i++) {
        if (!in_window_range(kernel[i], 1) || !in_window_range(stride[i], 1) ||
            !in_window_range(dilation[i], 1) || !in_window_range(pad[i], 0) ||
            !in_window_range(pad[i + 2], 0)) {
            return sl_error_set(s->error, -EINVAL,
                                "kernel %lld, stride %lld, dilation %lld, pads %lld and %lld are "
                                "not a window",
                                (long long)kernel[i], (long long)stride[i], (long long)dilation[i],
                                (long long)pad[i], (long long)pad[i + 2]);
        }
    }
    return 0;
}

static int64_t extent(int64_t kernel, int64_t dilation)
{
    return (kernel - 1) * dilation + 1;
}

static int fail_too_small(struct shape_node *s, int i, int64_t wanted)
{
    return sl_error_set(s->error, -EINVAL, "the window spans %lld, the padded input only %lld",
                        (long long)wanted, (long long)spatial_size(s->in[0], i));
}

// The weights' kernel dims must be the attributes'.
static int check_kernel(struct shape_node *s, const int64_t kernel[2])
{
    const struct sl_tensor *x = s->in[0], *w = s->in[1];
    if (w->rank != x->rank) {
        return sl_error_set(s->error, -EINVAL, "input has %u dimensions, weights %u", x->rank,
                            w->rank);
    }
    for (int i = 0; i < 2; i++) {
        if (spatial_size(w, i) != kernel[i]) {
            return sl_error_set(s->error, -EINVAL, "kernel_shape says %lld, the weights have %lld",
                                (long long)kernel[i], (long long)spatial_size(w, i));
        }
    }
    return 0;
}

static int check_bias(struct shape_node *s, int64_t channels)
{
    const struct sl_tensor *b = s->in[2];
    if (b && (b->rank != 1 || b->dims[0] != channels)) {
        char text[SHAPE_TEXT];
        return sl_error_set(s->error, -EINVAL, "expected a bias of %lld, found %s",
                            (long long)channels, shape_text(b->dims, b->rank, text));
    }
    return 0;
}

int shape_conv(struct shape_node *s)
{
    const struct sl_conv_attrs *a = &s->node->attrs.conv;
    const struct sl_tensor *x = s->in[0], *w = s->in[1];
    int status = check_picture(s);
    if (!status) {
        status = check_window(s, a->kernel, a->stride, a->dilation, a->pad);
    }
    if (!status) {
        status = check_kernel(s, a->kernel);
    }
    if (status) {
        return status;
    }
    if (a->group < 1 || w->dims[0] % a->group != 0 || x->dims[1] % a->group != 0 ||
        x->dims[1] / a->group != w->dims[1] || w->dims[0] == 0 || w->dims[1] == 0) {
        return sl_error_set(s->error, -EINVAL,
                            "%lld channels in %lld groups do not fit weights for %lld to %lld",
                            (long long)x->dims[1], (long long)a->group, (long long)w->dims[1],
                            (long long)w->dims[0]);
    }
    s->out->rank = x->rank;
    s->out->dims[0] = x->dims[0];
    s->out->dims[1] = w->dims[0];
    for (int i = 0; i < 2; i++) {
        int64_t span = extent(a->kernel[i], a->dilation[i]);
        int64_t room = spatial_size(x, i) + a->pad[i] + a->pad[i + 2] - span;
        if (room < 0) {
            return fail_too_small(s, i, span);
        }
        set_spatial(s->out, i, room / a->stride[i] + 1);
    }
    return check_bias(s, w->dims[0]);
}

int shape_conv_transpose(struct shape_node *s)
{
    const struct sl_conv_attrs *a = &s->node->attrs.conv;
    const struct sl_tensor *x = s->in[0], *w = s->in[1];
    int status = check_picture(s);
    if (!status) {
        status = check_window(s, a->kernel, a->stride, a->dilation, a->pad);
    }
    if (!status) {
        status = check_kernel(s, a->kernel);
    }
    if (status) {
        return status;
    }
    if (a->group < 1 || a->group > WINDOW_MAX || x->dims[1] % a->group != 0 ||
        w->dims[0] != x->dims[1] || w->dims[0] == 0 || w->dims[1] == 0) {
        return sl_error_set(s->error, -EINVAL,
                            "%lld channels in %lld groups do not fit weights for %lld",
                            (long long)x->dims[1], (long long)a->group, (long long)w->dims[0]);
    }
    s->out->rank = x->rank;
    s->out->dims[0] = x->dims[0];
    s->out->dims[1] = w->dims[1] * a->group;
    for (int i = 0; i < 2; i++) {
        if (!in_window_range(a->output_pad[i], 0)) {
            return sl_error_set(s->error, -EINVAL, "output_padding %lld is out of range",
                                (long long)a->output_pad[i]);
        }
        int64_t size = (spatial_size(x, i) - 1) * a->stride[i] +
                       extent(a->kernel[i], a->dilation[i]) + a->output_pad[i] - a->pad[i] -
                       a->pad[i + 2];
        if (size < 1 || spatial_size(x, i) < 1) {
            return sl_error_set(s->error, -EINVAL, "the output would have a size of %lld",
                                (long long)size);
        }
        set_spatial(s->out, i, size);
    }
    return check_bias(s, s->out->dims[1]);
}

int shape_pool(struct shape_node *s)
{
    const struct sl_pool_attrs *a = &s->node->attrs.pool;
    const struct sl_tensor *x = s->in[0];
    int status = check_picture(s);
    if (!status) {
        status = check_window(s, a->kernel, a->stride, a->dilation, a->pad);
    }
    if (status) {
        return status;
    }
    *s->out = (struct sl_tensor){.dtype = s->out->dtype, .rank = x->rank, .quant = s->out->quant};
    s->out->dims[0] = x->dims[0];
    s->out->dims[1] = x->dims[1];
    for (int i = 0; i < 2; i++) {
        int64_t span = extent(a->kernel[i], a->dilation[i]), stride = a->stride[i];
        int64_t room = spatial_size(x, i) + a->pad[i] + a->pad[i + 2] - span;
        if (room < 0) {
            return fail_too_small(s, i, span);
        }
        int64_t size = (a->ceil_mode ? (room + stride - 1) / stride : room / stride) + 1;
        // A window that would begin in the far padding sees nothing of the input.
        if (a->ceil_mode && (size - 1) * stride >= spatial_size(x, i) + a->pad[i]) {
            size--;
        }
        set_spatial(s->out, i, size);
    }
    return 0;
}

int shape_gemm(struct shape_node *s)
{
    const struct sl_gemm_attrs *g = &s->node->attrs.gemm;
    const struct sl_tensor *a = s->in[0], *b = s->in[1], *c = s->in[2];
    if (a->rank != 2 || b->rank != 2) {
        return sl_error_set(s->error, -EINVAL, "expected two matrices, found ranks %u and %u",
                            a->rank, b->rank);
    }
    if (a->dims[g->trans_a ? 0 : 1] != b->dims[g->trans_b ? 1 : 0]) {
        return sl_error_set(s->error, -EINVAL, "the inner dimensions are %lld and %lld",
                            (long long)a->dims[g->trans_a ? 0 : 1],
                            (long long)b->dims[g->trans_b ? 1 : 0]);
    }
    s->out->rank = 2;
    s->out->dims[0] = a->dims[g->trans_a ? 1 : 0];
    s->out->dims[1] = b->dims[g->trans_b ? 0 : 1];
    if (c) {
        struct sl_tensor both;
        if (shape_broadcast(s->out, c, &both) || both.rank != 2 ||
            both.dims[0] != s->out->dims[0] || both.dims[1] != s->out->dims[1]) {
            char want[SHAPE_TEXT], have[SHAPE_TEXT];
            return sl_error_set(s->error, -EINVAL, "input C is %s and cannot become %s",
                                shape_text(c->dims, c->rank, have),
                                shape_text(s->out->dims, 2, want));
        }
    }
    return 0;
}

// One of the operands as a stack of matrices: numpy gives a vector a dimension of 1.
static struct sl_tensor as_matrices(const struct sl_tensor *t, bool left)
{
    struct sl_tensor m = {.rank = t->rank == 1 ? 2 : t->rank};
    for (uint32_t i = 0; i < t->rank; i++) {
        m.dims[i] = t->dims[i];
    }
    if (t->rank == 1) {
        m.dims[0] = left ? 1 : t->dims[0];
        m.dims[1] = left ? t->dims[0] : 1;
    }
    return m;
}

int shape_matmul(struct shape_node *s)
{
    if (s->in[0]->rank == 0 || s->in[1]->rank == 0) {
        return sl_error_set(s->error, -EINVAL, "a scalar is no matrix");
    }
    struct sl_tensor a = as_matrices(s->in[0], true), b = as_matrices(s->in[1], false), stack;
    if (a.dims[a.rank - 1] != b.dims[b.rank - 2]) {
        return sl_error_set(s->error, -EINVAL, "the inner dimensions are %lld and %lld",
                            (long long)a.dims[a.rank - 1], (long long)b.dims[b.rank - 2]);
    }
    int64_t rows = a.dims[a.rank - 2], columns = b.dims[b.rank - 1];
    a.rank -= 2;
    b.rank -= 2;
    if (shape_broadcast(&a, &b, &stack)) {
        return sl_error_set(s->error, -EINVAL, "the stacks of matrices do not fit each other");
    }
    s->out->rank = stack.rank;
    for (uint32_t i = 0; i < stack.rank; i++) {
        s->out->dims[i] = stack.dims[i];
    }
    if (s->in[0]->rank > 1) {
        s->out->dims[s->out->rank++] = rows;
    }
    if (s->in[1]->rank > 1) {
        s->out->dims[s->out->rank++] = columns;
    }
    return 0;
}
