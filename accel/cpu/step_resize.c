// Steps that enlarge by a whole factor to the nearest neighbour, in NHWC.
#include "accel/cpu/compile.h"

#include <string.h>

struct resize_state {
    uint32_t x, y;
    size_t pixel, y_step, y_first; // bytes: of x, and from pixel to pixel of y
    int64_t n, in[2], factor[2];
};

static void widen_row(const struct resize_state *s, const unsigned char *x, unsigned char *y)
{
    for (int64_t i = 0; i < s->in[1]; i++, x += s->pixel)
        for (int64_t k = 0; k < s->factor[1]; k++, y += s->y_step)
            memcpy(y, x, s->pixel);
}

static void run_resize(const struct cpu_program *program, const struct cpu_step *step,
                       uint32_t part, int64_t first, int64_t end)
{
    const struct resize_state *s = step->state;
    size_t from = (size_t)s->in[1] * s->pixel;
    size_t to = (size_t)(s->in[1] * s->factor[1]) * s->y_step;
    (void)part;
    for (int64_t row = first; row < end; row++) {
        unsigned char *y = (unsigned char *)cpu_data(program, s->y) + (size_t)row * to + s->y_first;
        const unsigned char *x = cpu_data(program, s->x);
        if (row > first && row % s->factor[0] != 0 && s->y_step == s->pixel)
            memcpy(y, y - to, to);
        else
            widen_row(s, x + (size_t)(row / s->factor[0]) * from, y);
    }
}

// Half pixel rounds the same way for every whole factor: output i comes from input i / factor.
// Asymmetric does so when it rounds down; with factor 2 it does when halves go down, too.
static bool copies_neighbours(const struct sl_resize_attrs *attrs, const int64_t factor[2])
{
    bool down = attrs->rounding == SL_RESIZE_FLOOR;
    bool halves_down = attrs->rounding == SL_RESIZE_ROUND_PREFER_FLOOR;
    if (attrs->mode != SL_RESIZE_NEAREST)
        return false;
    if (attrs->coordinates == SL_RESIZE_ASYMMETRIC)
        return down || (halves_down && factor[0] <= 2 && factor[1] <= 2);
    return (attrs->coordinates == SL_RESIZE_HALF_PIXEL ||
            attrs->coordinates == SL_RESIZE_PYTORCH_HALF_PIXEL) &&
           halves_down;
}

static bool is_whole(const struct sl_resize_attrs *attrs, const struct sl_tensor *x,
                     const struct sl_tensor *y, int64_t factor[2])
{
    if (x->dims[0] != y->dims[0] || x->dims[1] != y->dims[1] || attrs->scale[0] != 1.0f ||
        attrs->scale[1] != 1.0f)
        return false;
    for (int i = 0; i < 2; i++) {
        int64_t in = x->dims[2 + i], out = y->dims[2 + i];
        if (in == 0 || out == 0 || out % in != 0)
            return false;
        factor[i] = out / in;
        if (attrs->scale[2 + i] != (float)factor[i])
            return false;
    }
    return true;
}

static void write_into(struct cpu_step *step, uint32_t y, size_t first, size_t y_step)
{
    struct resize_state *s = (struct resize_state *)(uintptr_t)step->state;
    s->y = y;
    s->y_first = first;
    s->y_step = y_step;
}

int cpu_lower_resize(struct cpu_compiler *c, const struct sl_node *node)
{
    int64_t factor[2];
    if (node->op != SL_OP_RESIZE || node->activation.kind != SL_ACT_NONE)
        return 0;
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    if (!cpu_fits_nhwc(x) || !sl_same_quant(x, y) || !is_whole(&node->attrs.resize, x, y, factor) ||
        !copies_neighbours(&node->attrs.resize, factor))
        return 0;
    struct resize_state *s = cpu_take(c, 1, sizeof(*s));
    if (!s)
        return cpu_no_memory(c);
    *s = (struct resize_state){.pixel =
                                   (size_t)cpu_round_channels(x->dims[1]) * sl_dtype_size(x->dtype),
                               .n = x->dims[0],
                               .in = {x->dims[2], x->dims[3]},
                               .factor = {factor[0], factor[1]}};
    s->y_step = s->pixel;
    int status = cpu_want(c, node->inputs[0], CPU_NHWC, &s->x);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], CPU_NHWC, &s->y);
    if (status)
        return status;
    struct cpu_step *step = cpu_add_step(c, node->name, "resize", s);
    if (!step)
        return cpu_no_memory(c);
    step->run_rows = run_resize;
    step->write_into = write_into;
    cpu_use(c, s->x);
    cpu_use(c, s->y);
    status = cpu_set_rows(c, step, s->y, s->n * s->in[0] * s->factor[0], 1);
    if (status == 0 && s->n == 1)
        cpu_read_rows(step, (struct cpu_reads){
                                .value = s->x, .stride = 1, .enlarge = s->factor[0], .reach = 1});
    return status ? status : 1;
}
