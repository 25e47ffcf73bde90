// Post-training quantisation, from a float network to one in 8 bits.
#include "inference/workshop/quantize_impl.h"

#include "accel/tensor.h"
#include "inference/workshop/judge.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int take_memory(struct plan *plan, struct sl_error *error)
{
    const struct graph *g = plan->graph;
    // Equalisation adds tensors: constants, of which nobody asks here.
    const uint32_t room = plan->room = g->n_tensors + 3 * g->n_nodes;
    plan->n_nodes = g->n_nodes;
    plan->kept = calloc(g->n_nodes, sizeof(*plan->kept));
    plan->wanted = calloc(room, sizeof(*plan->wanted));
    plan->parent = calloc(room, sizeof(*plan->parent));
    plan->groups = calloc(room, sizeof(*plan->groups));
    plan->weights = calloc(g->n_nodes, sizeof(*plan->weights));
    plan->layer = calloc(g->n_nodes, sizeof(*plan->layer));
    plan->report->layers = calloc(g->n_nodes, sizeof(*plan->report->layers));
    if (plan->kept && plan->wanted && plan->parent && plan->groups && plan->weights &&
        plan->layer && plan->report->layers)
        return 0;
    return sl_error_set(error, -ENOMEM, "out of memory");
}

static void free_plan(struct plan *plan)
{
    for (uint32_t i = 0; plan->groups && i < plan->room; i++)
        free(plan->groups[i].bins);
    for (uint32_t i = 0; plan->weights && i < plan->n_nodes; i++) {
        free(plan->weights[i].values);
        free(plan->weights[i].scale);
    }
    graph_free(&plan->changed);
    free(plan->kept);
    free(plan->wanted);
    free(plan->parent);
    free(plan->groups);
    free(plan->weights);
    free(plan->layer);
}

static void list_layers(struct plan *plan)
{
    const struct graph *g = plan->graph;
    const struct sl_graph view = {.tensors = g->tensors, .n_tensors = g->n_tensors};
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        plan->layer[n] = UINT32_MAX;
        if (!weight_rows_exist(g, &g->nodes[n]))
            continue;
        struct quantize_layer *l = &plan->report->layers[plan->report->n_layers];
        snprintf(l->name, sizeof(l->name), "%s", g->nodes[n].name);
        l->macs = sl_node_macs(&view, &g->nodes[n]).dense;
        plan->layer[n] = plan->report->n_layers++;
    }
}

static int before(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct plan *plan = ctx;
    const struct graph *g = plan->graph;
    if (plan->options->progress)
        plan->options->progress(plan->options->ctx, "rounding weights", node + 1, g->n_nodes);
    for (uint32_t i = 0; i < g->n_inputs; i++) { // once, when the first node is about to run
        const uint32_t t = g->inputs[i];
        struct walk_values *v = &walk->values[t];
        for (uint32_t p = 0; v->changed && plan->wanted[t] && p < walk->calibration->count; p++)
            round_values(plan_group(plan, t)->rounding, v->changed[p], v->changed[p],
                         v->changed_elements);
    }
    if (!weight_rows_exist(g, &g->nodes[node]) || plan->kept[node])
        return 0;
    return weights_round(plan, walk, node, error);
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

static bool is_output(const struct graph *graph, uint32_t tensor)
{
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        if (graph->outputs[i] == tensor)
            return true;
    return false;
}

static int after(void *ctx, struct walk *walk, uint32_t node, struct sl_error *error)
{
    struct plan *plan = ctx;
    const uint32_t t = plan->graph->nodes[node].outputs[0];
    struct walk_values *v = &walk->values[t];
    (void)error;
    for (uint32_t p = 0; plan->wanted[t] && p < walk->calibration->count; p++)
        round_values(plan_group(plan, t)->rounding, v->changed[p], v->changed[p],
                     v->changed_elements);
    if (plan->layer[node] != UINT32_MAX) {
        double sums[2] = {0, 0};
        add_noise(walk, t, sums);
        plan->report->layers[plan->layer[node]].snr_db = decibel(sums);
    }
    if (is_output(plan->graph, t) && plan->graph->tensors[t].dtype == SL_F32)
        add_noise(walk, t, plan->output_noise);
    return 0;
}

// Both networks side by side; what was rounded first is made up for by what comes after it.
static int round_all(struct plan *plan, struct sl_error *error)
{
    int status = network_copy(plan->graph, &plan->changed, error);
    struct walk walk = {.exact = plan->graph,
                        .changed = &plan->changed,
                        .calibration = plan->calibration,
                        .before = before,
                        .after = after,
                        .ctx = plan,
                        .integers = true};
    return status < 0 ? status : walk_run(&walk, error);
}

static void finish_report(struct plan *plan)
{
    const struct graph *g = plan->graph;
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        if (plan->layer[n] == UINT32_MAX)
            continue;
        struct quantize_layer *l = &plan->report->layers[plan->layer[n]];
        l->kept = plan->kept[n];
        l->rounding = plan->weights[n].rounding;
        l->range =
            plan->kept[n] ? "float" : range_names[plan_group(plan, g->nodes[n].inputs[0])->chosen];
        plan->report->n_kept += l->kept;
    }
    plan->report->output_snr_db = decibel(plan->output_noise);
}

static int decide(struct plan *plan, struct sl_error *error)
{
    int status = plan_tensors(plan, error);
    if (status == 0 && plan->options->method == QUANTIZE_BEST)
        status = equalise(plan, error);
    if (status == 0)
        status = plan_tensors(plan, error);
    if (status == 0)
        status = ranges_find(plan, error);
    if (status == 0 && plan->options->keep_float) {
        status = sensitivity_choose(plan, error);
        if (status == 0)
            status = plan_tensors(plan, error);
    }
    return status;
}

// One way to quantise a network, and what came out.
struct trial {
    struct graph graph; // a copy of the float network, changed as the way demands
    struct quantize_options options;
    struct quantize_report report;
    struct plan plan;
    struct graph integers;
};

static int run_trial(struct trial *t, const struct graph *graph,
                     const struct calibration *calibration, struct judge *judge,
                     struct sl_error *error)
{
    t->plan = (struct plan){.graph = &t->graph,
                            .calibration = calibration,
                            .options = &t->options,
                            .report = &t->report};
    int status = network_copy(graph, &t->graph, error);
    if (status == 0)
        status = take_memory(&t->plan, error);
    if (status == 0) {
        list_layers(&t->plan);
        status = decide(&t->plan, error);
    }
    if (status == 0)
        status = round_all(&t->plan, error);
    if (status == 0)
        status = plan_apply(&t->plan, &t->integers, error);
    if (status == 0)
        status = judge_error(judge, &t->integers, &t->report.detection_error, error);
    if (status == 0)
        finish_report(&t->plan);
    return status;
}

static void free_trial(struct trial *t)
{
    free_plan(&t->plan);
    graph_free(&t->integers);
    graph_free(&t->graph);
    quantize_report_free(&t->report);
}

// True if `a` is the better one: by its detections on the pictures held out, or where both find
// what the float network finds, by the noise of its outputs.
static bool is_better(const struct quantize_report *a, const struct quantize_report *b)
{
    static const double THE_SAME = 0.002;
    if (a->detection_error < THE_SAME && b->detection_error < THE_SAME)
        return a->output_snr_db > b->output_snr_db;
    return a->detection_error < b->detection_error;
}

// The better of what was asked for and plain min-max.
static int try_ways(const struct graph *graph, const struct calibration *calibration,
                    const struct quantize_options *options, struct judge *judge,
                    struct trial trials[2], struct trial **best, struct sl_error *error)
{
    trials[0].options = trials[1].options = *options;
    trials[1].options.method = QUANTIZE_MINMAX;
    int status = run_trial(&trials[0], graph, calibration, judge, error);
    *best = &trials[0];
    if (status < 0 || options->method == QUANTIZE_MINMAX)
        return status;
    status = run_trial(&trials[1], graph, calibration, judge, error);
    if (status == 0 && is_better(&trials[1].report, &trials[0].report))
        *best = &trials[1];
    return status;
}

int quantize_network(struct network *network, const struct calibration *calibration,
                     const struct quantize_options *options, struct quantize_report *out,
                     struct sl_error *error)
{
    struct trial trials[2], *best;
    struct judge *judge = NULL;
    memset(trials, 0, sizeof(trials));
    int status = judge_new(network->model, &network->graph, calibration, &judge, error);
    if (status == 0)
        status = try_ways(&network->graph, calibration, options, judge, trials, &best, error);
    if (status == 0)
        status = network_replace(network, &best->integers, error);
    if (status == 0) {
        *out = best->report;
        out->method = best->options.method;
        best->report = (struct quantize_report){0};
    }
    free_trial(&trials[0]);
    free_trial(&trials[1]);
    judge_free(judge);
    return status;
}

bool quantize_is_done(const struct network *network)
{
    for (uint32_t n = 0; n < network->graph.n_nodes; n++)
        if (weight_rows_exist(&network->graph, &network->graph.nodes[n]))
            return false;
    return network_is_quantised(network);
}

void quantize_report_free(struct quantize_report *report)
{
    free(report->layers);
    *report = (struct quantize_report){0};
}
