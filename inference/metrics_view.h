// Metrics, picture by picture and threshold by threshold, for reports. Hits are those of precision
// and recall (`hit_overlap`); what is ignored is left out.
#ifndef SL_INFERENCE_METRICS_VIEW_H
#define SL_INFERENCE_METRICS_VIEW_H

#include "inference/metrics.h"

// After every detection of a class, by falling score; equal scores are one point.
struct sl_curve_point {
    float score;
    double precision, recall;
};
// *out is the caller's to free. A class without objects has recall 0.
int sl_metrics_curve(struct sl_metrics *metrics, uint32_t class_id, struct sl_curve_point **out,
                     uint32_t *count, struct sl_error *error);

enum sl_outcome { SL_OUTCOME_HIT, SL_OUTCOME_FALSE, SL_OUTCOME_MISSED, SL_OUTCOME_IGNORED };

// A detection at or above its class's threshold, or an object that none of them hit.
struct sl_marked {
    struct sl_detection box;
    enum sl_outcome outcome;
};
// *out (the caller's to free) and how many are wrong on the picture.
int sl_metrics_picture(const struct sl_metrics *metrics, uint32_t picture, const float *thresholds,
                       struct sl_marked **out, uint32_t *count, uint32_t *misses,
                       uint32_t *false_alarms, struct sl_error *error);
uint32_t sl_metrics_pictures(const struct sl_metrics *metrics);

// What the objects of a class were taken for, and what was seen where there is nothing: n_classes
// + 1 rows (objects; the last: background) and columns (detections; the last: none) of `out`.
// Whatever their class, detections by falling score take the free object that overlaps most.
void sl_metrics_confusion(const struct sl_metrics *metrics, const float *thresholds, uint32_t *out);

// The share of good pictures (none of whose objects counts) with a detection at or above its
// class's threshold: parts that would be rejected though they are good. NAN: no good pictures.
double sl_metrics_false_reject(const struct sl_metrics *metrics, const float *thresholds);

// The highest thresholds with which each class is still found with recall `recall`; a class of
// which less is ever found gets its weakest detection's score and a false in `reached`; one without
// objects keeps its threshold.
int sl_metrics_for_recall(struct sl_metrics *metrics, double recall, float *thresholds,
                          bool *reached, struct sl_error *error);
// Thresholds with a share of falsely rejected good pictures of at most `share`: from those that
// reject none, always the class and the step down that finds most objects per rejected picture.
// -ENODATA: there are no good pictures.
int sl_metrics_for_false_reject(struct sl_metrics *metrics, double share, float *thresholds,
                                struct sl_error *error);

#endif
