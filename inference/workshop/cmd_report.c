// `sightline model report`: models side by side.
#include "inference/workshop/commands.h"

#include "inference/atomic_file.h"
#include "inference/bench.h"
#include "inference/report/models.h"
#include "inference/workshop/noise.h"
#include "inference/workshop/progress.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEAST_PICTURES = 1, SNR_PICTURES = 16 };

struct options {
    const char *paths[REPORT_MOST_MODELS];
    uint32_t count;
    const char *dataset, *out, *backend, *first_backend;
    enum sl_dataset_format format;
    enum sl_metric metric;
    uint32_t limit, resamples, rounds, pairs;
    uint64_t seed;
    bool json;
};

enum {
    KEY_OUT = 256,
    KEY_BACKEND,
    KEY_FIRST,
    KEY_FORMAT,
    KEY_METRIC,
    KEY_BOOTSTRAP,
    KEY_LIMIT,
    KEY_ROUNDS,
    KEY_PAIRS,
    KEY_SEED
};

static const struct argp_option rows[] = {
    {"out", KEY_OUT, "FILE", 0, "The page to be written (HTML, complete in itself)", 0},
    {"dataset", 'd', "DIR", 0,
     "Labelled pictures as for `sightline eval`; without them the page has costs only", 0},
    {"format", KEY_FORMAT, "NAME", 0, "Layout of the dataset (default: by what is there)", 0},
    {"metric", KEY_METRIC, "NAME", 0, "coco, voc or deeppcb (default: the dataset's)", 0},
    {"backend", KEY_BACKEND, "NAME", 0, "Back end that finds the objects (default cpu)", 0},
    {"first-backend", KEY_FIRST, "NAME", 0,
     "That of the first model, for example onnxruntime (default: that of --backend)", 0},
    {"bootstrap", KEY_BOOTSTRAP, "N", 0, "Resamples of the intervals (default 2000)", 0},
    {"limit", KEY_LIMIT, "N", 0, "Only the first N pictures", 0},
    {"rounds", KEY_ROUNDS, "N", 0, "Times that each network is run for its time (default 40)", 0},
    {"pairs", KEY_PAIRS, "N", 0, "Pictures side by side for each model (default 8)", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of the bootstrap (default 1)", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

static uint64_t count(struct argp_state *state, const char *option, const char *text, double least,
                      double most)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most) || value != floor(value))
        argp_error(state, "%s: expected %.0f to %.0f, found '%s'", option, least, most, text);
    return (uint64_t)value;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_OUT:
        o->out = text;
        return 0;
    case 'd':
        o->dataset = text;
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case KEY_BACKEND:
        o->backend = text;
        return 0;
    case KEY_FIRST:
        o->first_backend = text;
        return 0;
    case KEY_FORMAT:
        if (!(o->format = sl_dataset_format_of_name(text)))
            argp_error(state, "--format: expected deeppcb, voc, coco or yolo, found '%s'", text);
        return 0;
    case KEY_METRIC:
        if (!(o->metric = sl_metric_of_name(text)))
            argp_error(state, "--metric: expected coco, voc or deeppcb, found '%s'", text);
        return 0;
    case KEY_BOOTSTRAP:
        o->resamples = (uint32_t)count(state, "--bootstrap", text, 1, 1e6);
        return 0;
    case KEY_LIMIT:
        o->limit = (uint32_t)count(state, "--limit", text, 1, 1e9);
        return 0;
    case KEY_ROUNDS:
        o->rounds = (uint32_t)count(state, "--rounds", text, 1, 1e5);
        return 0;
    case KEY_PAIRS:
        o->pairs = (uint32_t)count(state, "--pairs", text, 0, 1000);
        return 0;
    case KEY_SEED:
        o->seed = count(state, "--seed", text, 0, 9e15);
        return 0;
    case ARGP_KEY_ARG:
        if (o->count == REPORT_MOST_MODELS)
            argp_error(state, "more than %d models", REPORT_MOST_MODELS);
        o->paths[o->count++] = text;
        return 0;
    case ARGP_KEY_END:
        if (o->count < 2 || !o->out)
            argp_error(state, "expected: MODEL MODEL... --out FILE");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int open_subjects(const struct options *o, struct model_comparison *c,
                         struct sl_error *error)
{
    int status = 0;
    c->count = o->count;
    for (uint32_t i = 0; i < c->count && status == 0; i++) {
        struct model_subject *s = &c->subjects[i];
        s->path = o->paths[i];
        s->backend = i == 0 && o->first_backend ? o->first_backend : o->backend;
        status = network_open(s->path, NULL, &s->network, error);
        if (status < 0)
            return sl_error_prefix(error, status, "%s", s->path);
        s->macs = sl_graph_macs(s->network.model->graph);
        s->bytes = s->network.model->graph->onnx_bytes;
        if (s->network.model->n_classes != c->subjects[0].network.model->n_classes)
            status = sl_error_set(error, -EINVAL, "%s: expected %u classes as in %s, found %u",
                                  s->path, c->subjects[0].network.model->n_classes,
                                  c->subjects[0].path, s->network.model->n_classes);
    }
    return status;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

struct stopwatch {
    struct sl_accel *accel;
    struct sl_program *program;
    double *ms;
};

static int wind_up(const struct model_comparison *c, struct model_subject *s,
                   struct stopwatch *watch, struct sl_error *error)
{
    const struct sl_graph *graph = s->network.model->graph;
    watch->ms = calloc(c->rounds, sizeof(*watch->ms));
    int status = watch->ms ? sl_accel_open("cpu", &watch->accel, error)
                           : sl_error_set(error, -ENOMEM, "out of memory");
    if (status == 0)
        status = sl_accel_load(watch->accel, graph, &watch->program, error);
    if (status < 0)
        return sl_error_prefix(error, status, "%s", s->path);
    bench_inputs_fill(graph, watch->program, 1);
    s->footprint = sl_program_footprint(watch->program);
    return sl_program_run(watch->program, SL_NO_DEADLINE, error); // caches are warm from here on
}

// In turns, so that whatever else the machine does meets all of them.
static int measure_times(struct model_comparison *c, struct progress *progress,
                         struct sl_error *error)
{
    struct stopwatch watches[REPORT_MOST_MODELS] = {{0}};
    int status = 0;
    for (uint32_t k = 0; k < c->count && status == 0; k++)
        status = wind_up(c, &c->subjects[k], &watches[k], error);
    for (uint32_t i = 0; i < c->rounds && status == 0; i++) {
        for (uint32_t k = 0; k < c->count && status == 0; k++) {
            const double before = now_ms();
            status = sl_program_run(watches[k].program, SL_NO_DEADLINE, error);
            watches[k].ms[i] = now_ms() - before;
        }
        progress_step(progress, "time", i + 1, c->rounds);
    }
    for (uint32_t k = 0; k < c->count; k++) {
        if (status == 0) {
            qsort(watches[k].ms, c->rounds, sizeof(double), by_value);
            c->subjects[k].least_ms = watches[k].ms[0];
            c->subjects[k].median_ms = watches[k].ms[c->rounds / 2];
        }
        free(watches[k].ms);
        sl_accel_unload(watches[k].program);
        sl_accel_close(watches[k].accel);
    }
    return status;
}

static int measure_accuracy(const struct options *o, struct model_comparison *c,
                            struct progress *progress, struct sl_error *error)
{
    int status = 0;
    for (uint32_t k = 0; k < c->count && status == 0; k++) {
        struct model_subject *s = &c->subjects[k];
        const struct sl_evaluate_options run = {.backend = s->backend,
                                                .metric = c->metric,
                                                .limit = o->limit,
                                                .progress = progress_step,
                                                .ctx = progress,
                                                .what = s->path};
        status = sl_evaluate(s->network.model, c->dataset, &run, &s->evaluation, error);
        if (status == 0 && k > 0)
            status = sl_metrics_bootstrap(s->evaluation.metrics, c->subjects[0].evaluation.metrics,
                                          c->resamples, o->seed, &s->bootstrap, error);
        for (uint32_t i = 0; k > 0 && status == 0 && i < s->evaluation.pictures; i++) {
            uint32_t flips;
            status = models_flips(&c->subjects[0], s, i, &flips, error);
            s->flips += status == 0 ? flips : 0;
        }
    }
    return status;
}

static int find_layers(struct model_comparison *c, struct sl_error *error)
{
    const struct graph *g = &c->subjects[0].network.graph;
    c->layers = calloc(g->n_nodes + 1, sizeof(*c->layers));
    if (!c->layers)
        return sl_error_set(error, -ENOMEM, "out of memory");
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const int64_t macs = g->nodes[i].op == SL_OP_NONE
                                 ? 0
                                 : sl_node_macs(c->subjects[0].network.model->graph,
                                                &c->subjects[0].network.model->graph->nodes[i])
                                       .dense;
        if (macs > 0)
            c->layers[c->n_layers++] = (struct model_layer){g->nodes[i].name, i, macs};
    }
    return 0;
}

static bool same_input(const struct sl_model *a, const struct sl_model *b)
{
    const struct sl_input_contract *x = &a->input, *y = &b->input;
    return x->width == y->width && x->height == y->height && x->n_channels == y->n_channels &&
           !memcmp(x->channels, y->channels, sizeof(x->channels)) &&
           !memcmp(x->mean, y->mean, sizeof(x->mean)) && !memcmp(x->std, y->std, sizeof(x->std)) &&
           x->fit == y->fit && x->pad_value == y->pad_value;
}

static int measure_layers(const struct options *o, struct model_comparison *c,
                          struct progress *progress, struct sl_error *error)
{
    struct calibration pictures = {0};
    const struct network *first = &c->subjects[0].network;
    int status = find_layers(c, error);
    if (status == 0)
        status = calibration_load(first->model, o->dataset, LEAST_PICTURES, SNR_PICTURES,
                                  progress_step, progress, &pictures, error);
    uint32_t *nodes = calloc(c->n_layers + 1, sizeof(*nodes));
    for (uint32_t i = 0; nodes && i < c->n_layers; i++)
        nodes[i] = c->layers[i].node;
    c->snr_pictures = pictures.count;
    for (uint32_t k = 1; k < c->count && status == 0; k++) {
        struct model_subject *s = &c->subjects[k];
        s->snr_db = calloc(c->n_layers + 1, sizeof(double));
        if (!s->snr_db || !nodes)
            status = sl_error_set(error, -ENOMEM, "out of memory");
        else if (same_input(first->model, s->network.model))
            status = noise_measure(&first->graph, &s->network.graph, nodes, c->n_layers, &pictures,
                                   progress_step, progress, s->snr_db, error);
        else
            for (uint32_t i = 0; i < c->n_layers; i++)
                s->snr_db[i] = NAN;
    }
    free(nodes);
    calibration_free(&pictures);
    return status;
}

static int measure(const struct options *o, struct model_comparison *c, struct sl_dataset *dataset,
                   struct progress *progress, struct sl_error *error)
{
    int status = atomic_file_check(o->out, error);
    if (status == 0)
        status = open_subjects(o, c, error);
    if (status == 0 && o->dataset)
        status = sl_dataset_open(o->dataset, o->format, dataset, error);
    if (status == 0 && o->dataset) {
        c->dataset = dataset;
        c->metric = o->metric ? o->metric : sl_dataset_metric(dataset);
        status = measure_accuracy(o, c, progress, error);
    }
    if (status == 0 && o->dataset)
        status = measure_layers(o, c, progress, error);
    if (status == 0)
        status = measure_times(c, progress, error);
    return status == 0 ? report_models(o->out, c, o->pairs, error) : status;
}

static void print_table(const struct options *o, const struct model_comparison *c)
{
    printf("%-28s %8s %9s %9s %8s %8s %18s %6s\n", "model", "MB", "MMAC", "ms", "mAP %", "points",
           "95 % interval", "flips");
    for (uint32_t k = 0; k < c->count; k++) {
        const struct model_subject *s = &c->subjects[k];
        const struct sl_metrics_summary *m = &s->evaluation.summary;
        const size_t length = strlen(s->path);
        printf("%-28s %8.2f %9.1f %9.2f", s->path + (length > 28 ? length - 28 : 0),
               (double)s->bytes / 1e6, (double)s->macs.dense / 1e6, s->median_ms);
        if (c->dataset)
            printf(" %8.2f", 100 * m->map);
        if (c->dataset && k > 0)
            printf(" %+8.2f   %+6.2f to %+6.2f %6u",
                   100 * (m->map - c->subjects[0].evaluation.summary.map),
                   100 * s->bootstrap.difference.low, 100 * s->bootstrap.difference.high, s->flips);
        printf("\n");
    }
    printf("written: %s\n", o->out);
}

static void print(const struct options *o, const struct model_comparison *c)
{
    if (!o->json) {
        print_table(o, c);
        return;
    }
    cJSON *root = report_models_json(c);
    char *text = cJSON_PrintUnformatted(root);
    printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

int workshop_command_report(int argc, char **argv)
{
    static const char doc[] =
        "Shows models side by side, such as a float one, its INT8 form and a pruned one: accuracy "
        "with paired intervals, signal to noise layer by layer, the pictures on which they differ, "
        "multiply-accumulates, size, time and memory.\vThe first model is what the others are "
        "compared with. Layers are matched by name. Exit status: 0 done, 1 failed, 2 usage.";
    const struct argp argp = {rows, parse, "MODEL MODEL...", doc, NULL, NULL, NULL};
    struct options o = {.backend = "cpu", .resamples = 2000, .rounds = 40, .pairs = 8, .seed = 1};
    struct sl_error error = {""};
    struct sl_dataset dataset = {0};
    struct progress progress;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    struct model_comparison *c = calloc(1, sizeof(*c));
    if (!c)
        return 1;
    c->resamples = o.resamples;
    c->rounds = o.rounds;
    progress_begin(&progress, o.json);
    const int status = measure(&o, c, &dataset, &progress, &error);
    progress_end(&progress);
    if (status == 0)
        print(&o, c);
    else
        fprintf(stderr, "sightline model report: %s\n", error.message);
    for (uint32_t k = 0; k < o.count; k++) {
        sl_evaluation_free(&c->subjects[k].evaluation);
        free(c->subjects[k].snr_db);
        network_close(&c->subjects[k].network);
    }
    free(c->layers);
    free(c);
    sl_dataset_close(&dataset);
    return status < 0;
}
