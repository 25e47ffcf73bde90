// Reference interpreter: the rounding rule, and sums of integer products.
#include "accel/reference_impl.h"

#include <math.h>

// NaN becomes `low`, as the vector kernels' max and min instructions have it.
static int32_t saturate(float rounded, int32_t zero_point, int64_t low, int64_t high)
{
    double value = (double)rounded + zero_point;
    if (!(value > (double)low))
        return (int32_t)low;
    return value < (double)high ? (int32_t)value : (int32_t)high;
}

int32_t ref_quantise(float real, const struct sl_tensor *tensor, uint32_t channel)
{
    int64_t low, high;
    sl_dtype_range(tensor->dtype, &low, &high);
    return saturate(rintf(real / tensor->quant.scale[channel]), tensor->quant.zero_point[channel],
                    low, high);
}

int32_t ref_rescale(int64_t sum, float multiplier, const struct sl_tensor *tensor)
{
    int64_t low, high;
    sl_dtype_range(tensor->dtype, &low, &high);
    return saturate(rintf((float)sum * multiplier), tensor->quant.zero_point[0], low, high);
}

void sl_quant_bounds(const struct sl_tensor *tensor, const struct sl_activation *activation,
                     int32_t *low, int32_t *high)
{
    int64_t least, most;
    sl_dtype_range(tensor->dtype, &least, &most);
    *low = (int32_t)least;
    *high = (int32_t)most;
    if (activation->kind == SL_UNARY_RELU)
        *low = ref_quantise(0.0f, tensor, 0);
    if (activation->kind == SL_ACT_CLIP) {
        *high = ref_quantise(activation->beta, tensor, 0);
        *low = ref_quantise(activation->alpha, tensor, 0);
        if (*low > *high)
            *low = *high;
    }
}

struct sl_quantised_sum sl_make_quantised_sum(const struct sl_tensor *a, const struct sl_tensor *b,
                                              const struct sl_tensor *y,
                                              const struct sl_activation *activation)
{
    int32_t low, high;
    const float r_a = a->quant.scale[0] / y->quant.scale[0];
    const float r_b = b->quant.scale[0] / y->quant.scale[0];
    const float zeros =
        fmaf(r_a, (float)a->quant.zero_point[0], r_b * (float)b->quant.zero_point[0]);
    sl_quant_bounds(y, activation, &low, &high);
    return (struct sl_quantised_sum){r_a, r_b, (float)y->quant.zero_point[0] - zeros, (float)low,
                                     (float)high};
}

struct sl_quantised_product sl_make_quantised_product(const struct sl_tensor *a,
                                                      const struct sl_tensor *b,
                                                      const struct sl_tensor *y,
                                                      const struct sl_activation *activation)
{
    int32_t low, high;
    sl_quant_bounds(y, activation, &low, &high);
    return (struct sl_quantised_product){
        .a_zero = a->quant.zero_point[0],
        .b_zero = b->quant.zero_point[0],
        .ratio = a->quant.scale[0] * b->quant.scale[0] / y->quant.scale[0],
        .offset = (float)y->quant.zero_point[0],
        .low = (float)low,
        .high = (float)high,
    };
}

uint32_t ref_quant_channel(const struct sl_tensor *tensor, int64_t element)
{
    if (tensor->quant.count <= 1)
        return 0;
    uint32_t axis = sl_axis(tensor->quant.axis, tensor->rank);
    int64_t inner = sl_dims_product(tensor, axis + 1, tensor->rank);
    return (uint32_t)(element / inner % tensor->dims[axis]);
}

static int32_t load(const struct sl_tensor *tensor, const void *data, int64_t i)
{
    return tensor->dtype == SL_I32 ? ((const int32_t *)data)[i] : ref_load8(data, tensor->dtype, i);
}

static void store(const struct sl_tensor *tensor, void *data, int64_t i, int32_t value)
{
    if (tensor->dtype == SL_I32)
        ((int32_t *)data)[i] = value;
    else
        ((uint8_t *)data)[i] = (uint8_t)value;
}

void ref_dequantise_all(const struct sl_tensor *tensor, const void *quantised, float *real)
{
    int64_t count = sl_elements(tensor);
    for (int64_t i = 0; i < count; i++) {
        uint32_t channel = ref_quant_channel(tensor, i);
        int64_t centred = (int64_t)load(tensor, quantised, i) - tensor->quant.zero_point[channel];
        real[i] = (float)centred * tensor->quant.scale[channel];
    }
}

void ref_quantise_all(const struct sl_tensor *tensor, const float *real, void *quantised)
{
    int64_t count = sl_elements(tensor);
    for (int64_t i = 0; i < count; i++)
        store(tensor, quantised, i, ref_quantise(real[i], tensor, ref_quant_channel(tensor, i)));
}

void ref_sum_begin(struct ref_sum *sum, const struct ref *ref)
{
    sum->out = ref_out(ref, 0);
    sum->activation = &ref->view.node->activation;
    sum->scale_x = ref_in(ref, 0)->quant.scale[0];
    sum->w = &ref_in(ref, 1)->quant;
    sum->y = ref_dst(ref, 0);
    if (sl_is_quantised(sum->out))
        sl_quant_bounds(sum->out, sum->activation, &sum->low, &sum->high);
}

// Relu and Clip only narrow the range of the quantised result; anything else is applied to the
// real number.
static int32_t rescale(const struct ref_sum *sum, float scale, int32_t acc)
{
    const struct sl_activation *activation = sum->activation;
    if (activation->kind != SL_ACT_NONE && activation->kind != SL_UNARY_RELU &&
        activation->kind != SL_ACT_CLIP)
        return ref_quantise(sl_activate(activation, (float)acc * scale), sum->out, 0);
    float multiplier = scale / sum->out->quant.scale[0];
    return saturate(rintf((float)acc * multiplier), sum->out->quant.zero_point[0], sum->low,
                    sum->high);
}

void ref_sum_store(const struct ref_sum *sum, int64_t at, int64_t channel, int32_t acc)
{
    float scale = sum->scale_x * sum->w->scale[sum->w->count > 1 ? channel : 0];
    if (sl_is_quantised(sum->out))
        store(sum->out, sum->y, at, rescale(sum, scale, acc));
    else if (sum->out->dtype == SL_I32)
        ((int32_t *)sum->y)[at] = acc;
    else
        ((float *)sum->y)[at] = sl_activate(sum->activation, (float)acc * scale);
}

bool ref_is_integer_product(const struct ref *ref, uint32_t w_axis)
{
    const struct sl_tensor *x = ref_in(ref, 0), *w = ref_in(ref, 1), *bias = ref_in(ref, 2);
    const struct sl_tensor *y = ref_out(ref, 0);
    if (!sl_is_8bit(x) || !sl_is_8bit(w) || x->quant.count != 1 || w->quant.count == 0)
        return false;
    if (w->quant.count > 1 && sl_axis(w->quant.axis, w->rank) != w_axis)
        return false;
    if (bias && bias->dtype != SL_I32)
        return false;
    return y->quant.count == 1 ? sl_is_8bit(y) : y->quant.count == 0;
}
