// Reference interpreter: maximum and average pooling.
#include "accel/reference_impl.h"

#include <math.h>
#include <string.h>

struct pool {
    const struct sl_pool_attrs *attrs;
    int64_t planes, in[2], out[2];
};

static struct pool pool_of(const struct ref *ref)
{
    const struct sl_tensor *x = ref_in(ref, 0), *y = ref_out(ref, 0);
    bool flat = x->rank == 3;
    struct pool pool = {.attrs = &ref->view.node->attrs.pool,
                        .planes = x->dims[0] * x->dims[1],
                        .in = {flat ? 1 : x->dims[2], x->dims[x->rank - 1]},
                        .out = {flat ? 1 : y->dims[2], y->dims[y->rank - 1]}};
    return pool;
}

// Taps of the window at `out` along an axis that lie inside the input: from *first to before *end,
// and the input position of *first.
static int64_t taps(const struct pool *pool, int axis, int64_t out, int64_t *first, int64_t *end)
{
    const struct sl_pool_attrs *a = pool->attrs;
    int64_t start = out * a->stride[axis] - a->pad[axis], step = a->dilation[axis];
    *first = start < 0 ? (-start + step - 1) / step : 0;
    int64_t room = pool->in[axis] - start;
    *end = room <= 0 ? 0 : (room + step - 1) / step;
    if (*end > a->kernel[axis])
        *end = a->kernel[axis];
    return start + *first * step;
}

// A window that lies wholly in the padding gives the type's least value.
#define DEFINE_MAX(suffix, T, LEAST)                                                               \
    static void max_##suffix(const struct pool *p, const T *x, T *y)                               \
    {                                                                                              \
        for (int64_t plane = 0; plane < p->planes; plane++, x += p->in[0] * p->in[1])              \
            for (int64_t oy = 0; oy < p->out[0]; oy++)                                             \
                for (int64_t ox = 0; ox < p->out[1]; ox++) {                                       \
                    int64_t y0, y1, x0, x1;                                                        \
                    int64_t iy = taps(p, 0, oy, &y0, &y1), ix = taps(p, 1, ox, &x0, &x1);          \
                    T best = LEAST;                                                                \
                    for (int64_t ky = 0; ky < y1 - y0; ky++)                                       \
                        for (int64_t kx = 0; kx < x1 - x0; kx++) {                                 \
                            T value = x[(iy + ky * p->attrs->dilation[0]) * p->in[1] + ix +        \
                                        kx * p->attrs->dilation[1]];                               \
                            best = value > best ? value : best;                                    \
                        }                                                                          \
                    *y++ = best;                                                                   \
                }                                                                                  \
    }
DEFINE_MAX(f32, float, -INFINITY)
DEFINE_MAX(u8, uint8_t, 0)
DEFINE_MAX(i8, int8_t, INT8_MIN)
DEFINE_MAX(i32, int32_t, INT32_MIN)
DEFINE_MAX(i64, int64_t, INT64_MIN)

int ref_max_pool(const struct ref *ref)
{
    struct pool pool = pool_of(ref);
    const void *x = ref_src(ref, 0);
    void *y = ref_dst(ref, 0);
    switch (ref_in(ref, 0)->dtype) {
    case SL_F32:
        max_f32(&pool, x, y);
        break;
    case SL_U8:
        max_u8(&pool, x, y);
        break;
    case SL_I8:
        max_i8(&pool, x, y);
        break;
    case SL_I32:
        max_i32(&pool, x, y);
        break;
    default:
        max_i64(&pool, x, y);
    }
    return 0;
}

// How many positions a window divides by: those inside the input, or with count_include_pad those
// inside the padded input (a last window of ceil mode may reach beyond).
static int64_t divisor(const struct pool *pool, int64_t oy, int64_t ox, int64_t inside)
{
    const struct sl_pool_attrs *a = pool->attrs;
    if (!a->count_include_pad)
        return inside;
    const int64_t out[2] = {oy, ox};
    int64_t count = 1;
    for (int i = 0; i < 2; i++) {
        int64_t start = out[i] * a->stride[i] - a->pad[i];
        int64_t room = pool->in[i] + a->pad[i + 2] - start;
        int64_t fit = (room + a->dilation[i] - 1) / a->dilation[i];
        count *= fit < a->kernel[i] ? fit : a->kernel[i];
    }
    return count;
}

static float mean_real(const struct pool *p, const float *x, int64_t oy, int64_t ox)
{
    int64_t y0, y1, x0, x1;
    int64_t iy = taps(p, 0, oy, &y0, &y1), ix = taps(p, 1, ox, &x0, &x1), inside = 0;
    double sum = 0.0;
    for (int64_t ky = 0; ky < y1 - y0; ky++)
        for (int64_t kx = 0; kx < x1 - x0; kx++, inside++)
            sum += (double)
                x[(iy + ky * p->attrs->dilation[0]) * p->in[1] + ix + kx * p->attrs->dilation[1]];
    int64_t count = divisor(p, oy, ox, inside);
    return count > 0 ? (float)(sum / (double)count) : 0.0f;
}

// Exact sum, then one rescaling: q = round(sum * (s_x / (s_y count))).
static int32_t mean_quantised(const struct pool *p, const struct ref *ref, int64_t plane,
                              int64_t oy, int64_t ox)
{
    const struct sl_tensor *xt = ref_in(ref, 0), *yt = ref_out(ref, 0);
    int64_t y0, y1, x0, x1;
    int64_t iy = taps(p, 0, oy, &y0, &y1), ix = taps(p, 1, ox, &x0, &x1), inside = 0;
    int64_t sum = 0;
    for (int64_t ky = 0; ky < y1 - y0; ky++)
        for (int64_t kx = 0; kx < x1 - x0; kx++, inside++)
            sum += ref_load8(ref_src(ref, 0), xt->dtype,
                             plane * p->in[0] * p->in[1] +
                                 (iy + ky * p->attrs->dilation[0]) * p->in[1] + ix +
                                 kx * p->attrs->dilation[1]) -
                   xt->quant.zero_point[0];
    int64_t count = divisor(p, oy, ox, inside);
    return ref_rescale(sum, xt->quant.scale[0] / (yt->quant.scale[0] * (float)(count ? count : 1)),
                       yt);
}

int ref_average_pool(const struct ref *ref)
{
    struct pool pool = pool_of(ref);
    bool real = ref_in(ref, 0)->dtype == SL_F32;
    int64_t size = pool.in[0] * pool.in[1], at = 0;
    for (int64_t plane = 0; plane < pool.planes; plane++)
        for (int64_t oy = 0; oy < pool.out[0]; oy++)
            for (int64_t ox = 0; ox < pool.out[1]; ox++, at++) {
                if (real)
                    ((float *)ref_dst(ref, 0))[at] =
                        mean_real(&pool, (const float *)ref_src(ref, 0) + plane * size, oy, ox);
                else
                    ((uint8_t *)ref_dst(ref, 0))[at] =
                        (uint8_t)mean_quantised(&pool, ref, plane, oy, ox);
            }
    return 0;
}
