// Steps that run a node with the reference interpreter.
#include "accel/cpu/compile.h"

#include <string.h>

struct reference_state {
    struct sl_node node;
    uint32_t scratch;
};

static int run_reference(const struct cpu_program *program, const struct cpu_step *step,
                         uint32_t part, uint32_t parts, struct sl_error *error)
{
    const struct reference_state *state = step->state;
    (void)part;
    (void)parts;
    void *scratch = state->scratch == CPU_NONE ? NULL : cpu_data(program, state->scratch);
    return sl_reference_run_in(program->tensors, &state->node, program->plain, scratch, error);
}

static int want_operands(struct cpu_compiler *c, const struct sl_node *node, uint32_t *values)
{
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < node->n_inputs; i++) {
        values[i] = CPU_NONE;
        if (node->inputs[i] != SL_NO_TENSOR)
            status = cpu_want(c, node->inputs[i], CPU_PLAIN, &values[i]);
    }
    for (uint32_t i = 0; status == 0 && i < node->n_outputs; i++)
        status = cpu_make(c, node->outputs[i], CPU_PLAIN, &values[node->n_inputs + i]);
    return status;
}

static struct reference_state *copy_node(struct cpu_compiler *c, const struct sl_node *node)
{
    struct region *region = &c->program->region;
    struct reference_state *state = cpu_take(c, 1, sizeof(*state));
    if (!state)
        return NULL;
    const char *name = node->name ? node->name : "";
    state->node = *node;
    state->node.name = region_copy(region, name, strlen(name) + 1);
    state->node.inputs = region_copy(region, node->inputs, node->n_inputs * sizeof(uint32_t));
    state->node.outputs = region_copy(region, node->outputs, node->n_outputs * sizeof(uint32_t));
    return state->node.name && state->node.inputs && state->node.outputs ? state : NULL;
}

int cpu_lower_reference(struct cpu_compiler *c, const struct sl_node *node)
{
    uint32_t count = node->n_inputs + node->n_outputs;
    uint32_t *values = cpu_take(c, count, sizeof(*values));
    if (!values)
        return cpu_no_memory(c);
    int status = want_operands(c, node, values);
    if (status)
        return status;
    struct reference_state *state = copy_node(c, node);
    struct cpu_step *step = state ? cpu_add_step(c, node->name, "reference", state) : NULL;
    if (!step)
        return cpu_no_memory(c);
    size_t bytes = sl_reference_scratch(c->graph->tensors, node);
    state->scratch = bytes ? cpu_new_scratch(c, bytes) : CPU_NONE;
    if (bytes && state->scratch == CPU_NONE)
        return cpu_no_memory(c);
    step->run = run_reference;
    step->serial = true;
    for (uint32_t i = 0; i < count; i++)
        if (values[i] != CPU_NONE)
            cpu_use(c, values[i]);
    if (bytes)
        cpu_use(c, state->scratch);
    return 1;
}
