// The network without the channels that are gone.
#include "inference/workshop/prune_impl.h"

#include "accel/reference.h"
#include "accel/tensor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cut {
    const struct prune_plan *plan;
    const struct channels *channels;
    const struct graph *from;
    struct graph *out;
    uint32_t *gathered; // per tensor that only rearranges: what stands for it now, or SL_NO_TENSOR
};

static bool goes(const struct cut *cut, uint32_t tensor, uint32_t i)
{
    const struct channels *c = cut->channels;
    return tensor < cut->plan->graph->n_tensors && c->count[tensor] > 0 &&
           c->gone[channels_slot(c, tensor, i)];
}

static bool loses(const struct cut *cut, uint32_t tensor)
{
    const struct channels *c = cut->channels;
    if (tensor >= cut->plan->graph->n_tensors) // a constant that the refit added
        return false;
    return channels_left(c, tensor) < c->count[tensor];
}

static bool is_moved(const struct cut *cut, uint32_t tensor)
{
    return tensor < cut->plan->graph->n_tensors && cut->channels->moved[tensor];
}

// Does a tensor that only rearranges lose planes, or do planes that it is made of move?
static bool shifts(const struct cut *cut, uint32_t tensor)
{
    for (uint32_t i = 0; i < cut->channels->count[tensor]; i++)
        if (loses(cut, channels_plane(cut->channels, tensor, i).tensor))
            return true;
    return false;
}

// A tensor that is computed keeps its number; its channels become fewer.
static int add_tensors(struct cut *cut, struct sl_error *error)
{
    const struct graph *g = cut->from;
    uint32_t number;
    int status = 0;
    for (uint32_t t = 0; t < g->n_tensors && status == 0; t++) {
        struct sl_tensor tensor = g->tensors[t];
        if (loses(cut, t) && !is_moved(cut, t)) {
            const uint32_t left = channels_left(cut->channels, t);
            tensor.bytes = tensor.bytes / cut->channels->count[t] * left;
            tensor.dims[1] = left;
        }
        status = graph_add_tensor(cut->out, &tensor, &number, error);
    }
    return status;
}

// The constant without what belongs to channels of `tensor` that are gone, along `axis`.
static int slice_constant(struct cut *cut, uint32_t constant, uint32_t axis, uint32_t tensor,
                          uint32_t *number, struct sl_error *error)
{
    struct sl_tensor t = cut->out->tensors[constant];
    const uint64_t inner = (uint64_t)sl_dims_product(&t, axis + 1, t.rank) * sl_dtype_size(t.dtype);
    const uint64_t outer = (uint64_t)sl_dims_product(&t, 0, axis), all = (uint64_t)t.dims[axis];
    const char *from = t.data;
    uint32_t left = 0;
    *number = constant;
    if (!loses(cut, tensor) || all == 1)
        return 0;
    char *to = pool_alloc(&cut->out->pool, t.bytes), *at = to;
    if (!to)
        return pool_error(&cut->out->pool, error);
    for (uint64_t o = 0; o < outer; o++)
        for (uint64_t i = 0; i < all; i++) {
            if (goes(cut, tensor, (uint32_t)i))
                continue;
            memcpy(at, from + (o * all + i) * inner, inner);
            at += inner;
            left += o == 0;
        }
    t.data = to;
    t.dims[axis] = left;
    t.bytes = (uint64_t)(at - to);
    return graph_add_tensor(cut->out, &t, number, error);
}

static int add_constant(struct cut *cut, const char *name, const int64_t *values, uint32_t count,
                        uint32_t *number, struct sl_error *error)
{
    const struct sl_tensor t = {.name = name,
                                .dtype = SL_I64,
                                .rank = 1,
                                .dims = {count},
                                .data = pool_copy(&cut->out->pool, values, count * sizeof(*values)),
                                .bytes = count * sizeof(*values)};
    return t.data ? graph_add_tensor(cut->out, &t, number, error)
                  : pool_error(&cut->out->pool, error);
}

static int add_map(struct cut *cut, const char *what, uint32_t tensor, uint32_t channels,
                   uint32_t *number, struct sl_error *error)
{
    const struct sl_tensor *like = &cut->from->tensors[tensor];
    struct sl_tensor t = *like;
    char name[256];
    const char *stem = like->name ? like->name : "";
    snprintf(name, sizeof(name), "%.*s_%s", sl_text_length(stem, 200), stem, what);
    t.name = pool_string(&cut->out->pool, name, strlen(name));
    t.rank = 4;
    t.dims[0] = 1;
    t.dims[1] = channels;
    t.dims[2] = cut->channels->plane[tensor][0];
    t.dims[3] = cut->channels->plane[tensor][1];
    t.bytes = (uint64_t)sl_elements(&t) * sl_dtype_size(t.dtype);
    return t.name ? graph_add_tensor(cut->out, &t, number, error)
                  : pool_error(&cut->out->pool, error);
}

// The tensors in which planes of a rearranged tensor are computed, each once, and where each begins
// when they stand behind each other.
struct sources {
    uint32_t *tensors, *first, count, channels;
};

static uint32_t position(const struct cut *cut, const struct sources *s, struct prune_plane plane)
{
    uint32_t i = 0, before = 0;
    while (s->tensors[i] != plane.tensor)
        i++;
    for (uint32_t k = 0; k < plane.channel; k++)
        before += !goes(cut, plane.tensor, k);
    return s->first[i] + before;
}

static void find_sources(const struct cut *cut, uint32_t tensor, struct sources *s)
{
    for (uint32_t i = 0; i < cut->channels->count[tensor]; i++) {
        const uint32_t t = channels_plane(cut->channels, tensor, i).tensor;
        bool known = goes(cut, tensor, i);
        for (uint32_t k = 0; k < s->count; k++)
            known |= s->tensors[k] == t;
        if (known)
            continue;
        s->first[s->count] = s->channels;
        s->tensors[s->count++] = t;
        s->channels += channels_left(cut->channels, t);
    }
}

static int add_move(struct cut *cut, const struct sl_node *like, struct sl_error *error)
{
    struct sl_node node = *like;
    node.name = cut->out->tensors[like->outputs[0]].name;
    node.n_outputs = 1;
    return graph_add_node(cut->out, &node, error);
}

// Concat of the sources, then Gather of the planes in their order; neither where it does nothing.
static int gather(struct cut *cut, uint32_t tensor, const struct sources *s, const int64_t *indices,
                  uint32_t count, uint32_t *number, struct sl_error *error)
{
    const struct sl_tensor *like = &cut->from->tensors[tensor];
    bool in_order = count == s->channels;
    int status = 0;
    for (uint32_t i = 0; i < count; i++)
        in_order &= indices[i] == i;
    *number = s->tensors[0];
    if (s->count > 1) {
        struct sl_node node = {.op = SL_OP_CONCAT, .n_inputs = s->count, .inputs = s->tensors};
        node.attrs.axis = 1;
        status = add_map(cut, "planes", tensor, s->channels, number, error);
        node.outputs = number;
        if (status == 0)
            status = add_move(cut, &node, error);
    }
    if (status < 0 || in_order)
        return status;
    uint32_t inputs[2] = {*number, 0};
    struct sl_node node = {.op = SL_OP_GATHER, .n_inputs = 2, .inputs = inputs};
    node.attrs.axis = 1;
    status = add_constant(cut, like->name, indices, count, &inputs[1], error);
    if (status == 0)
        status = add_map(cut, "left", tensor, count, number, error);
    node.outputs = number;
    return status < 0 ? status : add_move(cut, &node, error);
}

// Who reads planes in other dimensions than a feature map's needs all of them.
static int restore_dims(struct cut *cut, uint32_t tensor, uint32_t *number, struct sl_error *error)
{
    const struct sl_tensor *like = &cut->from->tensors[tensor];
    const uint32_t map = *number;
    struct sl_node node = {.op = SL_OP_RESHAPE, .n_inputs = 1, .inputs = &map, .outputs = number};
    if (like->rank == 4 && like->dims[0] == 1 && !cut->channels->flat[tensor])
        return 0;
    const int status = graph_add_tensor(cut->out, like, number, error);
    return status < 0 ? status : add_move(cut, &node, error);
}

// What stands for a rearranged tensor when planes went.
static int rebuild(struct cut *cut, uint32_t tensor, uint32_t *number, struct sl_error *error)
{
    const uint32_t count = cut->channels->count[tensor];
    struct sources s = {malloc(count * sizeof(uint32_t) + 1), malloc(count * sizeof(uint32_t) + 1),
                        0, 0};
    int64_t *indices = malloc(count * sizeof(*indices) + 1);
    int status =
        s.tensors && s.first && indices ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0) {
        uint32_t left = 0;
        find_sources(cut, tensor, &s);
        for (uint32_t i = 0; i < count; i++)
            if (!goes(cut, tensor, i))
                indices[left++] = position(cut, &s, channels_plane(cut->channels, tensor, i));
        status = gather(cut, tensor, &s, indices, left, number, error);
    }
    if (status == 0)
        status = restore_dims(cut, tensor, number, error);
    free(s.tensors);
    free(s.first);
    free(indices);
    return status;
}

static int map_input(struct cut *cut, uint32_t tensor, uint32_t *number, struct sl_error *error)
{
    *number = tensor;
    if (tensor == SL_NO_TENSOR || !is_moved(cut, tensor) || !shifts(cut, tensor))
        return 0;
    int status = 0;
    if (cut->gathered[tensor] == SL_NO_TENSOR)
        status = rebuild(cut, tensor, &cut->gathered[tensor], error);
    *number = cut->gathered[tensor];
    return status;
}

// Constants of a node that follow the channels of its result, or of its input.
static int slice_operands(struct cut *cut, const struct sl_node *node, enum channel_rule rule,
                          uint32_t *inputs, struct sl_error *error)
{
    const uint32_t y = node->outputs[0];
    int status = 0;
    for (uint32_t i = 0; i < node->n_inputs && status == 0; i++) {
        const uint32_t t = inputs[i];
        if (t == SL_NO_TENSOR || !cut->out->tensors[t].data)
            continue;
        const uint32_t rank = cut->out->tensors[t].rank;
        if (node->op == SL_OP_CONV || node->op == SL_OP_BATCH_NORM)
            status = slice_constant(cut, t, 0, y, &inputs[i], error);
        else if (rank >= 3 && (node->op == SL_OP_BINARY || node->op == SL_OP_PRELU))
            status = slice_constant(cut, t, rank - 3, y, &inputs[i], error);
        if (status == 0 && rule == CHANNELS_MIX && i == 1)
            status = slice_constant(cut, inputs[1], 1, node->inputs[0], &inputs[1], error);
    }
    return status;
}

static int copy_node(struct cut *cut, uint32_t n, struct sl_error *error)
{
    const struct sl_node *node = &cut->from->nodes[n];
    const enum channel_rule rule = channels_rule(cut->channels, &cut->plan->graph->nodes[n]);
    if (rule == CHANNELS_REARRANGE && shifts(cut, node->outputs[0]))
        return 0;
    struct sl_node copy = *node;
    uint32_t *inputs = malloc((node->n_inputs + 1ull) * sizeof(*inputs));
    int status = inputs ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < node->n_inputs && status == 0; i++)
        status = map_input(cut, node->inputs[i], &inputs[i], error);
    if (status == 0 && (rule == CHANNELS_MIX || rule == CHANNELS_KEEP))
        status = slice_operands(cut, node, rule, inputs, error);
    if (status == 0 && rule == CHANNELS_KEEP && node->op == SL_OP_CONV)
        copy.attrs.conv.group = channels_left(cut->channels, node->outputs[0]);
    copy.inputs = inputs;
    if (status == 0)
        status = graph_add_node(cut->out, &copy, error);
    free(inputs);
    return status;
}

int prune_cut(const struct prune_plan *plan, const struct graph *from, struct graph *out,
              struct sl_error *error)
{
    struct cut cut = {.plan = plan, .channels = &plan->channels, .from = from, .out = out};
    graph_init(out, 8ull << 30);
    cut.gathered = malloc((from->n_tensors + 1ull) * sizeof(*cut.gathered));
    int status =
        cut.gathered ? add_tensors(&cut, error) : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t t = 0; t < from->n_tensors && cut.gathered; t++)
        cut.gathered[t] = SL_NO_TENSOR;
    for (uint32_t i = 0; i < from->n_inputs && status == 0; i++)
        status = graph_add_input(out, from->inputs[i], error);
    for (uint32_t n = 0; n < from->n_nodes && status == 0; n++)
        if (from->nodes[n].op != SL_OP_NONE)
            status = copy_node(&cut, n, error);
    for (uint32_t i = 0; i < from->n_outputs && status == 0; i++)
        status = graph_add_output(out, from->outputs[i], error);
    free(cut.gathered);
    if (status < 0)
        graph_free(out);
    return status;
}
