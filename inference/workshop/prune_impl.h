// Inside of the pruner.
#ifndef SL_INFERENCE_WORKSHOP_PRUNE_IMPL_H
#define SL_INFERENCE_WORKSHOP_PRUNE_IMPL_H

#include "inference/workshop/prune.h"
#include "inference/workshop/prune_channels.h"
#include "inference/workshop/walk.h"

// A node that costs something.
struct prune_cost {
    uint32_t node;
    uint32_t in, out; // tensors; in is SL_NO_TENSOR where the cost follows the outputs alone
    double whole;     // with all channels
};

// What a dense convolution loses when channels of its input go: the normal equations of its inputs,
// inverted, and its weights, both as they are after the removals so far.
struct prune_reader {
    uint32_t node, input; // the tensor that it reads
    uint32_t m, k, area;  // outputs; inputs = channels * area
    double *inverse;      // [k][k]; NULL: too large, inputs count as uncorrelated
    double *weights;      // [m][k]
    double *power;        // [k] mean square of the centred input
    double energy;        // of its outputs
    double effect;        // of its relative error on the network's outputs
    double *error;        // [channels] if it went now
    bool stale;           // `error` is older than the last removal
};

struct prune_plan {
    const struct graph *graph;
    const struct calibration *calibration;
    const struct prune_options *options;
    struct channels channels;
    struct attention attention;
    struct prune_cost *costs;
    uint32_t n_costs;
    struct prune_reader *readers;
    uint32_t n_readers;
    struct prune_report *report;
    uint32_t *layer; // per node: its row in the report, or UINT32_MAX
};

static inline void prune_tell(const struct prune_plan *plan, const char *what, uint32_t done,
                              uint32_t total)
{
    if (plan->options->progress)
        plan->options->progress(plan->options->ctx, what, done, total);
}

// Costs of all nodes, and of the network with the channels that are left.
int prune_find_costs(struct prune_plan *plan, struct sl_error *error);
double prune_cost_now(const struct prune_plan *plan, const struct prune_cost *cost);
double prune_total_cost(const struct prune_plan *plan);

// Fills `readers`.
int prune_find_readers(struct prune_plan *plan, struct sl_error *error);
// Errors of all channels of the reader as things are now.
int prune_rate(struct prune_reader *reader, struct sl_error *error);
// Removes a channel from the reader: its other weights make up for it.
int prune_forget(struct prune_reader *reader, uint32_t channel, struct sl_error *error);
// Measures what each reader's error does to the network's outputs.
int prune_measure_effects(struct prune_plan *plan, struct sl_error *error);
void prune_free_readers(struct prune_plan *plan);

// Marks channels as gone until the target is met.
int prune_choose(struct prune_plan *plan, struct sl_error *error);

// The network with the weights of what is gone at 0 and the others refitted; channels are still
// there. Fills in the report's ratios.
int prune_refit(struct prune_plan *plan, struct graph *out, struct sl_error *error);

// `from` (same nodes and tensors as plan->graph) without the channels that are gone.
int prune_cut(const struct prune_plan *plan, const struct graph *from, struct graph *out,
              struct sl_error *error);

#endif
