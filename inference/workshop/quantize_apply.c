// The plan becomes a network of integers.
#include "inference/workshop/quantize_impl.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct apply {
    const struct plan *plan;
    const struct graph *from; // plan->changed: corrected biases, the other constants as they were
    struct graph *to;
    uint32_t *integers; // per tensor: the integer form once it exists, or SL_NO_TENSOR
};

static const char *suffixed(struct graph *g, const char *name, const char *suffix)
{
    char text[512];
    snprintf(text, sizeof(text), "%.*s%s", sl_text_length(name, 480), name, suffix);
    return pool_string(&g->pool, text, strlen(text));
}

static int make_integers(struct apply *a, uint32_t tensor, struct sl_error *error)
{
    const struct rounding r = plan_group(a->plan, tensor)->rounding;
    struct sl_tensor t = a->to->tensors[tensor];
    t.name = suffixed(a->to, t.name, "_q");
    if (!t.name)
        return pool_error(&a->to->pool, error);
    t.dtype = SL_U8;
    t.bytes /= sizeof(float);
    const int status = graph_make_quant(a->to, 1, 0, &r.scale, &r.zero_point, &t.quant, error);
    return status < 0 ? status : graph_add_tensor(a->to, &t, &a->integers[tensor], error);
}

// True if somebody reads the tensor as a float number: an operator that stays, or the caller.
static bool read_as_float(const struct apply *a, uint32_t tensor)
{
    for (uint32_t i = 0; i < a->from->n_outputs; i++)
        if (a->from->outputs[i] == tensor)
            return true;
    for (uint32_t n = 0; n < a->from->n_nodes; n++) {
        const struct sl_node *node = &a->from->nodes[n];
        if (node->op == SL_OP_NONE || plan_is_integer(a->plan, n))
            continue;
        for (uint32_t i = 0; i < node->n_inputs; i++)
            if (node->inputs[i] == tensor)
                return true;
    }
    return false;
}

static int add_conversion(struct apply *a, uint32_t op, uint32_t from, uint32_t to,
                          struct sl_error *error)
{
    const struct sl_node node = {.name = a->to->tensors[to].name,
                                 .op = op,
                                 .n_inputs = 1,
                                 .n_outputs = 1,
                                 .inputs = &from,
                                 .outputs = &to};
    return graph_add_node(a->to, &node, error);
}

static int add_weights(struct apply *a, uint32_t node, uint32_t *out, struct sl_error *error)
{
    const struct layer_weights *w = &a->plan->weights[node];
    const struct sl_node *n = &a->plan->graph->nodes[node];
    struct sl_tensor t = a->plan->graph->tensors[n->inputs[1]];
    int32_t axis = 0;
    if (n->op == SL_OP_CONV_TRANSPOSE || (n->op == SL_OP_GEMM && !n->attrs.gemm.trans_b))
        axis = 1;
    if (n->op == SL_OP_MATMUL)
        axis = (int32_t)t.rank - 1;
    t.dtype = SL_I8;
    t.bytes /= sizeof(float);
    t.data = pool_copy(&a->to->pool, w->values, t.bytes);
    if (!t.data)
        return pool_error(&a->to->pool, error);
    const int status =
        graph_make_quant(a->to, w->n_channels, axis, w->scale, NULL, &t.quant, error);
    return status < 0 ? status : graph_add_tensor(a->to, &t, out, error);
}

// The bias as integers with scale s_x s_w; accel/graph.h adds it to the sum.
static int add_bias(struct apply *a, uint32_t node, const struct rounding *x, uint32_t *out,
                    struct sl_error *error)
{
    const struct layer_weights *w = &a->plan->weights[node];
    const struct sl_node *n = &a->from->nodes[node];
    struct sl_tensor t = a->from->tensors[n->inputs[2]];
    const float *values = t.data;
    int32_t *sums = pool_array(&a->to->pool, w->n_channels, sizeof(*sums));
    float *scale = pool_array(&a->to->pool, w->n_channels, sizeof(*scale));
    if (!sums || !scale)
        return pool_error(&a->to->pool, error);
    for (uint32_t i = 0; i < w->n_channels; i++) {
        scale[i] = x->scale * w->scale[i];
        const double q = rint((double)values[i] / (double)scale[i]);
        if (!(fabs(q) < 0x1p30))
            return sl_error_set(error, -ERANGE,
                                "node '%s': bias %u is %g, %g times what its weights can add; keep "
                                "this layer in float (--keep-float %s)",
                                n->name, i, (double)values[i], fabs(q) / 0x1p30, n->name);
        sums[i] = (int32_t)q;
    }
    t.dtype = SL_I32;
    t.data = sums;
    const int status = graph_make_quant(a->to, w->n_channels, 0, scale, NULL, &t.quant, error);
    return status < 0 ? status : graph_add_tensor(a->to, &t, out, error);
}

static int layer_inputs(struct apply *a, uint32_t node, uint32_t inputs[3], uint32_t *count,
                        struct sl_error *error)
{
    const struct sl_node *n = &a->from->nodes[node];
    const struct rounding x = plan_group(a->plan, n->inputs[0])->rounding;
    inputs[0] = a->integers[n->inputs[0]];
    *count = 2;
    int status = add_weights(a, node, &inputs[1], error);
    if (status == 0 && n->n_inputs > 2 && n->inputs[2] != SL_NO_TENSOR) {
        *count = 3;
        status = add_bias(a, node, &x, &inputs[2], error);
    }
    return status;
}

static int add_integer_node(struct apply *a, uint32_t node, struct sl_error *error)
{
    const struct sl_node *n = &a->from->nodes[node];
    const uint32_t result = n->outputs[0];
    uint32_t inputs[64], count = n->n_inputs;
    struct sl_node copy = *n;
    int status = 0;
    if (weight_rows_exist(a->plan->graph, &a->plan->graph->nodes[node]))
        status = layer_inputs(a, node, inputs, &count, error);
    else
        for (uint32_t i = 0; i < count && i < 64; i++)
            inputs[i] = n->inputs[i] != SL_NO_TENSOR && a->integers[n->inputs[i]] != SL_NO_TENSOR
                            ? a->integers[n->inputs[i]]
                            : n->inputs[i];
    copy.inputs = inputs;
    copy.n_inputs = count;
    if (status < 0 || !a->plan->wanted[result])
        return status < 0 ? status : graph_add_node(a->to, &copy, error);
    status = make_integers(a, result, error);
    copy.outputs = &a->integers[result];
    if (status == 0)
        status = graph_add_node(a->to, &copy, error);
    if (status == 0 && read_as_float(a, result))
        status = add_conversion(a, SL_OP_DEQUANTIZE, a->integers[result], result, error);
    return status;
}

// The integers that `node` makes `tensor` of, if they are what it would be rounded to.
static uint32_t same_integers(const struct apply *a, const struct sl_node *node, uint32_t tensor)
{
    const struct rounding r = plan_group(a->plan, tensor)->rounding;
    if (!node || node->op != SL_OP_DEQUANTIZE)
        return SL_NO_TENSOR;
    const struct sl_tensor *t = &a->from->tensors[node->inputs[0]];
    return t->dtype == SL_U8 && t->quant.count == 1 && t->quant.scale[0] == r.scale &&
                   t->quant.zero_point[0] == r.zero_point
               ? node->inputs[0]
               : SL_NO_TENSOR;
}

// `writer`: the node that computes the tensor, or NULL for the network's input.
static int quantise_float(struct apply *a, const struct sl_node *writer, uint32_t tensor,
                          struct sl_error *error)
{
    if (!a->plan->wanted[tensor])
        return 0;
    a->integers[tensor] = same_integers(a, writer, tensor);
    if (a->integers[tensor] != SL_NO_TENSOR)
        return 0;
    const int status = make_integers(a, tensor, error);
    return status < 0 ? status
                      : add_conversion(a, SL_OP_QUANTIZE, tensor, a->integers[tensor], error);
}

static int add_node(struct apply *a, uint32_t node, struct sl_error *error)
{
    if (plan_is_integer(a->plan, node))
        return add_integer_node(a, node, error);
    const struct sl_node *n = &a->from->nodes[node];
    int status = graph_add_node(a->to, n, error);
    for (uint32_t i = 0; i < n->n_outputs && status == 0; i++)
        status = quantise_float(a, n, n->outputs[i], error);
    return status;
}

int plan_apply(struct plan *plan, struct graph *out, struct sl_error *error)
{
    struct apply a = {.plan = plan, .from = &plan->changed, .to = out};
    uint32_t number;
    int status = 0;
    a.integers = malloc(a.from->n_tensors * sizeof(*a.integers));
    if (!a.integers)
        return sl_error_set(error, -ENOMEM, "out of memory");
    memset(a.integers, 0xff, a.from->n_tensors * sizeof(*a.integers));
    graph_init(out, 8ull << 30);
    for (uint32_t i = 0; i < a.from->n_tensors && status == 0; i++)
        status = graph_add_tensor(out, &a.from->tensors[i], &number, error);
    for (uint32_t i = 0; i < a.from->n_inputs && status == 0; i++) {
        status = graph_add_input(out, a.from->inputs[i], error);
        if (status == 0)
            status = quantise_float(&a, NULL, a.from->inputs[i], error);
    }
    for (uint32_t n = 0; n < a.from->n_nodes && status == 0; n++)
        if (a.from->nodes[n].op != SL_OP_NONE)
            status = add_node(&a, n, error);
    for (uint32_t i = 0; i < a.from->n_outputs && status == 0; i++)
        status = graph_add_output(out, a.from->outputs[i], error);
    free(a.integers);
    if (status < 0)
        graph_free(out);
    return status;
}
