// Precision-recall curves and the area under them.
#include "inference/metrics_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

struct key {
    uint32_t class_id, record;
    float score;
};

static int by_class_and_score(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    if (x->class_id != y->class_id)
        return x->class_id < y->class_id ? -1 : 1;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->record < y->record ? -1 : 1;
}

static void fill_order(struct sl_metrics *m, struct key *keys)
{
    size_t at = 0;
    for (uint32_t i = 0; i < m->n_records; i++)
        keys[i] = (struct key){m->records[i].found.class_id, i, m->records[i].found.score};
    qsort(keys, m->n_records, sizeof(*keys), by_class_and_score);
    for (uint32_t c = 0; c <= m->n_classes; c++) {
        while (at < m->n_records && keys[at].class_id < c)
            at++;
        m->first_of_class[c] = at;
    }
    for (size_t i = 0; i < m->n_records; i++)
        m->order[i] = keys[i].record;
    m->sorted = m->n_records;
}

int metrics_sort(struct sl_metrics *m, struct sl_error *error)
{
    if (m->order && m->sorted == m->n_records)
        return 0;
    free(m->order);
    free(m->scratch);
    m->order = calloc(m->n_records + 1, sizeof(*m->order));
    m->scratch = calloc(m->n_records + 1, 2 * sizeof(*m->scratch));
    struct key *keys = calloc(m->n_records + 1, sizeof(*keys));
    if (m->order && m->scratch && keys)
        fill_order(m, keys);
    free(keys);
    return m->order && m->scratch && keys ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
}

// A detection on a picture that is taken w times stands for w of them, one after the other.
static double raw_area(const struct sl_metrics *m, const uint32_t *rows, size_t n, uint64_t bit,
                       const uint32_t *weights, uint32_t truths)
{
    double sum = 0, hits = 0, seen = 0;
    for (size_t i = 0; i < n; i++) {
        const struct record *r = &m->records[rows[i]];
        const uint32_t weight = weights ? weights[r->picture] : 1;
        if (r->ignored & bit)
            continue;
        for (uint32_t w = 0; w < weight; w++) {
            seen++;
            if (r->hit & bit)
                sum += ++hits / seen;
        }
    }
    return sum / truths;
}

// Recall and precision after each detection; where it is taken several times, after the last: the
// envelope is the same. Returns how many there are.
static size_t curve_points(const struct sl_metrics *m, const uint32_t *rows, size_t n, uint64_t bit,
                           const uint32_t *weights, uint32_t truths, double *recall,
                           double *precision)
{
    double hits = 0, seen = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct record *r = &m->records[rows[i]];
        const uint32_t weight = weights ? weights[r->picture] : 1;
        if (r->ignored & bit || weight == 0)
            continue;
        seen += weight;
        hits += r->hit & bit ? weight : 0;
        recall[count] = hits / truths;
        precision[count++] = hits / seen;
    }
    return count;
}

// From the end, so that the highest precision at this recall or beyond is known.
static double envelope_area(const double *recall, const double *precision, size_t n)
{
    double sum = 0, envelope = 0;
    for (size_t i = n; i-- > 0;) {
        envelope = fmax(envelope, precision[i]);
        sum += (recall[i] - (i ? recall[i - 1] : 0)) * envelope;
    }
    return sum;
}

// The envelope at the first detection that reaches each of `points` recalls, 0 to 1; 0 where none
// does.
static double points_mean(const double *recall, const double *precision, size_t n, uint32_t points)
{
    const double step = 1.0 / (points - 1);
    double sum = 0, envelope = 0;
    uint32_t left = points; // those not yet passed
    while (left > 0 && (n == 0 || (left - 1) * step > recall[n - 1]))
        left--;
    for (size_t i = n; i-- > 0;) {
        envelope = fmax(envelope, precision[i]);
        for (; left > 0 && (i == 0 || (left - 1) * step > recall[i - 1]); left--)
            sum += envelope;
    }
    return sum / points;
}

double metrics_area(struct sl_metrics *m, uint32_t class_id, uint32_t column,
                    const uint32_t *weights, uint32_t truths, enum curve curve, uint32_t points)
{
    const uint32_t *rows = m->order + m->first_of_class[class_id];
    const size_t n = m->first_of_class[class_id + 1] - m->first_of_class[class_id];
    double *recall = m->scratch, *precision = m->scratch + n;
    const uint64_t bit = 1ull << column;
    if (curve == CURVE_RAW)
        return raw_area(m, rows, n, bit, weights, truths);
    const size_t count = curve_points(m, rows, n, bit, weights, truths, recall, precision);
    return curve == CURVE_ENVELOPE ? envelope_area(recall, precision, count)
                                   : points_mean(recall, precision, count, points);
}
