// Sparse weights for a whole network.
#include "inference/workshop/sparse_impl.h"

#include "accel/tensor.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SIDE = 64, MOST_INPUTS = 4608 };

int sparse_pattern_parse(const char *text, struct sparse_pattern *out, struct sl_error *error)
{
    char *end;
    if (!strcmp(text, "unstructured")) {
        *out = (struct sparse_pattern){1, 1};
        return 0;
    }
    const unsigned long outputs = strtoul(text, &end, 10);
    const bool middle = end != text && *end == 'x' && end[1] >= '0' && end[1] <= '9';
    const unsigned long inputs = middle ? strtoul(end + 1, &end, 10) : 0;
    if (!middle || *end || outputs < 1 || outputs > MOST_SIDE || inputs < 1 || inputs > MOST_SIDE ||
        text[0] < '0' || text[0] > '9')
        return sl_error_set(error, -EINVAL,
                            "expected unstructured, or output channels x input channels of a "
                            "block, from 1x1 to %dx%d, such as 16x4; found '%s'",
                            MOST_SIDE, MOST_SIDE, text);
    *out = (struct sparse_pattern){(uint32_t)outputs, (uint32_t)inputs};
    return 0;
}

static void tell(const struct sparse_plan *plan, const char *what, uint32_t node)
{
    if (plan->options->progress)
        plan->options->progress(plan->options->ctx, what, node + 1, plan->graph->n_nodes);
}

static const char *why_whole(const struct graph *graph, const struct sl_node *node,
                             const struct weight_rows *rows)
{
    if (node->op == SL_OP_CONV_TRANSPOSE)
        return "transposed convolution";
    if (rows->groups > 1)
        return "grouped convolution";
    if (rows->k > MOST_INPUTS)
        return "too many inputs";
    return sl_elements(&graph->tensors[node->outputs[0]]) == 0 ? "no results" : NULL;
}

static int add_task(struct sparse_plan *plan, uint32_t node, const struct weight_rows *rows,
                    struct sparse_layer *layer, struct sl_error *error)
{
    const struct sl_tensor *w = &plan->graph->tensors[plan->graph->nodes[node].inputs[1]];
    const bool conv = plan->graph->nodes[node].op == SL_OP_CONV;
    const uint32_t area = conv ? (uint32_t)sl_dims_product(w, 2, w->rank) : 1;
    struct sparse_task *t = &plan->tasks[plan->n_tasks];
    *t = (struct sparse_task){.node = node, .row = layer};
    t->uses = layer->macs / ((int64_t)rows->m * rows->k);
    const int status =
        sparse_layout_make(rows->m, rows->k, area, plan->options->pattern, &t->layout, error);
    if (status < 0)
        return status;
    plan->task[node] = plan->n_tasks++;
    t->count = calloc((uint64_t)t->layout.n_bands * t->layout.n_runs, sizeof(*t->count));
    t->cost = calloc((uint64_t)t->layout.n_bands * t->layout.n_blocks, sizeof(*t->cost));
    return t->count && t->cost ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

static int list_layers(struct sparse_plan *plan, struct sl_error *error)
{
    const struct graph *g = plan->graph;
    const struct sl_graph view = {.tensors = g->tensors, .n_tensors = g->n_tensors};
    int status = 0;
    for (uint32_t n = 0; n < g->n_nodes && status == 0; n++) {
        struct weight_rows rows = {0};
        plan->task[n] = plan->row[n] = UINT32_MAX;
        if (!weight_rows_exist(g, &g->nodes[n]))
            continue;
        struct sparse_layer *l = &plan->report->layers[plan->report->n_layers];
        snprintf(l->name, sizeof(l->name), "%s", g->nodes[n].name);
        l->macs = sl_node_macs(&view, &g->nodes[n]).dense;
        plan->row[n] = plan->report->n_layers++;
        status = weight_rows_read(g, &g->nodes[n], &rows, error);
        if (status == 0 && (l->whole = why_whole(g, &g->nodes[n], &rows)) == NULL)
            status = add_task(plan, n, &rows, l, error);
        free(rows.values);
    }
    return status;
}

static int rate(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct sparse_plan *plan = ctx;
    tell(plan, "rating weights", node);
    if (plan->task[node] == UINT32_MAX)
        return 0;
    const int status = sparse_rate_layer(plan, walk, &plan->tasks[plan->task[node]], error);
    return status < 0 ? sl_error_prefix(error, status, "node '%s'", plan->graph->nodes[node].name)
                      : 0;
}

static int thin(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct sparse_plan *plan = ctx;
    tell(plan, "thinning weights", node);
    if (plan->task[node] == UINT32_MAX)
        return 0;
    const int status = sparse_thin_layer(plan, walk, &plan->tasks[plan->task[node]], error);
    return status < 0 ? sl_error_prefix(error, status, "node '%s'", plan->graph->nodes[node].name)
                      : 0;
}

static void add_noise(const struct walk *walk, uint32_t tensor, double sums[2])
{
    const struct walk_values *v = &walk->values[tensor];
    for (uint32_t p = 0; p < walk->calibration->count; p++)
        for (uint64_t i = 0; i < v->exact_elements; i++) {
            const double e = (double)(v->exact[p][i] - v->changed[p][i]);
            sums[0] += (double)(v->exact[p][i] * v->exact[p][i]);
            sums[1] += e * e;
        }
}

static float decibel(const double sums[2])
{
    return (float)(10 * log10((sums[0] + 1e-30) / (sums[1] + 1e-30)));
}

static int after(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct sparse_plan *plan = ctx;
    const uint32_t tensor = plan->graph->nodes[node].outputs[0];
    (void)error;
    if (plan->row[node] != UINT32_MAX) {
        double sums[2] = {0, 0};
        add_noise(walk, tensor, sums);
        plan->report->layers[plan->row[node]].snr_db = decibel(sums);
    }
    for (uint32_t i = 0; i < plan->graph->n_outputs; i++)
        if (plan->graph->outputs[i] == tensor)
            add_noise(walk, tensor, plan->output_noise);
    return 0;
}

static int walk_with(struct sparse_plan *plan, bool rating, struct sl_error *error)
{
    struct walk walk = {.exact = plan->graph,
                        .changed = rating ? NULL : &plan->changed,
                        .calibration = plan->calibration,
                        .before = rating ? rate : thin,
                        .after = rating ? NULL : after,
                        .ctx = plan,
                        .attention = &plan->attention,
                        .single = rating};
    return walk_run(&walk, error);
}

static int take_memory(struct sparse_plan *plan, struct sl_error *error)
{
    const uint64_t nodes = plan->graph->n_nodes;
    plan->task = malloc(nodes * sizeof(*plan->task) + 1);
    plan->row = malloc(nodes * sizeof(*plan->row) + 1);
    plan->tasks = calloc(nodes + 1, sizeof(*plan->tasks));
    plan->report->layers = calloc(nodes + 1, sizeof(*plan->report->layers));
    return plan->task && plan->row && plan->tasks && plan->report->layers
               ? 0
               : sl_error_set(error, -ENOMEM, "out of memory");
}

static void free_plan(struct sparse_plan *plan)
{
    for (uint32_t i = 0; plan->tasks && i < plan->n_tasks; i++) {
        sparse_layout_free(&plan->tasks[i].layout);
        free(plan->tasks[i].count);
        free(plan->tasks[i].cost);
    }
    if (plan->outputs.exact)
        output_error_end(&plan->outputs);
    attention_free(&plan->attention);
    free(plan->task);
    free(plan->row);
    free(plan->tasks);
    graph_free(&plan->changed);
}

static int64_t total_macs(const struct sparse_report *report)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < report->n_layers; i++)
        sum += report->layers[i].macs;
    return sum;
}

static int thin_by_error(struct sparse_plan *plan, struct sl_error *error)
{
    const int64_t all = total_macs(plan->report);
    const int64_t wanted = (int64_t)ceil(plan->options->sparsity * (double)all);
    int status = attention_find(plan->graph, plan->calibration, &plan->attention, error);
    if (status == 0)
        status = output_error_begin(plan->graph, plan->calibration, &plan->attention,
                                    &plan->outputs, error);
    if (status == 0)
        status = walk_with(plan, true, error);
    if (status == 0)
        status = sparse_share(plan->tasks, plan->n_tasks, wanted, all, error);
    return status < 0 ? status : walk_with(plan, false, error);
}

static int thin_by_magnitude(struct sparse_plan *plan, struct sl_error *error)
{
    int status = 0;
    for (uint32_t i = 0; i < plan->n_tasks && status == 0; i++)
        status = sparse_magnitude(plan, &plan->tasks[i], error);
    return status;
}

// What came out, as the engine will count it.
static void finish_report(struct sparse_plan *plan)
{
    const struct graph *g = &plan->changed;
    const struct sl_graph view = {.tensors = g->tensors, .n_tensors = g->n_tensors};
    int64_t all = 0, zero = 0;
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        if (plan->row[n] == UINT32_MAX)
            continue;
        const struct sl_macs macs = sl_node_macs(&view, &g->nodes[n]);
        all += macs.dense;
        zero += macs.dense - macs.nonzero;
        plan->report->layers[plan->row[n]].zero =
            macs.dense ? (double)(macs.dense - macs.nonzero) / (double)macs.dense : 0;
    }
    plan->report->sparsity = all ? (double)zero / (double)all : 0;
    plan->report->output_snr_db = decibel(plan->output_noise);
}

int sparse_network(struct network *network, const struct calibration *calibration,
                   const struct sparse_options *options, struct sparse_report *out,
                   struct sl_error *error)
{
    struct sparse_report report = {0};
    struct sparse_plan plan = {.graph = &network->graph,
                               .calibration = calibration,
                               .options = options,
                               .report = &report};
    if (network_is_quantised(network))
        return sl_error_set(error, -ENOTSUP,
                            "the network is quantised: thin the float network, then quantise it");
    int status = network_copy(&network->graph, &plan.changed, error);
    if (status < 0)
        return status;
    status = take_memory(&plan, error);
    if (status == 0)
        status = list_layers(&plan, error);
    if (status == 0 && plan.n_tasks == 0)
        status = sl_error_set(error, -ENOTSUP,
                              "no layer can be thinned: there is no convolution or product with "
                              "constant weights whose outputs read all inputs");
    if (status == 0)
        status = options->magnitude ? thin_by_magnitude(&plan, error) : thin_by_error(&plan, error);
    if (status == 0) {
        finish_report(&plan);
        status = network_replace(network, &plan.changed, error);
    }
    free_plan(&plan);
    if (status < 0)
        sparse_report_free(&report);
    else
        *out = report;
    return status;
}

void sparse_report_free(struct sparse_report *report)
{
    free(report->layers);
    *report = (struct sparse_report){0};
}
