// Reference interpreter: functions of two elements, with numpy broadcasting.
#include "accel/reference_impl.h"

#include <math.h>
#include <string.h>

struct binary {
    uint32_t kind, exponent; // exponent: type of the second operand of Pow
    const void *a, *b;
    void *y;
};

// For a row: A and B are the operands' elements, Y is the result's.
#define ROW(TA, TB, TY, EXPRESSION)                                                                \
    do {                                                                                           \
        const TA *pa = (const TA *)op->a + from[0];                                                \
        const TB *pb = (const TB *)op->b + from[1];                                                \
        TY *py = (TY *)op->y + at;                                                                 \
        for (int64_t i = 0; i < count; i++) {                                                      \
            TA A = pa[i * step[0]];                                                                \
            TB B = pb[i * step[1]];                                                                \
            py[i] = (TY)(EXPRESSION);                                                              \
        }                                                                                          \
    } while (0)

#define ROW_ARGUMENTS void *ctx, int64_t at, const int64_t *from, const int64_t *step, int64_t count

#define COMPARISONS(T)                                                                             \
    case SL_BINARY_EQUAL:                                                                          \
        ROW(T, T, uint8_t, A == B);                                                                \
        break;                                                                                     \
    case SL_BINARY_LESS:                                                                           \
        ROW(T, T, uint8_t, A < B);                                                                 \
        break;                                                                                     \
    case SL_BINARY_LESS_EQUAL:                                                                     \
        ROW(T, T, uint8_t, A <= B);                                                                \
        break;                                                                                     \
    case SL_BINARY_GREATER:                                                                        \
        ROW(T, T, uint8_t, A > B);                                                                 \
        break;                                                                                     \
    case SL_BINARY_GREATER_EQUAL:                                                                  \
        ROW(T, T, uint8_t, A >= B);                                                                \
        break;

// NaN wins, as in numpy.
static float min_real(float a, float b)
{
    return a < b || isnan(a) ? a : b;
}

static float max_real(float a, float b)
{
    return a > b || isnan(a) ? a : b;
}

static void row_f32(ROW_ARGUMENTS)
{
    const struct binary *op = ctx;
    switch (op->kind) {
        COMPARISONS(float)
    case SL_BINARY_ADD:
        ROW(float, float, float, A + B);
        break;
    case SL_BINARY_SUB:
        ROW(float, float, float, A - B);
        break;
    case SL_BINARY_MUL:
        ROW(float, float, float, A *B);
        break;
    case SL_BINARY_DIV:
        ROW(float, float, float, A / B);
        break;
    case SL_BINARY_MIN:
        ROW(float, float, float, min_real(A, B));
        break;
    case SL_BINARY_MAX:
        ROW(float, float, float, max_real(A, B));
        break;
    default:
        ROW(float, float, float, fmodf(A, B));
    }
}

static int64_t divide(int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}

static int64_t remainder_of(int64_t a, int64_t b)
{
    return b == 0 || b == -1 ? 0 : a % b;
}

static int64_t modulo(int64_t a, int64_t b)
{
    int64_t rest = remainder_of(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

// Sums, differences and products wrap.
#define DEFINE_INTEGER(suffix, T)                                                                  \
    static void row_##suffix(ROW_ARGUMENTS)                                                        \
    {                                                                                              \
        const struct binary *op = ctx;                                                             \
        switch (op->kind) {                                                                        \
            COMPARISONS(T)                                                                         \
        case SL_BINARY_ADD:                                                                        \
            ROW(T, T, T, (uint64_t)A + (uint64_t)B);                                               \
            break;                                                                                 \
        case SL_BINARY_SUB:                                                                        \
            ROW(T, T, T, (uint64_t)A - (uint64_t)B);                                               \
            break;                                                                                 \
        case SL_BINARY_MUL:                                                                        \
            ROW(T, T, T, (uint64_t)A *(uint64_t)B);                                                \
            break;                                                                                 \
        case SL_BINARY_DIV:                                                                        \
            ROW(T, T, T, divide(A, B));                                                            \
            break;                                                                                 \
        case SL_BINARY_MIN:                                                                        \
            ROW(T, T, T, A < B ? A : B);                                                           \
            break;                                                                                 \
        case SL_BINARY_MAX:                                                                        \
            ROW(T, T, T, A > B ? A : B);                                                           \
            break;                                                                                 \
        case SL_BINARY_MOD:                                                                        \
            ROW(T, T, T, modulo(A, B));                                                            \
            break;                                                                                 \
        default:                                                                                   \
            ROW(T, T, T, remainder_of(A, B));                                                      \
        }                                                                                          \
    }
DEFINE_INTEGER(u8, uint8_t)
DEFINE_INTEGER(i8, int8_t)
DEFINE_INTEGER(i32, int32_t)
DEFINE_INTEGER(i64, int64_t)

static void row_bool(ROW_ARGUMENTS)
{
    const struct binary *op = ctx;
    switch (op->kind) {
    case SL_BINARY_AND:
        ROW(uint8_t, uint8_t, uint8_t, A & B);
        break;
    case SL_BINARY_OR:
        ROW(uint8_t, uint8_t, uint8_t, A | B);
        break;
    case SL_BINARY_XOR:
        ROW(uint8_t, uint8_t, uint8_t, A ^ B);
        break;
    default:
        ROW(uint8_t, uint8_t, uint8_t, !A == !B);
    }
}

// Integer powers of integers are exact and wrap; a negative exponent truncates toward zero.
static int64_t power(int64_t base, int64_t exponent)
{
    if (exponent < 0)
        return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
    uint64_t result = 1, factor = (uint64_t)base;
    for (; exponent > 0; exponent >>= 1, factor *= factor)
        if (exponent & 1)
            result *= factor;
    return (int64_t)result;
}

static double load_number(uint32_t dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case SL_F32:
        return (double)((const float *)data)[i];
    case SL_I32:
        return ((const int32_t *)data)[i];
    case SL_I64:
        return (double)((const int64_t *)data)[i];
    default:
        return ref_load8(data, dtype, i);
    }
}

// Saturates, so that no conversion is undefined.
static int64_t to_integer(double value)
{
    if (isnan(value))
        return 0;
    if (value >= 9.2e18)
        return INT64_MAX;
    return value <= -9.2e18 ? INT64_MIN : (int64_t)value;
}

static int64_t power_mixed(int64_t base, double exponent)
{
    double whole = nearbyint(exponent);
    if (whole == exponent && fabs(exponent) < 1e18)
        return power(base, (int64_t)exponent);
    return to_integer(pow((double)base, exponent));
}

#define B_NUMBER load_number(op->exponent, op->b, from[1] + i * step[1])
#define ROW_POWER(T, EXPRESSION)                                                                   \
    do {                                                                                           \
        const T *pa = (const T *)op->a + from[0];                                                  \
        T *py = (T *)op->y + at;                                                                   \
        for (int64_t i = 0; i < count; i++) {                                                      \
            T A = pa[i * step[0]];                                                                 \
            py[i] = (T)(EXPRESSION);                                                               \
        }                                                                                          \
    } while (0)

static void power_f32(ROW_ARGUMENTS)
{
    const struct binary *op = ctx;
    ROW_POWER(float, powf(A, (float)B_NUMBER));
}

static void power_u8(ROW_ARGUMENTS)
{
    const struct binary *op = ctx;
    ROW_POWER(uint8_t, power_mixed(A, B_NUMBER));
}

static void power_i8(ROW_ARGUMENTS)
{
    const struct binary *op = ctx;
    ROW_POWER(int8_t, power_mixed(A, B_NUMBER));
}

static void power_i32(ROW_ARGUMENTS)
{
    const struct binary *op = ctx;
    ROW_POWER(int32_t, power_mixed(A, B_NUMBER));
}

static void power_i64(ROW_ARGUMENTS)
{
    const struct binary *op = ctx;
    ROW_POWER(int64_t, power_mixed(A, B_NUMBER));
}

struct quantised_pair {
    struct sl_quantised_sum sum;
    struct sl_quantised_product product;
    const void *a, *b;
    uint8_t *y;
    uint32_t a_type, b_type;
};

static uint8_t round_to_byte(float real, float low, float high)
{
    return (uint8_t)(int32_t)rintf(fminf(fmaxf(real, low), high));
}

static void row_quantised_sum(ROW_ARGUMENTS)
{
    const struct quantised_pair *op = ctx;
    const struct sl_quantised_sum *s = &op->sum;
    for (int64_t i = 0; i < count; i++) {
        const float a = (float)ref_load8(op->a, op->a_type, from[0] + i * step[0]);
        const float b = (float)ref_load8(op->b, op->b_type, from[1] + i * step[1]);
        const float real = fmaf(a, s->a_ratio, fmaf(b, s->b_ratio, s->offset));
        op->y[at + i] = round_to_byte(real, s->low, s->high);
    }
}

static void row_quantised_product(ROW_ARGUMENTS)
{
    const struct quantised_pair *op = ctx;
    const struct sl_quantised_product *p = &op->product;
    for (int64_t i = 0; i < count; i++) {
        const int32_t a = ((const uint8_t *)op->a)[from[0] + i * step[0]] - p->a_zero;
        const int32_t b = ((const uint8_t *)op->b)[from[1] + i * step[1]] - p->b_zero;
        const float real = (float)(a * b) * p->ratio;
        op->y[at + i] = round_to_byte(real + p->offset, p->low, p->high);
    }
}

static bool is_quantised(const struct sl_node *node, uint32_t binary,
                         const struct sl_tensor *const tensors[3])
{
    const uint32_t kind = node->activation.kind;
    for (int i = 0; i < 3; i++)
        if (tensors[i]->quant.count != 1 || !sl_is_8bit(tensors[i]))
            return false;
    return node->op == SL_OP_BINARY && node->attrs.binary == binary &&
           (kind == SL_ACT_NONE || kind == SL_UNARY_RELU || kind == SL_ACT_CLIP);
}

bool sl_is_quantised_sum(const struct sl_node *node, const struct sl_tensor *a,
                         const struct sl_tensor *b, const struct sl_tensor *y)
{
    return is_quantised(node, SL_BINARY_ADD, (const struct sl_tensor *[]){a, b, y});
}

bool sl_is_quantised_product(const struct sl_node *node, const struct sl_tensor *a,
                             const struct sl_tensor *b, const struct sl_tensor *y)
{
    return is_quantised(node, SL_BINARY_MUL, (const struct sl_tensor *[]){a, b, y}) &&
           a->dtype == SL_U8 && b->dtype == SL_U8 && y->dtype == SL_U8;
}

bool ref_is_quantised_pair(const struct ref *ref)
{
    const struct sl_tensor *a = ref_in(ref, 0), *b = ref_in(ref, 1), *y = ref_out(ref, 0);
    return sl_is_quantised_sum(ref->view.node, a, b, y) ||
           sl_is_quantised_product(ref->view.node, a, b, y);
}

static int quantised_pair(const struct ref *ref)
{
    const struct sl_tensor *a = ref_in(ref, 0), *b = ref_in(ref, 1), *y = ref_out(ref, 0);
    const struct sl_activation *activation = &ref->view.node->activation;
    struct quantised_pair op = {sl_make_quantised_sum(a, b, y, activation),
                                sl_make_quantised_product(a, b, y, activation),
                                ref_src(ref, 0),
                                ref_src(ref, 1),
                                ref_dst(ref, 0),
                                a->dtype,
                                b->dtype};
    struct ref_walk walk = {.rank = y->rank, .dims = y->dims, .n_operands = 2};
    sl_broadcast_strides(a, y->rank, walk.strides[0]);
    sl_broadcast_strides(b, y->rank, walk.strides[1]);
    const bool sum = ref->view.node->attrs.binary == SL_BINARY_ADD;
    ref_walk_rows(&walk, sum ? row_quantised_sum : row_quantised_product, &op);
    return 0;
}

int ref_binary(const struct ref *ref)
{
    if (ref_is_quantised_pair(ref))
        return quantised_pair(ref);
    static const ref_row rows[] = {
        [SL_F32] = row_f32, [SL_U8] = row_u8,   [SL_I8] = row_i8,
        [SL_I32] = row_i32, [SL_I64] = row_i64, [SL_BOOL] = row_bool,
    };
    static const ref_row powers[] = {
        [SL_F32] = power_f32, [SL_U8] = power_u8,   [SL_I8] = power_i8,
        [SL_I32] = power_i32, [SL_I64] = power_i64,
    };
    const struct sl_tensor *a = ref_in(ref, 0), *b = ref_in(ref, 1), *y = ref_out(ref, 0);
    struct binary op = {ref->view.node->attrs.binary, b->dtype, ref_src(ref, 0), ref_src(ref, 1),
                        ref_dst(ref, 0)};
    struct ref_walk walk = {.rank = y->rank, .dims = y->dims, .n_operands = 2};
    sl_broadcast_strides(a, y->rank, walk.strides[0]);
    sl_broadcast_strides(b, y->rank, walk.strides[1]);
    ref_walk_rows(&walk, op.kind == SL_BINARY_POW ? powers[a->dtype] : rows[a->dtype], &op);
    return 0;
}
