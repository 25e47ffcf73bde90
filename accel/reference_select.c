// Reference interpreter: Where, PRelu, Cast, ArgMax and TopK.
#include "accel/reference_impl.h"

#include <math.h>
#include <string.h>

struct where {
    const uint8_t *condition;
    const unsigned char *a, *b;
    unsigned char *y;
    uint32_t element;
};

static void where_row(void *ctx, int64_t at, const int64_t *from, const int64_t *step,
                      int64_t count)
{
    const struct where *op = ctx;
    size_t element = op->element;
    for (int64_t i = 0; i < count; i++) {
        bool first = op->condition[from[0] + i * step[0]];
        const unsigned char *x = first ? op->a + (size_t)(from[1] + i * step[1]) * element
                                       : op->b + (size_t)(from[2] + i * step[2]) * element;
        memcpy(op->y + (size_t)(at + i) * element, x, element);
    }
}

int ref_where(const struct ref *ref)
{
    const struct sl_tensor *y = ref_out(ref, 0);
    struct where op = {ref_src(ref, 0), ref_src(ref, 1), ref_src(ref, 2), ref_dst(ref, 0),
                       sl_dtype_size(y->dtype)};
    struct ref_walk walk = {.rank = y->rank, .dims = y->dims, .n_operands = 3};
    for (uint32_t i = 0; i < 3; i++)
        sl_broadcast_strides(ref_in(ref, i), y->rank, walk.strides[i]);
    ref_walk_rows(&walk, where_row, &op);
    return 0;
}

struct prelu {
    uint32_t dtype;
    const void *x, *slope;
    void *y;
};

#define PRELU_AS(T, W, BELOW)                                                                      \
    for (int64_t i = 0; i < count; i++) {                                                          \
        T value = ((const T *)op->x)[from[0] + i * step[0]];                                       \
        T slope = ((const T *)op->slope)[from[1] + i * step[1]];                                   \
        ((T *)op->y)[at + i] = (T)((BELOW) ? (T)((W)slope * (W)value) : value);                    \
    }

static void prelu_row(void *ctx, int64_t at, const int64_t *from, const int64_t *step,
                      int64_t count)
{
    const struct prelu *op = ctx;
    if (op->dtype == SL_F32)
        PRELU_AS(float, float, value < 0)
    else if (op->dtype == SL_I8)
        PRELU_AS(int8_t, int32_t, value < 0)
    else if (op->dtype == SL_U8)
        PRELU_AS(uint8_t, uint32_t, false)
    else if (op->dtype == SL_I32)
        PRELU_AS(int32_t, uint64_t, value < 0)
    else
        PRELU_AS(int64_t, uint64_t, value < 0)
}

int ref_prelu(const struct ref *ref)
{
    const struct sl_tensor *y = ref_out(ref, 0);
    struct prelu op = {y->dtype, ref_src(ref, 0), ref_src(ref, 1), ref_dst(ref, 0)};
    struct ref_walk walk = {.rank = y->rank, .dims = y->dims, .n_operands = 2};
    for (uint32_t i = 0; i < 2; i++)
        sl_broadcast_strides(ref_in(ref, i), y->rank, walk.strides[i]);
    ref_walk_rows(&walk, prelu_row, &op);
    return 0;
}

static int64_t load_integer(uint32_t dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case SL_U8:
    case SL_BOOL:
        return ((const uint8_t *)data)[i];
    case SL_I8:
        return ((const int8_t *)data)[i];
    case SL_I32:
        return ((const int32_t *)data)[i];
    default:
        return ((const int64_t *)data)[i];
    }
}

// A real number beyond the integer type saturates; NaN becomes 0. Integers wrap.
static int64_t real_to_integer(float value, uint32_t dtype)
{
    int64_t low, high;
    sl_dtype_range(dtype, &low, &high);
    if (isnan(value))
        return 0;
    if ((double)value <= (double)low)
        return low;
    return (double)value >= (double)high ? high : (int64_t)value;
}

static void store_integer(uint32_t dtype, void *data, int64_t i, int64_t value)
{
    if (dtype == SL_U8 || dtype == SL_I8)
        ((uint8_t *)data)[i] = (uint8_t)value;
    else if (dtype == SL_I32)
        ((int32_t *)data)[i] = (int32_t)(uint32_t)value;
    else
        ((int64_t *)data)[i] = value;
}

static void cast_real(const float *x, uint32_t to, void *y, int64_t i)
{
    if (to == SL_F32)
        ((float *)y)[i] = x[i];
    else if (to == SL_BOOL)
        ((uint8_t *)y)[i] = x[i] != 0.0f;
    else
        store_integer(to, y, i, real_to_integer(x[i], to));
}

static void cast_integer(int64_t value, uint32_t to, void *y, int64_t i)
{
    if (to == SL_F32)
        ((float *)y)[i] = (float)value;
    else if (to == SL_BOOL)
        ((uint8_t *)y)[i] = value != 0;
    else
        store_integer(to, y, i, value);
}

int ref_cast(const struct ref *ref)
{
    uint32_t from = ref_in(ref, 0)->dtype, to = ref_out(ref, 0)->dtype;
    const void *x = ref_src(ref, 0);
    void *y = ref_dst(ref, 0);
    int64_t count = sl_elements(ref_in(ref, 0));
    for (int64_t i = 0; i < count; i++) {
        if (from == SL_F32)
            cast_real(x, to, y, i);
        else
            cast_integer(load_integer(from, x, i), to, y, i);
    }
    return 0;
}

// -1, 0, 1 as element i is less than, equal to or greater than element j. NaN is the greatest.
static int compare(uint32_t dtype, const void *data, int64_t i, int64_t j)
{
    if (dtype == SL_F32) {
        float a = ((const float *)data)[i], b = ((const float *)data)[j];
        if (isnan(a) || isnan(b))
            return isnan(a) - isnan(b);
        return (a > b) - (a < b);
    }
    int64_t a = load_integer(dtype, data, i), b = load_integer(dtype, data, j);
    return (a > b) - (a < b);
}

int ref_arg_max(const struct ref *ref)
{
    const struct sl_arg_attrs *arg = &ref->view.node->attrs.arg;
    const struct sl_tensor *x = ref_in(ref, 0);
    uint32_t axis = sl_axis(arg->axis, x->rank);
    int64_t outer = sl_dims_product(x, 0, axis), inner = sl_dims_product(x, axis + 1, x->rank);
    int64_t *y = ref_dst(ref, 0);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t base = o * x->dims[axis] * inner + i, best = 0;
            for (int64_t k = 1; k < x->dims[axis]; k++) {
                int order =
                    compare(x->dtype, ref_src(ref, 0), base + k * inner, base + best * inner);
                order = arg->smallest ? -order : order;
                if (order > 0 || (order == 0 && arg->select_last))
                    best = k;
            }
            y[o * inner + i] = best;
        }
    return 0;
}

// Keeps the best k so far in order, by insertion; of equals the earlier comes first.
static void top_k_line(const struct ref *ref, const struct sl_top_k_attrs *top, int64_t length,
                       int64_t x, int64_t y, int64_t inner)
{
    uint32_t dtype = ref_in(ref, 0)->dtype;
    const void *data = ref_src(ref, 0);
    int64_t *indices = ref_dst(ref, 1), kept = 0;
    for (int64_t k = 0; k < length; k++) {
        int64_t at = kept;
        for (; at > 0; at--) {
            int order =
                compare(dtype, data, x + k * inner, x + indices[y + (at - 1) * inner] * inner);
            if ((top->smallest ? -order : order) <= 0)
                break;
        }
        if (at == top->k)
            continue;
        kept += kept < top->k;
        for (int64_t move = kept - 1; move > at; move--)
            indices[y + move * inner] = indices[y + (move - 1) * inner];
        indices[y + at * inner] = k;
    }
}

int ref_top_k(const struct ref *ref)
{
    const struct sl_top_k_attrs *top = &ref->view.node->attrs.top_k;
    const struct sl_tensor *x = ref_in(ref, 0);
    uint32_t axis = sl_axis(top->axis, x->rank), element = sl_dtype_size(x->dtype);
    int64_t outer = sl_dims_product(x, 0, axis), inner = sl_dims_product(x, axis + 1, x->rank);
    int64_t length = x->dims[axis];
    const unsigned char *data = ref_src(ref, 0);
    unsigned char *values = ref_dst(ref, 0);
    const int64_t *indices = ref_dst(ref, 1);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t from = o * length * inner + i, to = o * top->k * inner + i;
            top_k_line(ref, top, length, from, to, inner);
            for (int64_t k = 0; k < top->k; k++)
                memcpy(values + (size_t)(to + k * inner) * element,
                       data + (size_t)(from + indices[to + k * inner] * inner) * element, element);
        }
    return 0;
}
