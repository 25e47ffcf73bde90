// Reference interpreter: Resize in all its modes.
//
// Coordinates are computed in single precision, as ONNX Runtime does: a scale such as 1/3 is not
// exact, and the rounding of the quotient decides which neighbour `nearest` takes.
#include "accel/reference_impl.h"

#include <math.h>
#include <string.h>

#define MAX_TAPS 4

// The input positions that one output coordinate of one axis reads, as element offsets.
struct taps {
    int count;
    bool outside; // tf_crop_and_resize: beyond the input
    int64_t offset[MAX_TAPS];
    float weight[MAX_TAPS];
};

struct axis {
    int64_t in, out, stride;
    float scale, start, end;
};

struct resize {
    const struct sl_resize_attrs *attrs;
    const struct ref *ref;
    uint32_t rank, element;
    struct axis axes[SL_MAX_RANK];
    struct taps taps[SL_MAX_RANK]; // of the current output position
    unsigned char *y;
};

// The length that ONNX means by "resized": what the scale makes of the input's, not rounded.
static float resized_length(const struct axis *axis)
{
    bool whole = axis->scale == (float)axis->out / (float)axis->in;
    return whole ? (float)axis->out : (float)axis->in * axis->scale;
}

static float original(const struct sl_resize_attrs *attrs, const struct axis *axis, int64_t at)
{
    float x = (float)at, last = (float)(axis->in - 1);
    switch (attrs->coordinates) {
    case SL_RESIZE_PYTORCH_HALF_PIXEL:
        return axis->out > 1 ? (x + 0.5f) / axis->scale - 0.5f : 0.0f;
    case SL_RESIZE_ALIGN_CORNERS:
        return axis->out > 1 ? x * last / (resized_length(axis) - 1.0f) : 0.0f;
    case SL_RESIZE_ASYMMETRIC:
        return x / axis->scale;
    case SL_RESIZE_TF_HALF_PIXEL:
        return (x + 0.5f) / axis->scale;
    case SL_RESIZE_TF_CROP_AND_RESIZE:
        if (axis->out > 1)
            return axis->start * last +
                   x * (axis->end - axis->start) * last / (float)(axis->out - 1);
        return 0.5f * (axis->start + axis->end) * last;
    default:
        return (x + 0.5f) / axis->scale - 0.5f;
    }
}

static int64_t within(int64_t position, const struct axis *axis)
{
    return position < 0 ? 0 : position >= axis->in ? axis->in - 1 : position;
}

static float round_nearest(uint32_t rounding, float x)
{
    switch (rounding) {
    case SL_RESIZE_ROUND_PREFER_CEIL:
        return floorf(x + 0.5f);
    case SL_RESIZE_FLOOR:
        return floorf(x);
    case SL_RESIZE_CEIL:
        return ceilf(x);
    default:
        return ceilf(x - 0.5f);
    }
}

static void nearest_taps(const struct sl_resize_attrs *attrs, const struct axis *axis, float x,
                         struct taps *taps)
{
    taps->count = 1;
    taps->weight[0] = 1.0f;
    taps->offset[0] = within((int64_t)round_nearest(attrs->rounding, x), axis) * axis->stride;
}

static void linear_taps(const struct axis *axis, float x, struct taps *taps)
{
    float last = (float)(axis->in - 1), inside = x < 0.0f ? 0.0f : x > last ? last : x;
    int64_t low = within((int64_t)floorf(inside), axis);
    taps->count = 2;
    taps->weight[1] = inside - (float)low;
    taps->weight[0] = 1.0f - taps->weight[1];
    taps->offset[0] = low * axis->stride;
    taps->offset[1] = within(low + 1, axis) * axis->stride;
}

// Keys, "Cubic convolution interpolation for digital image processing", 1981.
static void cubic_weights(float a, float r, float weight[4])
{
    float d[4] = {r + 1.0f, r, 1.0f - r, 2.0f - r};
    for (int i = 0; i < 4; i++) {
        bool near = i == 1 || i == 2;
        weight[i] = near ? ((a + 2.0f) * d[i] - (a + 3.0f)) * d[i] * d[i] + 1.0f
                         : ((a * d[i] - 5.0f * a) * d[i] + 8.0f * a) * d[i] - 4.0f * a;
    }
}

static void cubic_taps(const struct sl_resize_attrs *attrs, const struct axis *axis, float x,
                       struct taps *taps)
{
    int64_t low = (int64_t)floorf(x);
    float sum = 0.0f;
    taps->count = 4;
    cubic_weights(attrs->cubic_a, x - (float)low, taps->weight);
    for (int i = 0; i < 4; i++) {
        int64_t position = low - 1 + i;
        if (attrs->exclude_outside && position != within(position, axis))
            taps->weight[i] = 0.0f;
        taps->offset[i] = within(position, axis) * axis->stride;
        sum += taps->weight[i];
    }
    for (int i = 0; attrs->exclude_outside && i < 4; i++)
        taps->weight[i] /= sum;
}

// An axis of unchanged length is copied, whatever the mode.
static bool untouched(const struct resize *op, const struct axis *axis)
{
    return axis->in == axis->out && axis->scale == 1.0f &&
           op->attrs->coordinates != SL_RESIZE_TF_CROP_AND_RESIZE;
}

static void find_taps(const struct resize *op, const struct axis *axis, int64_t at,
                      struct taps *taps)
{
    taps->outside = false;
    if (untouched(op, axis)) {
        taps->count = 1;
        taps->weight[0] = 1.0f;
        taps->offset[0] = at * axis->stride;
        return;
    }
    float x = original(op->attrs, axis, at), far = (float)axis->in + 8.0f;
    taps->outside = op->attrs->coordinates == SL_RESIZE_TF_CROP_AND_RESIZE &&
                    !(x >= 0.0f && x <= (float)(axis->in - 1));
    x = x > -8.0f ? (x < far ? x : far) : -8.0f; // converts to an integer safely
    if (op->attrs->mode == SL_RESIZE_NEAREST)
        nearest_taps(op->attrs, axis, x, taps);
    else if (op->attrs->mode == SL_RESIZE_LINEAR)
        linear_taps(axis, x, taps);
    else
        cubic_taps(op->attrs, axis, x, taps);
}

struct sl_resize_taps sl_linear_taps(const struct sl_resize_attrs *attrs, uint32_t axis, int64_t in,
                                     int64_t out, int64_t at)
{
    const struct resize op = {.attrs = attrs};
    const struct axis along = {.in = in, .out = out, .stride = 1, .scale = attrs->scale[axis]};
    struct taps taps;
    find_taps(&op, &along, at, &taps);
    return (struct sl_resize_taps){.count = taps.count,
                                   .position = {taps.offset[0], taps.offset[taps.count - 1]},
                                   .weight = {taps.weight[0], taps.weight[taps.count - 1]}};
}

static float interpolate(const struct resize *op, const float *x, uint32_t axis)
{
    if (axis == op->rank)
        return *x;
    const struct taps *taps = &op->taps[axis];
    if (taps->count == 1)
        return interpolate(op, x + taps->offset[0], axis + 1);
    float sum = 0.0f;
    for (int i = 0; i < taps->count; i++)
        if (taps->weight[i] != 0.0f)
            sum += taps->weight[i] * interpolate(op, x + taps->offset[i], axis + 1);
    return sum;
}

static void write_element(struct resize *op, bool outside)
{
    const unsigned char *x = ref_src(op->ref, 0);
    if (outside) {
        memcpy(op->y, &op->attrs->extrapolation, sizeof(float));
    } else if (op->attrs->mode == SL_RESIZE_NEAREST) {
        int64_t offset = 0;
        for (uint32_t i = 0; i < op->rank; i++)
            offset += op->taps[i].offset[0];
        memcpy(op->y, x + (size_t)offset * op->element, op->element);
    } else {
        float value = interpolate(op, (const float *)(const void *)x, 0);
        memcpy(op->y, &value, sizeof(value));
    }
    op->y += op->element;
}

static void resize_axis(struct resize *op, uint32_t axis, bool outside)
{
    if (axis == op->rank) {
        write_element(op, outside);
        return;
    }
    for (int64_t at = 0; at < op->axes[axis].out; at++) {
        find_taps(op, &op->axes[axis], at, &op->taps[axis]);
        resize_axis(op, axis + 1, outside || op->taps[axis].outside);
    }
}

int ref_resize(const struct ref *ref)
{
    const struct sl_tensor *x = ref_in(ref, 0), *y = ref_out(ref, 0);
    struct resize op = {.attrs = &ref->view.node->attrs.resize,
                        .ref = ref,
                        .rank = x->rank,
                        .element = sl_dtype_size(x->dtype),
                        .y = ref_dst(ref, 0)};
    int64_t stride = 1;
    if (sl_elements(y) == 0)
        return 0;
    for (uint32_t i = x->rank; i-- > 0; stride *= x->dims[i])
        op.axes[i] =
            (struct axis){x->dims[i],         y->dims[i],       stride,
                          op.attrs->scale[i], op.attrs->roi[i], op.attrs->roi[x->rank + i]};
    resize_axis(&op, 0, false);
    return 0;
}
