// The result of an evaluation, as a table or as JSON.
#include "inference/evaluate_print.h"

#include "inference/metrics_view.h"

#include <math.h>
#include <stdio.h>

static double percent(double part, double whole)
{
    return whole > 0 ? 100 * part / whole : 0;
}

// Right-aligned in `width`, or a dash where there is no such figure.
static void print_percent(double share, int width)
{
    if (isfinite(share))
        printf(" %*.2f", width, 100 * share);
    else
        printf(" %*s", width, "-");
}

static void print_class(const struct sl_class *class, const struct sl_class_metrics *m, bool coco)
{
    printf("  %-16s %8u", class->name, m->truths);
    print_percent(m->ap, 8);
    print_percent(m->ap50, 8);
    if (coco)
        print_percent(m->ap75, 8);
    printf(" %8.2f %9.2f %7.2f\n", percent(m->hits, m->truths), percent(m->hits, m->found),
           (double)class->threshold);
}

static void print_total(const struct sl_metrics_summary *s, bool coco)
{
    printf("  %-16s %8u", "all", s->truths);
    print_percent(s->map, 8);
    print_percent(s->map50, 8);
    if (coco)
        print_percent(s->map75, 8);
    printf(" %8.2f %9.2f   F %.2f %%\n", 100 * s->recall, 100 * s->precision, 100 * s->f1);
    if (coco) {
        printf("  mAP by size: small");
        print_percent(s->map_small, 0);
        printf(", medium");
        print_percent(s->map_medium, 0);
        printf(", large");
        print_percent(s->map_large, 0);
        printf(" %%\n");
    }
    if (isfinite(s->map_11_points))
        printf("  mAP of 11 points: %.2f %%\n", 100 * s->map_11_points);
}

static void print_side(const struct evaluated *side, enum sl_metric metric)
{
    const struct sl_model *model = side->model;
    const struct sl_evaluation *e = &side->result;
    const bool coco = metric == SL_METRIC_COCO;
    printf("%s %s: %u pictures, %.2f ms per picture, back end %s, metric %s\n", model->name,
           model->version, e->pictures, (double)e->ms_per_picture, side->backend,
           sl_metric_name(metric));
    printf("  %-16s %8s %8s %8s", "class", "defects", "AP %", "AP50 %");
    if (coco)
        printf(" %8s", "AP75 %");
    printf(" %8s %9s %7s\n", "recall %", "precis. %", "thresh.");
    for (uint32_t c = 0; c < model->n_classes; c++)
        if (e->per_class[c].truths || e->per_class[c].found)
            print_class(&model->classes[c], &e->per_class[c], coco);
    print_total(&e->summary, coco);
    if (sl_model_needs_reference(model))
        printf("  registration: mean %.2f ms, max %.2f ms, %u pictures not aligned\n",
               (double)e->registration_ms_mean, (double)e->registration_ms_max, e->unaligned);
}

static void print_interval(const char *what, double value, const struct sl_interval *i,
                           const char *unit)
{
    printf("%s %+.2f %s, 95 %% interval %+.2f to %+.2f\n", what, 100 * value, unit, 100 * i->low,
           100 * i->high);
}

// A name in double quotes, as YAML reads it back.
static void print_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

void evaluate_print_thresholds(FILE *out, const struct evaluated *side, const float *thresholds,
                               const bool *reached, const char *wish)
{
    fprintf(out, "# For model.yaml of %s %s: %s on %u pictures.\nclasses:\n", side->model->name,
            side->model->version, wish, side->result.pictures);
    for (uint32_t i = 0; i < side->model->n_classes; i++) {
        fputs("  - {name: ", out);
        print_quoted(out, side->model->classes[i].name);
        // Rounded down, so that the detection that it was taken from still counts.
        fprintf(out, ", threshold: %.4f}%s\n", floor((double)thresholds[i] * 1e4) / 1e4,
                reached[i] ? "" : "  # not reached: the weakest detection");
    }
}

static void print_wished(const struct comparison *c)
{
    const struct sl_model *model = c->sides[0].model;
    const struct sl_metrics_summary *s = &c->wished_summary;
    printf("thresholds found on these pictures:\n  %-16s %8s %9s %9s\n", "class", "thresh.",
           "recall %", "precis. %");
    for (uint32_t i = 0; i < model->n_classes; i++) {
        const struct sl_class_metrics *m = &c->wished_classes[i];
        if (m->truths || m->found)
            printf("  %-16s %8.4f %9.2f %9.2f%s\n", model->classes[i].name,
                   (double)c->thresholds[i], percent(m->hits, m->truths),
                   percent(m->hits, m->found), c->reached[i] ? "" : "  not reached");
    }
    printf("  %-16s %8s %9.2f %9.2f   F %.2f %%\n", "all", "", 100 * s->recall, 100 * s->precision,
           100 * s->f1);
    const double rejected = sl_metrics_false_reject(c->sides[0].result.metrics, c->thresholds);
    if (isfinite(rejected))
        printf("  good pictures rejected: %.2f %%\n", 100 * rejected);
}

void evaluate_print_table(const struct comparison *c)
{
    const struct sl_metrics_summary *a = &c->sides[0].result.summary;
    const struct sl_metrics_summary *b = &c->sides[1].result.summary;
    print_side(&c->sides[0], c->metric);
    if (c->wished)
        print_wished(c);
    if (!c->both) {
        if (c->resamples)
            print_interval("mAP", a->map, &c->bootstrap.a, "%");
        return;
    }
    print_side(&c->sides[1], c->metric);
    printf("difference: mAP %+.2f, F %+.2f points\n", 100 * (a->map - b->map),
           100 * (a->f1 - b->f1));
    if (c->resamples)
        print_interval("mAP difference", a->map - b->map, &c->bootstrap.difference, "points");
}

// null where there is no such figure.
static void add_number(cJSON *object, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
    else
        cJSON_AddNullToObject(object, key);
}

static void add_interval(cJSON *object, const char *key, const struct sl_interval *i)
{
    const double ends[] = {i->low, i->high};
    cJSON_AddItemToObject(object, key, cJSON_CreateDoubleArray(ends, 2));
}

static cJSON *class_json(const struct sl_class *class, const struct sl_class_metrics *m)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "class", class->name);
    add_number(row, "threshold", (double)class->threshold);
    add_number(row, "truths", m->truths);
    add_number(row, "found", m->found);
    add_number(row, "hits", m->hits);
    add_number(row, "ap", m->ap);
    add_number(row, "ap50", m->ap50);
    add_number(row, "ap75", m->ap75);
    return row;
}

static void add_summary(cJSON *out, const struct sl_metrics_summary *s, enum sl_metric metric)
{
    add_number(out, "map", s->map);
    add_number(out, "map50", s->map50);
    if (metric == SL_METRIC_COCO) {
        add_number(out, "map75", s->map75);
        add_number(out, "map_small", s->map_small);
        add_number(out, "map_medium", s->map_medium);
        add_number(out, "map_large", s->map_large);
    }
    if (metric == SL_METRIC_VOC)
        add_number(out, "map_11_points", s->map_11_points);
    add_number(out, "f1", s->f1);
    add_number(out, "precision", s->precision);
    add_number(out, "recall", s->recall);
    add_number(out, "truths", s->truths);
    add_number(out, "found", s->found);
    add_number(out, "hits", s->hits);
}

static cJSON *side_json(const struct evaluated *side, enum sl_metric metric)
{
    cJSON *out = cJSON_CreateObject();
    const struct sl_evaluation *e = &side->result;
    cJSON_AddStringToObject(out, "model", side->model->name);
    cJSON_AddStringToObject(out, "path", side->path);
    cJSON_AddStringToObject(out, "backend", side->backend);
    cJSON_AddStringToObject(out, "metric", sl_metric_name(metric));
    add_number(out, "pictures", e->pictures);
    add_number(out, "unaligned", e->unaligned);
    add_summary(out, &e->summary, metric);
    cJSON *registration = cJSON_AddObjectToObject(out, "registration_ms");
    add_number(registration, "mean", (double)e->registration_ms_mean);
    add_number(registration, "max", (double)e->registration_ms_max);
    add_number(out, "registration_error_px_max", (double)e->registration_error_px_max);
    add_number(out, "ms_per_picture", (double)e->ms_per_picture);
    cJSON *classes = cJSON_AddArrayToObject(out, "per_class");
    for (uint32_t c = 0; c < side->model->n_classes; c++)
        cJSON_AddItemToArray(classes, class_json(&side->model->classes[c], &e->per_class[c]));
    return out;
}

static void add_wished(cJSON *out, const struct comparison *c)
{
    cJSON *rows = cJSON_AddArrayToObject(out, "thresholds");
    for (uint32_t i = 0; i < c->sides[0].model->n_classes; i++) {
        const struct sl_class_metrics *m = &c->wished_classes[i];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "class", c->sides[0].model->classes[i].name);
        add_number(row, "threshold", (double)c->thresholds[i]);
        cJSON_AddBoolToObject(row, "reached", c->reached[i]);
        add_number(row, "truths", m->truths);
        add_number(row, "found", m->found);
        add_number(row, "hits", m->hits);
        cJSON_AddItemToArray(rows, row);
    }
    add_number(out, "false_reject",
               sl_metrics_false_reject(c->sides[0].result.metrics, c->thresholds));
}

cJSON *evaluate_json(const struct comparison *c)
{
    const struct sl_metrics_summary *a = &c->sides[0].result.summary;
    const struct sl_metrics_summary *b = &c->sides[1].result.summary;
    cJSON *out = side_json(&c->sides[0], c->metric);
    if (c->resamples)
        add_interval(out, "map_interval", &c->bootstrap.a);
    if (c->wished)
        add_wished(out, c);
    if (!c->both)
        return out;
    cJSON *against = side_json(&c->sides[1], c->metric);
    cJSON *difference = cJSON_CreateObject();
    add_number(difference, "map", a->map - b->map);
    add_number(difference, "f1", a->f1 - b->f1);
    if (c->resamples) {
        add_interval(against, "map_interval", &c->bootstrap.b);
        add_interval(difference, "map_interval", &c->bootstrap.difference);
        add_number(difference, "resamples", c->resamples);
    }
    cJSON_AddItemToObject(out, "against", against);
    cJSON_AddItemToObject(out, "difference", difference);
    return out;
}
