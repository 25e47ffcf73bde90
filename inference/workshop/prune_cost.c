// What a network costs, with all channels and with those that are left.
#include "inference/workshop/prune_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static double time_of(const struct prune_options *o, const char *name)
{
    for (uint32_t i = 0; i < o->n_times; i++)
        if (!strcmp(o->times[i].name, name))
            return o->times[i].us;
    return 0;
}

static bool mixes(const struct prune_plan *plan, const struct sl_node *node)
{
    return channels_rule(&plan->channels, node) == CHANNELS_MIX;
}

int prune_find_costs(struct prune_plan *plan, struct sl_error *error)
{
    const struct graph *g = plan->graph;
    const struct sl_graph view = {.tensors = g->tensors, .n_tensors = g->n_tensors};
    double found = 0;
    plan->costs = calloc(g->n_nodes + 1, sizeof(*plan->costs));
    if (!plan->costs)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t n = 0; n < g->n_nodes; n++) {
        const struct sl_node *node = &g->nodes[n];
        struct prune_cost c = {.node = n, .in = SL_NO_TENSOR};
        if (node->op == SL_OP_NONE || node->n_outputs == 0)
            continue;
        c.whole = plan->options->times ? time_of(plan->options, node->name)
                                       : (double)sl_node_macs(&view, node).dense;
        if (c.whole <= 0)
            continue;
        c.out = node->outputs[0];
        if (mixes(plan, node))
            c.in = node->inputs[0];
        found += c.whole;
        plan->costs[plan->n_costs++] = c;
    }
    if (found > 0)
        return 0;
    return sl_error_set(error, -EINVAL,
                        plan->options->times
                            ? "the profile has no time of any node of this network; make it with "
                              "`sightline bench --model MODEL --profile --json`"
                            : "the network has no multiply-accumulates");
}

static double share_left(const struct channels *c, uint32_t tensor)
{
    return tensor == SL_NO_TENSOR || c->count[tensor] == 0
               ? 1
               : (double)channels_left(c, tensor) / (double)c->count[tensor];
}

double prune_cost_now(const struct prune_plan *plan, const struct prune_cost *cost)
{
    return cost->whole * share_left(&plan->channels, cost->in) *
           share_left(&plan->channels, cost->out);
}

double prune_total_cost(const struct prune_plan *plan)
{
    double sum = 0;
    for (uint32_t i = 0; i < plan->n_costs; i++)
        sum += prune_cost_now(plan, &plan->costs[i]);
    return sum;
}
