// Steps that pool in NHWC: each output pixel takes its window's pixels one by one, all channels at
// once.
#include "accel/cpu/compile.h"

#include <math.h>
#include <string.h>

struct pool_state {
    const struct cpu_kernels *kernels;
    uint32_t x, y, dtype;
    int64_t n, in[2], out[2], channels; // padded
    struct sl_pool_attrs attrs;
};

// Taps of a window along an axis that lie inside the input.
static void inside(const struct pool_state *s, int axis, int64_t out, int64_t *first, int64_t *end)
{
    int64_t start = out * s->attrs.stride[axis] - s->attrs.pad[axis];
    int64_t step = s->attrs.dilation[axis];
    *first = start < 0 ? (-start + step - 1) / step : 0;
    int64_t room = s->in[axis] - start;
    *end = room <= 0 ? 0 : (room + step - 1) / step;
    *end = *end < s->attrs.kernel[axis] ? *end : s->attrs.kernel[axis];
}

static void clear(const struct pool_state *s, unsigned char *y)
{
    if (s->dtype == SL_F32)
        for (int64_t c = 0; c < s->channels; c++)
            ((float *)(void *)y)[c] = -INFINITY;
    else
        memset(y, s->dtype == SL_I8 ? 0x80 : 0, (size_t)s->channels);
}

static void raise(const struct pool_state *s, const unsigned char *x, unsigned char *y)
{
    if (s->dtype == SL_F32)
        s->kernels->max_f32((const float *)(const void *)x, (float *)(void *)y, s->channels);
    else
        s->kernels->max_q8(x, y, s->channels, s->dtype == SL_I8);
}

static void max_pixel(const struct pool_state *s, const unsigned char *x, unsigned char *y,
                      int64_t oy, int64_t ox)
{
    size_t pixel = (size_t)s->channels * sl_dtype_size(s->dtype);
    int64_t y0, y1, x0, x1;
    inside(s, 0, oy, &y0, &y1);
    inside(s, 1, ox, &x0, &x1);
    clear(s, y);
    for (int64_t ky = y0; ky < y1; ky++)
        for (int64_t kx = x0; kx < x1; kx++) {
            int64_t iy = oy * s->attrs.stride[0] - s->attrs.pad[0] + ky * s->attrs.dilation[0];
            int64_t ix = ox * s->attrs.stride[1] - s->attrs.pad[1] + kx * s->attrs.dilation[1];
            raise(s, x + (size_t)(iy * s->in[1] + ix) * pixel, y);
        }
}

static int run_max_pool(const struct cpu_program *program, const struct cpu_step *step,
                        uint32_t part, uint32_t parts, struct sl_error *error)
{
    const struct pool_state *s = step->state;
    size_t pixel = (size_t)s->channels * sl_dtype_size(s->dtype);
    int64_t end = cpu_share(s->n * s->out[0], part + 1, parts);
    (void)error;
    for (int64_t row = cpu_share(s->n * s->out[0], part, parts); row < end; row++) {
        const unsigned char *x = cpu_data(program, s->x);
        unsigned char *y = cpu_data(program, s->y);
        x += (size_t)(row / s->out[0] * s->in[0] * s->in[1]) * pixel;
        y += (size_t)(row * s->out[1]) * pixel;
        for (int64_t ox = 0; ox < s->out[1]; ox++)
            max_pixel(s, x, y + (size_t)ox * pixel, row % s->out[0], ox);
    }
    return 0;
}

int cpu_lower_max_pool(struct cpu_compiler *c, const struct sl_node *node)
{
    if (node->op != SL_OP_MAX_POOL || node->activation.kind != SL_ACT_NONE)
        return 0;
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    if (!cpu_fits_nhwc(x) || !sl_same_quant(x, y) || sl_elements(x) == 0 || sl_elements(y) == 0)
        return 0;
    struct pool_state *s = cpu_take(c, 1, sizeof(*s));
    if (!s)
        return cpu_no_memory(c);
    *s = (struct pool_state){.kernels = c->kernels,
                             .dtype = x->dtype,
                             .n = x->dims[0],
                             .in = {x->dims[2], x->dims[3]},
                             .out = {y->dims[2], y->dims[3]},
                             .channels = cpu_round_channels(x->dims[1]),
                             .attrs = node->attrs.pool};
    int status = cpu_want(c, node->inputs[0], CPU_NHWC, &s->x);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], CPU_NHWC, &s->y);
    if (status)
        return status;
    struct cpu_step *step = cpu_add_step(c, node->name, "max_pool", s);
    if (!step)
        return cpu_no_memory(c);
    step->run = run_max_pool;
    cpu_use(c, s->x);
    cpu_use(c, s->y);
    return 1;
}
