// Precision, recall and average precision over many pictures.
//
// DeepPCB's definition: a detection is a hit if it has the class of a defect not yet hit and their
// boxes overlap by more than 0.33; mAP is the mean over classes of the uninterpolated area under
// the precision-recall curve; F = 2 P R / (P + R) at the model's thresholds.
#ifndef SL_INFERENCE_METRICS_H
#define SL_INFERENCE_METRICS_H

#include "inference/detect.h"

#define SL_HIT_OVERLAP 0.33f

struct sl_metrics;

struct sl_class_metrics {
    uint32_t truths, hits, found; // hits and found at the threshold
    double ap, ap50;              // NAN where there is no truth
};

struct sl_metrics_summary {
    double map, map50, f1, precision, recall;
    uint32_t truths, hits, found;
};

int sl_metrics_new(uint32_t n_classes, float overlap, struct sl_metrics **out,
                   struct sl_error *error);
void sl_metrics_free(struct sl_metrics *metrics);

// One picture. `found` is by falling score. Truths with score 0 are to be ignored: hitting them is
// neither right nor wrong.
int sl_metrics_add(struct sl_metrics *metrics, const struct sl_detection *found, uint32_t n_found,
                   const struct sl_detection *truth, uint32_t n_truth, struct sl_error *error);

// `per_class` has room for n_classes. Thresholds are per class.
void sl_metrics_summary(struct sl_metrics *metrics, const float *thresholds,
                        struct sl_class_metrics *per_class, struct sl_metrics_summary *out);

// How the detections of one picture meet its truth: hits and false alarms.
void sl_match(const struct sl_detection *found, uint32_t n_found, const struct sl_detection *truth,
              uint32_t n_truth, float overlap, uint32_t *hits, uint32_t *false_alarms);

#endif
