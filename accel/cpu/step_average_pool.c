// Steps that average windows in NHWC: each output pixel takes its window's pixels one by one, all
// channels at once.
#include "accel/cpu/compile.h"

#include <string.h>

// Sums of that many bytes fit 32 bits.
#define MAX_AREA (1 << 22)

struct pool_state {
    const struct cpu_kernels *kernels;
    uint32_t x, y, dtype;
    int64_t n, in[2], out[2], channels; // padded
    size_t pixel;                       // bytes
    struct sl_pool_attrs attrs;
    uint32_t scratch;
    int32_t x_zero;
    float x_scale;
    struct cpu_quant quant;
};

static size_t sums_bytes(const struct pool_state *s)
{
    return (size_t)s->channels * (s->dtype == SL_F32 ? sizeof(double) : sizeof(int32_t));
}

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

// How many positions the mean divides by: those inside, or with count_include_pad those inside the
// padded input.
static int64_t divisor(const struct pool_state *s, const int64_t out[2], int64_t within)
{
    int64_t count = 1;
    if (!s->attrs.count_include_pad)
        return within;
    for (int i = 0; i < 2; i++) {
        int64_t start = out[i] * s->attrs.stride[i] - s->attrs.pad[i];
        int64_t room = s->in[i] + s->attrs.pad[i + 2] - start;
        int64_t fit = (room + s->attrs.dilation[i] - 1) / s->attrs.dilation[i];
        count *= fit < s->attrs.kernel[i] ? fit : s->attrs.kernel[i];
    }
    return count;
}

// One pixel's channels are added to `sums`: int32 of bytes, double of real numbers.
static void accumulate(const struct pool_state *s, const unsigned char *x, void *sums)
{
    if (s->dtype != SL_F32) {
        s->kernels->accumulate_q8(x, sums, s->channels, s->x_zero, s->dtype == SL_I8);
        return;
    }
    const float *from = (const float *)(const void *)x;
    double *to = sums;
    for (int64_t i = 0; i < s->channels; i++)
        to[i] += (double)from[i];
}

static void finish(const struct pool_state *s, const void *sums, int64_t count, unsigned char *y)
{
    if (s->dtype != SL_F32) {
        float multiplier = s->x_scale / (s->quant.scale * (float)count);
        s->kernels->rescale_q8(&s->quant, multiplier, sums, y, s->channels);
        return;
    }
    const double *from = sums;
    for (int64_t i = 0; i < s->channels; i++)
        ((float *)(void *)y)[i] = (float)(from[i] / (double)count);
}

static void average_pixel(const struct pool_state *s, const unsigned char *x, unsigned char *y,
                          void *sums, const int64_t out[2])
{
    int64_t y0, y1, x0, x1;
    inside(s, 0, out[0], &y0, &y1);
    inside(s, 1, out[1], &x0, &x1);
    memset(sums, 0, sums_bytes(s));
    for (int64_t ky = y0; ky < y1; ky++)
        for (int64_t kx = x0; kx < x1; kx++) {
            int64_t iy = out[0] * s->attrs.stride[0] - s->attrs.pad[0] + ky * s->attrs.dilation[0];
            int64_t ix = out[1] * s->attrs.stride[1] - s->attrs.pad[1] + kx * s->attrs.dilation[1];
            accumulate(s, x + (size_t)(iy * s->in[1] + ix) * s->pixel, sums);
        }
    int64_t within = y1 > y0 && x1 > x0 ? (y1 - y0) * (x1 - x0) : 0;
    int64_t count = divisor(s, out, within);
    finish(s, sums, count ? count : 1, y);
}

static void run_average_pool(const struct cpu_program *program, const struct cpu_step *step,
                             uint32_t part, int64_t first, int64_t end)
{
    const struct pool_state *s = step->state;
    unsigned char *sums = (unsigned char *)cpu_data(program, s->scratch) + part * sums_bytes(s);
    for (int64_t row = first; row < end; row++) {
        const unsigned char *x = cpu_data(program, s->x);
        unsigned char *y = cpu_data(program, s->y);
        x += (size_t)(row / s->out[0] * s->in[0] * s->in[1]) * s->pixel;
        y += (size_t)(row * s->out[1]) * s->pixel;
        for (int64_t ox = 0; ox < s->out[1]; ox++) {
            const int64_t out[2] = {row % s->out[0], ox};
            average_pixel(s, x, y + (size_t)ox * s->pixel, sums, out);
        }
    }
}

static struct pool_state *new_state(struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    struct pool_state *s = cpu_take(c, 1, sizeof(*s));
    if (!s)
        return NULL;
    *s = (struct pool_state){.kernels = c->kernels,
                             .dtype = x->dtype,
                             .n = x->dims[0],
                             .in = {x->dims[2], x->dims[3]},
                             .out = {y->dims[2], y->dims[3]},
                             .channels = cpu_round_channels(x->dims[1]),
                             .attrs = node->attrs.pool};
    s->pixel = (size_t)s->channels * sl_dtype_size(s->dtype);
    return s;
}

static bool one_scale(const struct sl_tensor *t)
{
    return sl_is_8bit(t) && t->quant.count == 1;
}

static void set_quant(const struct sl_tensor *x, const struct sl_tensor *y, struct pool_state *s)
{
    const struct sl_activation none = {0};
    int32_t low, high;
    sl_quant_bounds(y, &none, &low, &high);
    s->x_zero = x->quant.zero_point[0];
    s->x_scale = x->quant.scale[0];
    s->quant = (struct cpu_quant){.scale = y->quant.scale[0],
                                  .low = (float)(low - y->quant.zero_point[0]),
                                  .high = (float)(high - y->quant.zero_point[0]),
                                  .zero = y->quant.zero_point[0]};
}

int cpu_lower_average_pool(struct cpu_compiler *c, const struct sl_node *node)
{
    if (node->op != SL_OP_AVERAGE_POOL || node->activation.kind != SL_ACT_NONE)
        return 0;
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    bool real = x->dtype == SL_F32 && y->dtype == SL_F32;
    if (x->rank != 4 || (!real && !(one_scale(x) && one_scale(y))) || sl_elements(x) == 0 ||
        sl_elements(y) == 0)
        return 0;
    const struct sl_pool_attrs *attrs = &node->attrs.pool;
    if (attrs->kernel[0] * attrs->kernel[1] > MAX_AREA)
        return 0;
    struct pool_state *s = new_state(c, node);
    if (!s)
        return cpu_no_memory(c);
    if (!real)
        set_quant(x, y, s);
    int status = cpu_want(c, node->inputs[0], CPU_NHWC, &s->x);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], CPU_NHWC, &s->y);
    if (status)
        return status;
    uint32_t threads = cpu_threads_count(c->program->threads);
    s->scratch = cpu_new_scratch(c, sums_bytes(s) * threads);
    struct cpu_step *step = cpu_add_step(c, node->name, "average_pool", s);
    if (!step || s->scratch == CPU_NONE)
        return cpu_no_memory(c);
    step->run_rows = run_average_pool;
    cpu_use(c, s->x);
    cpu_use(c, s->y);
    cpu_use(c, s->scratch);
    status = cpu_set_rows(c, step, s->y, s->n * s->out[0], 1);
    if (status == 0 && s->n == 1)
        cpu_read_rows(step, cpu_pool_rows(s->x, &s->attrs));
    return status ? status : 1;
}
