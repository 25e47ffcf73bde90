// Reference interpreter: matrix products.
#include "accel/reference_impl.h"

#include <string.h>

// y[i][j] = sum over k of a[i][k] b[k][j] with arbitrary strides, for one matrix of a batch.
struct product {
    const struct ref *ref;
    int64_t rows, columns, inner;
    int64_t a_row, a_k, b_k, b_column;
    struct ref_sum sum;
};

static int32_t centred(const struct ref *ref, uint32_t input, int64_t i, int64_t channel)
{
    const struct sl_tensor *tensor = ref_in(ref, input);
    return ref_load8(ref_src(ref, input), tensor->dtype, i) -
           tensor->quant.zero_point[tensor->quant.count > 1 ? channel : 0];
}

static int32_t sum_integers(const struct product *p, int64_t a, int64_t b, int64_t column)
{
    uint32_t sum = 0;
    for (int64_t k = 0; k < p->inner; k++)
        sum += (uint32_t)(centred(p->ref, 0, a + k * p->a_k, 0) *
                          centred(p->ref, 1, b + k * p->b_k, column));
    return (int32_t)sum;
}

static float sum_real(const struct product *p, int64_t a, int64_t b)
{
    const float *x = ref_src(p->ref, 0), *w = ref_src(p->ref, 1);
    double sum = 0.0;
    for (int64_t k = 0; k < p->inner; k++)
        sum += (double)x[a + k * p->a_k] * (double)w[b + k * p->b_k];
    return (float)sum;
}

static int64_t broadcast_at(const struct sl_tensor *c, int64_t row, int64_t column)
{
    int64_t strides[SL_MAX_RANK];
    sl_broadcast_strides(c, 2, strides);
    return row * strides[0] + column * strides[1];
}

static void gemm_real(const struct product *p)
{
    const struct sl_gemm_attrs *gemm = &p->ref->view.node->attrs.gemm;
    const struct sl_tensor *c = ref_in(p->ref, 2);
    const float *bias = c ? ref_src(p->ref, 2) : NULL;
    float *y = ref_dst(p->ref, 0);
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->columns; j++) {
            float sum = gemm->alpha * sum_real(p, i * p->a_row, j * p->b_column);
            if (c)
                sum += gemm->beta * bias[broadcast_at(c, i, j)];
            y[i * p->columns + j] = sum;
        }
}

static void gemm_integers(const struct product *p)
{
    const struct sl_tensor *c = ref_in(p->ref, 2);
    const int32_t *bias = c ? ref_src(p->ref, 2) : NULL;
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->columns; j++) {
            uint32_t sum = (uint32_t)sum_integers(p, i * p->a_row, j * p->b_column, j);
            sum += c ? (uint32_t)bias[broadcast_at(c, i, j)] : 0;
            ref_sum_store(&p->sum, i * p->columns + j, j, (int32_t)sum);
        }
}

int ref_gemm(const struct ref *ref)
{
    const struct sl_gemm_attrs *gemm = &ref->view.node->attrs.gemm;
    const struct sl_tensor *a = ref_in(ref, 0), *b = ref_in(ref, 1);
    struct product p = {.ref = ref,
                        .rows = a->dims[gemm->trans_a ? 1 : 0],
                        .inner = a->dims[gemm->trans_a ? 0 : 1],
                        .columns = b->dims[gemm->trans_b ? 0 : 1]};
    p.a_row = gemm->trans_a ? 1 : p.inner;
    p.a_k = gemm->trans_a ? p.rows : 1;
    p.b_k = gemm->trans_b ? 1 : p.columns;
    p.b_column = gemm->trans_b ? p.inner : 1;
    if (a->dtype == SL_F32) {
        gemm_real(&p);
        return 0;
    }
    ref_sum_begin(&p.sum, ref);
    gemm_integers(&p);
    return 0;
}

static void multiply(const struct product *p, int64_t y, int64_t a, int64_t b)
{
    bool real = ref_in(p->ref, 0)->dtype == SL_F32;
    for (int64_t i = 0; i < p->rows; i++)
        for (int64_t j = 0; j < p->columns; j++) {
            int64_t at = y + i * p->columns + j, from = a + i * p->a_row;
            if (real)
                ((float *)ref_dst(p->ref, 0))[at] = sum_real(p, from, b + j);
            else
                ref_sum_store(&p->sum, at, j, sum_integers(p, from, b + j, j));
        }
}

static void multiply_row(void *ctx, int64_t at, const int64_t *from, const int64_t *step,
                         int64_t count)
{
    const struct product *p = ctx;
    int64_t a_size = p->rows * p->inner, b_size = p->inner * p->columns;
    for (int64_t i = 0; i < count; i++)
        multiply(p, (at + i) * p->rows * p->columns, (from[0] + i * step[0]) * a_size,
                 (from[1] + i * step[1]) * b_size);
}

static struct sl_tensor batch_of(const struct sl_tensor *tensor)
{
    struct sl_tensor batch = *tensor;
    batch.rank = tensor->rank > 2 ? tensor->rank - 2 : 0;
    return batch;
}

int ref_matmul(const struct ref *ref)
{
    const struct sl_tensor *a = ref_in(ref, 0), *b = ref_in(ref, 1);
    struct product p = {.ref = ref, .inner = a->dims[a->rank - 1], .a_k = 1};
    p.rows = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    p.columns = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    p.a_row = p.inner;
    p.b_k = p.columns;
    if (a->dtype != SL_F32)
        ref_sum_begin(&p.sum, ref);

    struct sl_tensor batch_a = batch_of(a), batch_b = batch_of(b);
    int64_t dims[SL_MAX_RANK] = {0};
    struct ref_walk walk = {.dims = dims, .n_operands = 2};
    sl_broadcast(&walk.rank, dims, &batch_a);
    sl_broadcast(&walk.rank, dims, &batch_b);
    sl_broadcast_strides(&batch_a, walk.rank, walk.strides[0]);
    sl_broadcast_strides(&batch_b, walk.rank, walk.strides[1]);
    ref_walk_rows(&walk, multiply_row, &p);
    return 0;
}
