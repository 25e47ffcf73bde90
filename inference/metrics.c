// Matching detections with the truth, and what follows from it.
#include "inference/metrics.h"

#include "inference/head.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LIMITS = 2, MOST_TRUTH = 4096 };

struct record { // one detection
    float score;
    uint32_t class_id;
    bool hit[LIMITS];
    bool ignored;
};

struct sl_metrics {
    uint32_t n_classes;
    float overlap[LIMITS]; // the definition's, and 0.5
    size_t count, capacity;
    struct record *records;
    uint32_t truths[SL_MAX_CLASSES];
};

int sl_metrics_new(uint32_t n_classes, float overlap, struct sl_metrics **out,
                   struct sl_error *error)
{
    struct sl_metrics *m = n_classes <= SL_MAX_CLASSES ? calloc(1, sizeof(*m)) : NULL;
    if (!m)
        return sl_error_set(error, -ENOMEM, "out of memory");
    m->n_classes = n_classes;
    m->overlap[0] = overlap;
    m->overlap[1] = 0.5f;
    *out = m;
    return 0;
}

void sl_metrics_free(struct sl_metrics *m)
{
    if (m)
        free(m->records);
    free(m);
}

// The free truth of the same class that overlaps most, if by more than the limit; else n_truth. One
// that is to be ignored is never used up, and only serves where no real one does.
static uint32_t best_match(const struct sl_detection *d, const struct sl_detection *truth,
                           uint32_t n_truth, const bool *taken, float limit)
{
    uint32_t best = n_truth, ignored = n_truth;
    float most = limit;
    for (uint32_t i = 0; i < n_truth; i++) {
        const bool real = truth[i].score > 0;
        if ((taken[i] && real) || truth[i].class_id != d->class_id)
            continue;
        const float overlap = sl_box_overlap(d, &truth[i]);
        if (!real && overlap > limit) {
            ignored = i;
        } else if (real && overlap > most) {
            most = overlap;
            best = i;
        }
    }
    return best < n_truth ? best : ignored;
}

int sl_metrics_add(struct sl_metrics *m, const struct sl_detection *found, uint32_t n_found,
                   const struct sl_detection *truth, uint32_t n_truth, struct sl_error *error)
{
    bool taken[LIMITS][MOST_TRUTH] = {{false}};
    if (n_truth > MOST_TRUTH)
        return sl_error_set(error, -E2BIG, "more than %d defects on one picture", MOST_TRUTH);
    if (m->count + n_found > m->capacity) {
        const size_t capacity = 2 * m->capacity + n_found + 1024;
        struct record *grown = realloc(m->records, capacity * sizeof(*grown));
        if (!grown)
            return sl_error_set(error, -ENOMEM, "out of memory");
        m->records = grown;
        m->capacity = capacity;
    }
    for (uint32_t i = 0; i < n_truth; i++)
        m->truths[truth[i].class_id] += truth[i].score > 0;
    for (uint32_t i = 0; i < n_found; i++) {
        struct record r = {found[i].score, found[i].class_id, {false, false}, false};
        for (int k = 0; k < LIMITS; k++) {
            const uint32_t at = best_match(&found[i], truth, n_truth, taken[k], m->overlap[k]);
            if (at == n_truth)
                continue;
            taken[k][at] = true;
            r.hit[k] = truth[at].score > 0;
            r.ignored |= truth[at].score <= 0;
        }
        m->records[m->count++] = r;
    }
    return 0;
}

static int by_falling_score(const void *a, const void *b)
{
    const float x = ((const struct record *)a)->score, y = ((const struct record *)b)->score;
    return x < y ? 1 : x > y ? -1 : 0;
}

static double average_precision(const struct sl_metrics *m, uint32_t class_id, int limit)
{
    double sum = 0;
    uint32_t hits = 0, seen = 0;
    if (m->truths[class_id] == 0)
        return NAN;
    for (size_t i = 0; i < m->count; i++) {
        const struct record *r = &m->records[i];
        if (r->class_id != class_id || r->ignored)
            continue;
        seen++;
        if (r->hit[limit])
            sum += (double)++hits / seen;
    }
    return sum / m->truths[class_id];
}

static double ratio(uint32_t part, uint32_t whole)
{
    return whole ? (double)part / whole : 0;
}

void sl_metrics_summary(struct sl_metrics *m, const float *thresholds,
                        struct sl_class_metrics *per_class, struct sl_metrics_summary *out)
{
    uint32_t with_truth = 0;
    memset(out, 0, sizeof(*out));
    if (m->count)
        qsort(m->records, m->count, sizeof(*m->records), by_falling_score);
    for (uint32_t c = 0; c < m->n_classes; c++) {
        per_class[c] = (struct sl_class_metrics){m->truths[c], 0, 0, average_precision(m, c, 0),
                                                 average_precision(m, c, 1)};
        for (size_t i = 0; i < m->count; i++) {
            const struct record *r = &m->records[i];
            if (r->class_id != c || r->ignored || r->score < thresholds[c])
                continue;
            per_class[c].found++;
            per_class[c].hits += r->hit[0];
        }
        out->truths += per_class[c].truths;
        out->hits += per_class[c].hits;
        out->found += per_class[c].found;
        if (m->truths[c] == 0)
            continue;
        with_truth++;
        out->map += per_class[c].ap;
        out->map50 += per_class[c].ap50;
    }
    out->map = with_truth ? out->map / with_truth : 0;
    out->map50 = with_truth ? out->map50 / with_truth : 0;
    out->precision = ratio(out->hits, out->found);
    out->recall = ratio(out->hits, out->truths);
    const double sum = out->precision + out->recall;
    out->f1 = sum > 0 ? 2 * out->precision * out->recall / sum : 0;
}

void sl_match(const struct sl_detection *found, uint32_t n_found, const struct sl_detection *truth,
              uint32_t n_truth, float overlap, uint32_t *hits, uint32_t *false_alarms)
{
    bool taken[SL_MAX_DETECTIONS] = {false};
    n_truth = n_truth > SL_MAX_DETECTIONS ? SL_MAX_DETECTIONS : n_truth;
    *hits = *false_alarms = 0;
    for (uint32_t i = 0; i < n_found; i++) {
        const uint32_t at = best_match(&found[i], truth, n_truth, taken, overlap);
        if (at == n_truth) {
            ++*false_alarms;
        } else {
            taken[at] = true;
            ++*hits;
        }
    }
}
