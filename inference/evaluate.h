// Running a model over a dataset.
#ifndef SL_INFERENCE_EVALUATE_H
#define SL_INFERENCE_EVALUATE_H

#include "inference/dataset.h"
#include "inference/metrics.h"

struct sl_evaluate_options {
    const char *backend;
    enum sl_metric metric;
    float overlap;               // from which a box is a hit; 0: the definition's
    float jitter_px, jitter_deg; // pictures moved at random against their references
    uint64_t seed;
    uint32_t limit; // pictures; 0: all
    bool no_registration;
    // Called after every picture; may be NULL. `what` is handed over.
    void (*progress)(void *ctx, const char *what, uint32_t done, uint32_t total);
    // Called after every picture with what was found on it, weak detections too; may be NULL.
    void (*judged)(void *ctx, uint32_t sample, const struct sl_detect_result *found,
                   const struct sl_truth *truth);
    void *ctx;
    const char *what;
};

struct sl_evaluation {
    uint32_t pictures, unaligned; // unaligned: registration refused; counted as nothing found
    struct sl_metrics_summary summary;
    struct sl_class_metrics per_class[SL_MAX_CLASSES];
    float registration_ms_mean, registration_ms_max;
    float registration_error_px_max; // with jitter: at the picture's corners, against the truth
    float ms_per_picture;            // all of sl_detector_run
    struct sl_metrics *metrics;      // every detection, for intervals and reports
};

// A picture that cannot be read ends the evaluation: its file is named.
int sl_evaluate(const struct sl_model *model, const struct sl_dataset *dataset,
                const struct sl_evaluate_options *options, struct sl_evaluation *out,
                struct sl_error *error);
void sl_evaluation_free(struct sl_evaluation *evaluation); // what was filled in; zeros are fine

#endif
