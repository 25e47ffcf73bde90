// Dimensions of the operators that work element by element, reduce, or move data.
#include "accel/operator.h"

#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#define MAX_MOVE ((int64_t)1 << 40)

int sl_dims_expect(const struct sl_op_view *view, uint32_t rank, const int64_t *dims)
{
    const struct sl_tensor *y = sl_op_output(view, 0);
    char have[SL_DIMS_TEXT], want[SL_DIMS_TEXT];
    if (y->rank == rank && memcmp(y->dims, dims, rank * sizeof(*dims)) == 0)
        return 0;
    return sl_op_fail(view, -EINVAL, "output is %s, but %s follows from the inputs",
                      sl_dims_text(y->rank, y->dims, have, sizeof(have)),
                      sl_dims_text(rank, dims, want, sizeof(want)));
}

static int bad_axis(const struct sl_op_view *view, int64_t axis, uint32_t rank)
{
    return sl_op_fail(view, -EINVAL, "axis %lld is out of range for %u dimensions", (long long)axis,
                      rank);
}

int sl_dims_same(const struct sl_op_view *view)
{
    const struct sl_tensor *x = sl_op_input(view, 0);
    return sl_dims_expect(view, x->rank, x->dims);
}

int sl_dims_broadcast(const struct sl_op_view *view)
{
    int64_t dims[SL_MAX_RANK] = {0};
    uint32_t rank = 0;
    for (uint32_t i = 0; i < view->node->n_inputs; i++)
        if (!sl_broadcast(&rank, dims, sl_op_input(view, i)))
            return sl_op_fail(view, -EINVAL, "the dimensions of input %u do not broadcast", i);
    return sl_dims_expect(view, rank, dims);
}

// The second input broadcasts to the first and does not widen it.
int sl_dims_prelu(const struct sl_op_view *view)
{
    const struct sl_tensor *x = sl_op_input(view, 0);
    int64_t dims[SL_MAX_RANK];
    uint32_t rank = x->rank;
    memcpy(dims, x->dims, sizeof(dims));
    if (!sl_broadcast(&rank, dims, sl_op_input(view, 1)) || rank != x->rank ||
        memcmp(dims, x->dims, rank * sizeof(*dims)) != 0)
        return sl_op_fail(view, -EINVAL, "slope does not broadcast to the input");
    return sl_dims_expect(view, x->rank, x->dims);
}

int sl_dims_reduce(const struct sl_op_view *view)
{
    const struct sl_reduce_attrs *reduce = &view->node->attrs.reduce;
    const struct sl_tensor *x = sl_op_input(view, 0);
    if (reduce->kind < SL_REDUCE_MEAN || reduce->kind > SL_REDUCE_SUM_SQUARE)
        return sl_op_fail(view, -EINVAL, "reduction %u is not known", reduce->kind);
    if (reduce->axes >> x->rank != 0)
        return sl_op_fail(view, -EINVAL, "an axis is out of range for %u dimensions", x->rank);
    int64_t dims[SL_MAX_RANK] = {0};
    uint32_t rank = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        if (!(reduce->axes >> i & 1))
            dims[rank++] = x->dims[i];
        else if (reduce->keep_dims)
            dims[rank++] = 1;
    }
    return sl_dims_expect(view, rank, dims);
}

int sl_dims_arg(const struct sl_op_view *view)
{
    const struct sl_arg_attrs *arg = &view->node->attrs.arg;
    const struct sl_tensor *x = sl_op_input(view, 0);
    uint32_t axis = sl_axis(arg->axis, x->rank), rank = 0;
    if (axis == x->rank)
        return bad_axis(view, arg->axis, x->rank);
    if (x->dims[axis] == 0)
        return sl_op_fail(view, -EINVAL, "axis %u is empty", axis);
    int64_t dims[SL_MAX_RANK] = {0};
    for (uint32_t i = 0; i < x->rank; i++) {
        if (i != axis)
            dims[rank++] = x->dims[i];
        else if (arg->keep_dims)
            dims[rank++] = 1;
    }
    return sl_dims_expect(view, rank, dims);
}

int sl_dims_top_k(const struct sl_op_view *view)
{
    const struct sl_top_k_attrs *top = &view->node->attrs.top_k;
    const struct sl_tensor *x = sl_op_input(view, 0);
    uint32_t axis = sl_axis(top->axis, x->rank);
    if (axis == x->rank)
        return bad_axis(view, top->axis, x->rank);
    if (top->k < 0 || top->k > x->dims[axis])
        return sl_op_fail(view, -EINVAL, "k is %lld, but axis %u has %lld elements",
                          (long long)top->k, axis, (long long)x->dims[axis]);
    int64_t dims[SL_MAX_RANK];
    memcpy(dims, x->dims, sizeof(dims));
    dims[axis] = top->k;
    if (!sl_same_dims(sl_op_output(view, 0), sl_op_output(view, 1)))
        return sl_op_fail(view, -EINVAL, "values and indices differ in dimensions");
    return sl_dims_expect(view, x->rank, dims);
}

int sl_dims_softmax(const struct sl_op_view *view)
{
    uint32_t rank = sl_op_input(view, 0)->rank;
    if (sl_axis(view->node->attrs.axis, rank) == rank)
        return bad_axis(view, view->node->attrs.axis, rank);
    return sl_dims_same(view);
}

int sl_dims_batch_norm(const struct sl_op_view *view)
{
    const struct sl_tensor *x = sl_op_input(view, 0);
    if (x->rank < 2)
        return sl_op_fail(view, -EINVAL, "input has no channels");
    for (uint32_t i = 1; i < 5; i++) {
        const struct sl_tensor *p = sl_op_input(view, i);
        if (p->rank != 1 || p->dims[0] != x->dims[1])
            return sl_op_fail(view, -EINVAL, "input %u must have %lld elements", i,
                              (long long)x->dims[1]);
    }
    return sl_dims_same(view);
}

int sl_dims_reshape(const struct sl_op_view *view)
{
    int64_t have = sl_elements(sl_op_input(view, 0)), want = sl_elements(sl_op_output(view, 0));
    if (have != want)
        return sl_op_fail(view, -EINVAL, "%lld elements cannot become %lld", (long long)have,
                          (long long)want);
    return 0;
}

int sl_dims_transpose(const struct sl_op_view *view)
{
    const struct sl_tensor *x = sl_op_input(view, 0);
    int64_t dims[SL_MAX_RANK] = {0};
    uint32_t seen = 0;
    for (uint32_t i = 0; i < x->rank; i++) {
        int32_t from = view->node->attrs.perm[i];
        if (from < 0 || (uint32_t)from >= x->rank || seen >> from & 1)
            return sl_op_fail(view, -EINVAL, "perm is not a permutation");
        seen |= 1u << from;
        dims[i] = x->dims[from];
    }
    return sl_dims_expect(view, x->rank, dims);
}

int sl_dims_concat(const struct sl_op_view *view)
{
    const struct sl_tensor *first = sl_op_input(view, 0);
    uint32_t axis = sl_axis(view->node->attrs.axis, first->rank);
    if (axis == first->rank)
        return bad_axis(view, view->node->attrs.axis, first->rank);
    int64_t dims[SL_MAX_RANK];
    memcpy(dims, first->dims, sizeof(dims));
    for (uint32_t i = 1; i < view->node->n_inputs; i++) {
        const struct sl_tensor *x = sl_op_input(view, i);
        if (x->rank != first->rank)
            return sl_op_fail(view, -EINVAL, "input %u has %u dimensions, the first has %u", i,
                              x->rank, first->rank);
        for (uint32_t d = 0; d < x->rank; d++)
            if (d != axis && x->dims[d] != first->dims[d])
                return sl_op_fail(view, -EINVAL, "input %u: dimension %u is %lld, expected %lld", i,
                                  d, (long long)x->dims[d], (long long)first->dims[d]);
        dims[axis] += x->dims[axis];
    }
    return sl_dims_expect(view, first->rank, dims);
}

int sl_dims_slice(const struct sl_op_view *view)
{
    const struct sl_slice_attrs *slice = &view->node->attrs.slice;
    const struct sl_tensor *x = sl_op_input(view, 0), *y = sl_op_output(view, 0);
    if (x->rank != y->rank)
        return sl_op_fail(view, -EINVAL, "input has %u dimensions, but the output has %u", x->rank,
                          y->rank);
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t start = slice->start[i], step = slice->step[i], count = y->dims[i];
        if (count == 0)
            continue;
        int64_t room = step > 0 ? x->dims[i] - 1 - start : start;
        bool inside = step != 0 && step > -MAX_MOVE && step < MAX_MOVE && start >= 0 &&
                      start < x->dims[i] && count - 1 <= room / (step > 0 ? step : -step);
        if (!inside)
            return sl_op_fail(view, -EINVAL,
                              "axis %u: %lld elements from %lld in steps of %lld leave the %lld "
                              "there are",
                              i, (long long)count, (long long)start, (long long)step,
                              (long long)x->dims[i]);
    }
    return 0;
}

int sl_dims_pad(const struct sl_op_view *view)
{
    const struct sl_pad_attrs *pad = &view->node->attrs.pad;
    const struct sl_tensor *x = sl_op_input(view, 0);
    int64_t dims[SL_MAX_RANK] = {0};
    if (pad->mode < SL_PAD_CONSTANT || pad->mode > SL_PAD_REFLECT)
        return sl_op_fail(view, -EINVAL, "mode %u is not known", pad->mode);
    for (uint32_t i = 0; i < x->rank; i++) {
        int64_t before = pad->before[i], after = pad->after[i], dim = x->dims[i];
        if (before < -dim || after < -dim || before > MAX_MOVE || after > MAX_MOVE)
            return sl_op_fail(view, -EINVAL, "axis %u: padding is out of range", i);
        dims[i] = dim + before + after;
        int64_t most = before > after ? before : after;
        bool fits = pad->mode == SL_PAD_CONSTANT || most <= 0 ||
                    (pad->mode == SL_PAD_EDGE ? dim > 0 : most < dim);
        if (dims[i] < 0 || !fits)
            return sl_op_fail(view, -EINVAL, "axis %u: %lld elements cannot be padded so", i,
                              (long long)dim);
    }
    return sl_dims_expect(view, x->rank, dims);
}

int sl_dims_gather(const struct sl_op_view *view)
{
    const struct sl_tensor *x = sl_op_input(view, 0), *indices = sl_op_input(view, 1);
    uint32_t axis = sl_axis(view->node->attrs.axis, x->rank);
    if (axis == x->rank)
        return bad_axis(view, view->node->attrs.axis, x->rank);
    if (x->rank - 1 + indices->rank > SL_MAX_RANK)
        return sl_op_fail(view, -ENOTSUP, "the result has more than %d dimensions", SL_MAX_RANK);
    int64_t dims[SL_MAX_RANK] = {0};
    uint32_t rank = 0;
    for (uint32_t i = 0; i < axis; i++)
        dims[rank++] = x->dims[i];
    for (uint32_t i = 0; i < indices->rank; i++)
        dims[rank++] = indices->dims[i];
    for (uint32_t i = axis + 1; i < x->rank; i++)
        dims[rank++] = x->dims[i];
    return sl_dims_expect(view, rank, dims);
}

int sl_dims_expand(const struct sl_op_view *view)
{
    const struct sl_tensor *x = sl_op_input(view, 0), *y = sl_op_output(view, 0);
    int64_t dims[SL_MAX_RANK];
    uint32_t rank = y->rank;
    memcpy(dims, y->dims, sizeof(dims));
    if (!sl_broadcast(&rank, dims, x))
        return sl_op_fail(view, -EINVAL, "the input does not broadcast to the output");
    return sl_dims_expect(view, rank, dims);
}

int sl_dims_tile(const struct sl_op_view *view)
{
    const struct sl_tensor *x = sl_op_input(view, 0), *y = sl_op_output(view, 0);
    bool fits = x->rank == y->rank;
    for (uint32_t i = 0; fits && i < x->rank; i++)
        fits = y->dims[i] == 0 || (x->dims[i] > 0 && y->dims[i] % x->dims[i] == 0);
    return fits ? 0 : sl_op_fail(view, -EINVAL, "the output is not a multiple of the input");
}

int sl_dims_resize(const struct sl_op_view *view)
{
    const struct sl_resize_attrs *resize = &view->node->attrs.resize;
    const struct sl_tensor *x = sl_op_input(view, 0), *y = sl_op_output(view, 0);
    if (resize->mode < SL_RESIZE_NEAREST || resize->mode > SL_RESIZE_CUBIC ||
        resize->coordinates < SL_RESIZE_HALF_PIXEL ||
        resize->coordinates > SL_RESIZE_TF_HALF_PIXEL ||
        resize->rounding < SL_RESIZE_ROUND_PREFER_FLOOR || resize->rounding > SL_RESIZE_CEIL)
        return sl_op_fail(view, -EINVAL, "mode, coordinates or rounding is not known");
    if (x->rank != y->rank)
        return sl_op_fail(view, -EINVAL, "input has %u dimensions, but the output has %u", x->rank,
                          y->rank);
    for (uint32_t i = 0; i < x->rank; i++) {
        if (!(resize->scale[i] > 0.0f) || !isfinite(resize->scale[i]))
            return sl_op_fail(view, -EINVAL, "axis %u: scale %g", i, (double)resize->scale[i]);
        if (x->dims[i] == 0 && y->dims[i] != 0)
            return sl_op_fail(view, -EINVAL, "axis %u is empty", i);
        if (!isfinite(resize->roi[i]) || !isfinite(resize->roi[x->rank + i]))
            return sl_op_fail(view, -EINVAL, "axis %u: the region is not finite", i);
    }
    return 0;
}

static int check_block(const struct sl_op_view *view)
{
    int64_t block = view->node->attrs.block.block;
    if (sl_op_input(view, 0)->rank != 4)
        return sl_op_fail(view, -EINVAL, "input must have 4 dimensions");
    if (block < 1 || block > 1 << 15)
        return sl_op_fail(view, -EINVAL, "block size %lld", (long long)block);
    return 0;
}

int sl_dims_depth_to_space(const struct sl_op_view *view)
{
    int64_t block = view->node->attrs.block.block;
    const int64_t *x = sl_op_input(view, 0)->dims;
    int status = check_block(view);
    if (status)
        return status;
    if (x[1] % (block * block) != 0)
        return sl_op_fail(view, -EINVAL, "%lld channels do not fill blocks of %lld",
                          (long long)x[1], (long long)block);
    int64_t dims[4] = {x[0], x[1] / (block * block), x[2] * block, x[3] * block};
    return sl_dims_expect(view, 4, dims);
}

int sl_dims_space_to_depth(const struct sl_op_view *view)
{
    int64_t block = view->node->attrs.block.block;
    const int64_t *x = sl_op_input(view, 0)->dims;
    int status = check_block(view);
    if (status)
        return status;
    if (x[2] % block != 0 || x[3] % block != 0)
        return sl_op_fail(view, -EINVAL, "%lldx%lld is not a multiple of %lld", (long long)x[2],
                          (long long)x[3], (long long)block);
    int64_t dims[4] = {x[0], x[1] * block * block, x[2] / block, x[3] / block};
    return sl_dims_expect(view, 4, dims);
}
