// Steps that work element by element on 8-bit tensors: sums, and conversions from and to float32.
#include "accel/cpu/flat.h"

struct flat_state {
    const struct cpu_kernels *kernels;
    struct cpu_flat flat;
    struct cpu_add add;
    struct cpu_quant quant;
};

#define ROWS_ARGUMENTS                                                                             \
    const struct cpu_program *program, const struct cpu_step *step, uint32_t part, int64_t first,  \
        int64_t end

static void run_add(ROWS_ARGUMENTS)
{
    const struct flat_state *s = step->state;
    (void)part;
    for (int64_t plane = 0; plane < s->flat.planes; plane++) {
        const struct cpu_piece p = cpu_flat_piece(program, &s->flat, plane, first, end);
        s->kernels->add_q8(&s->add, p.a, p.b, p.y, p.count);
    }
}

static void run_quantize(ROWS_ARGUMENTS)
{
    const struct flat_state *s = step->state;
    (void)part;
    for (int64_t plane = 0; plane < s->flat.planes; plane++) {
        const struct cpu_piece p = cpu_flat_piece(program, &s->flat, plane, first, end);
        s->kernels->quantize(&s->quant, p.a, p.y, p.count);
    }
}

static void run_dequantize(ROWS_ARGUMENTS)
{
    const struct flat_state *s = step->state;
    (void)part;
    for (int64_t plane = 0; plane < s->flat.planes; plane++) {
        const struct cpu_piece p = cpu_flat_piece(program, &s->flat, plane, first, end);
        s->kernels->dequantize(&s->quant, p.a, p.y, p.count);
    }
}

static bool one_scale_8bit(const struct sl_tensor *t)
{
    return sl_is_8bit(t) && t->quant.count == 1;
}

static bool is_output(const struct cpu_compiler *c, uint32_t tensor)
{
    for (uint32_t i = 0; i < c->graph->n_outputs; i++)
        if (c->graph->outputs[i] == tensor)
            return true;
    return false;
}

// NHWC if the first operand has it, so that no conversion is needed. Outputs are plain: bytes are
// converted faster than the reals they become.
static enum cpu_layout layout_of(const struct cpu_compiler *c, const struct sl_node *node)
{
    if (node->op == SL_OP_DEQUANTIZE && is_output(c, node->outputs[0]))
        return CPU_PLAIN;
    return cpu_prefers_nhwc(c, node->inputs[0]) ? CPU_NHWC : CPU_PLAIN;
}

static int add_flat(struct cpu_compiler *c, const struct sl_node *node, struct flat_state *s,
                    const char *kernel, void (*run)(ROWS_ARGUMENTS))
{
    enum cpu_layout layout = layout_of(c, node);
    s->kernels = c->kernels;
    s->flat.b = CPU_NONE;
    int status = cpu_want(c, node->inputs[0], layout, &s->flat.a);
    if (status == 0 && node->n_inputs > 1 && node->op == SL_OP_BINARY)
        status = cpu_want(c, node->inputs[1], layout, &s->flat.b);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], layout, &s->flat.y);
    if (status)
        return status;
    struct cpu_step *step = cpu_add_step(c, node->name, kernel, s);
    if (!step)
        return cpu_no_memory(c);
    step->run_rows = run;
    status = cpu_set_flat(c, step, &s->flat, cpu_in(c, node, 0), cpu_out(c, node), layout);
    return status ? status : 1;
}

static struct flat_state *new_state(struct cpu_compiler *c)
{
    return cpu_take(c, 1, sizeof(struct flat_state));
}

int cpu_fill_table(struct cpu_compiler *c, const struct sl_node *node, const struct sl_tensor *x,
                   const struct sl_tensor *y, uint8_t table[256])
{
    struct sl_tensor tensors[2] = {*x, *y};
    uint8_t values[256];
    void *data[2] = {values, table};
    const uint32_t numbers[2] = {0, 1};
    struct sl_node shadow = *node;
    for (int i = 0; i < 256; i++)
        values[i] = (uint8_t)i;
    for (int i = 0; i < 2; i++) {
        tensors[i].rank = 1;
        tensors[i].dims[0] = 256;
        tensors[i].bytes = 256;
        tensors[i].data = NULL;
    }
    shadow.n_inputs = shadow.n_outputs = 1;
    shadow.inputs = numbers;
    shadow.outputs = numbers + 1;
    return sl_reference_run(tensors, &shadow, data, c->error);
}

struct cpu_quant cpu_make_quant(const struct sl_tensor *t)
{
    int32_t low, high, zero = t->quant.zero_point[0];
    const struct sl_activation none = {.kind = SL_ACT_NONE};
    sl_quant_bounds(t, &none, &low, &high);
    return (struct cpu_quant){.scale = t->quant.scale[0],
                              .low = (float)(low - zero),
                              .high = (float)(high - zero),
                              .zero = zero,
                              .is_signed = t->dtype == SL_I8};
}

bool cpu_is_plain_sum(const struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *a = cpu_in(c, node, 0), *b = cpu_in(c, node, 1);
    return node->op == SL_OP_BINARY && sl_is_quantised_sum(node, a, b, cpu_out(c, node)) &&
           sl_same_dims(a, b);
}

struct cpu_add cpu_make_add(const struct sl_tensor *a, const struct sl_tensor *b,
                            const struct sl_tensor *y, const struct sl_activation *activation)
{
    const struct sl_quantised_sum sum = sl_make_quantised_sum(a, b, y, activation);
    return (struct cpu_add){.a_ratio = sum.a_ratio,
                            .b_ratio = sum.b_ratio,
                            .offset = sum.offset,
                            .low = sum.low,
                            .high = sum.high,
                            .a_signed = a->dtype == SL_I8,
                            .b_signed = b->dtype == SL_I8};
}

int cpu_lower_binary(struct cpu_compiler *c, const struct sl_node *node)
{
    if (!cpu_is_plain_sum(c, node))
        return 0;
    struct flat_state *s = new_state(c);
    if (!s)
        return cpu_no_memory(c);
    s->add =
        cpu_make_add(cpu_in(c, node, 0), cpu_in(c, node, 1), cpu_out(c, node), &node->activation);
    return add_flat(c, node, s, "add_q8", run_add);
}

int cpu_lower_quantize(struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *x = cpu_in(c, node, 0), *y = cpu_out(c, node);
    bool to = node->op == SL_OP_QUANTIZE && x->dtype == SL_F32 && one_scale_8bit(y);
    bool from = node->op == SL_OP_DEQUANTIZE && one_scale_8bit(x) && y->dtype == SL_F32;
    if ((!to && !from) || node->activation.kind != SL_ACT_NONE)
        return 0;
    struct flat_state *s = new_state(c);
    if (!s)
        return cpu_no_memory(c);
    s->quant = cpu_make_quant(to ? y : x);
    return add_flat(c, node, s, to ? "quantize" : "dequantize", to ? run_quantize : run_dequantize);
}
