// Steps that join feature maps along the channels in NHWC. A quantised operand whose scale differs
// from the result's goes through a table.
#include "accel/cpu/compile.h"

#include <string.h>

struct operand {
    uint32_t value;
    int64_t channels, padded;
    bool converted;
    uint8_t table[256];
};

struct concat_state {
    const struct cpu_kernels *kernels;
    uint32_t y, count, element;
    int64_t width, padded;
    struct operand operands[];
};

static void copy_pixels(const struct concat_state *s, const struct operand *o,
                        const unsigned char *x, unsigned char *y, int64_t count)
{
    size_t bytes = (size_t)o->channels * s->element;
    for (int64_t i = 0; i < count; i++) {
        if (o->converted)
            s->kernels->lookup(o->table, x, y, o->channels);
        else
            memcpy(y, x, bytes);
        x += (size_t)o->padded * s->element;
        y += (size_t)s->padded * s->element;
    }
}

static void run_concat(const struct cpu_program *program, const struct cpu_step *step,
                       uint32_t part, int64_t first, int64_t end)
{
    const struct concat_state *s = step->state;
    int64_t count = (end - first) * s->width, channel = 0;
    (void)part;
    first *= s->width;
    for (uint32_t k = 0; k < s->count; k++) {
        const struct operand *o = &s->operands[k];
        const unsigned char *x = cpu_data(program, o->value);
        unsigned char *y = cpu_data(program, s->y);
        copy_pixels(s, o, x + (size_t)(first * o->padded) * s->element,
                    y + (size_t)(first * s->padded + channel) * s->element, count);
        channel += o->channels;
    }
}

static bool one_scale(const struct sl_tensor *t)
{
    return sl_is_8bit(t) && t->quant.count == 1;
}

static bool joins_channels(const struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *y = cpu_out(c, node);
    if (node->op != SL_OP_CONCAT || node->activation.kind != SL_ACT_NONE || !cpu_fits_nhwc(y) ||
        sl_axis(node->attrs.axis, 4) != 1 || sl_elements(y) == 0)
        return false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const struct sl_tensor *x = cpu_in(c, node, i);
        bool fits = sl_same_quant(x, y) || (one_scale(x) && one_scale(y));
        bool maps = cpu_prefers_nhwc(c, node->inputs[i]);
        if (!fits || sl_elements(x) == 0 || !maps)
            return false;
    }
    return true;
}

// The interpreter's QuantizeLinear from one scale to another, for all 256 values.
static int fill_table(struct cpu_compiler *c, const struct sl_tensor *x, const struct sl_tensor *y,
                      uint8_t table[256])
{
    const struct sl_node node = {.name = "concat", .op = SL_OP_QUANTIZE};
    return cpu_fill_table(c, &node, x, y, table);
}

static int want_operand(struct cpu_compiler *c, const struct sl_node *node, uint32_t i,
                        struct operand *o)
{
    const struct sl_tensor *x = cpu_in(c, node, i), *y = cpu_out(c, node);
    o->channels = x->dims[1];
    o->padded = cpu_round_channels(x->dims[1]);
    o->converted = !sl_same_quant(x, y);
    int status = o->converted ? fill_table(c, x, y, o->table) : 0;
    return status ? status : cpu_want(c, node->inputs[i], CPU_NHWC, &o->value);
}

int cpu_lower_concat(struct cpu_compiler *c, const struct sl_node *node)
{
    if (!joins_channels(c, node))
        return 0;
    const struct sl_tensor *y = cpu_out(c, node);
    struct concat_state *s = cpu_take(c, 1, sizeof(*s) + node->n_inputs * sizeof(struct operand));
    if (!s)
        return cpu_no_memory(c);
    s->kernels = c->kernels;
    s->count = node->n_inputs;
    s->element = sl_dtype_size(y->dtype);
    s->width = y->dims[3];
    s->padded = cpu_round_channels(y->dims[1]);
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < s->count; i++)
        status = want_operand(c, node, i, &s->operands[i]);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], CPU_NHWC, &s->y);
    if (status)
        return status;
    struct cpu_step *step = cpu_add_step(c, node->name, "concat", s);
    if (!step)
        return cpu_no_memory(c);
    step->run_rows = run_concat;
    status = cpu_set_rows(c, step, s->y, y->dims[0] * y->dims[2], s->count);
    for (uint32_t i = 0; status == 0 && i < s->count; i++) {
        cpu_use(c, s->operands[i].value);
        if (y->dims[0] == 1)
            cpu_read_rows(step, cpu_same_rows(s->operands[i].value));
    }
    cpu_use(c, s->y);
    return status ? status : 1;
}
