// The page of `sightline eval --report`.
#include "inference/report/evaluation.h"

#include "inference/atomic_file.h"
#include "inference/report/html.h"
#include "inference/report/picture.h"
#include "inference/report/plot.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CURVES = 60, MOST_IN_MATRIX = 30 };

struct page {
    FILE *out;
    const struct comparison *c;
    const struct evaluated *side;
    const struct sl_dataset *dataset;
    const struct report_thresholds *thresholds;
    struct sl_class_metrics per_class[SL_MAX_CLASSES]; // at these thresholds
    struct sl_metrics_summary summary;
};

static void card(FILE *out, const char *value, const char *what)
{
    fprintf(out, "<div class=\"card\"><b>%s</b>%s</div>\n", value, what);
}

static void percent_card(FILE *out, double share, const char *what)
{
    char text[32];
    if (!isfinite(share))
        return;
    snprintf(text, sizeof(text), "%.2f %%", 100 * share);
    card(out, text, what);
}

static void cards(struct page *p)
{
    const struct sl_metrics_summary *s = &p->summary;
    char text[64];
    fputs("<div class=\"cards\">\n", p->out);
    percent_card(p->out, s->map, "mean average precision");
    percent_card(p->out, s->map50, "the same at overlap 0.5");
    percent_card(p->out, s->recall, "recall: objects found");
    percent_card(p->out, s->precision, "precision: detections that are right");
    percent_card(p->out, s->f1, "F");
    percent_card(p->out, sl_metrics_false_reject(p->side->result.metrics, p->thresholds->values),
                 "good pictures rejected");
    snprintf(text, sizeof(text), "%u", p->side->result.pictures);
    card(p->out, text, "pictures");
    snprintf(text, sizeof(text), "%.1f ms", (double)p->side->result.ms_per_picture);
    card(p->out, text, "per picture");
    fputs("</div>\n", p->out);
}

static void words(struct page *p)
{
    const struct comparison *c = p->c;
    const struct sl_metrics_summary *s = &p->summary;
    fprintf(p->out,
            "<p>Of %u objects %u were found and %u were missed; %u of %u detections are false "
            "alarms. ",
            s->truths, s->hits, s->truths - s->hits, s->found - s->hits, s->found);
    if (c->resamples)
        fprintf(p->out,
                "With other pictures of the same kind the mean average precision would lie between "
                "%.2f %% and %.2f %% (95 %% interval of %u resamples). ",
                100 * c->bootstrap.a.low, 100 * c->bootstrap.a.high, c->resamples);
    fprintf(p->out, "Definition: %s. ", sl_metric_name(c->metric));
    if (p->thresholds->wish) {
        fputs("Thresholds were chosen on these pictures for ", p->out);
        html_text(p->out, p->thresholds->wish);
        fputs("; on others they will do a little worse.", p->out);
    } else {
        fputs("Thresholds are the model's own.", p->out);
    }
    fputs("</p>\n", p->out);
    if (!c->both)
        return;
    const double difference = s->map - c->sides[1].result.summary.map;
    fputs("<p>Against ", p->out);
    html_name(p->out, c->sides[1].path);
    fputs(" on ", p->out);
    html_text(p->out, c->sides[1].backend);
    fprintf(p->out, " the mean average precision is %+.2f points", 100 * difference);
    if (c->resamples)
        fprintf(p->out, " (95 %% interval %+.2f to %+.2f, the same pictures for both)%s",
                100 * c->bootstrap.difference.low, 100 * c->bootstrap.difference.high,
                c->bootstrap.difference.low <= 0 && c->bootstrap.difference.high >= 0
                    ? ": these pictures do not tell the two apart"
                    : "");
    fputs(".</p>\n", p->out);
}

static double ratio(uint32_t part, uint32_t whole)
{
    return whole ? (double)part / whole : NAN;
}

static void class_row(struct page *p, uint32_t c)
{
    const struct sl_class_metrics *m = &p->per_class[c];
    const double recall = ratio(m->hits, m->truths), precision = ratio(m->hits, m->found);
    fputs("<tr><th scope=\"row\">", p->out);
    html_name(p->out, p->side->model->classes[c].name);
    fprintf(p->out, "</th><td>%u</td>", m->truths);
    html_percent_cell(p->out, m->ap);
    html_percent_cell(p->out, m->ap50);
    html_percent_cell(p->out, recall);
    html_percent_cell(p->out, precision);
    html_percent_cell(p->out,
                      recall + precision > 0 ? 2 * recall * precision / (recall + precision) : NAN);
    fprintf(p->out, "<td>%u</td><td>%u</td><td>%.3f%s</td></tr>\n", m->truths - m->hits,
            m->found - m->hits, (double)p->thresholds->values[c],
            p->thresholds->reached[c] ? "" : " <span class=\"bad\">(not reached)</span>");
}

static void class_table(struct page *p)
{
    const struct sl_metrics_summary *s = &p->summary;
    fputs("<h2>Class by class</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th "
          "scope=\"col\">class</th><th scope=\"col\">objects</th><th scope=\"col\">AP %</th><th "
          "scope=\"col\">AP50 %</th><th scope=\"col\">recall %</th><th scope=\"col\">precision "
          "%</th><th scope=\"col\">F %</th><th scope=\"col\">missed</th><th scope=\"col\">false "
          "alarms</th><th scope=\"col\">threshold</th></tr></thead>\n<tbody>\n",
          p->out);
    for (uint32_t c = 0; c < p->side->model->n_classes; c++)
        if (p->per_class[c].truths || p->per_class[c].found)
            class_row(p, c);
    fprintf(p->out, "</tbody>\n<tfoot><tr><th scope=\"row\">all</th><td>%u</td>", s->truths);
    html_percent_cell(p->out, s->map);
    html_percent_cell(p->out, s->map50);
    html_percent_cell(p->out, s->recall);
    html_percent_cell(p->out, s->precision);
    html_percent_cell(p->out, s->f1);
    fprintf(p->out, "<td>%u</td><td>%u</td><td></td></tr></tfoot>\n</table></div>\n",
            s->truths - s->hits, s->found - s->hits);
}

static int curves(struct page *p, struct sl_error *error)
{
    uint32_t shown = 0;
    fputs("<h2>Precision and recall</h2>\n<p class=\"dim\">Each curve goes from the highest "
          "threshold (left) to the lowest; the dot is the threshold in use.</p>\n<div "
          "class=\"tiles\">\n",
          p->out);
    for (uint32_t c = 0; c < p->side->model->n_classes && shown < MOST_CURVES; c++) {
        struct sl_curve_point *points;
        uint32_t count;
        char what[128];
        if (p->per_class[c].truths == 0)
            continue;
        const int status = sl_metrics_curve(p->side->result.metrics, c, &points, &count, error);
        if (status < 0)
            return status;
        snprintf(what, sizeof(what), "precision over recall of %s, average precision %.2f %%",
                 p->side->model->classes[c].name, 100 * p->per_class[c].ap);
        fputs("<figure>", p->out);
        plot_curve(p->out, points, count, p->thresholds->values[c], what);
        fputs("<figcaption>", p->out);
        html_name(p->out, p->side->model->classes[c].name);
        fprintf(p->out, ", AP %.2f %%</figcaption></figure>\n", 100 * p->per_class[c].ap);
        free(points);
        shown++;
    }
    fputs("</div>\n", p->out);
    return 0;
}

// The classes that were confused with others most, at most MOST_IN_MATRIX of them, in their order.
static uint32_t choose_classes(const struct page *p, uint32_t *out)
{
    uint32_t involved = 0, least = 1;
    const uint32_t n = p->side->model->n_classes;
    for (;;) {
        involved = 0;
        for (uint32_t c = 0; c < n; c++)
            involved += p->per_class[c].truths + p->per_class[c].found >= least;
        if (involved <= MOST_IN_MATRIX)
            break;
        least++;
    }
    uint32_t count = 0;
    for (uint32_t c = 0; c < n; c++)
        if (p->per_class[c].truths + p->per_class[c].found >= least)
            out[count++] = c;
    return count;
}

static void matrix_row(struct page *p, const uint32_t *counts, const uint32_t *classes,
                       uint32_t count, uint32_t row)
{
    const uint32_t n = p->side->model->n_classes, width = n + 1;
    uint32_t sum = 0;
    for (uint32_t c = 0; c <= n; c++)
        sum += counts[row * width + c];
    fputs("<tr><th scope=\"row\">", p->out);
    if (row == n)
        fputs("<i>nothing there</i>", p->out);
    else
        html_name(p->out, p->side->model->classes[row].name);
    fputs("</th>", p->out);
    for (uint32_t i = 0; i <= count; i++) {
        const uint32_t column = i < count ? classes[i] : n, value = counts[row * width + column];
        const int strength = sum && value ? 10 + (int)(60.0 * value / sum) : 0;
        fprintf(
            p->out,
            "<td%s style=\"background:color-mix(in srgb,var(--%s) %d%%,transparent)\">%.0u</td>",
            row == column ? " class=\"same\"" : "", row == column ? "good" : "bad", strength,
            value);
    }
    fputs("</tr>\n", p->out);
}

static int matrix(struct page *p, struct sl_error *error)
{
    const uint32_t n = p->side->model->n_classes;
    uint32_t classes[MOST_IN_MATRIX];
    uint32_t *counts = calloc((size_t)(n + 1) * (n + 1), sizeof(*counts));
    if (!counts)
        return sl_error_set(error, -ENOMEM, "out of memory");
    sl_metrics_confusion(p->side->result.metrics, p->thresholds->values, counts);
    const uint32_t count = choose_classes(p, classes);
    fputs(
        "<h2>What was taken for what</h2>\n<p class=\"dim\">Rows: what is there. Columns: what the "
        "model says. Here a box may hit an object of any class. With many classes only the most "
        "frequent are shown.</p>\n<div class=\"scroll\"><table class=\"matrix\">\n<thead><tr><td>"
        "</td>",
        p->out);
    for (uint32_t i = 0; i < count; i++) {
        fputs("<th scope=\"col\">", p->out);
        html_name(p->out, p->side->model->classes[classes[i]].name);
        fputs("</th>", p->out);
    }
    fputs("<th scope=\"col\"><i>nothing said</i></th></tr></thead>\n<tbody>\n", p->out);
    for (uint32_t i = 0; i <= count; i++)
        matrix_row(p, counts, classes, count, i < count ? classes[i] : n);
    fputs("</tbody></table></div>\n", p->out);
    free(counts);
    return 0;
}

struct ranked {
    uint32_t picture, misses, false_alarms;
};

static int by_errors(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    const uint32_t m = x->misses + x->false_alarms, n = y->misses + y->false_alarms;
    return m != n ? (m > n ? -1 : 1) : x->picture < y->picture ? -1 : 1;
}

static int one_picture(struct page *p, const struct ranked *r, struct sl_error *error)
{
    struct sl_marked *marked;
    uint32_t count, misses, false_alarms;
    char what[160];
    const struct sl_sample *sample = &p->dataset->samples[r->picture];
    int status = sl_metrics_picture(p->side->result.metrics, r->picture, p->thresholds->values,
                                    &marked, &count, &misses, &false_alarms, error);
    if (status < 0)
        return status;
    snprintf(what, sizeof(what), "%u missed, %u false alarms", misses, false_alarms);
    fputs("<figure>", p->out);
    status = report_picture(p->out, sample->picture, p->side->model->classes, marked, count, what,
                            error);
    fputs("<figcaption>", p->out);
    html_name(p->out, sample->name);
    fprintf(p->out, ": %s</figcaption></figure>\n", what);
    free(marked);
    return status;
}

static int worst_pictures(struct page *p, uint32_t most, struct sl_error *error)
{
    const uint32_t count = sl_metrics_pictures(p->side->result.metrics);
    struct ranked *ranked = calloc(count + 1, sizeof(*ranked));
    uint32_t wrong = 0;
    int status = ranked ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < count && status == 0; i++) {
        struct sl_marked *marked = NULL;
        uint32_t n;
        ranked[i].picture = i;
        status = sl_metrics_picture(p->side->result.metrics, i, p->thresholds->values, &marked, &n,
                                    &ranked[i].misses, &ranked[i].false_alarms, error);
        wrong += ranked[i].misses + ranked[i].false_alarms > 0;
        free(marked);
    }
    if (status == 0)
        qsort(ranked, count, sizeof(*ranked), by_errors);
    fprintf(
        p->out,
        "<h2>The worst pictures</h2>\n<p>%u of %u pictures are right in everything. Green: found; "
        "red: false alarm; yellow, dashed: missed.</p>\n<div class=\"tiles\">\n",
        count - wrong, count);
    for (uint32_t i = 0; i < most && i < wrong && status == 0; i++)
        status = one_picture(p, &ranked[i], error);
    fputs("</div>\n", p->out);
    free(ranked);
    return status;
}

static int fill(struct page *p, uint32_t worst, struct sl_error *error)
{
    char title[128];
    snprintf(title, sizeof(title), "%s %s: how well it finds", p->side->model->name,
             p->side->model->version);
    html_begin(p->out, title);
    cards(p);
    words(p);
    class_table(p);
    int status = curves(p, error);
    if (status == 0)
        status = matrix(p, error);
    if (status == 0)
        status = worst_pictures(p, worst, error);
    fputs("<h2>How it was measured</h2>\n<p class=\"dim\">Model ", p->out);
    html_name(p->out, p->side->path);
    fputs(" on back end ", p->out);
    html_text(p->out, p->side->backend);
    fprintf(p->out, ", sightline %s.</p>\n", SIGHTLINE_VERSION);
    html_end(p->out);
    return status;
}

int report_evaluation(const char *path, const struct comparison *comparison,
                      const struct sl_dataset *dataset, const struct report_thresholds *thresholds,
                      uint32_t worst, struct sl_error *error)
{
    char *bytes = NULL;
    size_t size = 0;
    struct page *p = calloc(1, sizeof(*p));
    FILE *out = p ? open_memstream(&bytes, &size) : NULL;
    if (!out) {
        free(p);
        return sl_error_set(error, -ENOMEM, "out of memory");
    }
    *p = (struct page){.out = out,
                       .c = comparison,
                       .side = &comparison->sides[0],
                       .dataset = dataset,
                       .thresholds = thresholds};
    int status = sl_metrics_summary(p->side->result.metrics, thresholds->values, p->per_class,
                                    &p->summary, error);
    if (status == 0)
        status = fill(p, worst, error);
    if (fclose(out) != 0 && status == 0)
        status = sl_error_set(error, -ENOMEM, "out of memory for the report");
    if (status == 0)
        status = atomic_file_write(path, bytes, size, error);
    free(bytes);
    free(p);
    return status;
}
