// Metrics of cases that are read from standard input, for test_metrics.py. In numbers:
//     METRIC CLASSES HIT-OVERLAP RESAMPLES SEED PICTURES
// then for every picture FOUND LABELS, its detections `x1 y1 x2 y2 score class` and its labels
// `x1 y1 x2 y2 class use area`. Prints one line: mAP, its parts, per class, the interval.
#include "inference/metrics.h"

#include <stdio.h>
#include <stdlib.h>

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "metric_cases: %s\n", what);
    exit(1);
}

static double number(void)
{
    double value;
    must(scanf("%lf", &value) == 1, "a number is missing");
    return value;
}

static uint32_t count(void)
{
    const double value = number();
    must(value >= 0 && value < 100000, "a count is out of range");
    return (uint32_t)value;
}

static void read_box(struct sl_detection *box)
{
    box->x1 = (float)number();
    box->y1 = (float)number();
    box->x2 = (float)number();
    box->y2 = (float)number();
}

static void read_picture(struct sl_metrics *metrics)
{
    struct sl_error error = {""};
    const uint32_t n_found = count(), n_labels = count();
    struct sl_detection *found = calloc(n_found + 1, sizeof(*found));
    struct sl_label *labels = calloc(n_labels + 1, sizeof(*labels));
    must(found && labels, "out of memory");
    for (uint32_t i = 0; i < n_found; i++) {
        read_box(&found[i]);
        found[i].score = (float)number();
        found[i].class_id = count();
    }
    for (uint32_t i = 0; i < n_labels; i++) {
        read_box(&labels[i].box);
        labels[i].box.score = 1;
        labels[i].box.class_id = count();
        labels[i].use = count();
        labels[i].area_px = number();
    }
    must(sl_metrics_add(metrics, found, n_found, labels, n_labels, &error) == 0, error.message);
    free(found);
    free(labels);
}

int main(void)
{
    static struct sl_class_metrics per_class[SL_MAX_CLASSES];
    static float thresholds[SL_MAX_CLASSES];
    struct sl_metrics_summary s;
    struct sl_error error = {""};
    struct sl_metrics *m;
    const enum sl_metric metric = (enum sl_metric)count();
    const uint32_t n_classes = count();
    const float hit_overlap = (float)number();
    const uint32_t resamples = count(), seed = count(), pictures = count();
    must(sl_metrics_new(n_classes, metric, hit_overlap, &m, &error) == 0, error.message);
    for (uint32_t i = 0; i < pictures; i++)
        read_picture(m);
    for (uint32_t i = 0; i < n_classes; i++)
        thresholds[i] = 0.5f;
    must(sl_metrics_summary(m, thresholds, per_class, &s, &error) == 0, error.message);
    printf("%.12g %.12g %.12g %.12g %.12g %.12g %.12g %u %u %u", s.map, s.map50, s.map75,
           s.map_small, s.map_medium, s.map_large, s.map_11_points, s.truths, s.found, s.hits);
    for (uint32_t i = 0; i < n_classes; i++)
        printf(" %.12g", per_class[i].ap);
    if (resamples) {
        struct sl_bootstrap b;
        must(sl_metrics_bootstrap(m, NULL, resamples, seed, &b, &error) == 0, error.message);
        printf(" %.12g %.12g", b.a.low, b.a.high);
    }
    printf("\n");
    sl_metrics_free(m);
    return 0;
}
