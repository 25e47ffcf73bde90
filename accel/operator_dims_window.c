// Dimensions of the operators with a window or a matrix product.
#include "accel/operator.h"

#include "accel/tensor.h"

#include <errno.h>
#include <stdbool.h>

// Far above any real network, and small enough that no sum or product below overflows.
#define MAX_ATTR (1 << 24)

static bool in_range(const int64_t *values, int count, int64_t low)
{
    for (int i = 0; i < count; i++)
        if (values[i] < low || values[i] > MAX_ATTR)
            return false;
    return true;
}

// Spatial dimension i (0 height, 1 width) of a rank 3 or 4 tensor; a 1-D operator has height 1.
static int64_t spatial(const struct sl_tensor *tensor, int i)
{
    if (tensor->rank == 4)
        return tensor->dims[2 + i];
    return i == 0 ? 1 : tensor->dims[2];
}

static int check_rank(const struct sl_op_view *view, const struct sl_tensor *x,
                      const int64_t *kernel, const int64_t *stride, const int64_t *dilation,
                      const int64_t *pad)
{
    if (x->rank != 3 && x->rank != 4)
        return sl_op_fail(view, -ENOTSUP, "input has %u dimensions, only 3 and 4 are supported",
                          x->rank);
    if (!in_range(kernel, 2, 1) || !in_range(stride, 2, 1) || !in_range(dilation, 2, 1) ||
        !in_range(pad, 4, 0))
        return sl_op_fail(view, -EINVAL, "kernel, stride, dilation or padding is out of range");
    if (x->rank == 3 && (kernel[0] != 1 || stride[0] != 1 || pad[0] != 0 || pad[2] != 0))
        return sl_op_fail(view, -EINVAL, "a 1-D window must have height 1");
    return 0;
}

// x is [N, C, (H,) W].
static int expect_spatial(const struct sl_op_view *view, const struct sl_tensor *x,
                          int64_t channels, const int64_t size[2])
{
    int64_t dims[4] = {x->dims[0], channels, size[0], size[1]};
    if (x->rank == 3)
        dims[2] = size[1];
    return sl_dims_expect(view, x->rank, dims);
}

// What must hold before the weights' dimensions may be multiplied by the number of groups.
static int check_group(const struct sl_op_view *view)
{
    const struct sl_conv_attrs *conv = &view->node->attrs.conv;
    const struct sl_tensor *x = sl_op_input(view, 0), *w = sl_op_input(view, 1);
    int status = check_rank(view, x, conv->kernel, conv->stride, conv->dilation, conv->pad);
    if (status)
        return status;
    if (w->rank != x->rank)
        return sl_op_fail(view, -EINVAL, "input has %u dimensions, but the weights have %u",
                          x->rank, w->rank);
    if (conv->group < 1 || conv->group > MAX_ATTR || w->dims[0] % conv->group != 0)
        return sl_op_fail(view, -EINVAL, "%lld groups do not divide the %lld weights",
                          (long long)conv->group, (long long)w->dims[0]);
    return 0;
}

static int check_weights(const struct sl_op_view *view, int64_t inputs, int64_t outputs)
{
    const struct sl_conv_attrs *conv = &view->node->attrs.conv;
    const struct sl_tensor *x = sl_op_input(view, 0), *w = sl_op_input(view, 1);
    const struct sl_tensor *bias = sl_op_input(view, 2);
    if (inputs != x->dims[1])
        return sl_op_fail(view, -EINVAL, "input has %lld channels, but the weights take %lld",
                          (long long)x->dims[1], (long long)inputs);
    if (spatial(w, 0) != conv->kernel[0] || spatial(w, 1) != conv->kernel[1])
        return sl_op_fail(view, -EINVAL, "kernel is %lldx%lld, but the weights are %lldx%lld",
                          (long long)conv->kernel[0], (long long)conv->kernel[1],
                          (long long)spatial(w, 0), (long long)spatial(w, 1));
    if (bias && (bias->rank != 1 || bias->dims[0] != outputs))
        return sl_op_fail(view, -EINVAL, "bias must have %lld elements", (long long)outputs);
    return 0;
}

static int64_t window_extent(int64_t kernel, int64_t dilation)
{
    return (kernel - 1) * dilation + 1;
}

int sl_dims_conv(const struct sl_op_view *view)
{
    const struct sl_conv_attrs *conv = &view->node->attrs.conv;
    const struct sl_tensor *x = sl_op_input(view, 0), *w = sl_op_input(view, 1);
    int status = check_group(view);
    if (status == 0)
        status = check_weights(view, w->dims[1] * conv->group, w->dims[0]);
    if (status)
        return status;
    int64_t size[2];
    for (int i = 0; i < 2; i++) {
        int64_t extent = window_extent(conv->kernel[i], conv->dilation[i]);
        int64_t room = spatial(x, i) + conv->pad[i] + conv->pad[i + 2] - extent;
        if (room < 0)
            return sl_op_fail(view, -EINVAL, "the kernel is larger than the padded input");
        size[i] = room / conv->stride[i] + 1;
    }
    return expect_spatial(view, x, w->dims[0], size);
}

int sl_dims_conv_transpose(const struct sl_op_view *view)
{
    const struct sl_conv_attrs *conv = &view->node->attrs.conv;
    const struct sl_tensor *x = sl_op_input(view, 0), *w = sl_op_input(view, 1);
    int status = check_group(view);
    int64_t outputs = status ? 0 : w->dims[1] * conv->group;
    if (status == 0)
        status = check_weights(view, w->dims[0], outputs);
    if (status == 0 && !in_range(conv->output_pad, 2, 0))
        status = sl_op_fail(view, -EINVAL, "output padding is out of range");
    if (status)
        return status;
    int64_t size[2];
    for (int i = 0; i < 2; i++) {
        int64_t extent = window_extent(conv->kernel[i], conv->dilation[i]);
        size[i] = conv->stride[i] * (spatial(x, i) - 1) + conv->output_pad[i] + extent -
                  conv->pad[i] - conv->pad[i + 2];
        if (size[i] < 0)
            return sl_op_fail(view, -EINVAL, "the padding is larger than the output");
    }
    return expect_spatial(view, x, outputs, size);
}

// In ceil mode frameworks differ on whether a last window that starts in the padding counts: both
// sizes are accepted, the meaning of each output element is the same.
int sl_dims_pool(const struct sl_op_view *view)
{
    const struct sl_pool_attrs *pool = &view->node->attrs.pool;
    const struct sl_tensor *x = sl_op_input(view, 0), *y = sl_op_output(view, 0);
    int status = check_rank(view, x, pool->kernel, pool->stride, pool->dilation, pool->pad);
    if (status)
        return status;
    int64_t size[2];
    for (int i = 0; i < 2; i++) {
        int64_t extent = window_extent(pool->kernel[i], pool->dilation[i]);
        int64_t room = spatial(x, i) + pool->pad[i] + pool->pad[i + 2] - extent;
        if (room < 0)
            return sl_op_fail(view, -EINVAL, "the window is larger than the padded input");
        int64_t up = pool->ceil_mode ? pool->stride[i] - 1 : 0;
        size[i] = (room + up) / pool->stride[i] + 1;
        bool starts_in_padding = (size[i] - 1) * pool->stride[i] >= spatial(x, i) + pool->pad[i];
        if (pool->ceil_mode && starts_in_padding && y->rank == x->rank &&
            spatial(y, i) == size[i] - 1)
            size[i]--;
    }
    return expect_spatial(view, x, x->dims[1], size);
}

int sl_dims_gemm(const struct sl_op_view *view)
{
    const struct sl_gemm_attrs *gemm = &view->node->attrs.gemm;
    const struct sl_tensor *a = sl_op_input(view, 0), *b = sl_op_input(view, 1);
    const struct sl_tensor *c = sl_op_input(view, 2);
    if (a->rank != 2 || b->rank != 2)
        return sl_op_fail(view, -EINVAL, "inputs must be matrices, not of rank %u and %u", a->rank,
                          b->rank);
    int64_t rows = a->dims[gemm->trans_a ? 1 : 0], inner = a->dims[gemm->trans_a ? 0 : 1];
    int64_t columns = b->dims[gemm->trans_b ? 0 : 1];
    if (b->dims[gemm->trans_b ? 1 : 0] != inner)
        return sl_op_fail(view, -EINVAL, "inner dimensions %lld and %lld differ", (long long)inner,
                          (long long)b->dims[gemm->trans_b ? 1 : 0]);
    int64_t dims[SL_MAX_RANK] = {rows, columns}, fit[SL_MAX_RANK] = {rows, columns};
    uint32_t rank = 2;
    if (c && (!sl_broadcast(&rank, fit, c) || rank != 2 || fit[0] != rows || fit[1] != columns))
        return sl_op_fail(view, -EINVAL, "c does not broadcast to the result");
    return sl_dims_expect(view, 2, dims);
}

static struct sl_tensor batch_dims(const struct sl_tensor *matrix)
{
    struct sl_tensor batch = *matrix;
    batch.rank = matrix->rank > 2 ? matrix->rank - 2 : 0;
    return batch;
}

int sl_dims_matmul(const struct sl_op_view *view)
{
    const struct sl_tensor *a = sl_op_input(view, 0), *b = sl_op_input(view, 1);
    if (a->rank == 0 || b->rank == 0)
        return sl_op_fail(view, -EINVAL, "a scalar has no matrix product");
    int64_t inner = a->dims[a->rank - 1], other = b->dims[b->rank > 1 ? b->rank - 2 : 0];
    if (inner != other)
        return sl_op_fail(view, -EINVAL, "inner dimensions %lld and %lld differ", (long long)inner,
                          (long long)other);
    struct sl_tensor batch_a = batch_dims(a), batch_b = batch_dims(b);
    int64_t dims[SL_MAX_RANK] = {0};
    uint32_t rank = 0;
    sl_broadcast(&rank, dims, &batch_a);
    if (!sl_broadcast(&rank, dims, &batch_b))
        return sl_op_fail(view, -EINVAL, "the batch dimensions do not fit");
    if (a->rank > 1)
        dims[rank++] = a->dims[a->rank - 2];
    if (b->rank > 1)
        dims[rank++] = b->dims[b->rank - 1];
    return sl_dims_expect(view, rank, dims);
}
