// Thresholds for a wanted recall, or for a share of good parts that may be rejected.
#include "inference/metrics_view.h"

#include "inference/metrics_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static bool is_good(const struct sl_metrics *m, const struct picture_rows *p)
{
    for (uint32_t i = 0; i < p->n_labels; i++)
        if (m->labels[p->first_label + i].label.use == SL_LABEL_COUNTS)
            return false;
    return true;
}

static bool is_rejected(const struct sl_metrics *m, const struct picture_rows *p,
                        const float *thresholds)
{
    for (uint32_t i = 0; i < p->n_records; i++) {
        const struct record *r = &m->records[p->first_record + i];
        if (!(r->ignored & 1) && r->found.score >= thresholds[r->found.class_id])
            return true;
    }
    return false;
}

static uint32_t count_rejected(const struct sl_metrics *m, const float *thresholds, uint32_t *good)
{
    uint32_t rejected = 0;
    *good = 0;
    for (size_t i = 0; i < m->n_pictures; i++) {
        if (!is_good(m, &m->pictures[i]))
            continue;
        ++*good;
        rejected += is_rejected(m, &m->pictures[i], thresholds);
    }
    return rejected;
}

double sl_metrics_false_reject(const struct sl_metrics *m, const float *thresholds)
{
    uint32_t good;
    const uint32_t rejected = count_rejected(m, thresholds, &good);
    return good ? (double)rejected / good : NAN;
}

int sl_metrics_for_recall(struct sl_metrics *m, double recall, float *thresholds, bool *reached,
                          struct sl_error *error)
{
    for (uint32_t c = 0; c < m->n_classes; c++) {
        struct sl_curve_point *points;
        uint32_t count, truths[SL_MAX_CLASSES], at = 0;
        const int status = sl_metrics_curve(m, c, &points, &count, error);
        if (status < 0)
            return status;
        metrics_count_truths(m, AREA_ALL, NULL, truths);
        while (at + 1 < count && points[at].recall < recall - 1e-12)
            at++;
        reached[c] = truths[c] == 0 || (count && points[at].recall >= recall - 1e-12);
        if (truths[c] && count)
            thresholds[c] = points[at].score;
        free(points);
    }
    return 0;
}

// Objects of a class that are found at a threshold.
static uint32_t found_at(const struct sl_metrics *m, uint32_t class_id, float threshold)
{
    uint32_t hits = 0;
    for (size_t i = m->first_of_class[class_id]; i < m->first_of_class[class_id + 1]; i++) {
        const struct record *r = &m->records[m->order[i]];
        if (r->found.score < threshold)
            break;
        hits += (r->hit & 1) && !(r->ignored & 1);
    }
    return hits;
}

struct step {
    uint32_t class_id;
    float threshold;
    double gain; // objects per rejected picture
};

// The best way down for one class within what may still be rejected.
static void try_class(const struct sl_metrics *m, uint32_t class_id, float *thresholds,
                      uint32_t allowed, struct step *best)
{
    const float before = thresholds[class_id];
    const uint32_t had = found_at(m, class_id, before);
    uint32_t good;
    const uint32_t were = count_rejected(m, thresholds, &good);
    for (size_t i = m->first_of_class[class_id]; i < m->first_of_class[class_id + 1]; i++) {
        const struct record *r = &m->records[m->order[i]];
        if (r->found.score >= before || !(r->hit & 1))
            continue;
        thresholds[class_id] = r->found.score;
        const uint32_t now = count_rejected(m, thresholds, &good);
        if (now > allowed)
            break;
        const double gain = (double)(found_at(m, class_id, r->found.score) - had) /
                            (now > were ? now - were : 1e-9);
        if (gain > best->gain)
            *best = (struct step){class_id, r->found.score, gain};
    }
    thresholds[class_id] = before;
}

int sl_metrics_for_false_reject(struct sl_metrics *m, double share, float *thresholds,
                                struct sl_error *error)
{
    uint32_t good;
    const int status = metrics_sort(m, error);
    if (status < 0)
        return status;
    count_rejected(m, thresholds, &good);
    if (good == 0)
        return sl_error_set(error, -ENODATA,
                            "a share of false rejects needs pictures of good parts, and every one "
                            "of these %zu pictures has an object",
                            m->n_pictures);
    const uint32_t allowed = (uint32_t)floor(share * good + 1e-9);
    for (uint32_t c = 0; c < m->n_classes; c++)
        thresholds[c] = 1.0f;
    for (;;) {
        struct step best = {0, 0, 0};
        for (uint32_t c = 0; c < m->n_classes; c++)
            try_class(m, c, thresholds, allowed, &best);
        if (best.gain <= 0)
            return 0;
        thresholds[best.class_id] = best.threshold;
    }
}
