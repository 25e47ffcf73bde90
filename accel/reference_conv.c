// Reference interpreter: convolution and transposed convolution.
#include "accel/reference_impl.h"

#include <string.h>

// Sizes of a convolution, 1-D ones with height 1. For the transposed one `in` and `out` keep their
// meaning of input and output.
struct window {
    int64_t n, group, in_channels, out_channels; // channels per group
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], pad[2];
};

static struct window window_of(const struct ref *ref)
{
    const struct sl_conv_attrs *conv = &ref->view.node->attrs.conv;
    const struct sl_tensor *x = ref_in(ref, 0), *y = ref_out(ref, 0);
    struct window win = {.n = x->dims[0], .group = conv->group};
    win.in_channels = x->dims[1] / conv->group;
    win.out_channels = y->dims[1] / conv->group;
    for (int i = 0; i < 2; i++) {
        bool flat = x->rank == 3;
        win.in[i] = flat ? (i ? x->dims[2] : 1) : x->dims[2 + i];
        win.out[i] = flat ? (i ? y->dims[2] : 1) : y->dims[2 + i];
        win.kernel[i] = conv->kernel[i];
        win.stride[i] = conv->stride[i];
        win.dilation[i] = conv->dilation[i];
        win.pad[i] = conv->pad[i];
    }
    return win;
}

// Values are centred on their zero points, so padding is 0 and needs no term.
struct operand {
    const void *data;
    const struct sl_tensor *tensor;
};

static int32_t centred(const struct operand *operand, int64_t i, int64_t channel)
{
    const struct sl_quant *quant = &operand->tensor->quant;
    return ref_load8(operand->data, operand->tensor->dtype, i) -
           quant->zero_point[quant->count > 1 ? channel : 0];
}

static int32_t add_product(int32_t acc, int32_t a, int32_t b)
{
    return (int32_t)((uint32_t)acc + (uint32_t)(a * b));
}

// One output element: position `at` = {n, group, channel of the group, y, x}.
static double sum_real(const struct window *win, const float *x, const float *w,
                       const int64_t at[5])
{
    double sum = 0.0;
    for (int64_t c = 0; c < win->in_channels; c++) {
        int64_t plane = (at[0] * win->group + at[1]) * win->in_channels + c;
        int64_t filter = (at[1] * win->out_channels + at[2]) * win->in_channels + c;
        for (int64_t ky = 0; ky < win->kernel[0]; ky++) {
            int64_t iy = at[3] * win->stride[0] - win->pad[0] + ky * win->dilation[0];
            if (iy < 0 || iy >= win->in[0])
                continue;
            for (int64_t kx = 0; kx < win->kernel[1]; kx++) {
                int64_t ix = at[4] * win->stride[1] - win->pad[1] + kx * win->dilation[1];
                if (ix >= 0 && ix < win->in[1])
                    sum += (double)x[(plane * win->in[0] + iy) * win->in[1] + ix] *
                           (double)w[(filter * win->kernel[0] + ky) * win->kernel[1] + kx];
            }
        }
    }
    return sum;
}

static int32_t sum_integers(const struct window *win, const struct operand *x,
                            const struct operand *w, const int64_t at[5])
{
    int32_t sum = 0;
    int64_t channel = at[1] * win->out_channels + at[2];
    for (int64_t c = 0; c < win->in_channels; c++) {
        int64_t plane = (at[0] * win->group + at[1]) * win->in_channels + c;
        int64_t filter = channel * win->in_channels + c;
        for (int64_t ky = 0; ky < win->kernel[0]; ky++) {
            int64_t iy = at[3] * win->stride[0] - win->pad[0] + ky * win->dilation[0];
            if (iy < 0 || iy >= win->in[0])
                continue;
            for (int64_t kx = 0; kx < win->kernel[1]; kx++) {
                int64_t ix = at[4] * win->stride[1] - win->pad[1] + kx * win->dilation[1];
                if (ix < 0 || ix >= win->in[1])
                    continue;
                int64_t xi = (plane * win->in[0] + iy) * win->in[1] + ix;
                int64_t wi = (filter * win->kernel[0] + ky) * win->kernel[1] + kx;
                sum = add_product(sum, centred(x, xi, 0), centred(w, wi, channel));
            }
        }
    }
    return sum;
}

// The transposed convolution as a gather: which inputs reach output (y, x) through which taps.
static bool tap_source(const struct window *win, int axis, int64_t out, int64_t tap, int64_t *in)
{
    int64_t from = out + win->pad[axis] - tap * win->dilation[axis];
    *in = from / win->stride[axis];
    return from >= 0 && from % win->stride[axis] == 0 && *in < win->in[axis];
}

static double sum_transposed(const struct window *win, const float *x, const float *w,
                             const int64_t at[5])
{
    double sum = 0.0;
    int64_t iy, ix;
    for (int64_t c = 0; c < win->in_channels; c++) {
        int64_t in_channel = at[1] * win->in_channels + c;
        int64_t plane = at[0] * win->group * win->in_channels + in_channel;
        int64_t filter = in_channel * win->out_channels + at[2];
        for (int64_t ky = 0; ky < win->kernel[0]; ky++) {
            if (!tap_source(win, 0, at[3], ky, &iy))
                continue;
            for (int64_t kx = 0; kx < win->kernel[1]; kx++)
                if (tap_source(win, 1, at[4], kx, &ix))
                    sum += (double)x[(plane * win->in[0] + iy) * win->in[1] + ix] *
                           (double)w[(filter * win->kernel[0] + ky) * win->kernel[1] + kx];
        }
    }
    return sum;
}

static int32_t sum_transposed_integers(const struct window *win, const struct operand *x,
                                       const struct operand *w, const int64_t at[5])
{
    int32_t sum = 0;
    int64_t iy, ix;
    for (int64_t c = 0; c < win->in_channels; c++) {
        int64_t in_channel = at[1] * win->in_channels + c;
        int64_t plane = at[0] * win->group * win->in_channels + in_channel;
        int64_t filter = in_channel * win->out_channels + at[2];
        for (int64_t ky = 0; ky < win->kernel[0]; ky++) {
            if (!tap_source(win, 0, at[3], ky, &iy))
                continue;
            for (int64_t kx = 0; kx < win->kernel[1]; kx++) {
                if (!tap_source(win, 1, at[4], kx, &ix))
                    continue;
                int64_t xi = (plane * win->in[0] + iy) * win->in[1] + ix;
                int64_t wi = (filter * win->kernel[0] + ky) * win->kernel[1] + kx;
                sum = add_product(sum, centred(x, xi, 0), centred(w, wi, at[2]));
            }
        }
    }
    return sum;
}

static bool next(const struct window *win, int64_t at[5])
{
    const int64_t size[5] = {win->n, win->group, win->out_channels, win->out[0], win->out[1]};
    for (int i = 4; i >= 0; i--) {
        if (++at[i] < size[i])
            return true;
        at[i] = 0;
    }
    return false;
}

typedef double (*real_sum)(const struct window *, const float *, const float *, const int64_t *);
typedef int32_t (*integer_sum)(const struct window *, const struct operand *,
                               const struct operand *, const int64_t *);

static void run_real(const struct ref *ref, const struct window *win, real_sum element)
{
    const float *x = ref_src(ref, 0), *w = ref_src(ref, 1);
    const float *bias = ref_in(ref, 2) ? ref_src(ref, 2) : NULL;
    float *y = ref_dst(ref, 0);
    int64_t at[5] = {0}, i = 0;
    do {
        double start = bias ? (double)bias[at[1] * win->out_channels + at[2]] : 0.0;
        y[i++] = (float)(start + element(win, x, w, at));
    } while (next(win, at));
}

static void run_integers(const struct ref *ref, const struct window *win, integer_sum element)
{
    struct operand x = {ref_src(ref, 0), ref_in(ref, 0)};
    struct operand w = {ref_src(ref, 1), ref_in(ref, 1)};
    const int32_t *bias = ref_in(ref, 2) ? ref_src(ref, 2) : NULL;
    struct ref_sum sum;
    ref_sum_begin(&sum, ref);
    int64_t at[5] = {0}, i = 0;
    do {
        int64_t channel = at[1] * win->out_channels + at[2];
        uint32_t acc = (uint32_t)element(win, &x, &w, at);
        acc += bias ? (uint32_t)bias[channel] : 0;
        ref_sum_store(&sum, i++, channel, (int32_t)acc);
    } while (next(win, at));
}

static int run(const struct ref *ref, real_sum real, integer_sum integers)
{
    struct window win = window_of(ref);
    if (sl_elements(ref_out(ref, 0)) == 0)
        return 0;
    if (ref_in(ref, 0)->dtype == SL_F32)
        run_real(ref, &win, real);
    else
        run_integers(ref, &win, integers);
    return 0;
}

int ref_conv(const struct ref *ref)
{
    return run(ref, sum_real, sum_integers);
}

int ref_conv_transpose(const struct ref *ref)
{
    return run(ref, sum_transposed, sum_transposed_integers);
}
