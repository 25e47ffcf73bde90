// Rounds weights to the levels that SL_WEIGHTS_INT4 stores (inference/onnx_write.h), layer by layer
// in execution order, each making up for the errors so far, with second-order compensation (Frantar
// et al., "GPTQ", ICLR 2023) where that is better on pictures held out.
#ifndef SL_INFERENCE_WORKSHOP_INT4_H
#define SL_INFERENCE_WORKSHOP_INT4_H

#include "inference/workshop/calibration.h"
#include "inference/workshop/network.h"

struct int4_report {
    uint32_t n_layers, n_compensated; // n_layers: rounded here; the writer rounds what is left
    float output_snr_db;
};

// Changes the constants of network->graph: biases take the mean error. On failure the graph is not
// to be used.
int int4_round(struct network *network, const struct calibration *calibration,
               workshop_progress progress, void *ctx, struct int4_report *out,
               struct sl_error *error);

#endif
