// A back end as a plug-in, whole and small: it runs float32 Relu and Add, refuses the rest by name,
// and shows what each function owes its caller. accel/README.md walks through it.
//
//     cc -std=c99 -shared -fPIC -I SOURCE -o skeleton.so accel/examples/skeleton.c
#include "accel/plugin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef SKELETON_NAME
#define SKELETON_NAME "skeleton"
#endif

struct device {
    const struct sl_host *host;
};

// What is needed of a node later; the graph is gone after compile.
struct step {
    uint32_t op; // SL_OP_UNARY or SL_OP_BINARY
    uint32_t a, b, y;
    uint64_t count;
};

struct program {
    struct step *steps;
    uint32_t n_steps, n_tensors, n_inputs, n_outputs;
    uint32_t *inputs, *outputs;
    float **data; // of each tensor: bound, or our own
    float **own;  // what we free
    int submitted;
};

// The host's message buffer may be NULL.
static int fail(struct sl_error *error, int status, const char *node, const char *reason)
{
    if (error)
        snprintf(error->message, sizeof(error->message), "node '%s': %s", node, reason);
    return status;
}

static int skeleton_open(const struct sl_host *host, const char *name, const char *options,
                         void **out, struct sl_error *error)
{
    struct device *device;
    if (strcmp(name, "0") != 0)
        return fail(error, -ENODEV, name, "there is only device '0'");
    if (*options)
        return fail(error, -EINVAL, options, "there are no options");
    device = calloc(1, sizeof(*device));
    if (!device)
        return fail(error, -ENOMEM, "", "no memory");
    device->host = host;
    host->log(6, SKELETON_NAME ": opened");
    *out = device;
    return 0;
}

static void skeleton_close(void *device)
{
    free(device);
}

static void skeleton_release(void *device, void *opaque)
{
    struct program *p = opaque;
    uint32_t i;
    (void)device;
    for (i = 0; p->own && i < p->n_tensors; i++)
        free(p->own[i]);
    free(p->own);
    free(p->data);
    free(p->steps);
    free(p->inputs);
    free(p->outputs);
    free(p);
}

// -ENOTSUP with the node's name and the reason: the host tells the user, or takes another back end.
static int take_node(const struct sl_graph *graph, const struct sl_node *node, struct step *step,
                     struct sl_error *error)
{
    const char *name = node->name ? node->name : "";
    const struct sl_tensor *y = &graph->tensors[node->outputs[0]];
    uint32_t i;
    if (node->op == SL_OP_UNARY && node->attrs.unary.kind != SL_UNARY_RELU)
        return fail(error, -ENOTSUP, name, "of all functions only Relu is supported");
    if (node->op == SL_OP_BINARY && node->attrs.binary != SL_BINARY_ADD)
        return fail(error, -ENOTSUP, name, "of all binary operators only Add is supported");
    if (node->op != SL_OP_UNARY && node->op != SL_OP_BINARY)
        return fail(error, -ENOTSUP, name, "the operator is not supported");
    if (node->activation.kind != SL_ACT_NONE)
        return fail(error, -ENOTSUP, name, "a fused activation is not supported");
    for (i = 0; i < node->n_inputs; i++) {
        const struct sl_tensor *x = &graph->tensors[node->inputs[i]];
        if (x->dtype != SL_F32 || x->bytes != y->bytes)
            return fail(error, -ENOTSUP, name, "operands must be float32 of the result's size");
    }
    step->op = node->op;
    step->a = node->inputs[0];
    step->b = node->op == SL_OP_BINARY ? node->inputs[1] : node->inputs[0];
    step->y = node->outputs[0];
    step->count = y->bytes / sizeof(float);
    return 0;
}

// Memory for what is computed on the way, and copies of constants.
static int take_tensors(const struct sl_graph *graph, struct program *p, struct sl_error *error)
{
    uint32_t i;
    for (i = 0; i < graph->n_tensors; i++) {
        const struct sl_tensor *t = &graph->tensors[i];
        p->own[i] = malloc(t->bytes ? (size_t)t->bytes : 1);
        if (!p->own[i])
            return fail(error, -ENOMEM, t->name ? t->name : "", "no memory");
        if (t->data)
            memcpy(p->own[i], t->data, (size_t)t->bytes);
        p->data[i] = p->own[i];
    }
    return 0;
}

static int skeleton_compile(void *device, const struct sl_graph *graph, void **out,
                            struct sl_error *error)
{
    struct program *p = calloc(1, sizeof(*p));
    int status = 0;
    uint32_t i;
    if (!p)
        return fail(error, -ENOMEM, "", "no memory");
    p->n_tensors = graph->n_tensors;
    p->n_inputs = graph->n_inputs;
    p->n_outputs = graph->n_outputs;
    p->steps = calloc(graph->n_nodes + 1u, sizeof(*p->steps));
    p->data = calloc(graph->n_tensors + 1u, sizeof(*p->data));
    p->own = calloc(graph->n_tensors + 1u, sizeof(*p->own));
    p->inputs = calloc(graph->n_inputs + 1u, sizeof(*p->inputs));
    p->outputs = calloc(graph->n_outputs + 1u, sizeof(*p->outputs));
    if (!p->steps || !p->data || !p->own || !p->inputs || !p->outputs)
        status = fail(error, -ENOMEM, "", "no memory");
    for (i = 0; status == 0 && i < graph->n_nodes; i++, p->n_steps++)
        status = take_node(graph, &graph->nodes[i], &p->steps[i], error);
    if (status == 0)
        status = take_tensors(graph, p, error);
    if (status) {
        skeleton_release(device, p);
        return status;
    }
    memcpy(p->inputs, graph->inputs, graph->n_inputs * sizeof(*p->inputs));
    memcpy(p->outputs, graph->outputs, graph->n_outputs * sizeof(*p->outputs));
    *out = p;
    return 0;
}

// The host's memory is used as it is: nothing is copied in or out.
static int skeleton_bind_input(void *device, void *opaque, uint32_t index,
                               const struct sl_buffer *buffer, struct sl_error *error)
{
    struct program *p = opaque;
    (void)device;
    if (index >= p->n_inputs || !buffer->data)
        return fail(error, -EINVAL, "input", "there is no such one, or no memory");
    p->data[p->inputs[index]] = buffer->data;
    return 0;
}

static int skeleton_bind_output(void *device, void *opaque, uint32_t index,
                                const struct sl_buffer *buffer, struct sl_error *error)
{
    struct program *p = opaque;
    (void)device;
    if (index >= p->n_outputs || !buffer->data)
        return fail(error, -EINVAL, "output", "there is no such one, or no memory");
    p->data[p->outputs[index]] = buffer->data;
    return 0;
}

// Real hardware is started here.
static int skeleton_submit(void *device, void *opaque, struct sl_error *error)
{
    struct program *p = opaque;
    (void)device;
    (void)error;
    p->submitted = 1;
    return 0;
}

static void run_step(const struct program *p, const struct step *step)
{
    const float *a = p->data[step->a], *b = p->data[step->b];
    float *y = p->data[step->y];
    uint64_t i;
    for (i = 0; i < step->count; i++)
        y[i] = step->op == SL_OP_BINARY ? a[i] + b[i] : a[i] < 0 ? 0 : a[i];
}

// Work that is not ready in time is given up between two nodes. Hardware that goes on behind the
// deadline must say -ETIMEDOUT and leave the buffers alone only after reset or close.
static int skeleton_wait(void *opaque_device, void *opaque, int64_t deadline_ns,
                         struct sl_error *error)
{
    struct device *device = opaque_device;
    struct program *p = opaque;
    uint32_t i;
    for (i = 0; p->submitted && i < p->n_steps; i++) {
        if (device->host->now_ns() >= deadline_ns) {
            p->submitted = 0;
            return fail(error, -ETIMEDOUT, "", "not ready at the deadline");
        }
        run_step(p, &p->steps[i]);
    }
    p->submitted = 0;
    return 0;
}

const struct sl_backend *sightline_backend(uint32_t host_abi);
const struct sl_backend *sightline_backend(uint32_t host_abi)
{
    static struct sl_backend backend;
    backend.abi = SL_ACCEL_ABI;
    backend.struct_size = sizeof(backend);
    backend.name = SKELETON_NAME;
    backend.version = "1";
    backend.open = skeleton_open;
    backend.close = skeleton_close;
    backend.compile = skeleton_compile;
    backend.release = skeleton_release;
    backend.bind_input = skeleton_bind_input;
    backend.bind_output = skeleton_bind_output;
    backend.submit = skeleton_submit;
    backend.wait = skeleton_wait;
    return host_abi == SL_ACCEL_ABI ? &backend : NULL;
}
