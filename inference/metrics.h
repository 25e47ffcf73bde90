// Precision, recall and average precision over many pictures.
//
// Definitions, all on detections by falling score (ties: in the order of the pictures):
//   deeppcb  a detection is a hit if it has the class of an object not yet hit and their boxes
//            overlap by more than 0.33; average precision is the uninterpolated area under the
//            precision-recall curve (Tang et al., "On-line PCB Defect Detector", 2019)
//   voc      the object that overlaps most must overlap by at least 0.5 and not be hit already; the
//            area under the curve's envelope (Pascal VOC development kit 2012); beside it the mean
//            of 11 points (that of 2007)
//   coco     the free object that overlaps most, by at least 0.50, 0.55, … 0.95; the mean of 101
//            points of the envelope, then over the ten overlaps; at most 100 detections per class
//            and picture; by area of the object: small < 32², large > 96² (COCO's cocoeval)
// mAP is the mean over the classes that have objects. Overlap is intersection over union, in double
// precision; with a crowd it is the detection's part inside.
//
// Precision, recall and F = 2 P R / (P + R) are those at the model's thresholds, with hits at
// `hit_overlap`.
#ifndef SL_INFERENCE_METRICS_H
#define SL_INFERENCE_METRICS_H

#include "inference/label.h"

#define SL_HIT_OVERLAP 0.33f

enum sl_metric { SL_METRIC_DEEPPCB = 1, SL_METRIC_VOC, SL_METRIC_COCO };

const char *sl_metric_name(enum sl_metric metric);
// 0 for a name that is none.
enum sl_metric sl_metric_of_name(const char *name);

struct sl_metrics;

struct sl_class_metrics {
    uint32_t truths, hits, found; // hits and found at the threshold
    double ap, ap50, ap75;        // NAN where there is no truth, or the definition has no such
};

struct sl_metrics_summary {
    double map, map50, f1, precision, recall;
    double map75, map_small, map_medium, map_large; // coco; else NAN. NAN also without such objects
    double map_11_points;                           // voc; else NAN
    uint32_t truths, hits, found;
};

// `hit_overlap` 0: the definition's least. -ENOMEM also for too many classes.
int sl_metrics_new(uint32_t n_classes, enum sl_metric metric, float hit_overlap,
                   struct sl_metrics **out, struct sl_error *error);
void sl_metrics_free(struct sl_metrics *metrics); // NULL is fine

// One picture. `found` is by falling score; both lists are copied.
int sl_metrics_add(struct sl_metrics *metrics, const struct sl_detection *found, uint32_t n_found,
                   const struct sl_label *labels, uint32_t n_labels, struct sl_error *error);

// `per_class` has room for n_classes. Thresholds are per class.
int sl_metrics_summary(struct sl_metrics *metrics, const float *thresholds,
                       struct sl_class_metrics *per_class, struct sl_metrics_summary *out,
                       struct sl_error *error);

// How sure is it? Pictures are drawn anew with replacement, `resamples` times, the same ones for
// both models, and mAP is computed each time: the 2.5th to the 97.5th percentile (Efron and
// Tibshirani, "An Introduction to the Bootstrap", chapter 13). `b` may be NULL; otherwise it must
// have seen the same pictures in the same order. The same seed gives the same result.
struct sl_interval {
    double low, high;
};
struct sl_bootstrap {
    struct sl_interval a, b, difference; // of mAP; difference: a - b
};
int sl_metrics_bootstrap(struct sl_metrics *a, struct sl_metrics *b, uint32_t resamples,
                         uint64_t seed, struct sl_bootstrap *out, struct sl_error *error);

// How the detections of one picture meet its truth, by DeepPCB's rule: hits and false alarms.
void sl_match(const struct sl_detection *found, uint32_t n_found, const struct sl_detection *truth,
              uint32_t n_truth, float overlap, uint32_t *hits, uint32_t *false_alarms);

#endif
