// Lowering of operators that move data or talk about shapes.
#include "inference/onnx_lower.h"

#include "accel/reference.h"

#include <errno.h>
#include <math.h>
#include <string.h>

int lower_identity(struct lower *l)
{
    if (l->n_out > 1) // Dropout's mask
        return lower_fail(l, -ENOTSUP, "the second output is not supported");
    const struct sl_tensor x = *lower_input(l, 0);
    return lower_emit_reshape(l, l->in[0], x.rank, x.dims, l->out);
}

int lower_dropout(struct lower *l)
{
    const struct sl_tensor *training = lower_input(l, 2);
    if (training &&
        !(training->data && training->bytes > 0 && *(const uint8_t *)training->data == 0))
        return lower_fail(l, -ENOTSUP, "training mode is not supported");
    return lower_identity(l);
}

int lower_reshape(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    int64_t dims[SL_MAX_RANK], known = 1, total = graph_elements(x.dims, x.rank, INT64_MAX / 2);
    uint32_t rank = 0, open = UINT32_MAX;
    const int status = lower_const_ints(l, 1, dims, SL_MAX_RANK, &rank);
    if (status < 0)
        return status;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] == 0 && !lower_int(l, "allowzero", 0))
            dims[i] = i < x.rank ? x.dims[i] : -2;
        if (dims[i] == -1 && open == UINT32_MAX)
            open = i;
        else if (dims[i] < 0 || (dims[i] > 0 && known > SL_ONNX_MAX_ELEMENTS / dims[i]))
            return lower_fail(l, -EINVAL, "the new shape is not valid");
        else
            known *= dims[i];
    }
    if (open != UINT32_MAX) {
        if (known == 0 || total % known)
            return lower_fail(l, -EINVAL, "%lld elements do not fit the new shape",
                              (long long)total);
        dims[open] = total / known;
    }
    return lower_emit_reshape(l, l->in[0], rank, dims, l->out);
}

int lower_flatten(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    const int64_t axis = lower_int(l, "axis", 1), at = axis < 0 ? axis + x.rank : axis;
    int64_t dims[2] = {1, 1};
    if (at < 0 || at > x.rank)
        return lower_fail(l, -EINVAL, "axis %lld is outside a tensor of %u dimensions",
                          (long long)axis, x.rank);
    for (uint32_t i = 0; i < x.rank; i++)
        dims[i >= at] *= x.dims[i];
    return lower_emit_reshape(l, l->in[0], 2, dims, l->out);
}

static int axes_mask(struct lower *l, uint32_t rank, uint32_t *mask, uint32_t *count)
{
    int64_t axes[SL_MAX_RANK];
    *count = 0;
    int status = lower_ints(l, "axes", axes, SL_MAX_RANK, count);
    if (status == 0 && lower_input(l, 1))
        status = lower_const_ints(l, 1, axes, SL_MAX_RANK, count);
    *mask = 0;
    for (uint32_t i = 0; i < *count && status == 0; i++) {
        uint32_t axis = 0;
        status = lower_axis(l, axes[i], rank, &axis);
        if (status == 0 && (*mask & 1u << axis))
            status = lower_fail(l, -EINVAL, "axis %u is given twice", axis);
        *mask |= 1u << axis;
    }
    return status;
}

int lower_squeeze(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    int64_t dims[SL_MAX_RANK];
    uint32_t mask, count, rank = 0;
    const int status = axes_mask(l, x.rank, &mask, &count);
    if (status < 0)
        return status;
    for (uint32_t i = 0; i < x.rank; i++) {
        const bool drop = count ? (mask >> i & 1) != 0 : x.dims[i] == 1;
        if (drop && x.dims[i] != 1)
            return lower_fail(l, -EINVAL, "axis %u has %lld elements, expected 1", i,
                              (long long)x.dims[i]);
        if (!drop)
            dims[rank++] = x.dims[i];
    }
    return lower_emit_reshape(l, l->in[0], rank, dims, l->out);
}

int lower_unsqueeze(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    int64_t axes[SL_MAX_RANK], dims[SL_MAX_RANK];
    uint32_t mask, count = 0, from = 0;
    int status = lower_ints(l, "axes", axes, SL_MAX_RANK, &count);
    if (status == 0 && lower_input(l, 1))
        status = lower_const_ints(l, 1, axes, SL_MAX_RANK, &count);
    if (status == 0 && x.rank + count > SL_MAX_RANK)
        status = lower_fail(l, -ENOTSUP, "more than %d dimensions", SL_MAX_RANK);
    if (status == 0)
        status = axes_mask(l, x.rank + count, &mask, &count);
    if (status < 0)
        return status;
    for (uint32_t i = 0; i < x.rank + count; i++)
        dims[i] = mask >> i & 1 ? 1 : x.dims[from++];
    return lower_emit_reshape(l, l->in[0], x.rank + count, dims, l->out);
}

int lower_transpose(struct lower *l)
{
    const uint32_t rank = lower_input(l, 0)->rank;
    struct sl_node node = {.op = SL_OP_TRANSPOSE};
    int64_t perm[SL_MAX_RANK];
    uint32_t count = 0;
    const int status = lower_ints(l, "perm", perm, SL_MAX_RANK, &count);
    if (status < 0)
        return status;
    if (count && count != rank)
        return lower_fail(l, -EINVAL, "perm has %u numbers, the input %u dimensions", count, rank);
    for (uint32_t i = 0; i < rank; i++) {
        const int64_t from = count ? perm[i] : rank - 1 - i;
        if (from < 0 || from >= rank)
            return lower_fail(l, -EINVAL, "perm names dimension %lld of %u", (long long)from, rank);
        node.attrs.perm[i] = (int32_t)from;
    }
    return lower_emit(l, &node, l->in, 1, NULL, 1, l->out);
}

int lower_concat(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_CONCAT};
    uint32_t axis;
    const int status = lower_axis(l, lower_int(l, "axis", 1), lower_input(l, 0)->rank, &axis);
    if (status < 0)
        return status;
    node.attrs.axis = (int32_t)axis;
    return lower_emit(l, &node, l->in, l->n_in, NULL, 1, l->out);
}

// Clamps as the specification says and fills one axis of the slice.
static int slice_axis(struct lower *l, const struct sl_tensor *x, uint32_t axis, int64_t start,
                      int64_t end, int64_t step, struct sl_slice_attrs *a, int64_t *count)
{
    const int64_t side = x->dims[axis], low = step < 0 ? -1 : 0, high = step < 0 ? side - 1 : side;
    if (step == 0 || step < -SL_ONNX_MAX_ELEMENTS || (step > SL_ONNX_MAX_ELEMENTS && side > 0))
        step = step > 0 ? SL_ONNX_MAX_ELEMENTS : step < 0 ? -SL_ONNX_MAX_ELEMENTS : 0;
    if (step == 0)
        return lower_fail(l, -EINVAL, "a step of 0");
    start += start < 0 && start >= -side ? side : 0;
    end += end < 0 && end >= -side ? side : 0;
    start = start < 0 ? 0 : start > high ? high : start;
    end = end < low ? low : end > side ? side : end;
    const int64_t reach = step > 0 ? end - start : start - end;
    const int64_t size = step > 0 ? step : -step;
    *count = reach > 0 ? (reach + size - 1) / size : 0;
    a->start[axis] = start < 0 ? 0 : start;
    a->step[axis] = step;
    return 0;
}

static int emit_slice(struct lower *l, uint32_t input, const struct sl_slice_attrs *attrs,
                      const int64_t *dims, uint32_t *out)
{
    struct sl_node node = {.op = SL_OP_SLICE};
    struct sl_tensor t = {.rank = l->graph->tensors[input].rank};
    memcpy(t.dims, dims, sizeof(t.dims));
    node.attrs.slice = *attrs;
    return lower_emit(l, &node, &input, 1, &t, 1, out);
}

static int slice_numbers(struct lower *l, const char *attribute, uint32_t input, int64_t *values,
                         uint32_t *count)
{
    if (l->opset < 10)
        return lower_ints(l, attribute, values, SL_MAX_RANK, count);
    return lower_input(l, input) ? lower_const_ints(l, input, values, SL_MAX_RANK, count) : 0;
}

int lower_slice(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    int64_t starts[SL_MAX_RANK], ends[SL_MAX_RANK], axes[SL_MAX_RANK], steps[SL_MAX_RANK];
    uint32_t n = 0, n_ends = 0, n_axes = 0, n_steps = 0;
    int status = slice_numbers(l, "starts", 1, starts, &n);
    if (status == 0)
        status = slice_numbers(l, "ends", 2, ends, &n_ends);
    if (status == 0)
        status = slice_numbers(l, "axes", 3, axes, &n_axes);
    if (status == 0 && l->opset >= 10)
        status = slice_numbers(l, "steps", 4, steps, &n_steps);
    if (status < 0)
        return status;
    if (n_ends != n || (n_axes && n_axes != n) || (n_steps && n_steps != n) || n > x.rank)
        return lower_fail(l, -EINVAL, "starts, ends, axes and steps differ in their number");
    struct sl_slice_attrs a = {{0}, {0}};
    int64_t dims[SL_MAX_RANK];
    memcpy(dims, x.dims, sizeof(dims));
    for (uint32_t i = 0; i < x.rank; i++)
        a.step[i] = 1;
    for (uint32_t i = 0; i < n && status == 0; i++) {
        uint32_t axis = 0;
        status = lower_axis(l, n_axes ? axes[i] : i, x.rank, &axis);
        if (status == 0)
            status = slice_axis(l, &x, axis, starts[i], ends[i], n_steps ? steps[i] : 1, &a,
                                &dims[axis]);
    }
    return status < 0 ? status : emit_slice(l, l->in[0], &a, dims, l->out);
}

int lower_split(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    int64_t parts[LOWER_MAX_OUTPUTS];
    uint32_t axis, count = 0;
    int status = lower_axis(l, lower_int(l, "axis", 0), x.rank, &axis);
    if (status == 0)
        status = lower_ints(l, "split", parts, LOWER_MAX_OUTPUTS, &count);
    if (status == 0 && lower_input(l, 1))
        status = lower_const_ints(l, 1, parts, LOWER_MAX_OUTPUTS, &count);
    if (status < 0)
        return status;
    // From version 18 on the last part may be smaller than the others.
    const int64_t most = (x.dims[axis] + l->n_out - 1) / l->n_out;
    const int64_t rest = x.dims[axis] - most * (l->n_out - 1);
    for (uint32_t i = 0; count == 0 && i < l->n_out; i++)
        parts[i] = i + 1 < l->n_out ? most : rest;
    if (count ? count != l->n_out : rest < 0 || (l->opset < 18 && rest != most))
        return lower_fail(l, -EINVAL, "%lld elements do not split into %u outputs",
                          (long long)x.dims[axis], l->n_out);
    struct sl_slice_attrs a = {{0}, {0}};
    int64_t dims[SL_MAX_RANK];
    memcpy(dims, x.dims, sizeof(dims));
    for (uint32_t i = 0; i < x.rank; i++)
        a.step[i] = 1;
    for (uint32_t i = 0; i < l->n_out && status == 0; i++) {
        dims[axis] = parts[i];
        if (parts[i] < 0 || parts[i] > x.dims[axis] - a.start[axis])
            return lower_fail(l, -EINVAL, "part %u has %lld elements", i, (long long)parts[i]);
        status = emit_slice(l, l->in[0], &a, dims, &l->out[i]);
        a.start[axis] += parts[i];
    }
    return status;
}

// All axes, or from version 18 on those that an input names.
static int pad_axes(struct lower *l, uint32_t rank, uint32_t *axes, uint32_t *count)
{
    int64_t named[SL_MAX_RANK];
    int status = 0;
    for (uint32_t i = 0; i < rank; i++)
        named[i] = i;
    if (lower_input(l, 3))
        status = lower_const_ints(l, 3, named, SL_MAX_RANK, count);
    for (uint32_t i = 0; i < *count && status == 0; i++)
        status = lower_axis(l, named[i], rank, &axes[i]);
    return status;
}

int lower_pad(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    struct sl_node node = {.op = SL_OP_PAD};
    int64_t pads[2 * SL_MAX_RANK];
    uint32_t count = 0, one = 1;
    struct sl_pad_attrs *a = &node.attrs.pad;
    int status = l->opset < 11 ? lower_ints(l, "pads", pads, 2 * SL_MAX_RANK, &count)
                               : lower_const_ints(l, 1, pads, 2 * SL_MAX_RANK, &count);
    a->value = lower_float(l, "value", 0);
    if (status == 0 && lower_input(l, 2) && lower_input(l, 2)->dtype == SL_F32)
        status = lower_const_floats(l, 2, &a->value, 1, &one);
    else if (status == 0 && lower_input(l, 2)) {
        int64_t value;
        status = lower_const_ints(l, 2, &value, 1, &one);
        a->value = status == 0 ? (float)value : 0;
    }
    uint32_t axes[SL_MAX_RANK], n_axes = x.rank;
    if (status == 0)
        status = pad_axes(l, x.rank, axes, &n_axes);
    if (status < 0)
        return status;
    if (count != 2 * n_axes)
        return lower_fail(l, -EINVAL, "pads has %u numbers, expected %u", count, 2 * n_axes);
    for (uint32_t i = 0; i < n_axes; i++) {
        a->before[axes[i]] = pads[i];
        a->after[axes[i]] = pads[n_axes + i];
    }
    if (lower_is(l, "mode", "wrap", "constant"))
        return lower_fail(l, -ENOTSUP, "mode 'wrap' is not supported");
    a->mode = lower_is(l, "mode", "edge", "constant")      ? SL_PAD_EDGE
              : lower_is(l, "mode", "reflect", "constant") ? SL_PAD_REFLECT
                                                           : SL_PAD_CONSTANT;
    return lower_emit(l, &node, l->in, 1, NULL, 1, l->out);
}

int lower_gather(struct lower *l)
{
    struct sl_node node = {.op = SL_OP_GATHER};
    uint32_t axis;
    const int status = lower_axis(l, lower_int(l, "axis", 0), lower_input(l, 0)->rank, &axis);
    if (status < 0)
        return status;
    node.attrs.axis = (int32_t)axis;
    return lower_emit(l, &node, l->in, 2, NULL, 1, l->out);
}

int lower_expand(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    struct sl_node node = {.op = SL_OP_EXPAND};
    struct sl_tensor t = {0};
    int64_t dims[SL_MAX_RANK];
    uint32_t rank = 0;
    const int status = lower_const_ints(l, 1, dims, SL_MAX_RANK, &rank);
    if (status < 0)
        return status;
    t.rank = rank > x.rank ? rank : x.rank;
    for (uint32_t i = 0; i < t.rank; i++) {
        const int64_t a = i + x.rank < t.rank ? 1 : x.dims[i + x.rank - t.rank];
        const int64_t b = i + rank < t.rank ? 1 : dims[i + rank - t.rank];
        t.dims[i] = a == 1 ? b : a;
        if (a != 1 && b != 1 && a != b)
            return lower_fail(l, -EINVAL, "a side of %lld does not expand to %lld", (long long)a,
                              (long long)b);
    }
    return lower_emit(l, &node, l->in, 1, &t, 1, l->out);
}

int lower_tile(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    struct sl_node node = {.op = SL_OP_TILE};
    struct sl_tensor t = {.rank = x.rank};
    int64_t repeats[SL_MAX_RANK];
    uint32_t count = 0;
    const int status = lower_const_ints(l, 1, repeats, SL_MAX_RANK, &count);
    if (status < 0)
        return status;
    if (count != x.rank)
        return lower_fail(l, -EINVAL, "%u repeats for %u dimensions", count, x.rank);
    for (uint32_t i = 0; i < count; i++) {
        if (repeats[i] < 0 || (x.dims[i] && repeats[i] > SL_ONNX_MAX_ELEMENTS / x.dims[i]))
            return lower_fail(l, -EINVAL, "repeat %lld", (long long)repeats[i]);
        t.dims[i] = x.dims[i] * repeats[i];
    }
    return lower_emit(l, &node, l->in, 1, &t, 1, l->out);
}

static uint32_t coordinates(const struct lower *l)
{
    static const struct {
        const char *name;
        uint32_t value;
    } names[] = {
        {"half_pixel", SL_RESIZE_HALF_PIXEL},
        {"pytorch_half_pixel", SL_RESIZE_PYTORCH_HALF_PIXEL},
        {"align_corners", SL_RESIZE_ALIGN_CORNERS},
        {"asymmetric", SL_RESIZE_ASYMMETRIC},
        {"tf_crop_and_resize", SL_RESIZE_TF_CROP_AND_RESIZE},
        {"tf_half_pixel_for_nn", SL_RESIZE_TF_HALF_PIXEL},
    };
    const char *usual = l->opset < 11 ? "asymmetric" : "half_pixel";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (lower_is(l, "coordinate_transformation_mode", names[i].name, usual))
            return names[i].value;
    return 0;
}

static uint32_t rounding(const struct lower *l)
{
    const char *usual = l->opset < 11 ? "floor" : "round_prefer_floor";
    return lower_is(l, "nearest_mode", "floor", usual)               ? SL_RESIZE_FLOOR
           : lower_is(l, "nearest_mode", "ceil", usual)              ? SL_RESIZE_CEIL
           : lower_is(l, "nearest_mode", "round_prefer_ceil", usual) ? SL_RESIZE_ROUND_PREFER_CEIL
                                                                     : SL_RESIZE_ROUND_PREFER_FLOOR;
}

static uint32_t resize_mode(const struct lower *l)
{
    if (lower_is(l, "mode", "nearest", "nearest"))
        return SL_RESIZE_NEAREST;
    return lower_is(l, "mode", "cubic", "nearest") ? SL_RESIZE_CUBIC : SL_RESIZE_LINEAR;
}

// Resize by scales (input 2, or 1 before version 11) or by sizes (input 3).
static int resize_target(struct lower *l, const struct sl_tensor *x, struct sl_resize_attrs *a,
                         int64_t *dims)
{
    const uint32_t scales_input = l->opset < 11 ? 1 : 2;
    const struct sl_tensor *scales = lower_input(l, scales_input);
    uint32_t count = 0;
    int status = 0;
    const Onnx__AttributeProto *old = lower_attribute(l, "scales"); // Upsample before version 9
    if (old) {
        count = (uint32_t)old->n_floats;
        for (uint32_t i = 0; i < count && i < SL_MAX_RANK; i++)
            a->scale[i] = old->floats[i];
    } else if (scales && !(scales->rank == 1 && scales->dims[0] == 0)) {
        status = lower_const_floats(l, scales_input, a->scale, SL_MAX_RANK, &count);
        if (status == 0 && lower_input(l, 3) && lower_input(l, 3)->dims[0] != 0)
            return lower_fail(l, -EINVAL, "scales and sizes are both given");
    } else {
        status = lower_const_ints(l, 3, dims, SL_MAX_RANK, &count);
        for (uint32_t i = 0; i < count && i < x->rank && status == 0; i++)
            a->scale[i] = (float)dims[i] / (float)x->dims[i];
        return status == 0 && count != x->rank
                   ? lower_fail(l, -EINVAL, "%u sizes for %u dimensions", count, x->rank)
                   : status;
    }
    if (status == 0 && count != x->rank)
        return lower_fail(l, -EINVAL, "%u scales for %u dimensions", count, x->rank);
    for (uint32_t i = 0; i < count && status == 0; i++) {
        float side = (float)x->dims[i];
        if (a->coordinates == SL_RESIZE_TF_CROP_AND_RESIZE)
            side *= a->roi[x->rank + i] - a->roi[i];
        const float size = floorf(side * a->scale[i]);
        if (!(a->scale[i] > 0) || !(size >= 0 && size <= (float)SL_ONNX_MAX_ELEMENTS))
            return lower_fail(l, -EINVAL, "scale %g", (double)a->scale[i]);
        dims[i] = (int64_t)size;
    }
    return status;
}

int lower_resize(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    struct sl_node node = {.op = SL_OP_RESIZE};
    struct sl_resize_attrs *a = &node.attrs.resize;
    struct sl_tensor t = {.rank = x.rank};
    uint32_t n_roi = 0;
    int status = 0;
    a->mode = resize_mode(l);
    a->coordinates = coordinates(l);
    a->rounding = rounding(l);
    a->exclude_outside = lower_int(l, "exclude_outside", 0) != 0;
    a->cubic_a = lower_float(l, "cubic_coeff_a", -0.75f);
    a->extrapolation = lower_float(l, "extrapolation_value", 0);
    if (a->coordinates == SL_RESIZE_TF_CROP_AND_RESIZE)
        status = lower_const_floats(l, 1, a->roi, 2 * SL_MAX_RANK, &n_roi);
    if (lower_int(l, "antialias", 0) || lower_attribute(l, "axes") ||
        !lower_is(l, "keep_aspect_ratio_policy", "stretch", "stretch"))
        return lower_fail(l, -ENOTSUP,
                          "resizing with antialias, axes or a kept aspect ratio is not supported");
    if (status == 0 && (a->coordinates == 0 || (n_roi && n_roi != 2 * x.rank)))
        return lower_fail(l, -ENOTSUP, "this way of computing coordinates is not supported");
    if (status == 0)
        status = resize_target(l, &x, a, t.dims);
    return status < 0 ? status : lower_emit(l, &node, l->in, 1, &t, 1, l->out);
}

int lower_blocks(struct lower *l)
{
    struct sl_node node = {.op = (uint32_t)l->argument};
    node.attrs.block.block = lower_int(l, "blocksize", 0);
    node.attrs.block.crd = lower_is(l, "mode", "CRD", "DCR");
    return lower_emit(l, &node, l->in, 1, NULL, 1, l->out);
}

int lower_constant(struct lower *l)
{
    static const char *const names[] = {"value", "value_float", "value_int", "value_floats",
                                        "value_ints"};
    const Onnx__AttributeProto *a = NULL;
    size_t form = 0;
    while (form < 5 && !(a = lower_attribute(l, names[form])))
        form++;
    if (form == 0 && a->t) {
        struct sl_tensor t;
        const int status = lower_tensor_proto(l->graph, a->t, &t, l->error);
        t.name = l->name;
        return status < 0 ? status : graph_add_tensor(l->graph, &t, l->out, l->error);
    }
    const int64_t floats = a ? (int64_t)a->n_floats : 0, ints = a ? (int64_t)a->n_ints : 0;
    switch (form) {
    case 1:
        return lower_emit_constant(l, SL_F32, 0, NULL, &a->f, l->out);
    case 2:
        return lower_emit_constant(l, SL_I64, 0, NULL, &a->i, l->out);
    case 3:
        return lower_emit_constant(l, SL_F32, 1, &floats, a->floats, l->out);
    case 4:
        return lower_emit_constant(l, SL_I64, 1, &ints, a->ints, l->out);
    default:
        return lower_fail(l, -ENOTSUP, "only numbers and dense tensors are supported as value");
    }
}

int lower_constant_of_shape(struct lower *l)
{
    const Onnx__AttributeProto *a = lower_attribute(l, "value");
    const float zero = 0;
    int64_t dims[SL_MAX_RANK];
    uint32_t rank = 0, one;
    struct sl_tensor value, out = {0};
    struct sl_node node = {.op = SL_OP_EXPAND};
    int status = lower_const_ints(l, 0, dims, SL_MAX_RANK, &rank);
    if (status == 0 && a && a->t)
        status = lower_tensor_proto(l->graph, a->t, &value, l->error);
    if (status < 0)
        return status;
    const int64_t single[1] = {1};
    if (a && a->t && graph_elements(value.dims, value.rank, 1) != 1)
        return lower_fail(l, -EINVAL, "the value must be one number");
    status = a && a->t ? lower_emit_constant(l, value.dtype, rank ? 1 : 0, single, value.data, &one)
                       : lower_emit_constant(l, SL_F32, rank ? 1 : 0, single, &zero, &one);
    out.rank = rank;
    for (uint32_t i = 0; i < rank; i++)
        if ((out.dims[i] = dims[i]) < 0)
            return lower_fail(l, -EINVAL, "a side of %lld", (long long)dims[i]);
    return status < 0 ? status : lower_emit(l, &node, &one, 1, &out, 1, l->out);
}

int lower_shape(struct lower *l)
{
    const struct sl_tensor x = *lower_input(l, 0);
    const int64_t rank = x.rank;
    if (l->argument) { // Size
        const int64_t total = graph_elements(x.dims, x.rank, INT64_MAX / 2);
        return lower_emit_constant(l, SL_I64, 0, NULL, &total, l->out);
    }
    int64_t start = lower_int(l, "start", 0), end = lower_int(l, "end", rank);
    start += start < 0 ? rank : 0;
    end += end < 0 ? rank : 0;
    start = start < 0 ? 0 : start > rank ? rank : start;
    end = end < start ? start : end > rank ? rank : end;
    const int64_t count = end - start;
    return lower_emit_constant(l, SL_I64, 1, &count, x.dims + start, l->out);
}

static int real_range(struct lower *l)
{
    float at[3];
    uint32_t one = 1;
    for (uint32_t i = 0; i < 3; i++) {
        const int status = lower_const_floats(l, i, &at[i], 1, &one);
        if (status < 0)
            return status;
    }
    const float reach = ceilf((at[1] - at[0]) / at[2]);
    if (!(reach <= (float)SL_ONNX_MAX_ELEMENTS))
        return lower_fail(l, -EINVAL, "start, limit or step is out of range");
    const int64_t count = reach > 0 ? (int64_t)reach : 0;
    float *values = pool_array(&l->graph->pool, (uint64_t)count, sizeof(*values));
    if (!values)
        return pool_error(&l->graph->pool, l->error);
    for (int64_t i = 0; i < count; i++)
        values[i] = at[0] + (float)i * at[2];
    return lower_emit_constant(l, SL_F32, 1, &count, values, l->out);
}

int lower_range(struct lower *l)
{
    int64_t at[3], count;
    uint32_t one;
    if (lower_input(l, 0)->dtype == SL_F32)
        return real_range(l);
    for (uint32_t i = 0; i < 3; i++) {
        const int status = lower_const_ints(l, i, &at[i], 1, &one);
        if (status < 0)
            return status;
    }
    if (at[2] == 0 || at[0] > INT32_MAX || at[0] < INT32_MIN || at[1] > INT32_MAX ||
        at[1] < INT32_MIN || at[2] > INT32_MAX || at[2] < INT32_MIN)
        return lower_fail(l, -EINVAL, "start, limit or step is out of range");
    const int64_t reach = at[2] > 0 ? at[1] - at[0] : at[0] - at[1];
    const int64_t step = at[2] > 0 ? at[2] : -at[2];
    count = reach > 0 ? (reach + step - 1) / step : 0;
    const uint32_t dtype = lower_input(l, 0)->dtype, size = sl_dtype_size(dtype);
    uint8_t *values = pool_alloc(&l->graph->pool, (uint64_t)count * size);
    if (!values)
        return pool_error(&l->graph->pool, l->error);
    for (int64_t i = 0; i < count; i++) {
        const int64_t wide = at[0] + i * at[2];
        const int32_t narrow = (int32_t)wide;
        memcpy(values + i * size, dtype == SL_I32 ? (const void *)&narrow : &wide, size);
    }
    return lower_emit_constant(l, dtype, 1, &count, values, l->out);
}
