// Structured pruning: whole channels go, and what remains makes up for them, without labels.
//
// In order:
//   1. channels that can only go together (residual sums, concatenations, depthwise layers, moved
//      planes) are found through the graph; those behind an operator that mixes them in a way that
//      is not understood stay;
//   2. every channel is rated by the least squared error that its loss causes in the layers that
//      read it, given that their other weights are refitted (Frantar and Alistarh, "Optimal Brain
//      Compression", NeurIPS 2022, for blocks of weights); each layer's error counts by what it was
//      measured to do to the network's outputs;
//   3. granules of channels go, those first that cost least for what they save, until the target is
//      met;
//   4. the layers that remain are refitted by least squares on the calibration pictures, one after
//      the other in execution order, each with the inputs that the smaller network gives it and the
//      outputs of the whole one as its aim. Below a ReLU only the positive side has to be met;
//   5. all layers are tuned together towards the whole network's answers (tune.h).
#ifndef SL_INFERENCE_WORKSHOP_PRUNE_H
#define SL_INFERENCE_WORKSHOP_PRUNE_H

#include "inference/workshop/calibration.h"
#include "inference/workshop/network.h"
#include "inference/workshop/tune.h"

#include <stdbool.h>

enum prune_importance {
    PRUNE_BY_ERROR,     // as above
    PRUNE_BY_MAGNITUDE, // by the sum of the weights' squares, for comparison
};

struct prune_time { // of one node, as `sightline bench --profile --json` measured it
    char name[128];
    double us;
};

struct prune_options {
    double remove;    // share of the cost that shall go, between 0 and 1
    uint32_t granule; // channels that go together; 0: as many as this machine's kernels take
    enum prune_importance importance;
    bool refit;
    uint32_t steps;                 // of tuning all layers together after the refit; 0: none
    const struct prune_time *times; // the cost; NULL: multiply-accumulates
    uint32_t n_times;
    workshop_progress progress; // may be NULL
    void *ctx;
};

struct prune_layer {
    char name[128];
    uint32_t out, in, out_before, in_before; // channels; in: of one group
    double cost, cost_before;                // multiply-accumulates or microseconds
    float snr_db;                            // of its outputs, all errors so far included
    char whole[128];                         // the node for which its outputs have to stay, or ""
};

struct prune_report {
    uint32_t n_layers, granule;
    struct prune_layer *layers;
    double cost, cost_before;
    float output_snr_db; // of the network's outputs together, after the refit
    struct tune_report tuned;
};

// Rewrites network->graph. -ENOTSUP if it holds integers or nothing can be pruned; -ERANGE if the
// target cannot be reached: the message says how much can. On failure the graph is not to be used.
int prune_network(struct network *network, const struct calibration *calibration,
                  const struct prune_options *options, struct prune_report *out,
                  struct sl_error *error);
void prune_report_free(struct prune_report *report);

#endif
