// How much of the network's error comes from each layer, and which ones had better stay in float.
#include "inference/workshop/quantize_impl.h"

#include "inference/workshop/output_error.h"

#include "accel/tensor.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// A layer stays in float if it alone makes OUTLIER times the mean layer's error, and all that do
// have no more than one part in MACS_SHARE of the multiply-accumulates.
enum { OUTLIER = 5, MACS_SHARE = 10 };

static int add_rounding(struct plan *plan, struct graph *g, uint32_t tensor, uint32_t *out,
                        struct sl_error *error)
{
    const struct rounding r = plan_group(plan, tensor)->rounding;
    struct sl_tensor integers = plan->graph->tensors[tensor], real = integers;
    uint32_t q;
    integers.dtype = SL_U8;
    integers.bytes /= sizeof(float);
    int status = graph_make_quant(g, 1, 0, &r.scale, &r.zero_point, &integers.quant, error);
    if (status == 0)
        status = graph_add_tensor(g, &integers, &q, error);
    if (status == 0)
        status = graph_add_tensor(g, &real, out, error);
    struct sl_node node = {.name = real.name,
                           .op = SL_OP_QUANTIZE,
                           .n_inputs = 1,
                           .n_outputs = 1,
                           .inputs = &tensor,
                           .outputs = &q};
    if (status == 0)
        status = graph_add_node(g, &node, error);
    node.op = SL_OP_DEQUANTIZE;
    node.inputs = &q;
    node.outputs = out;
    return status < 0 ? status : graph_add_node(g, &node, error);
}

// One scale per row, nearest: what every quantiser does at least.
static int add_rounded_weights(struct plan *plan, struct graph *g, const struct sl_node *node,
                               uint32_t *out, struct sl_error *error)
{
    struct weight_rows rows;
    struct sl_tensor t = plan->graph->tensors[node->inputs[1]];
    float *values = pool_alloc(&g->pool, t.bytes);
    int status =
        values ? weight_rows_read(plan->graph, node, &rows, error) : pool_error(&g->pool, error);
    if (status < 0)
        return status;
    for (uint32_t i = 0; i < rows.m; i++) {
        float most = 1e-12f;
        for (uint32_t j = 0; j < rows.k; j++)
            most = fmaxf(most, fabsf(rows.values[(uint64_t)i * rows.k + j]));
        for (uint32_t j = 0; j < rows.k; j++)
            values[weight_rows_index(plan->graph, node, i, j)] =
                rintf(rows.values[(uint64_t)i * rows.k + j] / most * 127) * most / 127;
    }
    free(rows.values);
    t.data = values;
    return graph_add_tensor(g, &t, out, error);
}

static int quantise_one(struct plan *plan, uint32_t node, struct graph *out, struct sl_error *error)
{
    const struct graph *g = plan->graph;
    uint32_t number;
    int status = 0;
    graph_init(out, 8ull << 30);
    for (uint32_t i = 0; i < g->n_tensors && status == 0; i++)
        status = graph_add_tensor(out, &g->tensors[i], &number, error);
    for (uint32_t i = 0; i < g->n_inputs && status == 0; i++)
        status = graph_add_input(out, g->inputs[i], error);
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++) {
        struct sl_node copy = g->nodes[n];
        uint32_t inputs[3];
        if (n == node) {
            memcpy(inputs, copy.inputs, copy.n_inputs * sizeof(*inputs));
            copy.inputs = inputs;
            status = add_rounding(plan, out, g->nodes[n].inputs[0], &inputs[0], error);
            if (status == 0)
                status = add_rounded_weights(plan, out, &g->nodes[n], &inputs[1], error);
        }
        if (status == 0)
            status = graph_add_node(out, &copy, error);
    }
    for (uint32_t i = 0; i < g->n_outputs && status == 0; i++)
        status = graph_add_output(out, g->outputs[i], error);
    if (status < 0)
        graph_free(out);
    return status;
}

static int measure_layer(struct plan *plan, uint32_t node, struct output_error *outputs,
                         struct sl_error *error)
{
    struct graph one;
    double found = 0;
    int status = quantise_one(plan, node, &one, error);
    if (status < 0)
        return status;
    status = output_error_of(outputs, &one, &found, error);
    graph_free(&one);
    plan->report->layers[plan->layer[node]].sensitivity = (float)found;
    return status;
}

static int measure_all(struct plan *plan, struct sl_error *error)
{
    const struct graph *g = plan->graph;
    struct output_error outputs;
    int status = output_error_begin(g, plan->calibration, NULL, &outputs, error);
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++) {
        if (plan->layer[n] != UINT32_MAX)
            status = measure_layer(plan, n, &outputs, error);
        if (plan->options->progress)
            plan->options->progress(plan->options->ctx, "measuring layers", n + 1, g->n_nodes);
    }
    output_error_end(&outputs);
    double total = 1e-30;
    for (uint32_t i = 0; i < plan->report->n_layers; i++)
        total += (double)plan->report->layers[i].sensitivity;
    for (uint32_t i = 0; i < plan->report->n_layers; i++)
        plan->report->layers[i].sensitivity /= (float)total;
    return status;
}

// The layer that is not kept yet and costs most, or UINT32_MAX.
static uint32_t worst(const struct plan *plan)
{
    uint32_t found = UINT32_MAX;
    float most = -1;
    for (uint32_t n = 0; n < plan->graph->n_nodes; n++) {
        if (plan->layer[n] == UINT32_MAX || plan->kept[n])
            continue;
        const float cost = plan->report->layers[plan->layer[n]].sensitivity;
        if (cost > most) {
            most = cost;
            found = n;
        }
    }
    return found;
}

// Layers far beyond their equal share, the worst first, as long as they are cheap together.
static void keep_costly(struct plan *plan)
{
    const float limit = OUTLIER / (float)plan->report->n_layers;
    int64_t budget = 0;
    for (uint32_t i = 0; i < plan->report->n_layers; i++)
        budget += plan->report->layers[i].macs;
    budget /= MACS_SHARE;
    for (uint32_t n = worst(plan); n != UINT32_MAX; n = worst(plan)) {
        const struct quantize_layer *l = &plan->report->layers[plan->layer[n]];
        if (l->macs > budget || l->sensitivity < limit)
            return;
        budget -= l->macs;
        plan->kept[n] = true;
    }
}

static int keep_named(struct plan *plan, const char *names, struct sl_error *error)
{
    for (const char *at = names; *at;) {
        const size_t length = strcspn(at, ",");
        bool found = false;
        for (uint32_t n = 0; n < plan->graph->n_nodes; n++) {
            const char *name = plan->graph->nodes[n].name;
            if (plan->layer[n] == UINT32_MAX || strlen(name) != length ||
                strncmp(name, at, length) != 0)
                continue;
            plan->kept[n] = found = true;
        }
        if (!found)
            return sl_error_set(error, -ENOENT,
                                "--keep-float: no layer has the name '%.*s'; the report without "
                                "this option lists them",
                                (int)length, at);
        at += length + (at[length] == ',');
    }
    return 0;
}

int sensitivity_choose(struct plan *plan, struct sl_error *error)
{
    const char *what = plan->options->keep_float;
    char *end;
    const unsigned long count = strtoul(what, &end, 10);
    const bool number = *what && !*end, automatic = !strcmp(what, "auto");
    if (!number && !automatic)
        return keep_named(plan, what, error);
    const int status = measure_all(plan, error);
    if (status < 0)
        return status;
    if (automatic)
        keep_costly(plan);
    for (unsigned long i = 0; number && i < count; i++) {
        const uint32_t n = worst(plan);
        if (n == UINT32_MAX)
            break;
        plan->kept[n] = true;
    }
    return 0;
}
