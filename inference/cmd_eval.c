// `sightline eval`: how good is a model on labelled pictures?
#include "inference/commands.h"

#include "inference/evaluate.h"

#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct options {
    const char *model, *against, *dataset;
    bool json;
    struct sl_evaluate_options run;
};

enum { KEY_AGAINST = 256, KEY_BACKEND, KEY_IOU, KEY_JITTER, KEY_SEED, KEY_LIMIT, KEY_PLAIN };

static const struct argp_option rows[] = {
    {"model", 'm', "DIR", 0, "Folder of the model (with model.yaml)", 0},
    {"dataset", 'd', "DIR", 0,
     "Labelled pictures: NAME_test.jpg, NAME_temp.jpg, NAME.txt; or images/ and labels/", 0},
    {"against", KEY_AGAINST, "DIR", 0, "A second model to show beside it", 0},
    {"backend", KEY_BACKEND, "NAME", 0, "Accelerator back end (default cpu)", 0},
    {"iou", KEY_IOU, "0-1", 0, "Overlap from which a box is a hit (default 0.33)", 0},
    {"jitter", KEY_JITTER, "PXpx,DEGdeg", 0,
     "Move every picture at random against its template, for example 20px,2deg", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of the jitter (default 1)", 0},
    {"limit", KEY_LIMIT, "N", 0, "Only the first N pictures", 0},
    {"no-registration", KEY_PLAIN, NULL, 0, "Use the template where it stands", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

static double number(struct argp_state *state, const char *text, double min, double max)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= min && value <= max))
        argp_error(state, "expected a number from %g to %g, found '%s'", min, max, text);
    return value;
}

static void parse_jitter(struct argp_state *state, const char *text, struct sl_evaluate_options *o)
{
    int end = 0;
    if (sscanf(text, "%fpx,%fdeg%n", &o->jitter_px, &o->jitter_deg, &end) != 2 || text[end] ||
        !(o->jitter_px >= 0 && o->jitter_px <= 1000) ||
        !(o->jitter_deg >= 0 && o->jitter_deg <= 180))
        argp_error(state, "--jitter: expected PXpx,DEGdeg, for example 20px,2deg; found '%s'",
                   text);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'm':
        o->model = text;
        return 0;
    case 'd':
        o->dataset = text;
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case KEY_AGAINST:
        o->against = text;
        return 0;
    case KEY_BACKEND:
        o->run.backend = text;
        return 0;
    case KEY_IOU:
        o->run.overlap = (float)number(state, text, 0, 1);
        return 0;
    case KEY_JITTER:
        parse_jitter(state, text, &o->run);
        return 0;
    case KEY_SEED:
        o->run.seed = (uint64_t)number(state, text, 0, 9e15);
        return 0;
    case KEY_LIMIT:
        o->run.limit = (uint32_t)number(state, text, 1, 1e9);
        return 0;
    case KEY_PLAIN:
        o->run.no_registration = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", text);
        return 0;
    case ARGP_KEY_END:
        if (!o->model || !o->dataset)
            argp_error(state, "give --model DIR and --dataset DIR");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static void show_progress(void *ctx, uint32_t done, uint32_t total)
{
    const char *model = ctx;
    fprintf(stderr, "\r%s: %u of %u pictures%s", model, done, total, done == total ? "\n" : "");
}

static int evaluate(const struct options *o, const char *path, const struct sl_model **model,
                    struct sl_evaluation *out)
{
    struct sl_error error = {""};
    struct sl_dataset dataset;
    struct sl_model_source *source;
    struct sl_evaluate_options run = o->run;
    if (isatty(STDERR_FILENO))
        run.progress = show_progress;
    run.ctx = (void *)(uintptr_t)path;
    int status = sl_model_source_directory(path, &source, &error);
    if (status == 0)
        status = sl_model_load(source, model, &error);
    if (status == 0)
        status = sl_dataset_open(o->dataset, &dataset, &error);
    if (status == 0) {
        status = sl_evaluate(*model, &dataset, &run, out, &error);
        sl_dataset_close(&dataset);
    }
    if (status < 0)
        fprintf(stderr, "sightline eval: %s\n", error.message);
    return status;
}

static void print_json_number(const char *key, double value)
{
    if (isfinite(value))
        printf("\"%s\":%.6f", key, value);
    else
        printf("\"%s\":null", key);
}

static void print_json(const struct sl_model *model, const struct sl_evaluation *e)
{
    const struct sl_metrics_summary *s = &e->summary;
    printf("{\"model\":\"%s\",\"pictures\":%u,\"unaligned\":%u,", model->name, e->pictures,
           e->unaligned);
    print_json_number("map", s->map);
    printf(",");
    print_json_number("map50", s->map50);
    printf(",");
    print_json_number("f1", s->f1);
    printf(",\"precision\":%.6f,\"recall\":%.6f,\"truths\":%u,\"found\":%u,\"hits\":%u,",
           s->precision, s->recall, s->truths, s->found, s->hits);
    printf("\"registration_ms\":{\"mean\":%.3f,\"max\":%.3f},\"registration_error_px_max\":%.3f,"
           "\"ms_per_picture\":%.3f,\"per_class\":[",
           (double)e->registration_ms_mean, (double)e->registration_ms_max,
           (double)e->registration_error_px_max, (double)e->ms_per_picture);
    for (uint32_t c = 0; c < model->n_classes; c++) {
        const struct sl_class_metrics *m = &e->per_class[c];
        printf("%s{\"class\":\"%s\",\"threshold\":%.3f,\"truths\":%u,\"found\":%u,\"hits\":%u,",
               c ? "," : "", model->classes[c].name, (double)model->classes[c].threshold, m->truths,
               m->found, m->hits);
        print_json_number("ap", m->ap);
        printf(",");
        print_json_number("ap50", m->ap50);
        printf("}");
    }
    printf("]}");
}

static double percent(uint32_t part, uint32_t whole)
{
    return whole ? 100.0 * part / whole : 0;
}

static void print_table(const struct sl_model *model, const struct sl_evaluation *e)
{
    const struct sl_metrics_summary *s = &e->summary;
    printf("%s %s: %u pictures, %.2f ms per picture\n", model->name, model->version, e->pictures,
           (double)e->ms_per_picture);
    printf("  %-16s %8s %8s %8s %8s %9s %7s\n", "class", "defects", "AP %", "AP50 %", "recall %",
           "precis. %", "thresh.");
    for (uint32_t c = 0; c < model->n_classes; c++) {
        const struct sl_class_metrics *m = &e->per_class[c];
        if (m->truths || m->found)
            printf("  %-16s %8u %8.2f %8.2f %8.2f %9.2f %7.2f\n", model->classes[c].name, m->truths,
                   100 * m->ap, 100 * m->ap50, percent(m->hits, m->truths),
                   percent(m->hits, m->found), (double)model->classes[c].threshold);
    }
    printf("  %-16s %8u %8.2f %8.2f %8.2f %9.2f   F %.2f %%\n", "all", s->truths, 100 * s->map,
           100 * s->map50, 100 * s->recall, 100 * s->precision, 100 * s->f1);
    if (sl_model_needs_reference(model))
        printf("  registration: mean %.2f ms, max %.2f ms, %u pictures not aligned\n",
               (double)e->registration_ms_mean, (double)e->registration_ms_max, e->unaligned);
}

static void print_difference(const struct sl_evaluation *a, const struct sl_evaluation *b)
{
    printf("difference: mAP %+.2f, F %+.2f points\n", 100 * (a->summary.map - b->summary.map),
           100 * (a->summary.f1 - b->summary.f1));
}

static void print_results(const struct options *o, const struct sl_model *const *models,
                          const struct sl_evaluation *results)
{
    if (!o->json) {
        print_table(models[0], &results[0]);
        if (o->against) {
            print_table(models[1], &results[1]);
            print_difference(&results[0], &results[1]);
        }
        return;
    }
    if (o->against) {
        // The first model's keys stay at the top, where scripts look for them.
        print_json(models[0], &results[0]);
        printf("\n");
        print_json(models[1], &results[1]);
    } else {
        print_json(models[0], &results[0]);
    }
    printf("\n");
}

int sl_command_eval(int argc, char **argv)
{
    static const char doc[] =
        "Measures a model on labelled pictures by DeepPCB's definition: mean average precision, "
        "and "
        "F at the model's own thresholds."
        "\vWith --against and --json, one object per line. Exit status: 0 done, 1 failed, 2 usage.";
    const struct argp argp = {rows, parse, NULL, doc, NULL, NULL, NULL};
    struct options o = {.run = {.backend = "cpu", .overlap = SL_HIT_OVERLAP, .seed = 1}};
    const struct sl_model *models[2] = {NULL, NULL};
    struct sl_evaluation *results = calloc(2, sizeof(*results));
    if (!results)
        return 1;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    int status = evaluate(&o, o.model, &models[0], &results[0]);
    if (status == 0 && o.against)
        status = evaluate(&o, o.against, &models[1], &results[1]);
    if (status == 0)
        print_results(&o, models, results);
    sl_model_unref(models[0]);
    sl_model_unref(models[1]);
    free(results);
    return status < 0;
}
