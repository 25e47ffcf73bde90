// Reference interpreter: reductions, softmax and batch normalisation.
#include "accel/reference_impl.h"

#include <math.h>
#include <string.h>

// The reduced axes as one walk, the kept ones as another around it.
struct reduction {
    uint32_t kind, dtype;
    uint32_t n_reduced;
    int64_t dims[SL_MAX_RANK], strides[SL_MAX_RANK], count;
    const void *x;
    void *y;
};

struct line {
    const struct reduction *op;
    int64_t base;
    double real;
    int64_t integer;
    bool first;
};

static double fold_real(uint32_t kind, double acc, double value, bool first)
{
    switch (kind) {
    case SL_REDUCE_MAX:
        return first || value > acc || isnan(value) ? value : acc;
    case SL_REDUCE_MIN:
        return first || value < acc || isnan(value) ? value : acc;
    case SL_REDUCE_PROD:
        return first ? value : acc * value;
    case SL_REDUCE_L1:
        return acc + fabs(value);
    case SL_REDUCE_L2:
    case SL_REDUCE_SUM_SQUARE:
        return acc + value * value;
    default:
        return acc + value;
    }
}

static int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t wrap_mul(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

static int64_t fold_integer(uint32_t kind, int64_t acc, int64_t value, bool first)
{
    switch (kind) {
    case SL_REDUCE_MAX:
        return first || value > acc ? value : acc;
    case SL_REDUCE_MIN:
        return first || value < acc ? value : acc;
    case SL_REDUCE_PROD:
        return first ? value : wrap_mul(acc, value);
    case SL_REDUCE_L1:
        return wrap_add(acc, value < 0 ? wrap_mul(value, -1) : value);
    case SL_REDUCE_L2:
    case SL_REDUCE_SUM_SQUARE:
        return wrap_add(acc, wrap_mul(value, value));
    default:
        return wrap_add(acc, value);
    }
}

static int64_t load_integer(uint32_t dtype, const void *data, int64_t i)
{
    if (dtype == SL_I32)
        return ((const int32_t *)data)[i];
    return dtype == SL_I64 ? ((const int64_t *)data)[i] : ref_load8(data, dtype, i);
}

static void fold_row(void *ctx, int64_t at, const int64_t *from, const int64_t *step, int64_t count)
{
    struct line *line = ctx;
    const struct reduction *op = line->op;
    (void)at;
    for (int64_t i = 0; i < count; i++) {
        int64_t x = line->base + from[0] + i * step[0];
        if (op->dtype == SL_F32)
            line->real =
                fold_real(op->kind, line->real, (double)((const float *)op->x)[x], line->first);
        else
            line->integer = fold_integer(op->kind, line->integer, load_integer(op->dtype, op->x, x),
                                         line->first);
        line->first = false;
    }
}

static double finish_real(const struct reduction *op, double sum)
{
    if (op->kind == SL_REDUCE_MEAN)
        return sum / (double)op->count;
    return op->kind == SL_REDUCE_L2 ? sqrt(sum) : sum;
}

static int64_t finish_integer(const struct reduction *op, int64_t sum)
{
    if (op->kind == SL_REDUCE_MEAN)
        return op->count ? sum / op->count : 0;
    return op->kind == SL_REDUCE_L2 ? (int64_t)sqrt((double)sum) : sum;
}

static void store(const struct reduction *op, int64_t at, const struct line *line)
{
    int64_t integer = finish_integer(op, line->integer);
    if (op->dtype == SL_F32)
        ((float *)op->y)[at] = (float)finish_real(op, line->real);
    else if (op->dtype == SL_I32)
        ((int32_t *)op->y)[at] = (int32_t)(uint32_t)integer;
    else if (op->dtype == SL_I64)
        ((int64_t *)op->y)[at] = integer;
    else
        ((uint8_t *)op->y)[at] = (uint8_t)integer;
}

static void reduce_row(void *ctx, int64_t at, const int64_t *from, const int64_t *step,
                       int64_t count)
{
    const struct reduction *op = ctx;
    struct ref_walk walk = {.rank = op->n_reduced, .dims = op->dims, .n_operands = 1};
    memcpy(walk.strides[0], op->strides, sizeof(op->strides));
    for (int64_t i = 0; i < count; i++) {
        double empty = op->kind == SL_REDUCE_PROD ? 1.0 : 0.0;
        struct line line = {op, from[0] + i * step[0], empty, (int64_t)empty, true};
        ref_walk_rows(&walk, fold_row, &line);
        store(op, at + i, &line);
    }
}

int ref_reduce(const struct ref *ref)
{
    const struct sl_reduce_attrs *attrs = &ref->view.node->attrs.reduce;
    const struct sl_tensor *x = ref_in(ref, 0);
    struct reduction op = {.kind = attrs->kind,
                           .dtype = x->dtype,
                           .count = 1,
                           .x = ref_src(ref, 0),
                           .y = ref_dst(ref, 0)};
    int64_t kept[SL_MAX_RANK], stride = 1;
    struct ref_walk walk = {.dims = kept, .n_operands = 1};
    uint32_t n_kept = x->rank - (uint32_t)__builtin_popcount(attrs->axes);
    uint32_t n_reduced = x->rank - n_kept, k = n_kept, r = n_reduced;
    for (uint32_t axis = x->rank; axis-- > 0; stride *= x->dims[axis]) {
        if (attrs->axes >> axis & 1) {
            op.dims[--r] = x->dims[axis];
            op.strides[r] = stride;
            op.count *= x->dims[axis];
        } else {
            kept[--k] = x->dims[axis];
            walk.strides[0][k] = stride;
        }
    }
    op.n_reduced = n_reduced;
    walk.rank = n_kept;
    ref_walk_rows(&walk, reduce_row, &op);
    return 0;
}

static void softmax_line(const float *x, float *y, int64_t length, int64_t stride)
{
    float most = -INFINITY;
    for (int64_t k = 0; k < length; k++)
        most = x[k * stride] > most ? x[k * stride] : most;
    double sum = 0.0;
    for (int64_t k = 0; k < length; k++) {
        float e = expf(x[k * stride] - most);
        y[k * stride] = e;
        sum += (double)e;
    }
    for (int64_t k = 0; k < length; k++)
        y[k * stride] = (float)((double)y[k * stride] / sum);
}

int ref_softmax(const struct ref *ref)
{
    const struct sl_tensor *x = ref_in(ref, 0);
    uint32_t axis = sl_axis(ref->view.node->attrs.axis, x->rank);
    int64_t outer = sl_dims_product(x, 0, axis), inner = sl_dims_product(x, axis + 1, x->rank);
    const float *from = ref_src(ref, 0);
    float *to = ref_dst(ref, 0);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t at = o * x->dims[axis] * inner + i;
            softmax_line(from + at, to + at, x->dims[axis], inner);
        }
    return 0;
}

int ref_batch_norm(const struct ref *ref)
{
    const struct sl_tensor *t = ref_in(ref, 0);
    const float *x = ref_src(ref, 0), *scale = ref_src(ref, 1), *bias = ref_src(ref, 2);
    const float *mean = ref_src(ref, 3), *variance = ref_src(ref, 4);
    float *y = ref_dst(ref, 0), epsilon = ref->view.node->attrs.epsilon;
    int64_t inner = sl_dims_product(t, 2, t->rank), count = sl_elements(t);
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i / inner % t->dims[1];
        y[i] = (x[i] - mean[c]) / sqrtf(variance[c] + epsilon) * scale[c] + bias[c];
    }
    return 0;
}
