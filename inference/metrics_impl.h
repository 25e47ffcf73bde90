// Inside of metrics*.c: what is kept of every picture, and how it was matched.
#ifndef SL_INFERENCE_METRICS_IMPL_H
#define SL_INFERENCE_METRICS_IMPL_H

#include "inference/metrics.h"

// A column is one way to match: a least overlap, and the objects that count by their area. Column 0
// is that of precision and recall at the thresholds.
enum { MOST_OVERLAPS = 10, MOST_COLUMNS = 1 + 4 * MOST_OVERLAPS, MOST_LABELS = 4096 };
#define NO_LABEL UINT32_MAX
enum area { AREA_ALL, AREA_SMALL, AREA_MEDIUM, AREA_LARGE, N_AREAS };
enum curve { CURVE_RAW, CURVE_ENVELOPE, CURVE_POINTS };

struct definition {
    enum sl_metric metric;
    const char *name;
    uint32_t n_overlaps, n_areas;
    double first_overlap, last_overlap; // evenly spaced
    bool strictly;                      // more than the overlap; else at least
    bool at_hits;                       // average precision is that of column 0
    bool nearest_only;                  // only the object that overlaps most, hit already or not
    enum curve curve;
    uint32_t points;         // of CURVE_POINTS
    uint32_t most_per_class; // detections of a picture; 0: all
};
extern const struct definition metrics_definitions[3];

struct column {
    double overlap;
    enum area area;
};

struct record { // one detection
    struct sl_detection found;
    uint32_t picture;
    uint32_t label;        // hit in column 0, of the picture's labels; or NO_LABEL
    uint64_t hit, ignored; // a bit per column
};

struct labelled {
    struct sl_label label;
    uint32_t picture;
    uint8_t counts; // a bit per area
};

struct picture_rows {
    size_t first_record, first_label;
    uint32_t n_records, n_labels;
};

struct sl_metrics {
    uint32_t n_classes;
    const struct definition *definition;
    uint32_t n_columns;
    struct column columns[MOST_COLUMNS];
    size_t n_records, record_room;
    struct record *records; // by picture
    size_t n_labels, label_room;
    struct labelled *labels; // by picture
    size_t n_pictures, picture_room;
    struct picture_rows *pictures;
    // By class, then falling score: made by metrics_sort when something was added.
    size_t sorted; // how many records are in `order`
    uint32_t *order;
    size_t first_of_class[SL_MAX_CLASSES + 1];
    double *scratch; // two numbers a record
    // Of the detection being matched: its overlap with every label (< 0: of another class); and of
    // every label, a bit per column, whether it was hit.
    double overlaps[MOST_LABELS];
    uint64_t taken[MOST_LABELS];
};

// metrics_match.c: fills in what the columns say about the records of one picture, of which there
// are at most MOST_LABELS labels.
double metrics_overlap(const struct sl_detection *found, const struct sl_label *label);
void metrics_match(struct sl_metrics *metrics, struct record *records, uint32_t n_records,
                   const struct labelled *labels, uint32_t n_labels);
bool metrics_area_holds(enum area area, double area_px);

// metrics_curve.c
int metrics_sort(struct sl_metrics *metrics, struct sl_error *error);
// Average precision of a class in a column, every picture taken `weights[picture]` times (NULL:
// once). `truths` is the number of objects that count, at least 1. After metrics_sort.
double metrics_area(struct sl_metrics *metrics, uint32_t class_id, uint32_t column,
                    const uint32_t *weights, uint32_t truths, enum curve curve, uint32_t points);

// metrics.c: how many objects of every class count; the mean over the definition's overlaps, of a
// class and of all (NAN: none has objects). Weights as above.
void metrics_count_truths(const struct sl_metrics *metrics, enum area area, const uint32_t *weights,
                          uint32_t truths[SL_MAX_CLASSES]);
double metrics_class_mean(struct sl_metrics *metrics, uint32_t class_id, enum area area,
                          const uint32_t *weights, uint32_t truths);
double metrics_mean(struct sl_metrics *metrics, enum area area, const uint32_t *weights);

#endif
