// How far the layers of one network are from those of another, by name.
#ifndef SL_INFERENCE_WORKSHOP_NOISE_H
#define SL_INFERENCE_WORKSHOP_NOISE_H

#include "inference/workshop/calibration.h"

// For each of `count` nodes of `a`: the signal-to-noise ratio in dB of the node of `b` with its
// name, over all pictures of `calibration` (which both networks take); quantised values count as
// what they stand for. Each channel's gain is fitted first. NAN: no such node, or its output has
// other dims; INFINITY: equal. Several nodes of one name: the last counts.
int noise_measure(const struct graph *a, const struct graph *b, const uint32_t *nodes,
                  uint32_t count, const struct calibration *calibration, workshop_progress progress,
                  void *ctx, double *snr_db, struct sl_error *error);

#endif
