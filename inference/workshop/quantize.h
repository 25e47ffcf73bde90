// Post-training quantisation: a float network and pictures -> the same network in 8 bits.
//
// Weights get one scale per output channel (int8, symmetric), activations one scale and zero point
// per tensor (uint8). Accelerators multiply such numbers exactly in integers (accel/graph.h).
//
// In order, and each against the float network on the calibration pictures:
//   1. equalisation: channels are brought to similar ranges, through concatenations and shuffles,
//      where ReLU or nothing lies between two convolutions (after Nagel et al., "Data-Free
//      Quantization Through Weight Equalization and Bias Correction", ICCV 2019), wherever that
//      lowers the expected noise;
//   2. ranges: min-max, two percentiles, least squared error and least Kullback-Leibler divergence
//      are tried per tensor; the one with the smallest error in the outputs of the layers that read
//      the tensor is kept;
//   3. weights, layer by layer in execution order, given inputs that are rounded already: a least
//      squares correction for the errors so far (weak, strong or none), rounding with second-order
//      compensation (Frantar et al., "GPTQ", ICLR 2023) or to nearest, whichever is best on
//      pictures held out, and the mean error into the bias;
//   4. the result is compared with plain min-max, by the detections on the pictures held out, and
//      the better one is taken.
#ifndef SL_INFERENCE_WORKSHOP_QUANTIZE_H
#define SL_INFERENCE_WORKSHOP_QUANTIZE_H

#include "inference/workshop/calibration.h"
#include "inference/workshop/network.h"

#include <stdbool.h>

enum quantize_method { QUANTIZE_BEST, QUANTIZE_MINMAX };

struct quantize_options {
    enum quantize_method method; // MINMAX: ranges from min to max, nearest rounding, nothing else
    // Layers that stay in float: NULL for none, "auto" (those that alone cause five times the mean
    // layer's error, up to a tenth of the multiply-accumulates), a number of layers, or names
    // separated by commas.
    const char *keep_float;
    workshop_progress progress; // may be NULL
    void *ctx;
};

enum quantize_rounding { ROUNDED_NEAREST, ROUNDED_COMPENSATED };

struct quantize_layer {
    char name[128];
    bool kept;                       // in float
    const char *range;               // of its input: "min-max", "99.99 %" …
    enum quantize_rounding rounding; // of its weights
    bool equalised;
    float snr_db;      // of its output, all errors so far included
    float sensitivity; // share of the network's error if it alone is quantised; with keep_float
    int64_t macs;
};

struct quantize_report {
    uint32_t n_layers, n_kept, n_tensors; // tensors: activations with a scale
    struct quantize_layer *layers;
    float output_snr_db;         // of the network's outputs together
    double detection_error;      // on the pictures held out, by inference/workshop/judge.h
    enum quantize_method method; // MINMAX also where it was the better one
};

// Rewrites network->graph. Layers and activations that are integers already stay as they are.
// -ENOTSUP if there is nothing to quantise. On failure the graph is not to be used.
int quantize_network(struct network *network, const struct calibration *calibration,
                     const struct quantize_options *options, struct quantize_report *out,
                     struct sl_error *error);
// True if the network is quantised and no layer is left in float.
bool quantize_is_done(const struct network *network);
void quantize_report_free(struct quantize_report *report);

#endif
