// Walking over a network node by node.
#include "inference/workshop/walk.h"

#include "accel/accel.h"
#include "accel/reference.h"
#include "accel/tensor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct walk_program {
    struct sl_accel *accel;
    struct sl_program *program;
    uint32_t n_inputs;
};

// The node's distinct inputs that are computed, in their order.
static uint32_t computed_inputs(const struct graph *graph, const struct sl_node *node,
                                uint32_t *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const uint32_t t = node->inputs[i];
        bool known = t == SL_NO_TENSOR || graph_is_constant(graph, t);
        for (uint32_t k = 0; k < count; k++)
            known |= out[k] == t;
        if (!known)
            out[count++] = t;
    }
    return count;
}

static int single_node(const struct graph *graph, uint32_t node, bool plain, struct graph *out,
                       uint32_t *n_inputs, struct sl_error *error)
{
    const struct sl_node *from = &graph->nodes[node];
    uint32_t inputs[64], number;
    struct sl_node copy = *from;
    int status = from->n_inputs <= 64 ? 0 : sl_error_set(error, -E2BIG, "more than 64 inputs");
    if (plain)
        copy.activation = (struct sl_activation){0};
    for (uint32_t i = 0; i < graph->n_tensors && status == 0; i++)
        status = graph_add_tensor(out, &graph->tensors[i], &number, error);
    if (status == 0)
        status = graph_add_node(out, &copy, error);
    *n_inputs = status == 0 ? computed_inputs(graph, from, inputs) : 0;
    for (uint32_t i = 0; i < *n_inputs && status == 0; i++)
        status = graph_add_input(out, inputs[i], error);
    for (uint32_t i = 0; i < from->n_outputs && status == 0; i++)
        status = graph_add_output(out, from->outputs[i], error);
    return status;
}

int walk_compile(const struct graph *graph, uint32_t node, bool plain, struct walk_program **out,
                 struct sl_error *error)
{
    struct walk_program *p = calloc(1, sizeof(*p));
    struct graph one;
    struct pool pool;
    struct sl_graph frozen;
    if (!p)
        return sl_error_set(error, -ENOMEM, "out of memory");
    graph_init(&one, 4ull << 30);
    pool_init(&pool, 4ull << 30);
    int status = single_node(graph, node, plain, &one, &p->n_inputs, error);
    if (status == 0)
        status = graph_freeze(&one, &pool, "node", &frozen, error);
    if (status == 0)
        status = sl_accel_open("cpu", &p->accel, error);
    if (status == 0)
        status = sl_accel_load(p->accel, &frozen, &p->program, error);
    graph_free(&one);
    pool_free(&pool);
    if (status < 0) {
        walk_program_free(p);
        return sl_error_prefix(error, status, "node '%s'", graph->nodes[node].name);
    }
    *out = p;
    return 0;
}

int walk_execute(struct walk_program *p, const float *const *inputs, const float **out,
                 struct sl_error *error)
{
    size_t bytes;
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        void *memory = sl_program_input(p->program, i, &bytes);
        memcpy(memory, inputs[i], bytes);
    }
    const int status = sl_program_run(p->program, SL_NO_DEADLINE, error);
    *out = sl_program_output(p->program, 0, &bytes);
    return status;
}

void walk_program_free(struct walk_program *p)
{
    if (!p)
        return;
    sl_accel_unload(p->program);
    sl_accel_close(p->accel);
    free(p);
}

static void drop_values(struct walk *walk, uint32_t tensor)
{
    struct walk_values *v = &walk->values[tensor];
    for (uint32_t i = 0; i < walk->calibration->count; i++) {
        if (v->changed && (!v->exact || v->changed[i] != v->exact[i]))
            free(v->changed[i]);
        if (v->exact)
            free(v->exact[i]);
    }
    free(v->exact);
    free(v->changed);
    *v = (struct walk_values){0};
}

static float **room_for(uint32_t count, uint64_t bytes, bool rows)
{
    float **out = calloc(count, sizeof(*out));
    for (uint32_t i = 0; out && rows && i < count; i++) {
        out[i] = malloc(bytes + 1);
        if (!out[i]) {
            while (i > 0)
                free(out[--i]);
            free(out);
            return NULL;
        }
    }
    return out;
}

static int take_room(struct walk *walk, uint32_t tensor, struct sl_error *error)
{
    struct walk_values *v = &walk->values[tensor];
    const uint32_t count = walk->calibration->count;
    v->exact_elements = (uint64_t)sl_elements(&walk->exact->tensors[tensor]);
    v->changed_elements =
        walk->single ? v->exact_elements : (uint64_t)sl_elements(&walk->changed->tensors[tensor]);
    const uint64_t size = sl_dtype_size(walk->exact->tensors[tensor].dtype);
    v->exact = room_for(count, v->exact_elements * size, true);
    v->changed = room_for(count, v->changed_elements * size, !walk->single);
    if (v->exact && v->changed) {
        if (walk->single)
            memcpy(v->changed, v->exact, count * sizeof(*v->changed));
        return 0;
    }
    return sl_error_set(error, -ENOMEM,
                        "out of memory for %u pictures' values of tensor '%s'; use fewer pictures",
                        count, walk->exact->tensors[tensor].name);
}

static int fill_input(struct walk *walk, struct sl_error *error)
{
    const uint32_t tensor = walk->exact->inputs[0];
    const int status = take_room(walk, tensor, error);
    struct walk_values *v = &walk->values[tensor];
    for (uint32_t i = 0; status == 0 && i < walk->calibration->count; i++) {
        memcpy(v->exact[i], walk->calibration->inputs[i], v->exact_elements * sizeof(float));
        if (!walk->single)
            memcpy(v->changed[i], walk->calibration->inputs[i],
                   v->changed_elements * sizeof(float));
    }
    return status;
}

static int compute(struct walk *walk, const struct graph *graph, uint32_t node, bool exact,
                   struct sl_error *error)
{
    const struct sl_node *n = &graph->nodes[node];
    struct walk_program *program = NULL;
    uint32_t tensors[64];
    int status = walk_compile(graph, node, false, &program, error);
    const uint32_t n_inputs = status == 0 ? computed_inputs(graph, n, tensors) : 0;
    for (uint32_t p = 0; p < walk->calibration->count && status == 0; p++) {
        const float *inputs[64], *out;
        for (uint32_t i = 0; i < n_inputs; i++)
            inputs[i] =
                exact ? walk->values[tensors[i]].exact[p] : walk->values[tensors[i]].changed[p];
        status = walk_execute(program, inputs, &out, error);
        for (uint32_t i = 0; i < n->n_outputs && status == 0; i++) {
            const struct walk_values *v = &walk->values[n->outputs[i]];
            size_t bytes;
            memcpy(exact ? v->exact[p] : v->changed[p],
                   sl_program_output(program->program, i, &bytes),
                   (exact ? v->exact_elements : v->changed_elements) *
                       sl_dtype_size(graph->tensors[n->outputs[i]].dtype));
        }
    }
    walk_program_free(program);
    return status;
}

static bool is_float(const struct graph *graph, const struct sl_node *node)
{
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (graph->tensors[node->outputs[i]].dtype != SL_F32)
            return false;
    return true;
}

static int visit(struct walk *walk, uint32_t node, struct sl_error *error)
{
    const struct sl_node *n = &walk->exact->nodes[node];
    int status = 0;
    if (!walk->integers && !is_float(walk->exact, n))
        return sl_error_set(error, -ENOTSUP, "node '%s' (%s) computes integers", n->name,
                            walk->exact->tensors[n->outputs[0]].name);
    if (walk->before)
        status = walk->before(walk->ctx, walk, node, error);
    for (uint32_t i = 0; i < n->n_outputs && status == 0; i++)
        status = take_room(walk, n->outputs[i], error);
    if (status == 0)
        status = compute(walk, walk->exact, node, true, error);
    if (status == 0 && !walk->single)
        status = compute(walk, walk->changed, node, false, error);
    if (status == 0 && walk->after)
        status = walk->after(walk->ctx, walk, node, error);
    return status;
}

// How many nodes still read each tensor.
static uint32_t *count_readers(const struct graph *graph)
{
    uint32_t *left = calloc(graph->n_tensors, sizeof(*left));
    for (uint32_t n = 0; left && n < graph->n_nodes; n++)
        for (uint32_t i = 0; graph->nodes[n].op != SL_OP_NONE && i < graph->nodes[n].n_inputs; i++)
            if (graph->nodes[n].inputs[i] != SL_NO_TENSOR)
                left[graph->nodes[n].inputs[i]]++;
    return left;
}

int walk_run(struct walk *walk, struct sl_error *error)
{
    const struct graph *g = walk->exact;
    uint32_t *left = count_readers(g);
    walk->values = calloc(g->n_tensors, sizeof(*walk->values));
    int status = left && walk->values ? fill_input(walk, error)
                                      : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++) {
        const struct sl_node *node = &g->nodes[n];
        if (node->op == SL_OP_NONE)
            continue;
        status = visit(walk, n, error);
        for (uint32_t i = 0; i < node->n_inputs && status == 0; i++)
            if (node->inputs[i] != SL_NO_TENSOR && --left[node->inputs[i]] == 0)
                drop_values(walk, node->inputs[i]);
        for (uint32_t i = 0; i < node->n_outputs && status == 0; i++)
            if (left[node->outputs[i]] == 0)
                drop_values(walk, node->outputs[i]);
    }
    for (uint32_t i = 0; walk->values && i < g->n_tensors; i++)
        drop_values(walk, i);
    free(walk->values);
    walk->values = NULL;
    free(left);
    return status;
}
