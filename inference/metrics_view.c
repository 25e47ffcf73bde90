// Curves, pictures and confusions.
#include "inference/metrics_view.h"

#include "inference/metrics_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t sl_metrics_pictures(const struct sl_metrics *m)
{
    return (uint32_t)m->n_pictures;
}

int sl_metrics_curve(struct sl_metrics *m, uint32_t class_id, struct sl_curve_point **out,
                     uint32_t *count, struct sl_error *error)
{
    uint32_t truths[SL_MAX_CLASSES], n = 0;
    double hits = 0, seen = 0;
    const int status = metrics_sort(m, error);
    if (status < 0)
        return status;
    const size_t first = m->first_of_class[class_id], end = m->first_of_class[class_id + 1];
    struct sl_curve_point *points = calloc(end - first + 1, sizeof(*points));
    if (!points)
        return sl_error_set(error, -ENOMEM, "out of memory");
    metrics_count_truths(m, AREA_ALL, NULL, truths);
    for (size_t i = first; i < end; i++) {
        const struct record *r = &m->records[m->order[i]];
        if (r->ignored & 1)
            continue;
        seen++;
        hits += r->hit & 1 ? 1 : 0;
        n -= n > 0 && points[n - 1].score == r->found.score;
        points[n++] = (struct sl_curve_point){r->found.score, hits / seen,
                                              truths[class_id] ? hits / truths[class_id] : 0};
    }
    *out = points;
    *count = n;
    return 0;
}

int sl_metrics_picture(const struct sl_metrics *m, uint32_t picture, const float *thresholds,
                       struct sl_marked **out, uint32_t *count, uint32_t *misses,
                       uint32_t *false_alarms, struct sl_error *error)
{
    const struct picture_rows *p = &m->pictures[picture];
    struct sl_marked *marked = calloc(p->n_records + p->n_labels + 1, sizeof(*marked));
    bool *hit = calloc(p->n_labels + 1, sizeof(*hit));
    uint32_t n = 0;
    if (!marked || !hit) {
        free(marked);
        free(hit);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    *misses = *false_alarms = 0;
    for (uint32_t i = 0; i < p->n_records; i++) {
        const struct record *r = &m->records[p->first_record + i];
        if (r->found.score < thresholds[r->found.class_id])
            continue;
        const enum sl_outcome outcome = r->ignored & 1 ? SL_OUTCOME_IGNORED
                                        : r->hit & 1   ? SL_OUTCOME_HIT
                                                       : SL_OUTCOME_FALSE;
        marked[n++] = (struct sl_marked){r->found, outcome};
        *false_alarms += outcome == SL_OUTCOME_FALSE;
        if (r->label != NO_LABEL)
            hit[r->label] = true;
    }
    for (uint32_t i = 0; i < p->n_labels; i++) {
        const struct sl_label *l = &m->labels[p->first_label + i].label;
        if (hit[i] || l->use != SL_LABEL_COUNTS)
            continue;
        marked[n++] = (struct sl_marked){l->box, SL_OUTCOME_MISSED};
        ++*misses;
    }
    free(hit);
    *out = marked;
    *count = n;
    return 0;
}

// The label of the picture, of any class, that overlaps most and is free, or NO_LABEL.
static uint32_t any_class(const struct sl_metrics *m, const struct picture_rows *p,
                          const struct sl_detection *found, const bool *taken)
{
    uint32_t best = NO_LABEL;
    double most = m->columns[0].overlap;
    for (uint32_t i = 0; i < p->n_labels; i++) {
        const struct sl_label *l = &m->labels[p->first_label + i].label;
        const double overlap = metrics_overlap(found, l);
        if ((taken[i] && l->use == SL_LABEL_COUNTS) || overlap < most)
            continue;
        most = overlap;
        best = i;
    }
    return best;
}

static void confuse(const struct sl_metrics *m, const struct picture_rows *p,
                    const float *thresholds, uint32_t *out)
{
    bool taken[MOST_LABELS] = {false};
    const uint32_t nothing = m->n_classes, width = m->n_classes + 1;
    for (uint32_t i = 0; i < p->n_records; i++) {
        const struct sl_detection *d = &m->records[p->first_record + i].found;
        if (d->score < thresholds[d->class_id])
            continue;
        const uint32_t at = any_class(m, p, d, taken);
        if (at == NO_LABEL) {
            out[nothing * width + d->class_id]++;
            continue;
        }
        const struct sl_label *l = &m->labels[p->first_label + at].label;
        taken[at] = true;
        if (l->use == SL_LABEL_COUNTS)
            out[l->box.class_id * width + d->class_id]++;
    }
    for (uint32_t i = 0; i < p->n_labels; i++) {
        const struct sl_label *l = &m->labels[p->first_label + i].label;
        if (l->use == SL_LABEL_COUNTS && !taken[i])
            out[l->box.class_id * width + nothing]++;
    }
}

void sl_metrics_confusion(const struct sl_metrics *m, const float *thresholds, uint32_t *out)
{
    const size_t width = m->n_classes + 1;
    memset(out, 0, width * width * sizeof(*out));
    for (size_t i = 0; i < m->n_pictures; i++)
        confuse(m, &m->pictures[i], thresholds, out);
}
