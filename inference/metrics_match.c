// Which detection finds which object.
#include "inference/metrics_impl.h"

#include <math.h>

const struct definition metrics_definitions[3] = {
    {.metric = SL_METRIC_DEEPPCB,
     .name = "deeppcb",
     .n_overlaps = 1,
     .n_areas = 1,
     .first_overlap = 0.5,
     .last_overlap = 0.5,
     .strictly = true,
     .at_hits = true,
     .curve = CURVE_RAW},
    {.metric = SL_METRIC_VOC,
     .name = "voc",
     .n_overlaps = 1,
     .n_areas = 1,
     .first_overlap = 0.5,
     .last_overlap = 0.5,
     .nearest_only = true,
     .curve = CURVE_ENVELOPE},
    {.metric = SL_METRIC_COCO,
     .name = "coco",
     .n_overlaps = 10,
     .n_areas = N_AREAS,
     .first_overlap = 0.5,
     .last_overlap = 0.95,
     .curve = CURVE_POINTS,
     .points = 101,
     .most_per_class = 100},
};

bool metrics_area_holds(enum area area, double area_px)
{
    static const double low[] = {0, 0, 32 * 32, 96 * 96};
    static const double high[] = {INFINITY, 32 * 32, 96 * 96, INFINITY};
    return area_px >= low[area] && area_px <= high[area];
}

static double size(const struct sl_detection *d)
{
    return ((double)d->x2 - (double)d->x1) * ((double)d->y2 - (double)d->y1);
}

double metrics_overlap(const struct sl_detection *found, const struct sl_label *label)
{
    const struct sl_detection *b = &label->box;
    const double width =
        fmin((double)found->x2, (double)b->x2) - fmax((double)found->x1, (double)b->x1);
    const double height =
        fmin((double)found->y2, (double)b->y2) - fmax((double)found->y1, (double)b->y1);
    if (!(width > 0 && height > 0))
        return 0;
    const double inner = width * height;
    if (label->use == SL_LABEL_CROWD)
        return inner / size(found);
    return inner / (size(found) + size(b) - inner);
}

static bool counts(const struct labelled *label, enum area area)
{
    return label->counts >> area & 1;
}

static bool is_taken(const struct sl_metrics *m, const struct labelled *label, uint32_t at,
                     uint32_t column)
{
    return label->label.use == SL_LABEL_COUNTS && (m->taken[at] >> column & 1);
}

// The free object that overlaps most and counts; else one that is ignored. What is out of the area
// is used up by a detection, what nobody need find is not.
static uint32_t best_free(const struct sl_metrics *m, const struct labelled *labels,
                          uint32_t n_labels, uint32_t column)
{
    const struct column *c = &m->columns[column];
    const bool strictly = m->definition->strictly;
    uint32_t best = NO_LABEL;
    for (int real = 1; real >= 0 && best == NO_LABEL; real--) {
        double most = fmin(c->overlap, 1 - 1e-10);
        for (uint32_t i = 0; i < n_labels; i++) {
            const double overlap = m->overlaps[i];
            if (overlap < 0 || counts(&labels[i], c->area) != (real == 1) ||
                is_taken(m, &labels[i], i, column) || (strictly ? overlap <= most : overlap < most))
                continue;
            most = overlap;
            best = i;
        }
    }
    return best;
}

static uint32_t nearest(const struct sl_metrics *m, const struct labelled *labels,
                        uint32_t n_labels, uint32_t column)
{
    uint32_t best = NO_LABEL;
    double most = 0;
    for (uint32_t i = 0; i < n_labels; i++) {
        if (m->overlaps[i] <= most)
            continue;
        most = m->overlaps[i];
        best = i;
    }
    if (best == NO_LABEL || most < m->columns[column].overlap)
        return NO_LABEL;
    return is_taken(m, &labels[best], best, column) ? NO_LABEL : best;
}

static void match_column(struct sl_metrics *m, struct record *r, const struct labelled *labels,
                         uint32_t n_labels, uint32_t column)
{
    const uint64_t bit = 1ull << column;
    const enum area area = m->columns[column].area;
    const uint32_t at = m->definition->nearest_only ? nearest(m, labels, n_labels, column)
                                                    : best_free(m, labels, n_labels, column);
    if (at == NO_LABEL) {
        if (!metrics_area_holds(area, size(&r->found)))
            r->ignored |= bit;
        return;
    }
    m->taken[at] |= bit;
    if (counts(&labels[at], area))
        r->hit |= bit;
    else
        r->ignored |= bit;
    if (column == 0)
        r->label = at;
}

void metrics_match(struct sl_metrics *m, struct record *records, uint32_t n_records,
                   const struct labelled *labels, uint32_t n_labels)
{
    for (uint32_t i = 0; i < n_labels; i++)
        m->taken[i] = 0;
    for (uint32_t i = 0; i < n_records; i++) {
        struct record *r = &records[i];
        for (uint32_t k = 0; k < n_labels; k++)
            m->overlaps[k] = labels[k].label.box.class_id == r->found.class_id
                                 ? metrics_overlap(&r->found, &labels[k].label)
                                 : -1;
        for (uint32_t c = 0; c < m->n_columns; c++)
            match_column(m, r, labels, n_labels, c);
    }
}

void sl_match(const struct sl_detection *found, uint32_t n_found, const struct sl_detection *truth,
              uint32_t n_truth, float overlap, uint32_t *hits, uint32_t *false_alarms)
{
    bool taken[SL_MAX_DETECTIONS] = {false};
    n_truth = n_truth > SL_MAX_DETECTIONS ? SL_MAX_DETECTIONS : n_truth;
    *hits = *false_alarms = 0;
    for (uint32_t i = 0; i < n_found; i++) {
        uint32_t best = n_truth;
        double most = (double)overlap;
        for (uint32_t k = 0; k < n_truth; k++) {
            const struct sl_label label = {.box = truth[k]};
            const double found_overlap = metrics_overlap(&found[i], &label);
            if (taken[k] || truth[k].class_id != found[i].class_id || found_overlap <= most)
                continue;
            most = found_overlap;
            best = k;
        }
        *hits += best < n_truth;
        *false_alarms += best == n_truth;
        if (best < n_truth)
            taken[best] = true;
    }
}
