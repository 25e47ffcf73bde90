// Steps that compute float32 element by element: functions of one value, sums and products.
#include "accel/cpu/flat.h"

#include <math.h>

struct real_state {
    const struct cpu_kernels *kernels;
    struct cpu_flat flat;
    struct cpu_unary unary;
    enum cpu_binary binary;
    struct cpu_unary after; // of a binary step
    bool activates;
};

static void run_unary(const struct cpu_program *program, const struct cpu_step *step, uint32_t part,
                      int64_t first, int64_t end)
{
    const struct real_state *s = step->state;
    (void)part;
    for (int64_t plane = 0; plane < s->flat.planes; plane++) {
        const struct cpu_piece p = cpu_flat_piece(program, &s->flat, plane, first, end);
        s->kernels->unary_f32(&s->unary, p.a, p.y, p.count);
    }
}

static void run_binary(const struct cpu_program *program, const struct cpu_step *step,
                       uint32_t part, int64_t first, int64_t end)
{
    const struct real_state *s = step->state;
    (void)part;
    for (int64_t plane = 0; plane < s->flat.planes; plane++) {
        const struct cpu_piece p = cpu_flat_piece(program, &s->flat, plane, first, end);
        s->kernels->binary_f32(s->binary, p.a, p.b, p.y, p.count);
        if (s->activates)
            s->kernels->unary_f32(&s->after, p.y, p.y, p.count);
    }
}

bool cpu_real_function(const struct sl_activation *f, struct cpu_unary *unary)
{
    *unary = (struct cpu_unary){.alpha = f->alpha, .beta = f->beta};
    switch (f->kind) {
    case SL_UNARY_RELU:
        *unary = (struct cpu_unary){CPU_CLAMP, 0.0f, INFINITY};
        return true;
    case SL_ACT_CLIP:
        unary->kind = CPU_CLAMP;
        return true;
    case SL_UNARY_LEAKY_RELU:
        unary->kind = CPU_LEAKY;
        return true;
    case SL_UNARY_SIGMOID:
        unary->kind = CPU_SIGMOID;
        return true;
    case SL_UNARY_SILU:
        unary->kind = CPU_SILU;
        return true;
    case SL_UNARY_HARD_SIGMOID:
        unary->kind = CPU_HARD_SIGMOID;
        return true;
    case SL_UNARY_HARD_SWISH:
        unary->kind = CPU_HARD_SWISH;
        return true;
    default:
        return false;
    }
}

static bool find_unary(const struct sl_node *node, struct cpu_unary *unary)
{
    struct sl_activation f = {.kind = SL_ACT_NONE};
    if (node->activation.kind != SL_ACT_NONE)
        return false;
    if (node->op == SL_OP_UNARY)
        f = (struct sl_activation){node->attrs.unary.kind, node->attrs.unary.alpha,
                                   node->attrs.unary.beta};
    else if (node->op == SL_OP_CLIP)
        f = (struct sl_activation){SL_ACT_CLIP, node->attrs.clip.low, node->attrs.clip.high};
    return cpu_real_function(&f, unary);
}

static bool find_binary(const struct cpu_compiler *c, const struct sl_node *node,
                        struct real_state *s)
{
    static const uint32_t kinds[] = {[CPU_ADD] = SL_BINARY_ADD,
                                     [CPU_SUB] = SL_BINARY_SUB,
                                     [CPU_MUL] = SL_BINARY_MUL,
                                     [CPU_DIV] = SL_BINARY_DIV};
    if (node->op != SL_OP_BINARY)
        return false;
    s->activates = node->activation.kind != SL_ACT_NONE;
    if (!sl_same_dims(cpu_in(c, node, 0), cpu_in(c, node, 1)) ||
        (s->activates && !cpu_real_function(&node->activation, &s->after)))
        return false;
    for (uint32_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (kinds[i] == node->attrs.binary) {
            s->binary = (enum cpu_binary)i;
            return true;
        }
    return false;
}

static bool all_real(const struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *y = cpu_out(c, node);
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (!cpu_in(c, node, i) || cpu_in(c, node, i)->dtype != SL_F32)
            return false;
    return node->n_inputs > 0 && y->dtype == SL_F32 && sl_elements(y) > 0;
}

int cpu_lower_real(struct cpu_compiler *c, const struct sl_node *node)
{
    if (!all_real(c, node))
        return 0;
    struct real_state *s = cpu_take(c, 1, sizeof(*s));
    if (!s)
        return cpu_no_memory(c);
    s->kernels = c->kernels;
    bool binary = find_binary(c, node, s);
    if (!binary && !find_unary(node, &s->unary))
        return 0;
    const struct sl_tensor *y = cpu_out(c, node);
    bool maps = cpu_fits_nhwc(y) && (cpu_prefers_nhwc(c, node->inputs[0]) ||
                                     (binary && cpu_prefers_nhwc(c, node->inputs[1])));
    enum cpu_layout layout = maps ? CPU_NHWC : CPU_PLAIN;
    s->flat.b = CPU_NONE;
    int status = cpu_want(c, node->inputs[0], layout, &s->flat.a);
    if (status == 0 && binary)
        status = cpu_want(c, node->inputs[1], layout, &s->flat.b);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], layout, &s->flat.y);
    if (status)
        return status;
    struct cpu_step *step = cpu_add_step(c, node->name, binary ? "binary_f32" : "unary_f32", s);
    if (!step)
        return cpu_no_memory(c);
    step->run_rows = binary ? run_binary : run_unary;
    status = cpu_set_flat(c, step, &s->flat, cpu_in(c, node, 0), y, layout);
    return status ? status : 1;
}
