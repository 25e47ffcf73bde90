// Compiles a network for an OpenCL device: lowers node by node, plans memory by liveness, makes
// buffers and kernels.
#include "accel/opencl/program.h"

#include "accel/reference.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOWHERE UINT32_MAX

int ocl_no_memory(struct ocl_compiler *c)
{
    return sl_error_set(c->error, -ENOMEM, "no memory");
}

int ocl_refuse(struct ocl_compiler *c, const struct sl_node *node, const char *reason)
{
    return sl_error_set(c->error, -ENOTSUP, "node '%s' (%s): opencl has no kernel for %s",
                        node->name, sl_node_op_name(node), reason);
}

static uint32_t add_slot(struct ocl_compiler *c, size_t bytes, uint32_t free_at)
{
    struct ocl_program *p = c->program;
    struct ocl_slot *slots = realloc(p->slots, (p->n_slots + 1) * sizeof(*slots));
    if (!slots) {
        c->failed = true;
        return 0;
    }
    p->slots = slots;
    slots[p->n_slots] = (struct ocl_slot){.bytes = bytes, .free_at = free_at};
    return p->n_slots++;
}

uint32_t ocl_constant(struct ocl_compiler *c, const void *data, size_t bytes)
{
    const size_t whole = bytes ? bytes : 4;
    void *copy = calloc(1, whole);
    const uint32_t slot = data && copy ? add_slot(c, whole, NOWHERE) : 0;
    if (!data || !copy || c->failed) {
        c->failed = true;
        free(copy);
        return 0;
    }
    memcpy(copy, data, bytes);
    c->program->slots[slot].data = copy;
    c->program->constant_bytes += whole;
    return slot;
}

uint32_t ocl_read_slot(struct ocl_compiler *c, uint32_t tensor)
{
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    uint32_t *slot = &c->slot_of[c->root[tensor]];
    if (t->data && *slot == NOWHERE)
        *slot = ocl_constant(c, t->data, (size_t)t->bytes);
    return *slot == NOWHERE ? 0 : *slot;
}

// The smallest that is free and large enough, or the largest that is free, made larger.
static uint32_t find_free(const struct ocl_compiler *c, size_t bytes)
{
    uint32_t best = NOWHERE;
    for (uint32_t i = 0; i < c->program->n_slots; i++) {
        const struct ocl_slot *slot = &c->program->slots[i];
        if (slot->data || slot->free_at >= c->node)
            continue;
        const size_t have = best == NOWHERE ? 0 : c->program->slots[best].bytes;
        if (best == NOWHERE ||
            (have < bytes ? slot->bytes > have : slot->bytes >= bytes && slot->bytes < have))
            best = i;
    }
    return best;
}

uint32_t ocl_write_slot(struct ocl_compiler *c, uint32_t tensor)
{
    const uint32_t root = c->root[tensor];
    const uint64_t need = c->graph->tensors[tensor].bytes;
    const size_t bytes = need ? (size_t)need : 4;
    if (c->slot_of[root] != NOWHERE)
        return c->slot_of[root];
    uint32_t slot = find_free(c, bytes);
    if (slot == NOWHERE)
        slot = add_slot(c, bytes, c->last_use[root]);
    if (c->failed)
        return 0;
    struct ocl_slot *s = &c->program->slots[slot];
    s->bytes = s->bytes < bytes ? bytes : s->bytes;
    s->free_at = c->last_use[root];
    c->slot_of[root] = slot;
    return slot;
}

struct ocl_step *ocl_add_step(struct ocl_compiler *c, const char *kernel, int64_t x, int64_t y,
                              int64_t z)
{
    struct ocl_program *p = c->program;
    struct ocl_step *steps = realloc(p->steps, (p->n_steps + 1) * sizeof(*steps));
    if (!steps)
        return NULL;
    p->steps = steps;
    struct ocl_step *step = &steps[p->n_steps++];
    const size_t group = c->device->group;
    *step = (struct ocl_step){
        .kernel = kernel,
        .local = {group, 1, 1},
        .global = {((size_t)x + group - 1) / group * group, (size_t)y, (size_t)z}};
    snprintf(step->node, sizeof(step->node), "%s", c->graph->nodes[c->node].name);
    return step;
}

static struct ocl_arg *add_arg(struct ocl_step *step)
{
    static struct ocl_arg nowhere; // the lowerings know how many there are; tests run them all
    return step->n_args < OCL_MAX_ARGS ? &step->args[step->n_args++] : &nowhere;
}

void ocl_arg_slot(struct ocl_step *step, uint32_t slot)
{
    *add_arg(step) = (struct ocl_arg){.is_slot = true, .slot = slot};
}

void ocl_arg_int(struct ocl_step *step, int64_t value)
{
    *add_arg(step) = (struct ocl_arg){.value.i = (int32_t)value};
}

void ocl_arg_float(struct ocl_step *step, float value)
{
    *add_arg(step) = (struct ocl_arg){.value.f = value};
}

static int (*const lowerings[])(struct ocl_compiler *, const struct sl_node *) = {
    [SL_OP_CONV] = ocl_lower_conv,
    [SL_OP_MAX_POOL] = ocl_lower_max_pool,
    [SL_OP_AVERAGE_POOL] = ocl_lower_average_pool,
    [SL_OP_UNARY] = ocl_lower_pointwise,
    [SL_OP_CLIP] = ocl_lower_pointwise,
    [SL_OP_QUANTIZE] = ocl_lower_pointwise,
    [SL_OP_DEQUANTIZE] = ocl_lower_pointwise,
    [SL_OP_BINARY] = ocl_lower_binary,
    [SL_OP_SOFTMAX] = ocl_lower_softmax,
    [SL_OP_RESHAPE] = ocl_lower_move,
    [SL_OP_TRANSPOSE] = ocl_lower_move,
    [SL_OP_CONCAT] = ocl_lower_concat,
    [SL_OP_SLICE] = ocl_lower_move,
    [SL_OP_PAD] = ocl_lower_move,
    [SL_OP_GATHER] = ocl_lower_move,
    [SL_OP_EXPAND] = ocl_lower_move,
    [SL_OP_TILE] = ocl_lower_move,
    [SL_OP_RESIZE] = ocl_lower_resize,
    [SL_OP_DEPTH_TO_SPACE] = ocl_lower_move,
    [SL_OP_SPACE_TO_DEPTH] = ocl_lower_move,
};

// The same bytes under another name: no step.
static bool is_alias(const struct sl_graph *graph, const struct sl_node *node)
{
    const struct sl_tensor *x = &graph->tensors[node->inputs[0]];
    return node->op == SL_OP_RESHAPE && node->activation.kind == SL_ACT_NONE && !x->data &&
           sl_same_quant(x, &graph->tensors[node->outputs[0]]);
}

static bool is_large(const struct ocl_compiler *c, const struct sl_node *node)
{
    for (uint32_t i = 0; i < node->n_inputs + node->n_outputs; i++) {
        const uint32_t t = i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];
        if (t != SL_NO_TENSOR && c->graph->tensors[t].bytes > INT32_MAX / 2)
            return true;
    }
    return false;
}

static int lower(struct ocl_compiler *c, const struct sl_node *node)
{
    int status = -ENOTSUP;
    const uint32_t before = c->program->n_steps;
    if (is_alias(c->graph, node) || sl_elements(ocl_out(c, node)) == 0)
        return 0;
    if (is_large(c, node))
        status = ocl_refuse(c, node, "tensors beyond 1 GiB");
    else if (node->op < sizeof(lowerings) / sizeof(*lowerings) && lowerings[node->op])
        status = lowerings[node->op](c, node);
    else
        status = ocl_refuse(c, node, "this operator");
    if (status == -ENOTSUP && c->device->fallback) {
        c->program->n_steps = before;
        status = ocl_lower_host(c, node);
    } else if (status == -ENOTSUP) {
        sl_error_prefix(c->error, status, "option fallback=yes would run it on the host");
    }
    return status == 0 && c->failed ? ocl_no_memory(c) : status;
}

static void find_lives(struct ocl_compiler *c)
{
    const struct sl_graph *g = c->graph;
    for (uint32_t t = 0; t < g->n_tensors; t++) {
        c->slot_of[t] = NOWHERE;
        c->root[t] = t;
        c->last_use[t] = 0;
    }
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const struct sl_node *node = &g->nodes[n];
        if (is_alias(g, node))
            c->root[node->outputs[0]] = c->root[node->inputs[0]];
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != SL_NO_TENSOR)
                c->last_use[c->root[node->inputs[i]]] = n;
        for (uint32_t i = 0; i < node->n_outputs; i++)
            c->last_use[c->root[node->outputs[i]]] = n;
    }
    for (uint32_t i = 0; i < g->n_inputs; i++) // written before the first node
        c->last_use[c->root[g->inputs[i]]] = NOWHERE;
    for (uint32_t i = 0; i < g->n_outputs; i++)
        c->last_use[c->root[g->outputs[i]]] = NOWHERE;
}

static int make_ports(struct ocl_compiler *c, const uint32_t *tensors, uint32_t count,
                      struct ocl_port *ports, bool written)
{
    for (uint32_t i = 0; i < count; i++) {
        ports[i].bytes = (size_t)c->graph->tensors[tensors[i]].bytes;
        ports[i].staging = calloc(1, ports[i].bytes + 1);
        ports[i].slot = written ? ocl_write_slot(c, tensors[i]) : ocl_read_slot(c, tensors[i]);
        if (!ports[i].staging || c->failed)
            return ocl_no_memory(c);
    }
    return 0;
}

static int lower_all(struct ocl_compiler *c)
{
    const struct sl_graph *g = c->graph;
    struct ocl_program *p = c->program;
    p->n_inputs = g->n_inputs;
    p->n_outputs = g->n_outputs;
    p->inputs = calloc((size_t)g->n_inputs + 1, sizeof(*p->inputs));
    p->outputs = calloc((size_t)g->n_outputs + 1, sizeof(*p->outputs));
    if (!p->inputs || !p->outputs)
        return ocl_no_memory(c);
    find_lives(c);
    int status = make_ports(c, g->inputs, g->n_inputs, p->inputs, true);
    for (c->node = 0; status == 0 && c->node < g->n_nodes; c->node++)
        status = lower(c, &g->nodes[c->node]);
    if (status == 0)
        status = make_ports(c, g->outputs, g->n_outputs, p->outputs, false);
    return status;
}

static int make_buffers(struct ocl_program *p, struct sl_error *error)
{
    const struct ocl_device *d = p->device;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        sum += p->slots[i].bytes;
        p->activation_bytes += p->slots[i].data ? 0 : p->slots[i].bytes;
        if (p->slots[i].bytes > d->max_buffer)
            return sl_error_set(error, -ENOMEM, "a buffer of %zu bytes, the device allows %llu",
                                p->slots[i].bytes, (unsigned long long)d->max_buffer);
    }
    if (sum > d->memory_limit)
        return sl_error_set(error, -ENOMEM, "buffers of %llu bytes, the limit is %llu",
                            (unsigned long long)sum, (unsigned long long)d->memory_limit);
    for (uint32_t i = 0; i < p->n_slots; i++) {
        struct ocl_slot *s = &p->slots[i];
        int32_t why = CL_SUCCESS;
        s->memory = d->cl->create_buffer(
            d->context, s->data ? CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR : CL_MEM_READ_WRITE,
            s->bytes, (void *)(uintptr_t)s->data, &why);
        if (!s->memory) {
            ocl_fail(error, why, "buffer");
            return why == CL_OUT_OF_RESOURCES ? -ENOMEM
                                              : sl_error_prefix(error, -ENOMEM, "program");
        }
    }
    return 0;
}

static int make_kernel(const struct ocl_program *p, struct ocl_step *step, struct sl_error *error)
{
    const struct ocl_api *cl = p->device->cl;
    int32_t why = CL_SUCCESS;
    size_t group = 0;
    step->handle = cl->create_kernel(p->device->kernels, step->kernel, &why);
    if (!step->handle)
        return ocl_fail(error, why, step->kernel);
    for (uint32_t i = 0; why == CL_SUCCESS && i < step->n_args; i++) {
        const struct ocl_arg *arg = &step->args[i];
        why = arg->is_slot
                  ? cl->set_arg(step->handle, i, sizeof(cl_memory), &p->slots[arg->slot].memory)
                  : cl->set_arg(step->handle, i, 4, &arg->value);
    }
    if (why == CL_SUCCESS)
        why = cl->kernel_info(step->handle, p->device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof(group),
                              &group, NULL);
    if (why != CL_SUCCESS)
        return ocl_fail(error, why, step->kernel);
    while (step->local[0] > 1 && step->local[0] > group) // still divides the global size
        step->local[0] = step->local[0] % 2 ? 1 : step->local[0] / 2;
    return 0;
}

static int make_kernels(struct ocl_program *p, struct sl_error *error)
{
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < p->n_steps; i++)
        if (p->steps[i].kernel)
            status = make_kernel(p, &p->steps[i], error);
    return status;
}

static void say_share(const struct ocl_program *p, const struct sl_graph *graph)
{
    char text[160];
    if (p->n_host == 0 || !p->device->host || !p->device->host->log)
        return;
    snprintf(text, sizeof(text), "opencl: %.60s: %u of %u nodes run on the host", graph->name,
             p->n_host, graph->n_nodes);
    p->device->host->log(4, text);
}

int ocl_compile(struct ocl_program *p, const struct sl_graph *graph, struct sl_error *error)
{
    struct ocl_compiler c = {.program = p, .device = p->device, .graph = graph, .error = error};
    uint32_t *numbers = calloc(3 * (size_t)graph->n_tensors + 1, sizeof(*numbers));
    p->signal = ocl_signal_new();
    if (!numbers || !p->signal) {
        free(numbers);
        return ocl_no_memory(&c);
    }
    c.slot_of = numbers;
    c.last_use = numbers + graph->n_tensors;
    c.root = numbers + 2 * (size_t)graph->n_tensors;
    int status = lower_all(&c);
    free(numbers);
    if (status == 0)
        status = make_buffers(p, error);
    if (status == 0)
        status = make_kernels(p, error);
    if (status == 0)
        say_share(p, graph);
    return status;
}

static void free_ports(struct ocl_port *ports, uint32_t count)
{
    for (uint32_t i = 0; ports && i < count; i++)
        free(ports[i].staging);
    free(ports);
}

void ocl_program_free(struct ocl_program *p)
{
    const struct ocl_api *cl = p->device->cl;
    for (uint32_t i = 0; i < p->n_steps; i++) {
        if (p->steps[i].handle)
            cl->release_kernel(p->steps[i].handle);
        ocl_host_free(p->steps[i].host);
    }
    for (uint32_t i = 0; i < p->n_slots; i++) {
        if (p->slots[i].memory)
            cl->release_buffer(p->slots[i].memory);
        free((void *)(uintptr_t)p->slots[i].data);
    }
    free(p->steps);
    free(p->slots);
    free_ports(p->inputs, p->n_inputs);
    free_ports(p->outputs, p->n_outputs);
    if (p->signal)
        ocl_signal_drop(p->signal);
    free(p);
}
