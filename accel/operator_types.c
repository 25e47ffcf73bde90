// Which types each operator takes. Quantised tensors count as real numbers.
#include "accel/operator.h"

#include "accel/reference.h"

#include <errno.h>
#include <stdbool.h>

#define BIT(type) (1u << (type))
#define REAL      BIT(SL_F32)
#define SIGNED    (BIT(SL_I8) | BIT(SL_I32) | BIT(SL_I64))
#define INTEGER   (SIGNED | BIT(SL_U8))
#define NUMBER    (REAL | INTEGER)
#define ANY       (NUMBER | BIT(SL_BOOL))

static int refuse(const struct sl_op_view *view, const char *what, uint32_t index,
                  const struct sl_tensor *tensor)
{
    return sl_op_fail(view, -ENOTSUP, "%s %u: type %s is not supported", what, index,
                      sl_dtype_name(tensor->dtype));
}

static int input_in(const struct sl_op_view *view, uint32_t index, uint32_t mask)
{
    const struct sl_tensor *tensor = sl_op_input(view, index);
    if (tensor && !(BIT(sl_op_type(tensor)) & mask))
        return refuse(view, "input", index, tensor);
    return 0;
}

static int output_is(const struct sl_op_view *view, uint32_t index, uint32_t type)
{
    const struct sl_tensor *tensor = sl_op_output(view, index);
    if (sl_op_type(tensor) != type)
        return sl_op_fail(view, -EINVAL, "output %u: type %s, expected %s", index,
                          sl_dtype_name(sl_op_type(tensor)), sl_dtype_name(type));
    return 0;
}

// Inputs from `first` on have one type of `mask`, and so has output 0.
static int same_from(const struct sl_op_view *view, uint32_t first, uint32_t mask)
{
    uint32_t type = sl_op_type(sl_op_input(view, first));
    int status = input_in(view, first, mask);
    for (uint32_t i = first + 1; status == 0 && i < view->node->n_inputs; i++) {
        const struct sl_tensor *other = sl_op_input(view, i);
        if (other && sl_op_type(other) != type)
            status = sl_op_fail(view, -EINVAL, "input %u: type %s, but input %u is %s", i,
                                sl_dtype_name(sl_op_type(other)), first, sl_dtype_name(type));
    }
    return status ? status : output_is(view, 0, type);
}

int sl_types_real(const struct sl_op_view *view)
{
    return same_from(view, 0, REAL);
}

int sl_types_product(const struct sl_op_view *view)
{
    const struct sl_tensor *output = sl_op_output(view, 0);
    if (output->dtype != SL_I32 || output->quant.count > 0)
        return sl_types_real(view);
    for (uint32_t i = 0; i < 2; i++) {
        const struct sl_tensor *input = sl_op_input(view, i);
        if (input->quant.count != 1 || input->quant.scale[0] != 1.0f)
            return sl_op_fail(view, -ENOTSUP,
                              "an int32 result is the plain sum, so input %u must be quantised "
                              "with scale 1",
                              i);
    }
    return input_in(view, 2, BIT(SL_I32) | REAL);
}

int sl_types_move(const struct sl_op_view *view)
{
    return same_from(view, 0, ANY);
}

int sl_types_number(const struct sl_op_view *view)
{
    return same_from(view, 0, NUMBER);
}

int sl_types_arg(const struct sl_op_view *view)
{
    uint32_t last = view->node->n_outputs - 1;
    int status = input_in(view, 0, NUMBER);
    if (status == 0 && last > 0)
        status = output_is(view, 0, sl_op_type(sl_op_input(view, 0)));
    return status ? status : output_is(view, last, SL_I64);
}

int sl_types_unary(const struct sl_op_view *view)
{
    static const uint32_t wider[] = {
        [SL_UNARY_ABS] = INTEGER, [SL_UNARY_NEG] = SIGNED, [SL_UNARY_SIGN] = INTEGER,
        [SL_UNARY_RELU] = SIGNED, [SL_UNARY_COS] = 0,
    };
    uint32_t kind = view->node->attrs.unary.kind;
    if (!sl_unary_name(kind))
        return sl_op_fail(view, -EINVAL, "unary function %u is not known", kind);
    if (kind == SL_UNARY_NOT)
        return same_from(view, 0, BIT(SL_BOOL));
    return same_from(view, 0, REAL | wider[kind]);
}

int sl_types_binary(const struct sl_op_view *view)
{
    uint32_t kind = view->node->attrs.binary, type = sl_op_type(sl_op_input(view, 0));
    uint32_t mask = NUMBER;
    if (kind == SL_BINARY_AND || kind == SL_BINARY_OR || kind == SL_BINARY_XOR)
        mask = BIT(SL_BOOL);
    else if (kind == SL_BINARY_EQUAL)
        mask = ANY;
    else if (kind < SL_BINARY_ADD || kind > SL_BINARY_FMOD)
        return sl_op_fail(view, -EINVAL, "binary function %u is not known", kind);

    int status = input_in(view, 0, mask);
    uint32_t other = sl_op_type(sl_op_input(view, 1));
    if (status == 0 && kind == SL_BINARY_POW)
        status = input_in(view, 1, NUMBER);
    else if (status == 0 && other != type)
        status = sl_op_fail(view, -EINVAL, "types %s and %s differ", sl_dtype_name(type),
                            sl_dtype_name(other));
    if (status)
        return status;
    bool compares = kind >= SL_BINARY_EQUAL && kind <= SL_BINARY_XOR;
    return output_is(view, 0, compares ? (uint32_t)SL_BOOL : type);
}

int sl_types_where(const struct sl_op_view *view)
{
    if (sl_op_type(sl_op_input(view, 0)) != SL_BOOL)
        return sl_op_fail(view, -EINVAL, "the condition is %s, expected bool",
                          sl_dtype_name(sl_op_input(view, 0)->dtype));
    return same_from(view, 1, ANY);
}

int sl_types_resize(const struct sl_op_view *view)
{
    const struct sl_resize_attrs *resize = &view->node->attrs.resize;
    bool copies =
        resize->mode == SL_RESIZE_NEAREST && resize->coordinates != SL_RESIZE_TF_CROP_AND_RESIZE;
    return same_from(view, 0, copies ? ANY : REAL);
}

int sl_types_gather(const struct sl_op_view *view)
{
    int status = input_in(view, 1, BIT(SL_I32) | BIT(SL_I64));
    return status ? status : output_is(view, 0, sl_op_type(sl_op_input(view, 0)));
}

int sl_types_any(const struct sl_op_view *view)
{
    (void)view;
    return 0;
}
