// `sightline eval`: how good is a model on labelled pictures?
#include "inference/commands.h"

#include "inference/atomic_file.h"
#include "inference/evaluate_print.h"
#include "inference/metrics_view.h"
#include "inference/report/evaluation.h"
#include "inference/workshop/progress.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_RESAMPLES = 2000, NOT_SAID = -1 };

struct options {
    const char *model, *against, *dataset, *against_backend;
    const char *report, *write_thresholds, *wish;
    double recall, false_reject; // what is wished for; < 0: not
    uint32_t worst;
    bool json;
    long resamples;
    enum sl_dataset_format format;
    struct sl_evaluate_options run;
};

enum {
    KEY_AGAINST = 256,
    KEY_BACKEND,
    KEY_AGAINST_BACKEND,
    KEY_METRIC,
    KEY_FORMAT,
    KEY_BOOTSTRAP,
    KEY_IOU,
    KEY_REPORT,
    KEY_WORST,
    KEY_RECALL,
    KEY_FALSE_REJECT,
    KEY_THRESHOLDS,
    KEY_JITTER,
    KEY_SEED,
    KEY_LIMIT,
    KEY_PLAIN
};

static const struct argp_option rows[] = {
    {"model", 'm', "DIR", 0, "Folder of the model (with model.yaml)", 0},
    {"dataset", 'd', "DIR", 0,
     "Labelled pictures: NAME_test.jpg, NAME_temp.jpg, NAME.txt (DeepPCB); images/ and labels/ "
     "(YOLO); JPEGImages/ and Annotations/ (Pascal VOC); a file of COCO instances or its folder",
     0},
    {"format", KEY_FORMAT, "NAME", 0,
     "Layout of the dataset: deeppcb, voc, coco or yolo (default: by what is there)", 0},
    {"metric", KEY_METRIC, "NAME", 0,
     "coco, voc or deeppcb: the definition of a hit and of average precision (default: the "
     "dataset's)",
     0},
    {"against", KEY_AGAINST, "DIR", 0, "A second model to show beside it", 0},
    {"backend", KEY_BACKEND, "NAME", 0, "Accelerator back end (default cpu)", 0},
    {"against-backend", KEY_AGAINST_BACKEND, "NAME", 0,
     "Back end of the second model (default: that of --backend); without --against, of the same "
     "model",
     0},
    {"bootstrap", KEY_BOOTSTRAP, "N", 0,
     "Draw the pictures anew N times for 95 % intervals; 0: none (default 2000 with --against or "
     "--against-backend, else 0)",
     0},
    {"iou", KEY_IOU, "0-1", 0,
     "Overlap from which a box is a hit, for precision, recall and F (default 0.33 with deeppcb, "
     "else 0.5); with deeppcb also for mAP",
     0},
    {"report", KEY_REPORT, "FILE", 0,
     "Write a page (HTML, complete in itself): classes, curves, confusions, the worst pictures", 0},
    {"worst", KEY_WORST, "N", 0, "Pictures in the report (default 12)", 0},
    {"wanted-recall", KEY_RECALL, "SHARE", 0,
     "Find the highest threshold of each class with at least this recall, for example 99%", 0},
    {"max-false-reject", KEY_FALSE_REJECT, "SHARE", 0,
     "Find thresholds with which at most this share of the good pictures (those without an object) "
     "is rejected, for example 0.5%",
     0},
    {"write-thresholds", KEY_THRESHOLDS, "FILE", 0,
     "Write them as the section classes of model.yaml", 0},
    {"jitter", KEY_JITTER, "PXpx,DEGdeg", 0,
     "Move every picture at random against its template, for example 20px,2deg", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of the jitter and of the bootstrap (default 1)", 0},
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

// `99%` or `0.99`.
static double share(struct argp_state *state, struct options *o, const char *option, char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end != text && !strcmp(end, "%"))
        value /= 100, end++;
    if (end == text || *end || !(value >= 0 && value <= 1))
        argp_error(state, "%s: expected a share such as 99%%, found '%s'", option, text);
    if (o->wish)
        argp_error(state, "give one of --wanted-recall and --max-false-reject");
    o->wish = text;
    return value;
}

static void check(struct argp_state *state, struct options *o)
{
    if (!o->model || !o->dataset)
        argp_error(state, "give --model DIR and --dataset DIR");
    if (o->against_backend && !o->against)
        o->against = o->model;
    if (!o->against_backend)
        o->against_backend = o->run.backend;
    if (o->write_thresholds && !o->wish)
        argp_error(state, "--write-thresholds needs --wanted-recall or --max-false-reject");
    if (o->report && (o->run.jitter_px > 0 || o->run.jitter_deg > 0))
        argp_error(state, "--report shows pictures as they lie on the disk: not with --jitter");
    if (o->resamples == NOT_SAID)
        o->resamples = o->against ? USUAL_RESAMPLES : 0;
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
    case KEY_AGAINST_BACKEND:
        o->against_backend = text;
        return 0;
    case KEY_METRIC:
        o->run.metric = sl_metric_of_name(text);
        if (!o->run.metric)
            argp_error(state, "--metric: expected coco, voc or deeppcb, found '%s'", text);
        return 0;
    case KEY_FORMAT:
        o->format = sl_dataset_format_of_name(text);
        if (!o->format)
            argp_error(state, "--format: expected deeppcb, voc, coco or yolo, found '%s'", text);
        return 0;
    case KEY_BOOTSTRAP:
        o->resamples = (long)number(state, text, 0, 1e6);
        return 0;
    case KEY_REPORT:
        o->report = text;
        return 0;
    case KEY_WORST:
        o->worst = (uint32_t)number(state, text, 0, 1000);
        return 0;
    case KEY_RECALL:
        o->recall = share(state, o, "--wanted-recall", text);
        return 0;
    case KEY_FALSE_REJECT:
        o->false_reject = share(state, o, "--max-false-reject", text);
        return 0;
    case KEY_THRESHOLDS:
        o->write_thresholds = text;
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
        check(state, o);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

// The model and its back end, before the long work of either side begins.
static int open_side(struct evaluated *side, struct sl_error *error)
{
    struct sl_model_source *source;
    struct sl_accel *accel;
    int status = sl_model_source_directory(side->path, &source, error);
    if (status == 0)
        status = sl_model_load(source, &side->model, error);
    if (status == 0)
        status = sl_accel_open(side->backend, &accel, error);
    if (status == 0)
        sl_accel_close(accel);
    return status;
}

static int evaluate(const struct options *o, const struct sl_dataset *dataset,
                    enum sl_metric metric, struct evaluated *side, struct progress *progress,
                    struct sl_error *error)
{
    struct sl_evaluate_options run = o->run;
    run.backend = side->backend;
    run.metric = metric;
    run.progress = progress_step;
    run.ctx = progress;
    run.what = side->model->name;
    return sl_evaluate(side->model, dataset, &run, &side->result, error);
}

// Thresholds as wished for, or the model's own.
static int find_thresholds(const struct options *o, const struct comparison *c,
                           struct report_thresholds *out, struct sl_error *error)
{
    const struct sl_model *model = c->sides[0].model;
    struct sl_metrics *metrics = c->sides[0].result.metrics;
    static char wish[64];
    *out = (struct report_thresholds){.wish = o->wish ? wish : NULL};
    for (uint32_t i = 0; i < model->n_classes; i++) {
        out->values[i] = model->classes[i].threshold;
        out->reached[i] = true;
    }
    if (o->recall >= 0) {
        snprintf(wish, sizeof(wish), "a recall of at least %g %%", 100 * o->recall);
        return sl_metrics_for_recall(metrics, o->recall, out->values, out->reached, error);
    }
    if (o->false_reject >= 0) {
        snprintf(wish, sizeof(wish), "at most %g %% of good pictures rejected",
                 100 * o->false_reject);
        return sl_metrics_for_false_reject(metrics, o->false_reject, out->values, error);
    }
    return 0;
}

static int write_thresholds(const struct options *o, const struct comparison *c,
                            const struct report_thresholds *thresholds, struct sl_error *error)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return sl_error_set(error, -ENOMEM, "out of memory");
    evaluate_print_thresholds(out, &c->sides[0], thresholds->values, thresholds->reached,
                              thresholds->wish);
    int status = fclose(out) == 0 ? 0 : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0)
        status = atomic_file_write(o->write_thresholds, text, size, error);
    free(text);
    return status;
}

// What was asked for beside the figures.
static int hand_out(const struct options *o, struct comparison *c, const struct sl_dataset *dataset,
                    struct sl_error *error)
{
    struct report_thresholds *t = calloc(1, sizeof(*t));
    int status =
        t ? find_thresholds(o, c, t, error) : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0 && o->wish) {
        memcpy(c->thresholds, t->values, sizeof(c->thresholds));
        memcpy(c->reached, t->reached, sizeof(c->reached));
        c->wished = true;
        status = sl_metrics_summary(c->sides[0].result.metrics, t->values, c->wished_classes,
                                    &c->wished_summary, error);
    }
    if (status == 0 && o->write_thresholds)
        status = write_thresholds(o, c, t, error);
    if (status == 0 && o->report)
        status = report_evaluation(o->report, c, dataset, t, o->worst, error);
    free(t);
    return status;
}

static int check_outputs(const struct options *o, struct sl_error *error)
{
    int status = o->report ? atomic_file_check(o->report, error) : 0;
    if (status == 0 && o->write_thresholds)
        status = atomic_file_check(o->write_thresholds, error);
    return status;
}

// A picture without a file of labels has no defect: said, as the files may be somewhere else.
static int check_labels(const struct options *o, const struct sl_dataset *dataset,
                        struct sl_error *error)
{
    uint32_t missing = 0;
    if (dataset->format != SL_DATASET_YOLO && dataset->format != SL_DATASET_DEEPPCB)
        return 0;
    for (uint32_t i = 0; i < dataset->count; i++)
        missing += !dataset->samples[i].labels;
    if (missing == dataset->count)
        return sl_error_set(error, -ENOENT, "%s: none of its %u pictures has a file of labels (%s)",
                            o->dataset, dataset->count,
                            dataset->format == SL_DATASET_YOLO ? "labels/NAME.txt" : "NAME.txt");
    if (missing)
        fprintf(stderr,
                "sightline eval: %u of %u pictures have no file of labels: they count as good\n",
                missing, dataset->count);
    return 0;
}

static int evaluate_all(const struct options *o, struct comparison *c, struct progress *progress,
                        struct sl_error *error)
{
    struct sl_dataset dataset;
    const int sides = c->both ? 2 : 1;
    int status = check_outputs(o, error);
    for (int i = 0; status == 0 && i < sides; i++)
        status = open_side(&c->sides[i], error);
    if (status == 0)
        status = sl_dataset_open(o->dataset, o->format, &dataset, error);
    if (status < 0)
        return status;
    status = check_labels(o, &dataset, error);
    c->metric = o->run.metric ? o->run.metric : sl_dataset_metric(&dataset);
    for (int i = 0; status == 0 && i < sides; i++)
        status = evaluate(o, &dataset, c->metric, &c->sides[i], progress, error);
    if (status == 0 && c->resamples)
        status = sl_metrics_bootstrap(c->sides[0].result.metrics, c->sides[1].result.metrics,
                                      c->resamples, o->run.seed, &c->bootstrap, error);
    if (status == 0)
        status = hand_out(o, c, &dataset, error);
    sl_dataset_close(&dataset);
    return status;
}

static void print(const struct options *o, const struct comparison *c)
{
    if (!o->json) {
        evaluate_print_table(c);
        return;
    }
    cJSON *root = evaluate_json(c);
    char *text = cJSON_PrintUnformatted(root);
    printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

int sl_command_eval(int argc, char **argv)
{
    static const char doc[] =
        "Measures a model on labelled pictures: mean average precision, and precision, recall and "
        "F at the model's own thresholds."
        "\vThe float file run by ONNX Runtime as the yardstick: --against FLOAT --against-backend "
        "onnxruntime. Exit status: 0 done, 1 failed, 2 usage.";
    const struct argp argp = {rows, parse, NULL, doc, NULL, NULL, NULL};
    struct options o = {.run = {.backend = "cpu", .seed = 1},
                        .resamples = NOT_SAID,
                        .recall = -1,
                        .false_reject = -1,
                        .worst = 12};
    struct sl_error error = {""};
    struct progress progress;
    struct comparison *c = calloc(1, sizeof(*c));
    if (!c)
        return 1;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    c->sides[0] = (struct evaluated){.path = o.model, .backend = o.run.backend};
    c->sides[1] = (struct evaluated){.path = o.against, .backend = o.against_backend};
    c->both = o.against != NULL;
    c->resamples = (uint32_t)o.resamples;
    progress_begin(&progress, o.json);
    const int status = evaluate_all(&o, c, &progress, &error);
    progress_end(&progress);
    if (status == 0)
        print(&o, c);
    else
        fprintf(stderr, "sightline eval: %s\n", error.message);
    for (int i = 0; i < 2; i++) {
        sl_evaluation_free(&c->sides[i].result);
        sl_model_unref(c->sides[i].model);
    }
    free(c);
    return status < 0;
}
