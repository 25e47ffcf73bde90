// Structured pruning, from a float network to a smaller one.
#include "inference/workshop/prune_impl.h"

#include "accel/accel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Output channels that this machine's convolution kernels compute together.
enum { GRANULE = 16 };

static void list_layers(struct prune_plan *plan)
{
    const struct graph *g = plan->graph;
    const struct channels *c = &plan->channels;
    for (uint32_t i = 0; i < plan->n_costs; i++) {
        const struct prune_cost *cost = &plan->costs[i];
        const struct sl_node *node = &g->nodes[cost->node];
        struct prune_layer *l = &plan->report->layers[plan->report->n_layers];
        snprintf(l->name, sizeof(l->name), "%s", node->name);
        l->cost_before = cost->whole;
        l->out_before = c->count[cost->out];
        l->in_before = cost->in == SL_NO_TENSOR ? 0 : c->count[cost->in];
        uint32_t fixed = 0;
        const char *by = "";
        for (uint32_t k = 0; k < l->out_before; k++) {
            const uint32_t slot = channels_slot(c, cost->out, k);
            by = c->fixed_by[slot] ? c->fixed_by[slot] : by;
            fixed += c->fixed_by[slot] != NULL;
        }
        if (fixed == l->out_before)
            snprintf(l->whole, sizeof(l->whole), "%s", by);
        plan->layer[cost->node] = plan->report->n_layers++;
    }
}

static void finish_report(struct prune_plan *plan)
{
    for (uint32_t i = 0; i < plan->n_costs; i++) {
        const struct prune_cost *cost = &plan->costs[i];
        struct prune_layer *l = &plan->report->layers[plan->layer[cost->node]];
        l->cost = prune_cost_now(plan, cost);
        l->out = channels_left(&plan->channels, cost->out);
        l->in = cost->in == SL_NO_TENSOR ? 0 : channels_left(&plan->channels, cost->in);
        plan->report->cost += l->cost;
        plan->report->cost_before += l->cost_before;
    }
}

static int take_memory(struct prune_plan *plan, struct sl_error *error)
{
    const uint32_t n = plan->graph->n_nodes;
    plan->layer = malloc((n + 1ull) * sizeof(*plan->layer));
    plan->report->layers = calloc(n + 1ull, sizeof(*plan->report->layers));
    for (uint32_t i = 0; plan->layer && i < n; i++)
        plan->layer[i] = UINT32_MAX;
    return plan->layer && plan->report->layers ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

static int decide(struct prune_plan *plan, struct sl_error *error)
{
    const bool by_error = plan->options->importance == PRUNE_BY_ERROR;
    int status = prune_find_costs(plan, error);
    if (status == 0)
        list_layers(plan);
    if (status == 0 && by_error)
        status = prune_find_readers(plan, error);
    if (status == 0 && by_error)
        status = prune_measure_effects(plan, error);
    if (status == 0)
        status = prune_choose(plan, error);
    prune_free_readers(plan);
    return status;
}

int prune_network(struct network *network, const struct calibration *calibration,
                  const struct prune_options *options, struct prune_report *out,
                  struct sl_error *error)
{
    struct prune_report report = {.granule = options->granule ? options->granule : GRANULE};
    struct prune_plan plan = {.graph = &network->graph,
                              .calibration = calibration,
                              .options = options,
                              .report = &report};
    struct graph refitted, smaller;
    if (network_is_quantised(network))
        return sl_error_set(error, -ENOTSUP,
                            "the network is quantised already; prune the float network it was made "
                            "of, then quantise that");
    int status = channels_find(plan.graph, &plan.channels, error);
    if (status < 0)
        return status;
    status = take_memory(&plan, error);
    if (status == 0)
        status = attention_find(plan.graph, calibration, &plan.attention, error);
    if (status == 0)
        status = decide(&plan, error);
    if (status == 0)
        status = prune_refit(&plan, &refitted, error);
    if (status == 0) {
        status = prune_cut(&plan, &refitted, &smaller, error);
        const struct tune_options tuning = {options->steps, options->progress, options->ctx};
        if (status == 0 && tuning.steps > 0) {
            status = tune_network(plan.graph, &smaller, calibration, &plan.attention, &tuning,
                                  &report.tuned, error);
            if (status < 0)
                graph_free(&smaller);
        }
        if (status == 0) {
            finish_report(&plan);
            channels_free(&plan.channels);
            status = network_replace(network, &smaller, error);
            graph_free(&smaller);
        }
        graph_free(&refitted);
    }
    channels_free(&plan.channels);
    attention_free(&plan.attention);
    free(plan.costs);
    free(plan.layer);
    if (status < 0)
        prune_report_free(&report);
    else
        *out = report;
    return status;
}

void prune_report_free(struct prune_report *report)
{
    free(report->layers);
    *report = (struct prune_report){0};
}
