// Forward and backward through a network, operator by operator.
#include "inference/workshop/tape.h"

#include "accel/reference.h"
#include "accel/tensor.h"
#include "inference/workshop/tape_conv.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t area(const struct tape_map *m)
{
    return (uint64_t)(m->height * m->width);
}

static uint64_t elements(const struct tape_map *m)
{
    return (uint64_t)m->channels * area(m);
}

static int64_t factor_of(const struct tape *t, const struct sl_node *node, uint32_t axis)
{
    const struct sl_tensor *x = &t->graph->tensors[node->inputs[0]];
    const struct sl_tensor *y = &t->graph->tensors[node->outputs[0]];
    return x->dims[axis] > 0 && y->dims[axis] % x->dims[axis] == 0 ? y->dims[axis] / x->dims[axis]
                                                                   : 0;
}

static int64_t window(int64_t size, int64_t kernel, int64_t stride, int64_t dilation,
                      int64_t before, int64_t after)
{
    return (size + before + after - dilation * (kernel - 1) - 1) / stride + 1;
}

static void conv_map(const struct sl_conv_attrs *a, const struct tape_map *x, struct tape_map *y)
{
    y->height = window(x->height, a->kernel[0], a->stride[0], a->dilation[0], a->pad[0], a->pad[2]);
    y->width = window(x->width, a->kernel[1], a->stride[1], a->dilation[1], a->pad[1], a->pad[3]);
}

static void pool_map(const struct sl_pool_attrs *a, const struct tape_map *x, struct tape_map *y)
{
    y->height = window(x->height, a->kernel[0], a->stride[0], a->dilation[0], a->pad[0], a->pad[2]);
    y->width = window(x->width, a->kernel[1], a->stride[1], a->dilation[1], a->pad[1], a->pad[3]);
}

static bool is_map(const struct tape *t, uint32_t tensor)
{
    const struct sl_tensor *x = &t->graph->tensors[tensor];
    return !x->data && x->rank == 4 && x->dims[0] == 1 && x->dtype == SL_F32;
}

// Add, Sub and Mul of two maps, or of a map and a constant with one number for all or a channel.
static bool knows_binary(const struct tape *t, const struct sl_node *node)
{
    const uint32_t kind = node->attrs.binary;
    const struct sl_tensor *b = &t->graph->tensors[node->inputs[1]];
    if (kind != SL_BINARY_ADD && kind != SL_BINARY_SUB && kind != SL_BINARY_MUL)
        return false;
    if (!is_map(t, node->inputs[0]))
        return false;
    if (b->data) {
        const int64_t count = sl_elements(b);
        return b->dtype == SL_F32 &&
               (count == 1 || (b->rank >= 3 && count == b->dims[b->rank - 3]));
    }
    return graph_same_dims(&t->graph->tensors[node->inputs[0]], b);
}

// A slice of rows and columns, every so many of them to the end.
static bool keeps_channels(const struct tape *t, const struct sl_node *node)
{
    const struct sl_slice_attrs *a = &node->attrs.slice;
    const struct sl_tensor *x = &t->graph->tensors[node->inputs[0]];
    const struct sl_tensor *y = &t->graph->tensors[node->outputs[0]];
    bool ok = is_map(t, node->inputs[0]) && x->dims[1] == y->dims[1] && a->step[1] == 1;
    for (uint32_t i = 2; i < 4 && ok; i++)
        ok = a->step[i] > 0 && a->start[i] < a->step[i] &&
             y->dims[i] == (x->dims[i] - a->start[i] + a->step[i] - 1) / a->step[i];
    return ok;
}

// One number around rows and columns.
static bool pads_area(const struct tape *t, const struct sl_node *node)
{
    const struct sl_pad_attrs *a = &node->attrs.pad;
    return is_map(t, node->inputs[0]) && a->mode == SL_PAD_CONSTANT && a->before[0] == 0 &&
           a->after[0] == 0 && a->before[1] == 0 && a->after[1] == 0;
}

static bool knows(const struct tape *t, const struct sl_node *node)
{
    if (channels_rule(&t->channels, node) == CHANNELS_REARRANGE)
        return true;
    if (node->n_outputs != 1 || !is_map(t, node->outputs[0]))
        return false;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] != SL_NO_TENSOR && t->channels.flat[node->inputs[i]])
            return false;
    switch (node->op) {
    case SL_OP_CONV:
        return is_map(t, node->inputs[0]) && t->graph->tensors[node->inputs[1]].data;
    case SL_OP_UNARY:
    case SL_OP_CLIP:
        return true;
    case SL_OP_MAX_POOL:
    case SL_OP_AVERAGE_POOL:
        return !node->attrs.pool.ceil_mode && is_map(t, node->inputs[0]);
    case SL_OP_SLICE:
        return keeps_channels(t, node);
    case SL_OP_PAD:
        return pads_area(t, node);
    case SL_OP_RESIZE:
        return node->attrs.resize.mode == SL_RESIZE_NEAREST && factor_of(t, node, 2) > 0 &&
               factor_of(t, node, 3) > 0;
    case SL_OP_BINARY:
        return knows_binary(t, node);
    default:
        return false;
    }
}

static void infer(struct tape *t, const struct sl_node *node)
{
    struct tape_map *y = &t->maps[node->outputs[0]];
    const struct prune_plane first = channels_plane(&t->channels, node->outputs[0], 0);
    const struct tape_map *x =
        &t->maps[t->channels.moved[node->outputs[0]] ? first.tensor : node->inputs[0]];
    y->channels = t->channels.count[node->outputs[0]];
    y->height = x->height;
    y->width = x->width;
    if (node->op == SL_OP_CONV)
        conv_map(&node->attrs.conv, x, y);
    else if (node->op == SL_OP_SLICE && !t->channels.moved[node->outputs[0]]) {
        const struct sl_slice_attrs *a = &node->attrs.slice;
        y->height = (x->height - a->start[2] + a->step[2] - 1) / a->step[2];
        y->width = (x->width - a->start[3] + a->step[3] - 1) / a->step[3];
    } else if (node->op == SL_OP_MAX_POOL || node->op == SL_OP_AVERAGE_POOL)
        pool_map(&node->attrs.pool, x, y);
    else if (node->op == SL_OP_PAD) {
        y->height += node->attrs.pad.before[2] + node->attrs.pad.after[2];
        y->width += node->attrs.pad.before[3] + node->attrs.pad.after[3];
    } else if (node->op == SL_OP_RESIZE) {
        y->height *= factor_of(t, node, 2);
        y->width *= factor_of(t, node, 3);
    }
}

static bool is_smooth(const struct sl_activation *a)
{
    return a->kind != SL_ACT_NONE && a->kind != SL_UNARY_RELU;
}

static int take_layer(struct tape *t, uint32_t n, struct sl_error *error)
{
    const struct sl_node *node = &t->graph->nodes[n];
    const struct sl_tensor *w = &t->graph->tensors[node->inputs[1]];
    struct tape_layer *l = &t->layers[t->n_layers];
    *l = (struct tape_layer){
        .node = n, .n_weights = (uint64_t)sl_elements(w), .n_biases = (uint64_t)w->dims[0]};
    t->layer[n] = t->n_layers++;
    if (t->learns) {
        l->weight_grads = pool_array(&t->channels.pool, l->n_weights, sizeof(float));
        l->bias_grads = pool_array(&t->channels.pool, l->n_biases, sizeof(float));
        if (!l->weight_grads || !l->bias_grads)
            return pool_error(&t->channels.pool, error);
    }
    const uint64_t columns = tape_columns(t, node);
    t->most_columns = columns > t->most_columns ? columns : t->most_columns;
    return 0;
}

static int take_map(struct tape *t, uint32_t tensor, struct sl_error *error)
{
    struct tape_map *m = &t->maps[tensor];
    if (m->height <= 0 || m->width <= 0)
        return sl_error_set(error, -ERANGE, "the patch is too small");
    m->value = pool_array(&t->channels.pool, elements(m), sizeof(float));
    m->grad = t->learns ? pool_array(&t->channels.pool, elements(m), sizeof(float)) : NULL;
    return m->value && (m->grad || !t->learns) ? 0 : pool_error(&t->channels.pool, error);
}

static int add_node(struct tape *t, uint32_t n, struct sl_error *error)
{
    const struct sl_node *node = &t->graph->nodes[n];
    if (!knows(t, node))
        return sl_error_set(error, -ENOTSUP, "node '%s' (%s): its derivative is not known",
                            node->name, sl_node_op_name(node));
    infer(t, node);
    t->nodes[t->n_nodes++] = n;
    int status = take_map(t, node->outputs[0], error);
    if (status == 0 && t->learns && is_smooth(&node->activation)) {
        t->inner[n] =
            pool_array(&t->channels.pool, elements(&t->maps[node->outputs[0]]), sizeof(float));
        status = t->inner[n] ? 0 : pool_error(&t->channels.pool, error);
    }
    if (status == 0 && node->op == SL_OP_CONV)
        status = take_layer(t, n, error);
    return status;
}

static void mark(const struct graph *g, const uint32_t *heads, uint32_t n_heads, bool *needed)
{
    for (uint32_t i = 0; i < n_heads; i++)
        needed[heads[i]] = true;
    for (uint32_t n = g->n_nodes; n-- > 0;)
        for (uint32_t i = 0; g->nodes[n].op != SL_OP_NONE && needed[g->nodes[n].outputs[0]] &&
                             i < g->nodes[n].n_inputs;
             i++)
            if (g->nodes[n].inputs[i] != SL_NO_TENSOR)
                needed[g->nodes[n].inputs[i]] = true;
}

static int build(struct tape *t, const bool *needed, int64_t height, int64_t width,
                 struct sl_error *error)
{
    const struct graph *g = t->graph;
    struct tape_map *input = &t->maps[g->inputs[0]];
    input->channels = g->tensors[g->inputs[0]].dims[1];
    input->height = height;
    input->width = width;
    int status = take_map(t, g->inputs[0], error);
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++)
        if (g->nodes[n].op != SL_OP_NONE && needed[g->nodes[n].outputs[0]])
            status = add_node(t, n, error);
    if (status < 0)
        return status;
    t->columns = pool_array(&t->channels.pool, t->most_columns, sizeof(float));
    t->column_grads =
        t->learns ? pool_array(&t->channels.pool, t->most_columns, sizeof(float)) : t->columns;
    return t->columns && t->column_grads ? 0 : pool_error(&t->channels.pool, error);
}

int tape_open(const struct graph *graph, const uint32_t *heads, uint32_t n_heads, int64_t height,
              int64_t width, bool learns, struct tape *out, struct sl_error *error)
{
    struct tape t = {.graph = graph, .learns = learns};
    int status = channels_find(graph, &t.channels, error);
    if (status < 0)
        return status;
    struct pool *pool = &t.channels.pool;
    pool->left = 4ull << 30;
    bool *needed = pool_array(pool, graph->n_tensors, sizeof(*needed));
    t.nodes = pool_array(pool, graph->n_nodes, sizeof(*t.nodes));
    t.maps = pool_array(pool, graph->n_tensors, sizeof(*t.maps));
    t.inner = pool_array(pool, graph->n_nodes, sizeof(*t.inner));
    t.layers = pool_array(pool, graph->n_nodes, sizeof(*t.layers));
    t.layer = pool_array(pool, graph->n_nodes, sizeof(*t.layer));
    status =
        needed && t.nodes && t.maps && t.inner && t.layers && t.layer ? 0 : pool_error(pool, error);
    if (status == 0) {
        mark(graph, heads, n_heads, needed);
        status = build(&t, needed, height, width, error);
    }
    if (status < 0)
        channels_free(&t.channels);
    else
        *out = t;
    return status;
}

void tape_close(struct tape *tape)
{
    channels_free(&tape->channels);
    *tape = (struct tape){0};
}

// --- operators, forward and backward. A map's gradient is added to.

static void move(struct tape *t, const struct sl_node *node, bool back)
{
    struct tape_map *y = &t->maps[node->outputs[0]];
    const uint64_t size = area(y);
    for (uint32_t i = 0; i < y->channels; i++) {
        const struct prune_plane p = channels_plane(&t->channels, node->outputs[0], i);
        struct tape_map *x = &t->maps[p.tensor];
        if (!back)
            memcpy(y->value + i * size, x->value + p.channel * size, size * sizeof(float));
        for (uint64_t k = 0; back && k < size; k++)
            x->grad[p.channel * size + k] += y->grad[i * size + k];
    }
}

static void resize(struct tape *t, const struct sl_node *node, bool back)
{
    struct tape_map *x = &t->maps[node->inputs[0]], *y = &t->maps[node->outputs[0]];
    const int64_t fy = factor_of(t, node, 2), fx = factor_of(t, node, 3);
    for (int64_t c = 0; c < y->channels; c++)
        for (int64_t i = 0; i < y->height; i++)
            for (int64_t j = 0; j < y->width; j++) {
                const int64_t to = (c * y->height + i) * y->width + j;
                const int64_t from = (c * x->height + i / fy) * x->width + j / fx;
                if (back)
                    x->grad[from] += y->grad[to];
                else
                    y->value[to] = x->value[from];
            }
}

// Where the largest value of a window stands.
static int64_t largest(const struct sl_pool_attrs *a, const struct tape_map *x, int64_t c,
                       int64_t row, int64_t column)
{
    int64_t found = -1;
    for (int64_t i = 0; i < a->kernel[0]; i++)
        for (int64_t j = 0; j < a->kernel[1]; j++) {
            const int64_t v = row * a->stride[0] - a->pad[0] + i * a->dilation[0];
            const int64_t u = column * a->stride[1] - a->pad[1] + j * a->dilation[1];
            if (v < 0 || v >= x->height || u < 0 || u >= x->width)
                continue;
            const int64_t at = (c * x->height + v) * x->width + u;
            if (found < 0 || x->value[at] > x->value[found])
                found = at;
        }
    return found;
}

static void max_pool(struct tape *t, const struct sl_node *node, bool back)
{
    struct tape_map *x = &t->maps[node->inputs[0]], *y = &t->maps[node->outputs[0]];
    for (int64_t c = 0; c < y->channels; c++)
        for (int64_t i = 0; i < y->height; i++)
            for (int64_t j = 0; j < y->width; j++) {
                const int64_t to = (c * y->height + i) * y->width + j;
                const int64_t from = largest(&node->attrs.pool, x, c, i, j);
                if (from < 0)
                    continue;
                if (back)
                    x->grad[from] += y->grad[to];
                else
                    y->value[to] = x->value[from];
            }
}

static void average_pool(struct tape *t, const struct sl_node *node, bool back)
{
    const struct sl_pool_attrs *a = &node->attrs.pool;
    struct tape_map *x = &t->maps[node->inputs[0]], *y = &t->maps[node->outputs[0]];
    for (int64_t to = 0; to < (int64_t)elements(y); to++) {
        const int64_t plane = to / (y->height * y->width) * x->height * x->width;
        const int64_t top = to / y->width % y->height * a->stride[0] - a->pad[0];
        const int64_t left = to % y->width * a->stride[1] - a->pad[1];
        float sum = 0, count = 0;
        for (int pass = 0; pass < 2; pass++) // the second one spreads the gradient
            for (int64_t k = 0; k < a->kernel[0] * a->kernel[1]; k++) {
                const int64_t v = top + k / a->kernel[1] * a->dilation[0];
                const int64_t u = left + k % a->kernel[1] * a->dilation[1];
                const bool inside = v >= 0 && v < x->height && u >= 0 && u < x->width;
                if (pass == 0) {
                    count += inside || a->count_include_pad;
                    sum += inside ? x->value[plane + v * x->width + u] : 0;
                } else if (back && inside) {
                    x->grad[plane + v * x->width + u] += y->grad[to] / count;
                }
            }
        if (!back)
            y->value[to] = count > 0 ? sum / count : 0;
    }
}

static void slice(struct tape *t, const struct sl_node *node, bool back)
{
    const struct sl_slice_attrs *a = &node->attrs.slice;
    struct tape_map *x = &t->maps[node->inputs[0]], *y = &t->maps[node->outputs[0]];
    for (int64_t to = 0; to < (int64_t)elements(y); to++) {
        const int64_t c = to / (y->height * y->width);
        const int64_t row = a->start[2] + to / y->width % y->height * a->step[2];
        const int64_t from =
            (c * x->height + row) * x->width + a->start[3] + to % y->width * a->step[3];
        if (back)
            x->grad[from] += y->grad[to];
        else
            y->value[to] = x->value[from];
    }
}

static void pad(struct tape *t, const struct sl_node *node, bool back)
{
    const struct sl_pad_attrs *a = &node->attrs.pad;
    struct tape_map *x = &t->maps[node->inputs[0]], *y = &t->maps[node->outputs[0]];
    for (int64_t to = 0; to < (int64_t)elements(y); to++) {
        const int64_t c = to / (y->height * y->width);
        const int64_t row = to / y->width % y->height - a->before[2];
        const int64_t column = to % y->width - a->before[3];
        const bool inside = row >= 0 && row < x->height && column >= 0 && column < x->width;
        const int64_t from = inside ? (c * x->height + row) * x->width + column : 0;
        if (!back)
            y->value[to] = inside ? x->value[from] : a->value;
        else if (inside)
            x->grad[from] += y->grad[to];
    }
}

// The second operand at element i of the result.
static float second(const struct tape *t, const struct sl_node *node, uint64_t i)
{
    const struct sl_tensor *b = &t->graph->tensors[node->inputs[1]];
    if (!b->data)
        return t->maps[node->inputs[1]].value[i];
    const float *values = b->data;
    return values[sl_elements(b) == 1 ? 0 : i / area(&t->maps[node->outputs[0]])];
}

static void binary(struct tape *t, const struct sl_node *node, bool back)
{
    struct tape_map *a = &t->maps[node->inputs[0]], *y = &t->maps[node->outputs[0]];
    struct tape_map *b = is_map(t, node->inputs[1]) ? &t->maps[node->inputs[1]] : NULL;
    const uint32_t kind = node->attrs.binary;
    for (uint64_t i = 0; i < elements(y); i++) {
        const float other = second(t, node, i), one = a->value[i];
        if (!back) {
            y->value[i] = kind == SL_BINARY_MUL   ? one * other
                          : kind == SL_BINARY_ADD ? one + other
                                                  : one - other;
            continue;
        }
        a->grad[i] += y->grad[i] * (kind == SL_BINARY_MUL ? other : 1);
        if (b)
            b->grad[i] += y->grad[i] * (kind == SL_BINARY_MUL   ? one
                                        : kind == SL_BINARY_ADD ? 1.0f
                                                                : -1.0f);
    }
}

static struct sl_activation function_of(const struct sl_node *node)
{
    if (node->op == SL_OP_CLIP)
        return (struct sl_activation){SL_ACT_CLIP, node->attrs.clip.low, node->attrs.clip.high};
    return (struct sl_activation){node->attrs.unary.kind, node->attrs.unary.alpha,
                                  node->attrs.unary.beta};
}

// The derivative of a function of one number, by differences on both sides.
static float slope(const struct sl_activation *f, float x)
{
    const float h = 1e-3f * fmaxf(1, fabsf(x));
    return (sl_activate(f, x + h) - sl_activate(f, x - h)) / (2 * h);
}

static void unary(struct tape *t, const struct sl_node *node, bool back)
{
    struct tape_map *x = &t->maps[node->inputs[0]], *y = &t->maps[node->outputs[0]];
    const struct sl_activation f = function_of(node);
    for (uint64_t i = 0; i < elements(y); i++)
        if (back)
            x->grad[i] += y->grad[i] * slope(&f, x->value[i]);
        else
            y->value[i] = sl_activate(&f, x->value[i]);
}

static void activate(struct tape *t, uint32_t n)
{
    const struct sl_node *node = &t->graph->nodes[n];
    struct tape_map *y = &t->maps[node->outputs[0]];
    if (t->inner[n])
        memcpy(t->inner[n], y->value, elements(y) * sizeof(float));
    if (node->activation.kind == SL_UNARY_RELU)
        for (uint64_t i = 0; i < elements(y); i++)
            y->value[i] = y->value[i] > 0 ? y->value[i] : 0;
    else if (node->activation.kind != SL_ACT_NONE)
        for (uint64_t i = 0; i < elements(y); i++)
            y->value[i] = sl_activate(&node->activation, y->value[i]);
}

// The gradient before the activation takes the place of that behind it.
static void deactivate(struct tape *t, uint32_t n)
{
    const struct sl_node *node = &t->graph->nodes[n];
    struct tape_map *y = &t->maps[node->outputs[0]];
    if (node->activation.kind == SL_UNARY_RELU)
        for (uint64_t i = 0; i < elements(y); i++)
            y->grad[i] = y->value[i] > 0 ? y->grad[i] : 0;
    else if (node->activation.kind != SL_ACT_NONE)
        for (uint64_t i = 0; i < elements(y); i++)
            y->grad[i] *= slope(&node->activation, t->inner[n][i]);
}

static void run(struct tape *t, uint32_t n, bool back)
{
    const struct sl_node *node = &t->graph->nodes[n];
    if (t->channels.moved[node->outputs[0]])
        move(t, node, back);
    else if (node->op == SL_OP_CONV && back)
        tape_conv_backward(t, n);
    else if (node->op == SL_OP_CONV)
        tape_conv_forward(t, n);
    else if (node->op == SL_OP_RESIZE)
        resize(t, node, back);
    else if (node->op == SL_OP_MAX_POOL)
        max_pool(t, node, back);
    else if (node->op == SL_OP_AVERAGE_POOL)
        average_pool(t, node, back);
    else if (node->op == SL_OP_SLICE)
        slice(t, node, back);
    else if (node->op == SL_OP_PAD)
        pad(t, node, back);
    else if (node->op == SL_OP_BINARY)
        binary(t, node, back);
    else
        unary(t, node, back);
}

void tape_forward(struct tape *tape)
{
    for (uint32_t i = 0; i < tape->n_nodes; i++) {
        run(tape, tape->nodes[i], false);
        activate(tape, tape->nodes[i]);
    }
}

void tape_backward(struct tape *tape)
{
    for (uint32_t i = tape->n_nodes; i-- > 0;) {
        deactivate(tape, tape->nodes[i]);
        run(tape, tape->nodes[i], true);
    }
}

void tape_clear_grads(struct tape *tape)
{
    for (uint32_t i = 0; i < tape->n_nodes; i++) {
        struct tape_map *m = &tape->maps[tape->graph->nodes[tape->nodes[i]].outputs[0]];
        memset(m->grad, 0, elements(m) * sizeof(float));
    }
}
