// What `sightline eval` prints.
#ifndef SL_INFERENCE_EVALUATE_PRINT_H
#define SL_INFERENCE_EVALUATE_PRINT_H

#include "inference/evaluate.h"

#include <stdio.h>

#include <cjson/cJSON.h>

// One side of a comparison.
struct evaluated {
    const char *path, *backend;
    const struct sl_model *model;
    struct sl_evaluation result;
};

struct comparison {
    enum sl_metric metric;
    struct evaluated sides[2];
    bool both;          // the second is there, too
    uint32_t resamples; // of the bootstrap; 0: `bootstrap` is not filled in
    struct sl_bootstrap bootstrap;
    // The first side at the thresholds that were found for what the user wished.
    bool wished;
    float thresholds[SL_MAX_CLASSES];
    bool reached[SL_MAX_CLASSES];
    struct sl_class_metrics wished_classes[SL_MAX_CLASSES];
    struct sl_metrics_summary wished_summary;
};

void evaluate_print_table(const struct comparison *comparison);
// One object: the first side's figures, `against` with the second's, `difference`. NULL: no memory.
cJSON *evaluate_json(const struct comparison *comparison);

// The section `classes` of a model.yaml with these thresholds, and why they are what they are.
void evaluate_print_thresholds(FILE *out, const struct evaluated *side, const float *thresholds,
                               const bool *reached, const char *wish);

#endif
