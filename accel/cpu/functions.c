// Tensors that are functions of one other 8-bit tensor's bytes: a sigmoid, a clamp, a product of a
// tensor with its own sigmoid. Nothing is done when they are met; where somebody wants such a
// tensor, one table makes it from the bytes that all of it depends on.
#include "accel/cpu/flat.h"

#include <string.h>

struct cpu_function {
    uint32_t root; // a tensor that is no function
    uint8_t table[256];
};

static bool one_scale_8bit(const struct sl_tensor *t)
{
    return sl_is_8bit(t) && t->quant.count == 1;
}

static uint32_t root_of(const struct cpu_compiler *c, uint32_t tensor)
{
    return c->functions[tensor] ? c->functions[tensor]->root : tensor;
}

// What the interpreter makes of the values of the root: `node` on one or two functions of it.
static int fill_table(struct cpu_compiler *c, const struct sl_node *node, uint8_t table[256])
{
    struct sl_tensor tensors[3];
    uint8_t values[2][256];
    void *data[3] = {values[0], values[1], table};
    static const uint32_t numbers[3] = {0, 1, 2};
    struct sl_node shadow = *node;
    shadow.inputs = numbers;
    shadow.outputs = numbers + 2;
    for (uint32_t i = 0; i < 3; i++) {
        bool output = i == 2;
        if (!output && i >= node->n_inputs)
            continue;
        tensors[i] = output ? *cpu_out(c, node) : *cpu_in(c, node, i);
        tensors[i].rank = 1;
        tensors[i].dims[0] = 256;
        tensors[i].bytes = 256;
        tensors[i].data = NULL;
        const struct cpu_function *f = output ? NULL : c->functions[node->inputs[i]];
        for (int k = 0; !output && k < 256; k++)
            values[i][k] = f ? f->table[k] : (uint8_t)k;
    }
    return sl_reference_run(tensors, &shadow, data, c->error);
}

// Operators that look at one element at a time; their attributes do not name axes.
static bool is_pointwise(const struct sl_node *node)
{
    return node->op == SL_OP_UNARY || node->op == SL_OP_CLIP || node->op == SL_OP_QUANTIZE ||
           node->op == SL_OP_BINARY;
}

static bool is_function(const struct cpu_compiler *c, const struct sl_node *node)
{
    const struct sl_tensor *y = cpu_out(c, node);
    if (!is_pointwise(node) || node->n_inputs > 2 || !one_scale_8bit(y))
        return false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const struct sl_tensor *x = cpu_in(c, node, i);
        if (!x || x->data || !one_scale_8bit(x) || !sl_same_dims(x, y) ||
            root_of(c, node->inputs[i]) != root_of(c, node->inputs[0]))
            return false;
    }
    return true;
}

int cpu_lower_function(struct cpu_compiler *c, const struct sl_node *node)
{
    if (!is_function(c, node))
        return 0;
    struct cpu_function *f = cpu_take(c, 1, sizeof(*f));
    if (!f)
        return cpu_no_memory(c);
    f->root = root_of(c, node->inputs[0]);
    int status = fill_table(c, node, f->table);
    c->functions[node->outputs[0]] = f;
    return status ? status : 1;
}

struct lookup_state {
    const struct cpu_kernels *kernels;
    struct cpu_flat flat;
    uint8_t table[256];
};

static void run_lookup(const struct cpu_program *program, const struct cpu_step *step,
                       uint32_t part, int64_t first, int64_t end)
{
    const struct lookup_state *s = step->state;
    struct cpu_piece piece;
    (void)part;
    for (int64_t plane = 0; plane < s->flat.planes; plane++) {
        piece = cpu_flat_piece(program, &s->flat, plane, first, end);
        s->kernels->lookup(s->table, piece.a, piece.y, piece.count);
    }
}

int cpu_look_up(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout, uint32_t *value)
{
    const struct cpu_function *f = c->functions[tensor];
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    struct lookup_state *s = cpu_take(c, 1, sizeof(*s));
    if (!s)
        return cpu_no_memory(c);
    // Where the root has no such layout, the table comes before the conversion.
    if (!cpu_has(c, f->root, layout) && cpu_has(c, f->root, CPU_NHWC))
        layout = CPU_NHWC;
    int status = cpu_want(c, f->root, layout, &s->flat.a);
    if (status == 0)
        status = cpu_make(c, tensor, layout, value);
    if (status)
        return status;
    s->kernels = c->kernels;
    s->flat.b = CPU_NONE;
    s->flat.y = *value;
    memcpy(s->table, f->table, sizeof(s->table));
    struct cpu_step *step = cpu_add_step(c, t->name, "lookup", s);
    if (!step)
        return cpu_no_memory(c);
    step->run_rows = run_lookup;
    return cpu_set_flat(c, step, &s->flat, t, t, layout);
}

bool cpu_prefers_nhwc(const struct cpu_compiler *c, uint32_t tensor)
{
    tensor = root_of(c, tensor);
    return cpu_fits_nhwc(&c->graph->tensors[tensor]) &&
           (cpu_has(c, tensor, CPU_NHWC) || c->planes[tensor]);
}
