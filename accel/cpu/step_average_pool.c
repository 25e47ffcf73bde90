// Steps that average windows in NHWC, all windows of a row that have as many taps at once.
#include "accel/cpu/compile.h"
#include "accel/cpu/taps.h"

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
    float x_scale, y_scale;
    struct cpu_average average; // but for the multiplier
};

static size_t sums_bytes(const struct pool_state *s)
{
    return s->dtype == SL_F32 ? (size_t)s->channels * sizeof(double) : 0;
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

static void average_real(const struct cpu_windows *w, int64_t count, double *sums)
{
    for (int64_t p = 0; p < w->pixels; p++) {
        float *y = cpu_window_output(w, p);
        memset(sums, 0, (size_t)w->channels * sizeof(*sums));
        for (int64_t k = 0; k < w->rows; k++)
            for (int64_t j = 0; j < w->columns; j++) {
                const float *x = cpu_window_tap(w, p, k, j);
                for (int64_t i = 0; i < w->channels; i++)
                    sums[i] += (double)x[i];
            }
        for (int64_t i = 0; i < w->channels; i++)
            y[i] = (float)(sums[i] / (double)count);
    }
}

static void average_windows(const struct pool_state *s, const struct cpu_windows *w, int64_t count,
                            double *sums)
{
    if (s->dtype == SL_F32) {
        average_real(w, count, sums);
        return;
    }
    struct cpu_average average = s->average;
    average.multiplier = s->x_scale / (s->y_scale * (float)count);
    s->kernels->average_q8(w, &average);
}

static void average_row(const struct pool_state *s, const unsigned char *x, int64_t oy,
                        unsigned char *y, double *sums)
{
    const struct cpu_taps rows = cpu_taps_inside(&s->attrs, 0, s->in[0], oy);
    struct cpu_windows w = {.x_step = (size_t)s->attrs.stride[1] * s->pixel,
                            .y_step = s->pixel,
                            .row_step = (size_t)(s->attrs.dilation[0] * s->in[1]) * s->pixel,
                            .column_step = (size_t)s->attrs.dilation[1] * s->pixel,
                            .rows = rows.count,
                            .channels = s->channels};
    for (int64_t ox = 0; ox < s->out[1]; ox += w.pixels) {
        const struct cpu_taps columns = cpu_taps_inside(&s->attrs, 1, s->in[1], ox);
        w.x = x + (size_t)(rows.at * s->in[1] + columns.at) * s->pixel;
        w.y = y + (size_t)ox * s->pixel;
        w.columns = columns.count;
        w.pixels = columns.alike < s->out[1] - ox ? columns.alike : s->out[1] - ox;
        const int64_t count = divisor(s, (int64_t[]){oy, ox}, rows.count * columns.count);
        average_windows(s, &w, count ? count : 1, sums);
    }
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
        average_row(s, x, row % s->out[0], y, (double *)(void *)sums);
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
    s->x_scale = x->quant.scale[0];
    s->y_scale = y->quant.scale[0];
    s->average = (struct cpu_average){.x_zero = x->quant.zero_point[0],
                                      .x_signed = x->dtype == SL_I8,
                                      .y_zero = y->quant.zero_point[0],
                                      .low = (float)(low - y->quant.zero_point[0]),
                                      .high = (float)(high - y->quant.zero_point[0])};
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
