// What was found on every picture, and the figures that follow from it.
#include "inference/metrics_impl.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *sl_metric_name(enum sl_metric metric)
{
    return metrics_definitions[metric - SL_METRIC_DEEPPCB].name;
}

enum sl_metric sl_metric_of_name(const char *name)
{
    for (size_t i = 0; i < 3; i++)
        if (!strcmp(name, metrics_definitions[i].name))
            return metrics_definitions[i].metric;
    return 0;
}

static void make_columns(struct sl_metrics *m, double hit_overlap)
{
    const struct definition *d = m->definition;
    const double step =
        d->n_overlaps > 1 ? (d->last_overlap - d->first_overlap) / (d->n_overlaps - 1) : 0;
    m->columns[0] = (struct column){hit_overlap, AREA_ALL};
    m->n_columns = 1;
    for (uint32_t area = 0; area < d->n_areas; area++)
        for (uint32_t i = 0; i < d->n_overlaps; i++)
            m->columns[m->n_columns++] = (struct column){
                i + 1 == d->n_overlaps ? d->last_overlap : d->first_overlap + i * step,
                (enum area)area};
}

int sl_metrics_new(uint32_t n_classes, enum sl_metric metric, float hit_overlap,
                   struct sl_metrics **out, struct sl_error *error)
{
    struct sl_metrics *m = n_classes <= SL_MAX_CLASSES ? calloc(1, sizeof(*m)) : NULL;
    if (!m)
        return sl_error_set(error, -ENOMEM, "out of memory");
    m->n_classes = n_classes;
    m->definition = &metrics_definitions[metric - SL_METRIC_DEEPPCB];
    if (hit_overlap <= 0)
        hit_overlap = metric == SL_METRIC_DEEPPCB ? SL_HIT_OVERLAP : 0.5f;
    make_columns(m, (double)hit_overlap);
    *out = m;
    return 0;
}

void sl_metrics_free(struct sl_metrics *m)
{
    if (!m)
        return;
    free(m->records);
    free(m->labels);
    free(m->pictures);
    free(m->order);
    free(m->scratch);
    free(m);
}

static bool grow(void **rows, size_t *room, size_t used, size_t more, size_t each)
{
    if (more <= *room - used)
        return true;
    const size_t wanted = 2 * *room + more + 256;
    void *grown = wanted <= UINT32_MAX ? realloc(*rows, wanted * each) : NULL;
    if (!grown)
        return false;
    *rows = grown;
    *room = wanted;
    return true;
}

static void add_labels(struct sl_metrics *m, const struct sl_label *labels, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct labelled l = {labels[i], (uint32_t)m->n_pictures, 0};
        for (uint32_t area = 0; area < N_AREAS; area++)
            if (labels[i].use == SL_LABEL_COUNTS &&
                metrics_area_holds((enum area)area, labels[i].area_px))
                l.counts |= (uint8_t)(1u << area);
        m->labels[m->n_labels++] = l;
    }
}

// Of every class the strongest only, where the definition has a limit.
static uint32_t add_records(struct sl_metrics *m, const struct sl_detection *found, uint32_t n)
{
    uint32_t of_class[SL_MAX_CLASSES] = {0}, added = 0;
    const uint32_t most = m->definition->most_per_class;
    for (uint32_t i = 0; i < n; i++) {
        if (most && of_class[found[i].class_id]++ >= most)
            continue;
        m->records[m->n_records + added++] =
            (struct record){found[i], (uint32_t)m->n_pictures, NO_LABEL, 0, 0};
    }
    return added;
}

int sl_metrics_add(struct sl_metrics *m, const struct sl_detection *found, uint32_t n_found,
                   const struct sl_label *labels, uint32_t n_labels, struct sl_error *error)
{
    if (n_labels > MOST_LABELS)
        return sl_error_set(error, -E2BIG, "more than %d objects on one picture", MOST_LABELS);
    if (!grow((void **)&m->records, &m->record_room, m->n_records, n_found, sizeof(*m->records)) ||
        !grow((void **)&m->labels, &m->label_room, m->n_labels, n_labels, sizeof(*m->labels)) ||
        !grow((void **)&m->pictures, &m->picture_room, m->n_pictures, 1, sizeof(*m->pictures)))
        return sl_error_set(error, -ENOMEM, "out of memory");
    struct picture_rows *rows = &m->pictures[m->n_pictures];
    *rows = (struct picture_rows){m->n_records, m->n_labels, 0, n_labels};
    add_labels(m, labels, n_labels);
    rows->n_records = add_records(m, found, n_found);
    metrics_match(m, m->records + rows->first_record, rows->n_records,
                  m->labels + rows->first_label, n_labels);
    m->n_records += rows->n_records;
    m->n_pictures++;
    return 0;
}

void metrics_count_truths(const struct sl_metrics *m, enum area area, const uint32_t *weights,
                          uint32_t truths[SL_MAX_CLASSES])
{
    memset(truths, 0, SL_MAX_CLASSES * sizeof(*truths));
    for (size_t i = 0; i < m->n_labels; i++)
        if (m->labels[i].counts >> area & 1)
            truths[m->labels[i].label.box.class_id] += weights ? weights[m->labels[i].picture] : 1;
}

double metrics_class_mean(struct sl_metrics *m, uint32_t class_id, enum area area,
                          const uint32_t *weights, uint32_t truths)
{
    const struct definition *d = m->definition;
    const uint32_t first = d->at_hits ? 0 : 1 + area * d->n_overlaps;
    double sum = 0;
    if (truths == 0)
        return NAN;
    for (uint32_t i = 0; i < d->n_overlaps; i++)
        sum += metrics_area(m, class_id, first + i, weights, truths, d->curve, d->points);
    return sum / d->n_overlaps;
}

double metrics_mean(struct sl_metrics *m, enum area area, const uint32_t *weights)
{
    uint32_t truths[SL_MAX_CLASSES], with_truth = 0;
    double sum = 0;
    metrics_count_truths(m, area, weights, truths);
    for (uint32_t c = 0; c < m->n_classes; c++) {
        if (truths[c] == 0)
            continue;
        sum += metrics_class_mean(m, c, area, weights, truths[c]);
        with_truth++;
    }
    return with_truth ? sum / with_truth : NAN;
}

// Average precision at one overlap of the definition, for all objects.
static double at_overlap(struct sl_metrics *m, uint32_t class_id, uint32_t overlap, uint32_t truths)
{
    const struct definition *d = m->definition;
    if (truths == 0 || overlap >= d->n_overlaps)
        return NAN;
    return metrics_area(m, class_id, 1 + overlap, NULL, truths, d->curve, d->points);
}

static void judge_class(struct sl_metrics *m, uint32_t class_id, uint32_t truths, float threshold,
                        struct sl_class_metrics *out)
{
    *out = (struct sl_class_metrics){
        .truths = truths,
        .ap = metrics_class_mean(m, class_id, AREA_ALL, NULL, truths),
        .ap50 = at_overlap(m, class_id, 0, truths),
        .ap75 = at_overlap(m, class_id, 5, truths),
    };
    for (size_t i = m->first_of_class[class_id]; i < m->first_of_class[class_id + 1]; i++) {
        const struct record *r = &m->records[m->order[i]];
        if (r->ignored & 1 || r->found.score < threshold)
            continue;
        out->found++;
        out->hits += r->hit & 1;
    }
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static void add_up(const struct sl_class_metrics *c, double *map50, double *map75,
                   struct sl_metrics_summary *out)
{
    out->truths += c->truths;
    out->hits += c->hits;
    out->found += c->found;
    if (c->truths == 0)
        return;
    out->map += c->ap;
    *map50 += c->ap50;
    *map75 += c->ap75;
}

static double eleven_points(struct sl_metrics *m, const struct sl_class_metrics *per_class)
{
    double sum = 0;
    uint32_t with_truth = 0;
    for (uint32_t c = 0; c < m->n_classes; c++) {
        if (per_class[c].truths == 0)
            continue;
        sum += metrics_area(m, c, 1, NULL, per_class[c].truths, CURVE_POINTS, 11);
        with_truth++;
    }
    return ratio(sum, with_truth);
}

int sl_metrics_summary(struct sl_metrics *m, const float *thresholds,
                       struct sl_class_metrics *per_class, struct sl_metrics_summary *out,
                       struct sl_error *error)
{
    uint32_t truths[SL_MAX_CLASSES], with_truth = 0;
    double map50 = 0, map75 = 0;
    const int status = metrics_sort(m, error);
    if (status < 0)
        return status;
    *out = (struct sl_metrics_summary){
        .map_small = NAN, .map_medium = NAN, .map_large = NAN, .map_11_points = NAN};
    metrics_count_truths(m, AREA_ALL, NULL, truths);
    for (uint32_t c = 0; c < m->n_classes; c++) {
        judge_class(m, c, truths[c], thresholds[c], &per_class[c]);
        add_up(&per_class[c], &map50, &map75, out);
        with_truth += truths[c] > 0;
    }
    out->map = ratio(out->map, with_truth);
    out->map50 = ratio(map50, with_truth);
    out->map75 = m->definition->n_overlaps > 1 ? ratio(map75, with_truth) : NAN;
    out->precision = ratio(out->hits, out->found);
    out->recall = ratio(out->hits, out->truths);
    out->f1 = ratio(2 * out->precision * out->recall, out->precision + out->recall);
    if (m->definition->n_areas > 1) {
        out->map_small = metrics_mean(m, AREA_SMALL, NULL);
        out->map_medium = metrics_mean(m, AREA_MEDIUM, NULL);
        out->map_large = metrics_mean(m, AREA_LARGE, NULL);
    }
    if (m->definition->metric == SL_METRIC_VOC)
        out->map_11_points = eleven_points(m, per_class);
    return 0;
}
