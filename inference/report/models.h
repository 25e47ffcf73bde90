// Models side by side: what each costs, how well it finds, and where they differ. The first is what
// the others are compared with.
#ifndef SL_INFERENCE_REPORT_MODELS_H
#define SL_INFERENCE_REPORT_MODELS_H

#include "accel/accel.h"
#include "inference/evaluate.h"
#include "inference/workshop/network.h"

#include <cjson/cJSON.h>

enum { REPORT_MOST_MODELS = 6 };

struct model_subject {
    const char *path, *backend;
    struct network network;
    struct sl_macs macs;
    uint64_t bytes; // of the file
    struct sl_footprint footprint;
    double median_ms, least_ms; // of the network alone, on the back end cpu
    struct sl_evaluation evaluation;
    struct sl_bootstrap bootstrap; // difference: this one - the first
    double *snr_db;                // of every layer of the first; NAN: no such layer, or other dims
    uint32_t flips;                // detections that only one of this and the first has
};

struct model_layer {
    const char *name;
    uint32_t node;
    int64_t macs;
};

struct model_comparison {
    uint32_t count;
    struct model_subject subjects[REPORT_MOST_MODELS];
    const struct sl_dataset *dataset; // NULL: none, and nothing of what needs one
    enum sl_metric metric;
    uint32_t resamples, rounds;
    uint32_t n_layers; // 0: not compared
    struct model_layer *layers;
    uint32_t snr_pictures;
};

// What differs between two models' detections of a picture, at their own thresholds: those of
// either that the other has no box of the same class for that overlaps by at least half.
int models_flips(const struct model_subject *a, const struct model_subject *b, uint32_t picture,
                 uint32_t *flips, struct sl_error *error);

// Writes `path`, whole or not at all; with at most `pairs` pictures for each model.
int report_models(const char *path, const struct model_comparison *comparison, uint32_t pairs,
                  struct sl_error *error);
cJSON *report_models_json(const struct model_comparison *comparison);

#endif
