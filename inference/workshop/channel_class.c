// Labels through a network.
#include "inference/workshop/channel_class.h"

#include "accel/tensor.h"
#include "inference/workshop/walk.h"
#include "inference/workshop/weight_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// Label 0 is what padding adds: 0, whatever it is divided by. Labels are exact in float32.
enum { PADDING = 0, MOST_LABELS = 1 << 24 };

struct labels {
    const struct graph *graph;
    struct channel_classes *classes;
    uint32_t *parent; // union-find
    uint32_t count, room;
    float **values; // per tensor: the label of each element
};

static uint32_t root(const struct labels *l, uint32_t label)
{
    while (l->parent[label] != label)
        label = l->parent[label] = l->parent[l->parent[label]];
    return label;
}

static uint32_t unite(const struct labels *l, uint32_t a, uint32_t b)
{
    if (a == PADDING || b == PADDING)
        return a == PADDING ? b : a;
    a = root(l, a);
    b = root(l, b);
    const uint32_t low = a < b ? a : b, high = a < b ? b : a;
    l->parent[high] = low; // CHANNEL_FIXED is the lowest
    return low;
}

static int add_label(struct labels *l, uint32_t *out, struct sl_error *error)
{
    if (l->count == l->room) {
        const uint32_t room = l->room * 2;
        uint32_t *grown = room <= MOST_LABELS ? realloc(l->parent, room * sizeof(*grown)) : NULL;
        if (!grown)
            return sl_error_set(error, -ENOMEM, "out of memory");
        l->parent = grown;
        l->room = room;
    }
    l->parent[l->count] = l->count;
    *out = l->count++;
    return 0;
}

static int take_room(struct labels *l, uint32_t tensor, struct sl_error *error)
{
    const uint64_t count = (uint64_t)sl_elements(&l->graph->tensors[tensor]);
    float *v = malloc(count * sizeof(*v) + 1);
    if (!v)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint64_t i = 0; i < count; i++)
        v[i] = CHANNEL_FIXED;
    l->values[tensor] = v;
    return 0;
}

static void fix(const struct labels *l, uint32_t tensor)
{
    const float *v = l->values[tensor];
    const uint64_t count = v ? (uint64_t)sl_elements(&l->graph->tensors[tensor]) : 0;
    for (uint64_t i = 0; i < count; i++)
        unite(l, (uint32_t)v[i], CHANNEL_FIXED);
}

static bool scales_through(const struct sl_activation *a)
{
    return a->kind == SL_ACT_NONE || a->kind == SL_UNARY_RELU || a->kind == SL_UNARY_LEAKY_RELU;
}

// The one class of a channel's whole plane; different ones become one.
static uint32_t of_channel(const struct labels *l, uint32_t tensor, uint32_t channel)
{
    const struct sl_tensor *t = &l->graph->tensors[tensor];
    const uint64_t area = (uint64_t)sl_dims_product(t, 2, t->rank);
    const float *v = l->values[tensor] + channel * area;
    uint32_t found = PADDING;
    for (uint64_t i = 0; i < area; i++)
        if (i == 0 || v[i] != v[i - 1])
            found = unite(l, found, (uint32_t)v[i]);
    return found;
}

static void fill_channel(const struct labels *l, uint32_t tensor, uint32_t channel, uint32_t label)
{
    const struct sl_tensor *t = &l->graph->tensors[tensor];
    const uint64_t area = (uint64_t)sl_dims_product(t, 2, t->rank);
    for (uint64_t i = 0; i < area; i++)
        l->values[tensor][channel * area + i] = (float)label;
}

static int through_convolution(struct labels *l, uint32_t n, struct sl_error *error)
{
    const struct sl_node *node = &l->graph->nodes[n];
    const struct sl_tensor *x = &l->graph->tensors[node->inputs[0]];
    const struct sl_tensor *y = &l->graph->tensors[node->outputs[0]];
    const uint32_t inputs = (uint32_t)x->dims[1], outputs = (uint32_t)y->dims[1];
    uint32_t *reads = calloc(inputs + 1, sizeof(*reads)), label = CHANNEL_FIXED;
    uint32_t *writes = calloc(outputs + 1, sizeof(*writes));
    l->classes->reads[n] = reads;
    l->classes->writes[n] = writes;
    if (!reads || !writes)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t c = 0; c < inputs; c++)
        reads[c] = of_channel(l, node->inputs[0], c);
    for (uint32_t c = 0; c < outputs; c++) {
        const int status = scales_through(&node->activation) ? add_label(l, &label, error) : 0;
        if (status < 0)
            return status;
        fill_channel(l, node->outputs[0], c, label);
        writes[c] = label;
    }
    return 0;
}

static void through_planes(const struct labels *l, const struct sl_node *node)
{
    const uint32_t channels = (uint32_t)l->graph->tensors[node->outputs[0]].dims[1];
    for (uint32_t c = 0; c < channels; c++)
        fill_channel(l, node->outputs[0], c, of_channel(l, node->inputs[0], c));
}

static void through_sum(const struct labels *l, const struct sl_node *node)
{
    const uint64_t count = (uint64_t)sl_elements(&l->graph->tensors[node->outputs[0]]);
    const float *a = l->values[node->inputs[0]], *b = l->values[node->inputs[1]];
    for (uint64_t i = 0; i < count; i++)
        l->values[node->outputs[0]][i] = (float)unite(l, (uint32_t)a[i], (uint32_t)b[i]);
}

static int through_move(const struct labels *l, uint32_t n, struct sl_error *error)
{
    const struct sl_node *node = &l->graph->nodes[n];
    struct walk_program *program = NULL;
    const float *inputs[64], *out;
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const float *v = node->inputs[i] == SL_NO_TENSOR ? NULL : l->values[node->inputs[i]];
        bool known = !v;
        for (uint32_t k = 0; k < count; k++)
            known |= inputs[k] == v;
        if (!known)
            inputs[count++] = v;
    }
    int status = walk_compile(l->graph, n, true, &program, error);
    if (status == 0)
        status = walk_execute(program, inputs, &out, error);
    if (status == 0)
        memcpy(l->values[node->outputs[0]], out, l->graph->tensors[node->outputs[0]].bytes);
    walk_program_free(program);
    return status;
}

enum way { UNKNOWN, PLANES, SUM, MOVE };

static bool same_dims(const struct sl_tensor *a, const struct sl_tensor *b)
{
    return a->rank == b->rank && !memcmp(a->dims, b->dims, a->rank * sizeof(a->dims[0]));
}

static enum way way_of(const struct graph *g, const struct sl_node *node)
{
    const struct sl_tensor *x = &g->tensors[node->inputs[0]], *y = &g->tensors[node->outputs[0]];
    const bool planes = x->rank == 4 && y->rank == 4 && x->dims[1] == y->dims[1];
    switch (node->op) {
    case SL_OP_MAX_POOL:
    case SL_OP_AVERAGE_POOL:
    case SL_OP_RESIZE:
        return planes ? PLANES : UNKNOWN;
    case SL_OP_UNARY:
        return planes && (node->attrs.unary.kind == SL_UNARY_RELU ||
                          node->attrs.unary.kind == SL_UNARY_LEAKY_RELU)
                   ? PLANES
                   : UNKNOWN;
    case SL_OP_BINARY:
        return (node->attrs.binary == SL_BINARY_ADD || node->attrs.binary == SL_BINARY_SUB) &&
                       same_dims(x, y) && same_dims(&g->tensors[node->inputs[1]], y)
                   ? SUM
                   : UNKNOWN;
    case SL_OP_PAD:
        return node->attrs.pad.value == 0 ? MOVE : UNKNOWN;
    case SL_OP_RESHAPE:
    case SL_OP_TRANSPOSE:
    case SL_OP_CONCAT:
    case SL_OP_SLICE:
    case SL_OP_GATHER:
    case SL_OP_EXPAND:
    case SL_OP_TILE:
    case SL_OP_DEPTH_TO_SPACE:
    case SL_OP_SPACE_TO_DEPTH:
        return MOVE;
    default:
        return UNKNOWN;
    }
}

// Constants among the numbers, or results that are not float: their meaning is not known here.
static bool is_plain(const struct labels *l, const struct sl_node *node)
{
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        const bool index = node->op == SL_OP_GATHER && i == 1;
        if (node->inputs[i] != SL_NO_TENSOR && !index && !l->values[node->inputs[i]])
            return false;
    }
    return node->n_inputs <= 64 && node->n_outputs == 1 && scales_through(&node->activation);
}

static bool is_convolution(const struct graph *g, const struct sl_node *node)
{
    return node->op == SL_OP_CONV && weight_rows_exist(g, node) &&
           g->tensors[node->inputs[0]].rank == 4;
}

static int visit(struct labels *l, uint32_t n, struct sl_error *error)
{
    const struct sl_node *node = &l->graph->nodes[n];
    int status = 0;
    for (uint32_t i = 0; i < node->n_outputs && status == 0; i++)
        if (l->graph->tensors[node->outputs[i]].dtype == SL_F32)
            status = take_room(l, node->outputs[i], error);
    if (status < 0)
        return status;
    if (is_convolution(l->graph, node) && l->values[node->inputs[0]])
        return through_convolution(l, n, error);
    switch (is_plain(l, node) ? way_of(l->graph, node) : UNKNOWN) {
    case PLANES:
        through_planes(l, node);
        return 0;
    case SUM:
        through_sum(l, node);
        return 0;
    case MOVE:
        return through_move(l, n, error);
    default:
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] != SL_NO_TENSOR)
                fix(l, node->inputs[i]);
        return 0;
    }
}

static void name_classes(const struct labels *l, uint32_t *classes, uint32_t tensor)
{
    const uint32_t channels = classes ? (uint32_t)l->graph->tensors[tensor].dims[1] : 0;
    for (uint32_t c = 0; c < channels; c++) // a channel of nothing but padding stays as it is
        classes[c] = classes[c] == PADDING ? CHANNEL_FIXED : root(l, classes[c]);
}

static int walk_labels(struct labels *l, struct sl_error *error)
{
    const struct graph *g = l->graph;
    int status = 0;
    for (uint32_t i = 0; i < g->n_inputs && status == 0; i++)
        status = take_room(l, g->inputs[i], error);
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++)
        if (g->nodes[n].op != SL_OP_NONE)
            status = visit(l, n, error);
    for (uint32_t i = 0; i < g->n_outputs && status == 0; i++)
        fix(l, g->outputs[i]);
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++) {
        if (g->nodes[n].op == SL_OP_NONE)
            continue;
        name_classes(l, l->classes->reads[n], g->nodes[n].inputs[0]);
        name_classes(l, l->classes->writes[n], g->nodes[n].outputs[0]);
    }
    return status;
}

int channel_classes_find(const struct graph *graph, struct channel_classes *out,
                         struct sl_error *error)
{
    enum { FIRST_ROOM = 1024 };
    struct channel_classes classes = {
        .n_nodes = graph->n_nodes,
        .reads = calloc(graph->n_nodes + 1, sizeof(*classes.reads)),
        .writes = calloc(graph->n_nodes + 1, sizeof(*classes.writes)),
    };
    struct labels l = {.graph = graph,
                       .classes = &classes,
                       .parent = calloc(FIRST_ROOM, sizeof(*l.parent)),
                       .count = CHANNEL_FIXED + 1,
                       .room = FIRST_ROOM,
                       .values = calloc(graph->n_tensors, sizeof(*l.values))};
    int status = -ENOMEM;
    if (classes.reads && classes.writes && l.parent && l.values) {
        l.parent[CHANNEL_FIXED] = CHANNEL_FIXED;
        status = walk_labels(&l, error);
    } else {
        sl_error_set(error, status, "out of memory");
    }
    for (uint32_t i = 0; l.values && i < graph->n_tensors; i++)
        free(l.values[i]);
    free(l.values);
    free(l.parent);
    classes.count = l.count;
    if (status < 0)
        channel_classes_free(&classes);
    else
        *out = classes;
    return status;
}

void channel_classes_free(struct channel_classes *classes)
{
    for (uint32_t i = 0; i < classes->n_nodes; i++) {
        if (classes->reads)
            free(classes->reads[i]);
        if (classes->writes)
            free(classes->writes[i]);
    }
    free(classes->reads);
    free(classes->writes);
    *classes = (struct channel_classes){0};
}
