// Reference interpreter: functions of one element.
#include "accel/reference_impl.h"

#include <math.h>
#include <string.h>

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static float softplus(float x)
{
    return x > 0.0f ? x + log1pf(expf(-x)) : log1pf(expf(x));
}

static float clip(float x, float low, float high)
{
    float raised = x < low ? low : x;
    return raised > high ? high : raised;
}

float ref_unary(uint32_t kind, float alpha, float beta, float x)
{
    switch (kind) {
    case SL_UNARY_ABS:
        return fabsf(x);
    case SL_UNARY_NEG:
        return -x;
    case SL_UNARY_CEIL:
        return ceilf(x);
    case SL_UNARY_FLOOR:
        return floorf(x);
    case SL_UNARY_ROUND:
        return rintf(x);
    case SL_UNARY_SQRT:
        return sqrtf(x);
    case SL_UNARY_EXP:
        return expf(x);
    case SL_UNARY_LOG:
        return logf(x);
    case SL_UNARY_RECIPROCAL:
        return 1.0f / x;
    case SL_UNARY_SIGN:
        return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x;
    case SL_UNARY_ERF:
        return erff(x);
    case SL_UNARY_RELU:
        return x < 0.0f ? 0.0f : x;
    case SL_UNARY_LEAKY_RELU:
        return x < 0.0f ? alpha * x : x;
    case SL_UNARY_ELU:
        return x < 0.0f ? alpha * expm1f(x) : x;
    case SL_UNARY_SIGMOID:
        return sigmoid(x);
    case SL_UNARY_HARD_SIGMOID:
        return clip(alpha * x + beta, 0.0f, 1.0f);
    case SL_UNARY_HARD_SWISH:
        return x * clip(x / 6.0f + 0.5f, 0.0f, 1.0f);
    case SL_UNARY_TANH:
        return tanhf(x);
    case SL_UNARY_SOFTPLUS:
        return softplus(x);
    case SL_UNARY_SILU:
        return x * sigmoid(x);
    case SL_UNARY_MISH:
        return x * tanhf(softplus(x));
    case SL_UNARY_SIN:
        return sinf(x);
    case SL_UNARY_COS:
        return cosf(x);
    default:
        return x;
    }
}

float sl_activate(const struct sl_activation *activation, float x)
{
    if (activation->kind == SL_ACT_CLIP)
        return clip(x, activation->alpha, activation->beta);
    return ref_unary(activation->kind, activation->alpha, activation->beta, x);
}

// Abs, Neg, Sign and Relu of integers; the most negative number stays itself.
#define DEFINE_INTEGER(suffix, T, U)                                                               \
    static void unary_##suffix(uint32_t kind, const T *x, T *y, int64_t count)                     \
    {                                                                                              \
        for (int64_t i = 0; i < count; i++) {                                                      \
            bool below = x[i] < 0;                                                                 \
            T negated = (T)(U)((U)0 - (U)x[i]);                                                    \
            if (kind == SL_UNARY_ABS)                                                              \
                y[i] = below ? negated : x[i];                                                     \
            else if (kind == SL_UNARY_NEG)                                                         \
                y[i] = negated;                                                                    \
            else if (kind == SL_UNARY_SIGN)                                                        \
                y[i] = (T)(below ? -1 : x[i] > 0);                                                 \
            else                                                                                   \
                y[i] = below ? 0 : x[i];                                                           \
        }                                                                                          \
    }
DEFINE_INTEGER(i8, int8_t, uint8_t)
DEFINE_INTEGER(i32, int32_t, uint32_t)
DEFINE_INTEGER(i64, int64_t, uint64_t)

static void unary_u8(uint32_t kind, const uint8_t *x, uint8_t *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = kind == SL_UNARY_SIGN ? x[i] > 0 : x[i];
}

static void not_bool(const uint8_t *x, uint8_t *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = !x[i];
}

static void unary_f32(const struct sl_unary_attrs *attrs, const float *x, float *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        y[i] = ref_unary(attrs->kind, attrs->alpha, attrs->beta, x[i]);
}

int ref_unary_node(const struct ref *ref)
{
    const struct sl_unary_attrs *attrs = &ref->view.node->attrs.unary;
    int64_t count = sl_elements(ref_in(ref, 0));
    const void *x = ref_src(ref, 0);
    void *y = ref_dst(ref, 0);
    switch (ref_in(ref, 0)->dtype) {
    case SL_F32:
        unary_f32(attrs, x, y, count);
        break;
    case SL_U8:
        unary_u8(attrs->kind, x, y, count);
        break;
    case SL_I8:
        unary_i8(attrs->kind, x, y, count);
        break;
    case SL_I32:
        unary_i32(attrs->kind, x, y, count);
        break;
    case SL_I64:
        unary_i64(attrs->kind, x, y, count);
        break;
    default:
        not_bool(x, y, count);
    }
    return 0;
}

// The bounds are real numbers; an integer type meets those of its own range at most.
static int64_t integer_bound(float bound, int64_t low, int64_t high, bool up)
{
    double rounded = up ? ceil((double)bound) : floor((double)bound);
    if (!(rounded > (double)low))
        return low;
    return rounded >= (double)high ? high : (int64_t)rounded;
}

#define CLIP_AS(T)                                                                                 \
    for (int64_t i = 0; i < count; i++) {                                                          \
        int64_t value = ((const T *)x)[i];                                                         \
        value = value < low ? low : value;                                                         \
        ((T *)y)[i] = (T)(value > high ? high : value);                                            \
    }

static void clip_integers(uint32_t dtype, const struct sl_clip_attrs *bounds, const void *x,
                          void *y, int64_t count)
{
    int64_t least, most;
    sl_dtype_range(dtype, &least, &most);
    int64_t low = integer_bound(bounds->low, least, most, true);
    int64_t high = integer_bound(bounds->high, least, most, false);
    if (dtype == SL_U8)
        CLIP_AS(uint8_t)
    else if (dtype == SL_I8)
        CLIP_AS(int8_t)
    else if (dtype == SL_I32)
        CLIP_AS(int32_t)
    else
        CLIP_AS(int64_t)
}

int ref_clip(const struct ref *ref)
{
    const struct sl_clip_attrs *bounds = &ref->view.node->attrs.clip;
    const struct sl_tensor *tensor = ref_in(ref, 0);
    int64_t count = sl_elements(tensor);
    if (tensor->dtype != SL_F32) {
        clip_integers(tensor->dtype, bounds, ref_src(ref, 0), ref_dst(ref, 0), count);
        return 0;
    }
    const float *x = ref_src(ref, 0);
    float *y = ref_dst(ref, 0);
    for (int64_t i = 0; i < count; i++)
        y[i] = clip(x[i], bounds->low, bounds->high);
    return 0;
}
