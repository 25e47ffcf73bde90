// Steps that interpolate between the pixels of a map, in NHWC: first along the rows that an output
// row lies between, then between these, in the interpreter's order of sums.
#include "accel/cpu/compile.h"

#include <string.h>

struct linear_state {
    const struct cpu_kernels *kernels;
    const struct sl_resize_taps *taps[2]; // of each output row and column
    struct cpu_quant from, to;            // where the tensors are 8-bit
    uint32_t x, y, scratch;
    bool x_quantised, y_quantised;
    int64_t in[2], out[2], padded;
};

// Values of one thread's scratch memory: a row of x, two of y's width, and one of y.
static int64_t scratch_values(const struct linear_state *s)
{
    return (s->in[1] + 3 * s->out[1]) * s->padded;
}

static void blend(const struct sl_resize_taps *taps, const float *a, const float *b, float *y,
                  int64_t count)
{
    float first = taps->weight[0], second = taps->weight[1];
    if (taps->count == 1)
        memcpy(y, a, (size_t)count * sizeof(*y));
    else if (second == 0.0f)
        for (int64_t i = 0; i < count; i++)
            y[i] = 0.0f + first * a[i];
    else if (first == 0.0f)
        for (int64_t i = 0; i < count; i++)
            y[i] = 0.0f + second * b[i];
    else
        for (int64_t i = 0; i < count; i++)
            y[i] = 0.0f + first * a[i] + second * b[i];
}

// Row `row` of all pictures' rows, as wide as y.
static void widen(const struct linear_state *s, const unsigned char *x, int64_t row, float *buffer,
                  float *wide)
{
    int64_t count = s->in[1] * s->padded;
    const float *values = (const float *)(const void *)x + row * count;
    if (s->x_quantised) {
        s->kernels->dequantize(&s->from, x + row * count, buffer, count);
        values = buffer;
    }
    for (int64_t i = 0; i < s->out[1]; i++) {
        const struct sl_resize_taps *taps = &s->taps[1][i];
        blend(taps, values + taps->position[0] * s->padded, values + taps->position[1] * s->padded,
              wide + i * s->padded, s->padded);
    }
}

static void run_linear(const struct cpu_program *program, const struct cpu_step *step,
                       uint32_t part, int64_t first, int64_t end)
{
    const struct linear_state *s = step->state;
    const unsigned char *x = cpu_data(program, s->x);
    int64_t count = s->out[1] * s->padded, held[2] = {-1, -1};
    float *buffer = (float *)cpu_data(program, s->scratch) + part * scratch_values(s);
    float *wide[2] = {buffer + s->in[1] * s->padded, buffer + s->in[1] * s->padded + count};
    float *result = wide[1] + count;
    for (int64_t row = first; row < end; row++) {
        const struct sl_resize_taps *taps = &s->taps[0][row % s->out[0]];
        const float *between[2];
        for (int i = 0; i < 2; i++) {
            // Neighbours have places of their own.
            int64_t from = row / s->out[0] * s->in[0] + taps->position[i], place = from % 2;
            if (held[place] != from)
                widen(s, x, from, buffer, wide[place]);
            held[place] = from;
            between[i] = wide[place];
        }
        unsigned char *y = cpu_data(program, s->y);
        float *to = s->y_quantised ? result : (float *)(void *)y + row * count;
        blend(taps, between[0], between[1], to, count);
        if (s->y_quantised)
            s->kernels->quantize(&s->to, result, y + row * count, count);
    }
}

static bool real_or_bytes(const struct sl_tensor *t)
{
    return cpu_fits_nhwc(t) && sl_elements(t) > 0 &&
           (sl_is_quantised(t) ? sl_is_8bit(t) && t->quant.count == 1 : t->dtype == SL_F32);
}

static bool fits(const struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_resize_attrs *attrs = &node->attrs.resize;
    if (node->op != SL_OP_RESIZE || node->activation.kind != SL_ACT_NONE)
        return false;
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    return real_or_bytes(x) && real_or_bytes(y) && attrs->mode == SL_RESIZE_LINEAR &&
           attrs->coordinates != SL_RESIZE_TF_CROP_AND_RESIZE && x->dims[0] == y->dims[0] &&
           x->dims[1] == y->dims[1] && attrs->scale[0] == 1.0f && attrs->scale[1] == 1.0f;
}

static const struct sl_resize_taps *find_taps(struct cpu_compiler *c, const struct sl_node *node,
                                              uint32_t axis)
{
    int64_t in = cpu_in(c, node, 0)->dims[axis], out = cpu_out(c, node)->dims[axis];
    struct sl_resize_taps *taps = cpu_take(c, (size_t)out, sizeof(*taps));
    for (int64_t i = 0; taps && i < out; i++)
        taps[i] = sl_linear_taps(&node->attrs.resize, axis, in, out, i);
    return taps;
}

static int describe(struct cpu_compiler *c, const struct sl_node *node, struct linear_state *s)
{
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    s->kernels = c->kernels;
    s->x_quantised = sl_is_quantised(x);
    s->y_quantised = sl_is_quantised(y);
    if (s->x_quantised)
        s->from = cpu_make_quant(x);
    if (s->y_quantised)
        s->to = cpu_make_quant(y);
    s->padded = cpu_round_channels(x->dims[1]);
    for (uint32_t i = 0; i < 2; i++) {
        s->in[i] = x->dims[2 + i];
        s->out[i] = y->dims[2 + i];
        s->taps[i] = find_taps(c, node, 2 + i);
        if (!s->taps[i])
            return cpu_no_memory(c);
    }
    return 0;
}

int cpu_lower_resize_linear(struct cpu_compiler *c, const struct sl_node *node)
{
    if (!fits(c, node))
        return 0;
    struct linear_state *s = cpu_take(c, 1, sizeof(*s));
    int status = s ? describe(c, node, s) : cpu_no_memory(c);
    if (status == 0)
        status = cpu_want(c, node->inputs[0], CPU_NHWC, &s->x);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], CPU_NHWC, &s->y);
    if (status)
        return status;
    size_t bytes = (size_t)scratch_values(s) * sizeof(float);
    s->scratch = cpu_new_scratch(c, bytes * cpu_threads_count(c->program->threads));
    struct cpu_step *step =
        s->scratch == CPU_NONE ? NULL : cpu_add_step(c, node->name, "resize_linear", s);
    if (!step)
        return cpu_no_memory(c);
    step->run_rows = run_linear;
    cpu_use(c, s->x);
    cpu_use(c, s->y);
    cpu_use(c, s->scratch);
    int64_t height = cpu_out(c, node)->dims[0] * s->out[0];
    status = cpu_set_rows(c, step, s->y, height, 1);
    return status ? status : 1;
}
