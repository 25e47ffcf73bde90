// Turns nodes into steps: for each the first lowering that takes it, at last the interpreter.
#include "accel/cpu/compile.h"

#include <errno.h>
#include <string.h>

int cpu_no_memory(struct cpu_compiler *c)
{
    return sl_error_set(c->error, -ENOMEM, "no memory to compile the network");
}

void *cpu_take(struct cpu_compiler *c, size_t count, size_t size)
{
    return region_take(&c->program->region, count, size);
}

// Doubles a table of the region when it is full.
static void *grow(struct cpu_compiler *c, void *table, uint32_t used, uint32_t *max, size_t size)
{
    if (used < *max)
        return table;
    uint32_t more = *max ? *max * 2 : 64;
    void *bigger = cpu_take(c, more, size);
    if (bigger && used)
        memcpy(bigger, table, used * size);
    if (bigger)
        *max = more;
    return bigger;
}

uint32_t cpu_new_value(struct cpu_compiler *c, size_t bytes)
{
    struct cpu_program *p = c->program;
    void *table = grow(c, p->values, p->n_values, &p->max_values, sizeof(*p->values));
    if (!table)
        return CPU_NONE;
    p->values = table;
    p->values[p->n_values] =
        (struct cpu_value){.place = CPU_IN_ARENA, .first = UINT32_MAX, .bytes = bytes};
    return p->n_values++;
}

uint32_t cpu_new_scratch(struct cpu_compiler *c, size_t bytes)
{
    uint32_t value = cpu_new_value(c, bytes);
    if (value != CPU_NONE)
        c->program->values[value].is_scratch = true;
    return value;
}

struct cpu_step *cpu_add_step(struct cpu_compiler *c, const char *node, const char *kernel,
                              const void *state)
{
    struct cpu_program *p = c->program;
    void *table = grow(c, p->steps, p->n_steps, &p->max_steps, sizeof(*p->steps));
    const char *name = node ? node : "";
    char *copy = region_copy(&p->region, name, strlen(name) + 1);
    if (!table || !copy)
        return NULL;
    p->steps = table;
    struct cpu_step *step = &p->steps[p->n_steps++];
    *step = (struct cpu_step){.state = state, .node = copy, .kernel = kernel};
    return step;
}

int cpu_set_rows(struct cpu_compiler *c, struct cpu_step *step, uint32_t y, int64_t height,
                 uint32_t room)
{
    step->rows = (struct cpu_rows){.height = height, .together = 1, .y = y};
    step->rows.reads = cpu_take(c, room, sizeof(*step->rows.reads));
    return step->rows.reads ? 0 : cpu_no_memory(c);
}

void cpu_use(struct cpu_compiler *c, uint32_t value)
{
    struct cpu_value *v = &c->program->values[value];
    uint32_t step = c->program->n_steps - 1;
    if (v->first == UINT32_MAX)
        v->first = step;
    v->last = step;
}

bool cpu_fits_nhwc(const struct sl_tensor *tensor)
{
    return tensor->rank == 4 && (sl_is_8bit(tensor) || tensor->dtype == SL_F32);
}

size_t cpu_layout_bytes(const struct sl_tensor *tensor, enum cpu_layout layout)
{
    if (layout == CPU_PLAIN)
        return (size_t)tensor->bytes;
    return (size_t)(tensor->dims[0] * tensor->dims[2] * tensor->dims[3] *
                    cpu_round_channels(tensor->dims[1])) *
           sl_dtype_size(tensor->dtype);
}

bool cpu_has(const struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout)
{
    return c->value[layout][tensor] != CPU_NONE;
}

int cpu_make(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout, uint32_t *value)
{
    size_t bytes = cpu_layout_bytes(&c->graph->tensors[tensor], layout);
    *value = cpu_new_value(c, bytes);
    if (*value == CPU_NONE)
        return cpu_no_memory(c);
    const int64_t *dims = c->graph->tensors[tensor].dims;
    c->program->values[*value].rows = layout == CPU_NHWC && dims[0] == 1 ? dims[2] : 0;
    c->value[layout][tensor] = *value;
    return 0;
}

static int add_constant(struct cpu_compiler *c, uint32_t tensor, uint32_t *value)
{
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    void *copy = region_copy(&c->program->region, t->data, (size_t)t->bytes);
    *value = cpu_new_value(c, (size_t)t->bytes);
    if (!copy || *value == CPU_NONE)
        return cpu_no_memory(c);
    c->program->values[*value].place = CPU_CONSTANT;
    c->program->values[*value].data = copy;
    c->value[CPU_PLAIN][tensor] = *value;
    return 0;
}

int cpu_want(struct cpu_compiler *c, uint32_t tensor, enum cpu_layout layout, uint32_t *value)
{
    int status = 0;
    bool exists = cpu_has(c, tensor, CPU_PLAIN) || cpu_has(c, tensor, CPU_NHWC);
    if (!exists && c->planes[tensor])
        status = cpu_gather_planes(c, tensor, layout, value);
    else if (!exists && c->functions[tensor])
        status = cpu_look_up(c, tensor, layout, value);
    else if (!exists)
        status = add_constant(c, tensor, value); // the graph check leaves nothing else
    if (status == 0 && !cpu_has(c, tensor, layout)) {
        uint32_t from = c->value[layout == CPU_PLAIN ? CPU_NHWC : CPU_PLAIN][tensor];
        status = cpu_make(c, tensor, layout, value);
        if (status == 0)
            status = cpu_add_conversion(c, tensor, layout, from, *value);
    }
    if (status == 0)
        *value = c->value[layout][tensor];
    return status;
}

static const cpu_lower lowerings[] = {
    cpu_lower_planes,   cpu_lower_conv,          cpu_lower_conv_transpose, cpu_lower_product,
    cpu_lower_function, cpu_lower_quantize,      cpu_lower_real,           cpu_lower_binary,
    cpu_lower_resize,   cpu_lower_resize_linear, cpu_lower_max_pool,       cpu_lower_average_pool,
    cpu_lower_concat,   cpu_lower_broadcast,     cpu_lower_reference,
};

static int lower_node(struct cpu_compiler *c, const struct sl_node *node)
{
    for (size_t i = 0; i < sizeof(lowerings) / sizeof(*lowerings); i++) {
        int status = lowerings[i](c, node);
        if (status)
            return status < 0 ? status : 0;
    }
    return sl_error_set(c->error, -ENOTSUP, "node '%s' (%s): no way to run it", node->name,
                        sl_node_op_name(node));
}

static int copy_tensor(struct cpu_compiler *c, const struct sl_tensor *from, struct sl_tensor *to)
{
    struct region *region = &c->program->region;
    size_t count = from->quant.count;
    *to = *from;
    to->name = NULL;
    to->data = NULL;
    if (count == 0)
        return 0;
    to->quant.scale = region_copy(region, from->quant.scale, count * sizeof(float));
    to->quant.zero_point = region_copy(region, from->quant.zero_point, count * sizeof(int32_t));
    return to->quant.scale && to->quant.zero_point ? 0 : cpu_no_memory(c);
}

static uint32_t *none_for_each(struct cpu_compiler *c, uint32_t count)
{
    uint32_t *table = cpu_take(c, count, sizeof(uint32_t));
    for (uint32_t i = 0; table && i < count; i++)
        table[i] = CPU_NONE;
    return table;
}

static int begin(struct cpu_compiler *c)
{
    const struct sl_graph *graph = c->graph;
    struct cpu_program *p = c->program;
    p->n_tensors = graph->n_tensors;
    p->tensors = cpu_take(c, graph->n_tensors, sizeof(*p->tensors));
    p->plain = cpu_take(c, graph->n_tensors, sizeof(*p->plain));
    p->inputs = cpu_take(c, graph->n_inputs, sizeof(uint32_t));
    p->outputs = cpu_take(c, graph->n_outputs, sizeof(uint32_t));
    c->readers = cpu_take(c, graph->n_tensors, sizeof(uint32_t));
    c->done = cpu_take(c, graph->n_nodes, sizeof(bool));
    c->planes = cpu_take(c, graph->n_tensors, sizeof(*c->planes));
    c->functions = cpu_take(c, graph->n_tensors, sizeof(*c->functions));
    c->value[CPU_PLAIN] = none_for_each(c, graph->n_tensors);
    c->value[CPU_NHWC] = none_for_each(c, graph->n_tensors);
    if (!p->tensors || !p->plain || !p->inputs || !p->outputs || !c->readers || !c->done ||
        !c->planes || !c->functions || !c->value[CPU_PLAIN] || !c->value[CPU_NHWC])
        return cpu_no_memory(c);
    p->plain_value = c->value[CPU_PLAIN];
    for (uint32_t i = 0; i < graph->n_tensors; i++)
        if (copy_tensor(c, &graph->tensors[i], &p->tensors[i]))
            return -ENOMEM;
    return 0;
}

static void count_readers(struct cpu_compiler *c)
{
    const struct sl_graph *graph = c->graph;
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        for (uint32_t k = 0; k < graph->nodes[i].n_inputs; k++)
            if (graph->nodes[i].inputs[k] != SL_NO_TENSOR)
                c->readers[graph->nodes[i].inputs[k]]++;
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        c->readers[graph->outputs[i]]++;
}

static int add_inputs(struct cpu_compiler *c)
{
    struct cpu_program *p = c->program;
    for (uint32_t i = 0; i < c->graph->n_inputs; i++) {
        int status = cpu_make(c, c->graph->inputs[i], CPU_PLAIN, &p->inputs[i]);
        if (status)
            return status;
        p->values[p->inputs[i]].place = CPU_INPUT;
        p->n_inputs++;
    }
    return 0;
}

struct copy_state {
    uint32_t from, to;
    size_t bytes;
};

static int run_copy(const struct cpu_program *program, const struct cpu_step *step, uint32_t part,
                    uint32_t parts, struct sl_error *error)
{
    const struct copy_state *copy = step->state;
    (void)part;
    (void)parts;
    (void)error;
    memcpy(cpu_data(program, copy->to), cpu_data(program, copy->from), copy->bytes);
    return 0;
}

// An output that is an input, a constant or an output already is copied.
static int add_output_copy(struct cpu_compiler *c, uint32_t from, uint32_t *value)
{
    size_t bytes = c->program->values[from].bytes;
    *value = cpu_new_value(c, bytes);
    struct copy_state *copy = cpu_take(c, 1, sizeof(*copy));
    struct cpu_step *step = copy ? cpu_add_step(c, "output", "copy", copy) : NULL;
    if (*value == CPU_NONE || !step)
        return cpu_no_memory(c);
    *copy = (struct copy_state){from, *value, bytes};
    step->run = run_copy;
    step->serial = true;
    cpu_use(c, from);
    cpu_use(c, *value);
    return 0;
}

static int add_outputs(struct cpu_compiler *c)
{
    struct cpu_program *p = c->program;
    for (uint32_t i = 0; i < c->graph->n_outputs; i++) {
        uint32_t value;
        int status = cpu_want(c, c->graph->outputs[i], CPU_PLAIN, &value);
        if (status == 0 && p->values[value].place != CPU_IN_ARENA)
            status = add_output_copy(c, value, &value);
        if (status)
            return status;
        p->values[value].place = CPU_OUTPUT;
        p->outputs[i] = value;
        p->n_outputs++;
    }
    return 0;
}

int cpu_compile(struct cpu_program *program, const struct sl_graph *graph,
                const struct cpu_stripes *stripes, struct sl_error *error)
{
    struct cpu_compiler c = {
        .program = program, .graph = graph, .error = error, .kernels = program->kernels};
    int status = begin(&c);
    if (status == 0) {
        count_readers(&c);
        status = add_inputs(&c);
    }
    for (c.at = 0; status == 0 && c.at < graph->n_nodes; c.at++)
        if (!c.done[c.at])
            status = lower_node(&c, &graph->nodes[c.at]);
    if (status == 0)
        status = add_outputs(&c);
    if (status == 0)
        status = cpu_group_steps(program, stripes, error);
    return status ? status : cpu_plan(program, error);
}
