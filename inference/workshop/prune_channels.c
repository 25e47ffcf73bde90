// Following channels through a network.
#include "inference/workshop/prune_channels.h"

#include "accel/reference.h"
#include "accel/tensor.h"

#include <errno.h>
#include <string.h>

enum { MOST_PLANES = 1 << 16 };

// `tail`: the last dimensions that make a plane.
static uint32_t planes_of(const struct sl_tensor *t, uint32_t tail)
{
    int64_t count = 1;
    if (t->rank <= tail)
        return 0;
    for (uint32_t i = 0; i + tail < t->rank; i++)
        count *= t->dims[i];
    return count > 0 && count <= MOST_PLANES ? (uint32_t)count : 0;
}

static bool is_map(const struct sl_tensor *t)
{
    return t->rank == 4 && t->dims[0] == 1 && t->dtype == SL_F32;
}

static uint32_t tail_of(const struct channels *c, uint32_t tensor)
{
    return c->flat[tensor] ? 1 : 2;
}

// The last dimensions of a node's result that hold the planes of its input; 0: none do.
static uint32_t tail_after(const struct channels *c, const struct sl_node *node)
{
    const struct sl_tensor *y = &c->graph->tensors[node->outputs[0]];
    const int64_t *plane = c->plane[node->inputs[0]];
    const uint32_t tail = tail_of(c, node->inputs[0]), last = y->rank - 1;
    const bool moves = node->op != SL_OP_RESHAPE;
    if ((!moves || tail == 2) && y->rank > 2 && y->dims[last - 1] == plane[0] &&
        y->dims[last] == plane[1])
        return 2;
    return (!moves || tail == 1) && y->rank > 1 && y->dims[last] == plane[0] * plane[1] ? 1 : 0;
}

static uint32_t moving_inputs(const struct sl_node *node)
{
    return node->op == SL_OP_CONCAT ? node->n_inputs : 1;
}

// Does the node leave the dimensions that make a plane alone?
static bool keeps_planes(const struct sl_node *node, const struct sl_tensor *x, uint32_t tail)
{
    switch (node->op) {
    case SL_OP_RESHAPE:
        return true;
    case SL_OP_TRANSPOSE:
        for (uint32_t i = x->rank - tail; i < x->rank; i++)
            if (node->attrs.perm[i] != (int32_t)i)
                return false;
        return true;
    case SL_OP_SLICE:
        for (uint32_t i = x->rank - tail; i < x->rank; i++)
            if (node->attrs.slice.start[i] != 0 || node->attrs.slice.step[i] != 1)
                return false;
        return true;
    case SL_OP_CONCAT:
    case SL_OP_GATHER:
        return sl_axis(node->attrs.axis, x->rank) < x->rank - tail;
    default:
        return false;
    }
}

// Are the planes of both tensors of one size, and held in as many dimensions?
static bool same_planes(const struct channels *c, uint32_t a, uint32_t b)
{
    return tail_of(c, a) == tail_of(c, b) && c->plane[a][0] == c->plane[b][0] &&
           c->plane[a][1] == c->plane[b][1];
}

static bool rearranges(const struct channels *c, const struct sl_node *node)
{
    const struct sl_tensor *y = &c->graph->tensors[node->outputs[0]];
    if (node->n_outputs != 1 || node->activation.kind != SL_ACT_NONE || node->n_inputs == 0 ||
        node->inputs[0] == SL_NO_TENSOR || c->count[node->inputs[0]] == 0)
        return false;
    const uint32_t tail = tail_after(c, node);
    if (tail == 0 || planes_of(y, tail) == 0)
        return false;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const uint32_t t = node->inputs[i];
        if (i >= moving_inputs(node)) {
            if (t != SL_NO_TENSOR && !graph_is_constant(c->graph, t))
                return false;
            continue;
        }
        if (c->count[t] == 0 || !same_planes(c, t, node->inputs[0]) ||
            !keeps_planes(node, &c->graph->tensors[t], tail_of(c, t)))
            return false;
    }
    return true;
}

static bool is_constant_or_absent(const struct channels *c, const struct sl_node *node, uint32_t i)
{
    return i >= node->n_inputs || node->inputs[i] == SL_NO_TENSOR ||
           graph_is_constant(c->graph, node->inputs[i]);
}

static enum channel_rule convolution_rule(const struct channels *c, const struct sl_node *node)
{
    const struct sl_tensor *x = &c->graph->tensors[node->inputs[0]];
    const struct sl_tensor *y = &c->graph->tensors[node->outputs[0]];
    if (!is_constant_or_absent(c, node, 1) || !is_constant_or_absent(c, node, 2))
        return CHANNELS_WHOLE;
    if (node->attrs.conv.group == 1)
        return CHANNELS_MIX;
    return node->attrs.conv.group == x->dims[1] && x->dims[1] == y->dims[1] ? CHANNELS_KEEP
                                                                            : CHANNELS_WHOLE;
}

// Both operands have the result's channels, or are constants, or one number for all channels.
static enum channel_rule binary_rule(const struct channels *c, const struct sl_node *node)
{
    const struct sl_tensor *y = &c->graph->tensors[node->outputs[0]];
    for (uint32_t i = 0; i < 2; i++) {
        const struct sl_tensor *x = &c->graph->tensors[node->inputs[i]];
        if (graph_is_constant(c->graph, node->inputs[i]))
            continue;
        if (!is_map(x) || c->count[node->inputs[i]] == 0 || x->dims[1] != y->dims[1])
            return CHANNELS_WHOLE;
    }
    return CHANNELS_KEEP;
}

static bool only_area_is_reduced(const struct sl_reduce_attrs *a)
{
    return a->keep_dims && (a->axes & 3u) == 0;
}

static enum channel_rule by_operator(const struct channels *c, const struct sl_node *node)
{
    switch (node->op) {
    case SL_OP_CONV:
        return convolution_rule(c, node);
    case SL_OP_BINARY:
        return binary_rule(c, node);
    case SL_OP_REDUCE:
        return only_area_is_reduced(&node->attrs.reduce) ? CHANNELS_KEEP : CHANNELS_WHOLE;
    case SL_OP_PRELU:
    case SL_OP_BATCH_NORM:
        for (uint32_t i = 1; i < node->n_inputs; i++)
            if (!is_constant_or_absent(c, node, i))
                return CHANNELS_WHOLE;
        return CHANNELS_KEEP;
    case SL_OP_PAD:
        return node->attrs.pad.before[1] == 0 && node->attrs.pad.after[1] == 0 ? CHANNELS_KEEP
                                                                               : CHANNELS_WHOLE;
    case SL_OP_UNARY:
    case SL_OP_CLIP:
    case SL_OP_MAX_POOL:
    case SL_OP_AVERAGE_POOL:
    case SL_OP_RESIZE:
        return CHANNELS_KEEP;
    default:
        return CHANNELS_WHOLE;
    }
}

enum channel_rule channels_rule(const struct channels *c, const struct sl_node *node)
{
    const struct sl_tensor *y = &c->graph->tensors[node->outputs[0]];
    if (rearranges(c, node))
        return CHANNELS_REARRANGE;
    if (node->n_outputs != 1 || !is_map(y))
        return CHANNELS_WHOLE;
    for (uint32_t i = 0; i < node->n_inputs; i++)
        if (node->inputs[i] != SL_NO_TENSOR && c->flat[node->inputs[i]])
            return CHANNELS_WHOLE;
    if (node->op != SL_OP_BINARY && c->count[node->inputs[0]] == 0)
        return CHANNELS_WHOLE;
    const enum channel_rule rule = by_operator(c, node);
    if (rule == CHANNELS_KEEP && node->op != SL_OP_BINARY &&
        c->count[node->inputs[0]] != c->count[node->outputs[0]])
        return CHANNELS_WHOLE;
    return rule;
}

static uint32_t root(const struct channels *c, uint32_t slot)
{
    while (c->parent[slot] != slot) {
        c->parent[slot] = c->parent[c->parent[slot]];
        slot = c->parent[slot];
    }
    return slot;
}

static void join(struct channels *c, uint32_t a, uint32_t b)
{
    a = root(c, a);
    b = root(c, b);
    c->parent[b] = a;
    if (!c->fixed_by[a])
        c->fixed_by[a] = c->fixed_by[b];
}

struct prune_plane channels_plane(const struct channels *c, uint32_t tensor, uint32_t i)
{
    return c->moved[tensor] ? c->moved[tensor][i] : (struct prune_plane){tensor, i};
}

uint32_t channels_slot(const struct channels *c, uint32_t tensor, uint32_t i)
{
    const struct prune_plane p = channels_plane(c, tensor, i);
    return root(c, c->first[p.tensor] + p.channel);
}

uint32_t channels_left(const struct channels *c, uint32_t tensor)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < c->count[tensor]; i++)
        left += !c->gone[channels_slot(c, tensor, i)];
    return left;
}

static void fix(struct channels *c, uint32_t tensor, const char *name)
{
    for (uint32_t i = 0; tensor != SL_NO_TENSOR && i < c->count[tensor]; i++) {
        const uint32_t slot = channels_slot(c, tensor, i);
        if (!c->fixed_by[slot])
            c->fixed_by[slot] = name;
    }
}

// Gives the planes of a computed tensor slots of their own.
static void add_own(struct channels *c, uint32_t tensor)
{
    const struct sl_tensor *t = &c->graph->tensors[tensor];
    c->count[tensor] = planes_of(t, 2);
    for (uint32_t i = 0; i < 2 && c->count[tensor] > 0; i++)
        c->plane[tensor][i] = t->dims[t->rank - 2 + i];
    c->first[tensor] = c->n_slots;
    c->n_slots += c->count[tensor];
}

static struct sl_tensor as_numbers(const struct sl_tensor *t, uint32_t tail)
{
    struct sl_tensor numbers = *t;
    numbers.dtype = SL_I32;
    for (uint32_t i = t->rank - tail; i < t->rank; i++)
        numbers.dims[i] = 1;
    numbers.bytes = (uint64_t)planes_of(t, tail) * sizeof(int32_t);
    return numbers;
}

// Where the planes of the result come from: the interpreter runs the node on numbers of planes.
static int trace(struct channels *c, const struct sl_node *node, struct sl_error *error)
{
    const struct graph *g = c->graph;
    const uint32_t n = node->n_inputs + 1, out = node->outputs[0], tail = tail_after(c, node);
    struct sl_tensor *tensors = pool_array(&c->pool, n, sizeof(*tensors));
    uint32_t *operands = pool_array(&c->pool, n, sizeof(*operands));
    void **data = pool_array(&c->pool, n, sizeof(*data));
    const uint32_t count = planes_of(&g->tensors[out], tail);
    int32_t *from = pool_array(&c->pool, count, sizeof(*from)), next = 0;
    struct prune_plane *planes = pool_array(&c->pool, count, sizeof(*planes));
    if (!tensors || !operands || !data || !from || !planes)
        return pool_error(&c->pool, error);
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const uint32_t t = node->inputs[i];
        operands[i] = t == SL_NO_TENSOR ? t : i;
        if (t == SL_NO_TENSOR)
            continue;
        tensors[i] = g->tensors[t];
        if (i >= moving_inputs(node))
            continue;
        tensors[i] = as_numbers(&g->tensors[t], tail_of(c, t));
        int32_t *numbers = data[i] = pool_array(&c->pool, c->count[t], sizeof(*numbers));
        if (!numbers)
            return pool_error(&c->pool, error);
        for (uint32_t k = 0; k < c->count[t]; k++)
            numbers[k] = next++;
    }
    tensors[n - 1] = as_numbers(&g->tensors[out], tail);
    operands[n - 1] = n - 1;
    data[n - 1] = from;
    struct sl_node move = *node;
    move.inputs = operands;
    move.outputs = operands + n - 1;
    const int status = sl_reference_run(tensors, &move, data, error);
    if (status < 0)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        int32_t number = from[i];
        uint32_t k = 0;
        while (number >= (int32_t)c->count[node->inputs[k]])
            number -= (int32_t)c->count[node->inputs[k++]];
        planes[i] = channels_plane(c, node->inputs[k], (uint32_t)number);
    }
    c->count[out] = count;
    c->flat[out] = tail == 1;
    memcpy(c->plane[out], c->plane[node->inputs[0]], sizeof(c->plane[out]));
    c->moved[out] = planes;
    return 0;
}

static int find_planes(struct channels *c, struct sl_error *error)
{
    const struct graph *g = c->graph;
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const struct sl_tensor *t = &g->tensors[g->inputs[i]];
        if (t->rank > 0 && t->dims[0] > 1)
            return sl_error_set(error, -ENOTSUP,
                                "input '%s': batches of %lld pictures; export the model for one",
                                t->name, (long long)t->dims[0]);
        add_own(c, g->inputs[i]);
    }
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const struct sl_node *node = &g->nodes[n];
        int status = 0;
        if (node->op == SL_OP_NONE)
            continue;
        if (rearranges(c, node))
            status = trace(c, node, error);
        else if (node->n_outputs == 1 && is_map(&g->tensors[node->outputs[0]]))
            add_own(c, node->outputs[0]);
        if (status < 0)
            return sl_error_prefix(error, status, "node '%s'", node->name);
    }
    return 0;
}

static void join_kept(struct channels *c, const struct sl_node *node)
{
    const uint32_t y = node->outputs[0];
    for (uint32_t i = 0; i < (node->op == SL_OP_BINARY ? 2u : 1u); i++) {
        const uint32_t x = node->inputs[i];
        for (uint32_t k = 0; !graph_is_constant(c->graph, x) && k < c->count[y]; k++)
            join(c, channels_slot(c, y, k), channels_slot(c, x, k));
    }
}

static void join_all(struct channels *c)
{
    const struct graph *g = c->graph;
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const struct sl_node *node = &g->nodes[n];
        if (node->op == SL_OP_NONE)
            continue;
        const enum channel_rule rule = channels_rule(c, node);
        if (rule == CHANNELS_KEEP)
            join_kept(c, node);
        for (uint32_t i = 0; rule == CHANNELS_WHOLE && i < node->n_inputs; i++)
            fix(c, node->inputs[i], node->name);
        if (rule == CHANNELS_WHOLE)
            fix(c, node->outputs[0], node->name);
    }
    for (uint32_t i = 0; i < g->n_inputs; i++)
        fix(c, g->inputs[i], "the network's input");
    for (uint32_t i = 0; i < g->n_outputs; i++)
        fix(c, g->outputs[i], "the network's output");
}

int channels_find(const struct graph *graph, struct channels *out, struct sl_error *error)
{
    struct channels c = {.graph = graph};
    pool_init(&c.pool, 1ull << 30);
    c.count = pool_array(&c.pool, graph->n_tensors, sizeof(*c.count));
    c.moved = pool_array(&c.pool, graph->n_tensors, sizeof(*c.moved));
    c.first = pool_array(&c.pool, graph->n_tensors, sizeof(*c.first));
    c.plane = pool_array(&c.pool, graph->n_tensors, sizeof(*c.plane));
    c.flat = pool_array(&c.pool, graph->n_tensors, sizeof(*c.flat));
    int status = c.count && c.moved && c.first && c.plane && c.flat ? find_planes(&c, error)
                                                                    : pool_error(&c.pool, error);
    if (status == 0) {
        c.parent = pool_array(&c.pool, c.n_slots, sizeof(*c.parent));
        c.fixed_by = pool_array(&c.pool, c.n_slots, sizeof(*c.fixed_by));
        c.gone = pool_array(&c.pool, c.n_slots, sizeof(*c.gone));
        if (!c.parent || !c.fixed_by || !c.gone)
            status = pool_error(&c.pool, error);
    }
    if (status < 0) {
        pool_free(&c.pool);
        return status;
    }
    for (uint32_t i = 0; i < c.n_slots; i++)
        c.parent[i] = i;
    *out = c;
    join_all(out);
    return 0;
}

void channels_free(struct channels *channels)
{
    pool_free(&channels->pool);
    *channels = (struct channels){0};
}
