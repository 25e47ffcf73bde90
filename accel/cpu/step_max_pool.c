// Steps that take the maximum of windows in NHWC: first over the rows of a window, then over its
// columns, each time for a whole row of pixels at once.
#include "accel/cpu/compile.h"
#include "accel/cpu/taps.h"

struct max_pool {
    const struct cpu_kernels *kernels;
    uint32_t x, y, scratch, dtype;
    int64_t n, in[2], out[2], channels; // padded
    struct sl_pool_attrs attrs;
    size_t pixel; // bytes
};

static void take_most(const struct max_pool *s, const struct cpu_windows *w)
{
    if (s->dtype == SL_F32)
        s->kernels->max_f32(w);
    else
        s->kernels->max_q8(w, s->dtype == SL_I8);
}

// The greatest of the window's rows, for every column of the input.
static void max_of_rows(const struct max_pool *s, const unsigned char *x, int64_t oy,
                        unsigned char *y)
{
    const struct cpu_taps taps = cpu_taps_inside(&s->attrs, 0, s->in[0], oy);
    const size_t row = (size_t)s->in[1] * s->pixel;
    const struct cpu_windows w = {.x = x + (size_t)taps.at * row,
                                  .y = y,
                                  .column_step = (size_t)s->attrs.dilation[0] * row,
                                  .pixels = 1,
                                  .rows = 1,
                                  .columns = taps.count,
                                  .channels = s->in[1] * s->channels};
    take_most(s, &w);
}

static void max_of_columns(const struct max_pool *s, const unsigned char *x, unsigned char *y)
{
    struct cpu_windows w = {.x_step = (size_t)s->attrs.stride[1] * s->pixel,
                            .y_step = s->pixel,
                            .column_step = (size_t)s->attrs.dilation[1] * s->pixel,
                            .rows = 1,
                            .channels = s->channels};
    for (int64_t ox = 0; ox < s->out[1]; ox += w.pixels) {
        const struct cpu_taps taps = cpu_taps_inside(&s->attrs, 1, s->in[1], ox);
        w.x = x + (size_t)taps.at * s->pixel;
        w.y = y + (size_t)ox * s->pixel;
        w.columns = taps.count;
        w.pixels = taps.alike < s->out[1] - ox ? taps.alike : s->out[1] - ox;
        take_most(s, &w);
    }
}

static size_t scratch_bytes(const struct max_pool *s)
{
    return ((size_t)s->in[1] * s->pixel + 63) & ~(size_t)63;
}

static void run_max_pool(const struct cpu_program *program, const struct cpu_step *step,
                         uint32_t part, int64_t first, int64_t end)
{
    const struct max_pool *s = step->state;
    unsigned char *rows = (unsigned char *)cpu_data(program, s->scratch) + part * scratch_bytes(s);
    for (int64_t row = first; row < end; row++) {
        const unsigned char *x = cpu_data(program, s->x);
        unsigned char *y = cpu_data(program, s->y);
        x += (size_t)(row / s->out[0] * s->in[0] * s->in[1]) * s->pixel;
        y += (size_t)(row * s->out[1]) * s->pixel;
        max_of_rows(s, x, row % s->out[0], rows);
        max_of_columns(s, rows, y);
    }
}

int cpu_lower_max_pool(struct cpu_compiler *c, const struct sl_node *node)
{
    if (node->op != SL_OP_MAX_POOL || node->activation.kind != SL_ACT_NONE)
        return 0;
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    if (!cpu_fits_nhwc(x) || !sl_same_quant(x, y) || sl_elements(x) == 0 || sl_elements(y) == 0)
        return 0;
    struct max_pool *s = cpu_take(c, 1, sizeof(*s));
    if (!s)
        return cpu_no_memory(c);
    *s = (struct max_pool){.kernels = c->kernels,
                           .dtype = x->dtype,
                           .n = x->dims[0],
                           .in = {x->dims[2], x->dims[3]},
                           .out = {y->dims[2], y->dims[3]},
                           .channels = cpu_round_channels(x->dims[1]),
                           .attrs = node->attrs.pool};
    s->pixel = (size_t)s->channels * sl_dtype_size(s->dtype);
    int status = cpu_want(c, node->inputs[0], CPU_NHWC, &s->x);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], CPU_NHWC, &s->y);
    if (status)
        return status;
    s->scratch = cpu_new_scratch(c, scratch_bytes(s) * cpu_threads_count(c->program->threads));
    struct cpu_step *step = cpu_add_step(c, node->name, "max_pool", s);
    if (!step || s->scratch == CPU_NONE)
        return cpu_no_memory(c);
    step->run_rows = run_max_pool;
    cpu_use(c, s->x);
    cpu_use(c, s->y);
    cpu_use(c, s->scratch);
    status = cpu_set_rows(c, step, s->y, s->n * s->out[0], 1);
    if (status == 0 && s->n == 1)
        cpu_read_rows(step, cpu_pool_rows(s->x, &s->attrs));
    return status ? status : 1;
}
