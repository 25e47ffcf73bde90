// The page of `sightline model report`.
#include "inference/report/models.h"

#include "inference/atomic_file.h"
#include "inference/head.h"
#include "inference/report/html.h"
#include "inference/report/picture.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

static void own_thresholds(const struct sl_model *model, float *out)
{
    for (uint32_t i = 0; i < model->n_classes; i++)
        out[i] = model->classes[i].threshold;
}

static int marked_of(const struct model_subject *s, uint32_t picture, struct sl_marked **out,
                     uint32_t *count, struct sl_error *error)
{
    float thresholds[SL_MAX_CLASSES];
    uint32_t misses, false_alarms;
    own_thresholds(s->network.model, thresholds);
    return sl_metrics_picture(s->evaluation.metrics, picture, thresholds, out, count, &misses,
                              &false_alarms, error);
}

// Detections of `a` without a partner in `b`.
static uint32_t alone(const struct sl_marked *a, uint32_t n_a, const struct sl_marked *b,
                      uint32_t n_b)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < n_a; i++) {
        bool partner = a[i].outcome == SL_OUTCOME_MISSED;
        for (uint32_t k = 0; k < n_b && !partner; k++)
            partner = b[k].outcome != SL_OUTCOME_MISSED && a[i].box.class_id == b[k].box.class_id &&
                      sl_box_overlap(&a[i].box, &b[k].box) >= 0.5f;
        count += !partner;
    }
    return count;
}

int models_flips(const struct model_subject *a, const struct model_subject *b, uint32_t picture,
                 uint32_t *flips, struct sl_error *error)
{
    struct sl_marked *of_a = NULL, *of_b = NULL;
    uint32_t n_a, n_b;
    int status = marked_of(a, picture, &of_a, &n_a, error);
    if (status == 0)
        status = marked_of(b, picture, &of_b, &n_b, error);
    if (status == 0)
        *flips = alone(of_a, n_a, of_b, n_b) + alone(of_b, n_b, of_a, n_a);
    free(of_a);
    free(of_b);
    return status;
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

static void cost_table(FILE *out, const struct model_comparison *c)
{
    const struct model_subject *first = &c->subjects[0];
    fputs("<h2>What they cost</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th "
          "scope=\"col\">model</th><th scope=\"col\">file MB</th><th scope=\"col\">million "
          "MAC</th><th scope=\"col\">not zero</th><th scope=\"col\">ms, median</th><th "
          "scope=\"col\">ms, least</th><th scope=\"col\">faster by</th><th scope=\"col\">arena "
          "MiB</th><th scope=\"col\">weights MiB</th></tr></thead>\n<tbody>\n",
          out);
    for (uint32_t i = 0; i < c->count; i++) {
        const struct model_subject *s = &c->subjects[i];
        fputs("<tr><th scope=\"row\">", out);
        html_name(out, s->path);
        fprintf(out,
                "</th><td>%.2f</td><td>%.1f</td><td>%.1f</td><td>%.2f</td><td>%.2f</td>"
                "<td>%.2f</td><td>%.2f</td><td>%.2f</td></tr>\n",
                (double)s->bytes / 1e6, (double)s->macs.dense / 1e6, (double)s->macs.nonzero / 1e6,
                s->median_ms, s->least_ms, ratio(first->median_ms, s->median_ms),
                (double)s->footprint.arena / 0x1p20, (double)s->footprint.constants / 0x1p20);
    }
    fprintf(out,
            "</tbody></table></div>\n<p class=\"dim\">Times are those of the network alone on one "
            "thread of this machine's processor, in turns, %u rounds.</p>\n",
            c->rounds);
}

static void accuracy_table(FILE *out, const struct model_comparison *c)
{
    fprintf(
        out,
        "<h2>How well they find</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th "
        "scope=\"col\">model</th><th scope=\"col\">back end</th><th scope=\"col\">mAP %%</th><th "
        "scope=\"col\">AP50 %%</th><th scope=\"col\">recall %%</th><th scope=\"col\">precision "
        "%%</th><th scope=\"col\">F %%</th><th scope=\"col\">mAP, points against the first</th>"
        "<th scope=\"col\">95 %% interval</th><th scope=\"col\">detections that differ</th></tr>"
        "</thead>\n<tbody>\n");
    for (uint32_t i = 0; i < c->count; i++) {
        const struct model_subject *s = &c->subjects[i];
        const struct sl_metrics_summary *m = &s->evaluation.summary;
        fputs("<tr><th scope=\"row\">", out);
        html_name(out, s->path);
        fputs("</th><td>", out);
        html_text(out, s->backend);
        fputs("</td>", out);
        html_percent_cell(out, m->map);
        html_percent_cell(out, m->map50);
        html_percent_cell(out, m->recall);
        html_percent_cell(out, m->precision);
        html_percent_cell(out, m->f1);
        if (i == 0)
            fputs("<td></td><td></td><td></td></tr>\n", out);
        else
            fprintf(out, "<td>%+.2f</td><td class=\"one-line\">%+.2f to %+.2f</td><td>%u</td></tr>\n",
                    100 * (m->map - c->subjects[0].evaluation.summary.map),
                    100 * s->bootstrap.difference.low, 100 * s->bootstrap.difference.high,
                    s->flips);
    }
    fprintf(
        out,
        "</tbody></table></div>\n<p class=\"dim\">%u pictures; definition: %s. The interval draws "
        "the pictures anew %u times, the same ones for both models: one that holds 0 says that "
        "these pictures do not tell the two apart.</p>\n",
        c->subjects[0].evaluation.pictures, sl_metric_name(c->metric), c->resamples);
}

static void snr_cell(FILE *out, double db)
{
    const int width = isfinite(db) ? (int)fmin(fmax(2 * db, 0), 100) : 0;
    if (isnan(db))
        fputs("<td class=\"dim\">–</td>", out);
    else if (isinf(db))
        fputs("<td>equal</td>", out);
    else
        fprintf(out,
                "<td style=\"background:linear-gradient(90deg,color-mix(in srgb,var(--%s) "
                "35%%,transparent) %d%%,transparent %d%%)\">%.1f</td>",
                db < 10   ? "bad"
                : db < 20 ? "warn"
                          : "good",
                width, width, db);
}

static void layer_table(FILE *out, const struct model_comparison *c)
{
    fputs("<h2>Layer by layer: signal to noise in dB</h2>\n<div class=\"scroll\"><table>\n<thead>"
          "<tr><th scope=\"col\">layer</th><th scope=\"col\">million MAC</th>",
          out);
    for (uint32_t k = 1; k < c->count; k++) {
        fputs("<th scope=\"col\">", out);
        html_name(out, c->subjects[k].path);
        fputs("</th>", out);
    }
    fputs("</tr></thead>\n<tbody>\n", out);
    for (uint32_t i = 0; i < c->n_layers; i++) {
        fputs("<tr><th scope=\"row\">", out);
        html_name(out, c->layers[i].name);
        fprintf(out, "</th><td>%.2f</td>", (double)c->layers[i].macs / 1e6);
        for (uint32_t k = 1; k < c->count; k++)
            snr_cell(out, c->subjects[k].snr_db[i]);
        fputs("</tr>\n", out);
    }
    fprintf(out,
            "</tbody></table></div>\n<p class=\"dim\">Outputs of layers with the same name on %u "
            "pictures, with all errors of the layers before them. The gain of each channel is "
            "fitted, because equalisation may change it from layer to layer without changing the "
            "result. A dash: no such layer, or other channels.</p>\n",
            c->snr_pictures);
}

struct flipped {
    uint32_t picture, flips;
};

static int by_flips(const void *a, const void *b)
{
    const struct flipped *x = a, *y = b;
    if (x->flips != y->flips)
        return x->flips > y->flips ? -1 : 1;
    return x->picture < y->picture ? -1 : 1;
}

static int one_side(FILE *out, const struct model_comparison *c, const struct model_subject *s,
                    uint32_t picture, struct sl_error *error)
{
    struct sl_marked *marked;
    uint32_t count;
    const struct sl_sample *sample = &c->dataset->samples[picture];
    int status = marked_of(s, picture, &marked, &count, error);
    if (status < 0)
        return status;
    fputs("<figure>", out);
    status = report_picture(out, sample->picture, s->network.model->classes, marked, count, s->path,
                            error);
    fputs("<figcaption>", out);
    html_name(out, sample->name);
    fputs(" by ", out);
    html_name(out, s->path);
    fputs("</figcaption></figure>\n", out);
    free(marked);
    return status;
}

static int pairs_of(FILE *out, const struct model_comparison *c, uint32_t k, uint32_t most,
                    struct sl_error *error)
{
    const struct model_subject *a = &c->subjects[0], *b = &c->subjects[k];
    const uint32_t count = sl_metrics_pictures(a->evaluation.metrics);
    struct flipped *rows = calloc(count + 1, sizeof(*rows));
    uint32_t differing = 0;
    int status = rows ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < count && status == 0; i++) {
        rows[i].picture = i;
        status = models_flips(a, b, i, &rows[i].flips, error);
        differing += rows[i].flips > 0;
    }
    if (status == 0)
        qsort(rows, count, sizeof(*rows), by_flips);
    fputs("<h2>Where ", out);
    html_name(out, b->path);
    fprintf(
        out,
        " sees something else</h2>\n<p>On %u of %u pictures. Left: the first model. Green: found; "
        "red: false alarm; yellow, dashed: missed.</p>\n",
        differing, count);
    for (uint32_t i = 0; i < most && i < differing && status == 0; i++) {
        fputs("<div class=\"pairs\">\n", out);
        status = one_side(out, c, a, rows[i].picture, error);
        if (status == 0)
            status = one_side(out, c, b, rows[i].picture, error);
        fputs("</div>\n", out);
    }
    free(rows);
    return status;
}

static int fill(FILE *out, const struct model_comparison *c, uint32_t pairs, struct sl_error *error)
{
    int status = 0;
    html_begin(out, "Models side by side");
    if (c->dataset)
        accuracy_table(out, c);
    cost_table(out, c);
    if (c->n_layers)
        layer_table(out, c);
    for (uint32_t k = 1; c->dataset && k < c->count && status == 0; k++)
        status = pairs_of(out, c, k, pairs, error);
    html_end(out);
    return status;
}

int report_models(const char *path, const struct model_comparison *comparison, uint32_t pairs,
                  struct sl_error *error)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&bytes, &size);
    if (!out)
        return sl_error_set(error, -ENOMEM, "out of memory");
    int status = fill(out, comparison, pairs, error);
    if (fclose(out) != 0 && status == 0)
        status = sl_error_set(error, -ENOMEM, "out of memory for the report");
    if (status == 0)
        status = atomic_file_write(path, bytes, size, error);
    free(bytes);
    return status;
}

static void add_number(cJSON *object, const char *key, double value)
{
    if (isfinite(value))
        cJSON_AddNumberToObject(object, key, value);
    else
        cJSON_AddNullToObject(object, key);
}

static void add_accuracy(cJSON *row, const struct model_comparison *c, uint32_t k)
{
    const struct model_subject *s = &c->subjects[k];
    const struct sl_metrics_summary *m = &s->evaluation.summary;
    add_number(row, "map", m->map);
    add_number(row, "map50", m->map50);
    add_number(row, "f1", m->f1);
    add_number(row, "precision", m->precision);
    add_number(row, "recall", m->recall);
    if (k == 0)
        return;
    const double ends[] = {s->bootstrap.difference.low, s->bootstrap.difference.high};
    add_number(row, "map_difference", m->map - c->subjects[0].evaluation.summary.map);
    cJSON_AddItemToObject(row, "map_interval", cJSON_CreateDoubleArray(ends, 2));
    add_number(row, "flips", s->flips);
}

cJSON *report_models_json(const struct model_comparison *c)
{
    cJSON *root = cJSON_CreateObject(), *models = cJSON_AddArrayToObject(root, "models");
    if (c->dataset) {
        cJSON_AddStringToObject(root, "metric", sl_metric_name(c->metric));
        add_number(root, "pictures", c->subjects[0].evaluation.pictures);
    }
    for (uint32_t k = 0; k < c->count; k++) {
        const struct model_subject *s = &c->subjects[k];
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "path", s->path);
        cJSON_AddStringToObject(row, "backend", s->backend);
        add_number(row, "bytes", (double)s->bytes);
        add_number(row, "macs", (double)s->macs.dense);
        add_number(row, "macs_nonzero", (double)s->macs.nonzero);
        add_number(row, "median_ms", s->median_ms);
        add_number(row, "least_ms", s->least_ms);
        add_number(row, "arena_bytes", (double)s->footprint.arena);
        add_number(row, "constant_bytes", (double)s->footprint.constants);
        if (c->dataset)
            add_accuracy(row, c, k);
        cJSON *layers = k && c->n_layers ? cJSON_AddArrayToObject(row, "layers") : NULL;
        for (uint32_t i = 0; layers && i < c->n_layers; i++) {
            cJSON *layer = cJSON_CreateObject();
            cJSON_AddStringToObject(layer, "name", c->layers[i].name);
            add_number(layer, "snr_db", s->snr_db[i]);
            cJSON_AddItemToArray(layers, layer);
        }
        cJSON_AddItemToArray(models, row);
    }
    return root;
}
