// Sparse weights: single weights or small blocks of them become zero, and what remains makes up for
// them, without training.
//
// In order:
//   1. every layer is thinned once, block by block, each time the one whose loss costs the least
//      squared error in the layer's results given that all other weights are refitted (Hassibi and
//      Stork, "Second Order Derivatives for Network Pruning", NIPS 1992; Frantar and Alistarh,
//      "Optimal Brain Compression", NeurIPS 2022): so it is known what each further block costs;
//   2. blocks are shared out among all layers, those first that cost least per
//      multiply-accumulate; each layer's error counts by what half of its blocks were measured to
//      do to the network's outputs;
//   3. the layers are thinned in execution order, each with the inputs that the thinned layers
//      before it give and the results of the whole network as its aim; mean errors go into the
//      bias.
//
// A layer with many inputs is thinned in runs of columns (Frantar and Alistarh, "SparseGPT", ICML
// 2023), as the inverse of all second moments would have to be updated too often.
#ifndef SL_INFERENCE_WORKSHOP_SPARSE_H
#define SL_INFERENCE_WORKSHOP_SPARSE_H

#include "inference/workshop/calibration.h"
#include "inference/workshop/network.h"

#include <stdbool.h>

// Weights that are zero together: those of `outputs` neighbouring output channels from `inputs`
// neighbouring input channels, at one position of the kernel. {1, 1}: single weights.
struct sparse_pattern {
    uint32_t outputs, inputs;
};

// "unstructured", or OUTPUTSxINPUTS such as "4x1" or "16x4", each from 1 to 64. -EINVAL.
int sparse_pattern_parse(const char *text, struct sparse_pattern *out, struct sl_error *error);

struct sparse_options {
    struct sparse_pattern pattern;
    double sparsity; // share of the multiply-accumulates whose weight shall be zero, 0 to 1
    bool magnitude;  // the smallest blocks of each layer, and nothing else: for comparison
    workshop_progress progress; // may be NULL
    void *ctx;
};

struct sparse_layer {
    char name[128];
    const char *whole; // why it stays as it is, or NULL
    int64_t macs;
    double zero;  // share of its weights
    float snr_db; // of its results, all errors so far included; not for `magnitude`
};

struct sparse_report {
    uint32_t n_layers;
    struct sparse_layer *layers;
    double sparsity; // of all multiply-accumulates
    float output_snr_db;
};

// Rewrites weights and biases of network->graph. -ENOTSUP if it holds integers or no layer can be
// thinned; -ERANGE if the target cannot be reached: the message says how much can. On failure the
// graph is not to be used.
int sparse_network(struct network *network, const struct calibration *calibration,
                   const struct sparse_options *options, struct sparse_report *out,
                   struct sl_error *error);
void sparse_report_free(struct sparse_report *report);

#endif
