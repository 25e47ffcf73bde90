// Steps that compute float32 element by element: functions of one value, sums and products.
#include "accel/cpu/compile.h"

#include <math.h>

struct real_state {
    const struct cpu_kernels *kernels;
    uint32_t a, b, y;
    int64_t count;
    struct cpu_unary unary;
    enum cpu_binary binary;
    struct cpu_unary after; // of a binary step
    bool activates;
};

// A share of the values, in whole vectors.
#define VECTOR 64

static int run_unary(const struct cpu_program *program, const struct cpu_step *step, uint32_t part,
                     uint32_t parts, struct sl_error *error)
{
    const struct real_state *s = step->state;
    int64_t vectors = (s->count + VECTOR - 1) / VECTOR;
    int64_t first = cpu_share(vectors, part, parts) * VECTOR;
    int64_t end = cpu_share(vectors, part + 1, parts) * VECTOR;
    end = end < s->count ? end : s->count;
    (void)error;
    s->kernels->unary_f32(&s->unary, (const float *)cpu_data(program, s->a) + first,
                          (float *)cpu_data(program, s->y) + first, end - first);
    return 0;
}

static int run_binary(const struct cpu_program *program, const struct cpu_step *step, uint32_t part,
                      uint32_t parts, struct sl_error *error)
{
    const struct real_state *s = step->state;
    int64_t vectors = (s->count + VECTOR - 1) / VECTOR;
    int64_t first = cpu_share(vectors, part, parts) * VECTOR;
    int64_t end = cpu_share(vectors, part + 1, parts) * VECTOR;
    end = end < s->count ? end : s->count;
    float *y = (float *)cpu_data(program, s->y) + first;
    (void)error;
    s->kernels->binary_f32(s->binary, (const float *)cpu_data(program, s->a) + first,
                           (const float *)cpu_data(program, s->b) + first, y, end - first);
    if (s->activates)
        s->kernels->unary_f32(&s->after, y, y, end - first);
    return 0;
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
    int status = cpu_want(c, node->inputs[0], layout, &s->a);
    s->b = s->a;
    if (status == 0 && binary)
        status = cpu_want(c, node->inputs[1], layout, &s->b);
    if (status == 0)
        status = cpu_make(c, node->outputs[0], layout, &s->y);
    if (status)
        return status;
    s->count = (int64_t)(cpu_layout_bytes(y, layout) / sizeof(float));
    struct cpu_step *step = cpu_add_step(c, node->name, binary ? "binary_f32" : "unary_f32", s);
    if (!step)
        return cpu_no_memory(c);
    step->run = binary ? run_binary : run_unary;
    cpu_use(c, s->a);
    cpu_use(c, s->b);
    cpu_use(c, s->y);
    return 1;
}
