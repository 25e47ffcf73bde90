// `sightline bench --model`: how fast does a network run?
#include "inference/commands.h"

#include "accel/accel.h"
#include "inference/model.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_MODELS = 32, MOST_ROWS = 4096, WARM_UP = 5 };

struct options {
    const char *models[MOST_MODELS];
    uint32_t n_models;
    const char *backend;
    long runs;
    bool json, profile;
};

enum { KEY_BACKEND = 256, KEY_RUNS, KEY_PROFILE };

static const struct argp_option rows[] = {
    {"model", 'm', "PATH", 0, "Folder of a model or an .onnx file; may be repeated", 0},
    {"backend", KEY_BACKEND, "NAME", 0, "Accelerator back end (default cpu)", 0},
    {"runs", KEY_RUNS, "N", 0, "Timed runs (default 50)", 0},
    {"profile", KEY_PROFILE, NULL, 0, "Show the time of every layer", 0},
    {"json", 'j', NULL, 0, "One JSON object per model and line", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    char *end = NULL;
    switch (key) {
    case 'm':
    case ARGP_KEY_ARG:
        if (o->n_models == MOST_MODELS)
            argp_error(state, "more than %d models", MOST_MODELS);
        o->models[o->n_models++] = text;
        return 0;
    case KEY_BACKEND:
        o->backend = text;
        return 0;
    case KEY_RUNS:
        o->runs = strtol(text, &end, 10);
        if (*end || o->runs < 1 || o->runs > 1000000)
            argp_error(state, "--runs: expected 1 to 1000000, found '%s'", text);
        return 0;
    case KEY_PROFILE:
        o->profile = true;
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case ARGP_KEY_END:
        if (o->n_models == 0)
            argp_error(state, "give --model PATH");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

// A network, from a model's folder or from an ONNX file alone.
struct network {
    const struct sl_model *model;
    struct sl_onnx *onnx;
    struct sl_model_source *source;
    const struct sl_graph *graph;
};

static int open_file(const char *path, struct network *out, struct sl_error *error)
{
    const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const void *bytes;
    size_t size;
    int status = sl_model_source_directory(path, &out->source, error);
    if (status == 0)
        status = out->source->component(out->source, name, &bytes, &size, error);
    if (status == 0)
        status = sl_onnx_load(bytes, size, NULL, &out->onnx, error);
    if (status == 0)
        out->graph = sl_onnx_graph(out->onnx);
    return status;
}

static int open_network(const char *path, struct network *out, struct sl_error *error)
{
    const size_t length = strlen(path);
    struct sl_model_source *source;
    if (length > 5 && !strcmp(path + length - 5, ".onnx"))
        return open_file(path, out, error);
    int status = sl_model_source_directory(path, &source, error);
    if (status == 0)
        status = sl_model_load(source, &out->model, error);
    if (status == 0)
        out->graph = out->model->graph;
    return status;
}

static void close_network(struct network *network)
{
    sl_model_unref(network->model);
    sl_onnx_free(network->onnx);
    if (network->source)
        network->source->close(network->source);
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

// Inputs between 0 and 1, the same in every run.
static void fill_inputs(const struct sl_graph *graph, struct sl_program *program)
{
    uint32_t random = 1;
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        size_t bytes;
        void *data = sl_program_input(program, i, &bytes);
        const bool real = graph->tensors[graph->inputs[i]].dtype == SL_F32;
        const size_t count = real ? bytes / sizeof(float) : bytes;
        for (size_t k = 0; k < count; k++) {
            random = random * 1664525 + 1013904223;
            if (real)
                ((float *)data)[k] = (float)(random >> 8) * 0x1p-24f;
            else
                ((uint8_t *)data)[k] = (uint8_t)(random >> 24);
        }
    }
}

static int measure(struct sl_program *program, long runs, double *times, struct sl_error *error)
{
    for (long i = -WARM_UP; i < runs; i++) {
        const double before = now_ms();
        const int status = sl_program_run(program, SL_NO_DEADLINE, error);
        if (status < 0)
            return status;
        if (i >= 0)
            times[i] = now_ms() - before;
    }
    qsort(times, (size_t)runs, sizeof(*times), by_value);
    return 0;
}

static void print_profile(struct sl_program *program)
{
    struct sl_profile *row = calloc(MOST_ROWS, sizeof(*row));
    const uint32_t count = row ? sl_program_profile(program, row, MOST_ROWS) : 0;
    for (uint32_t i = 0; i < count && i < MOST_ROWS; i++)
        printf("  %-40.40s %-24s %9.1f us %8.2f GMAC/s\n", row[i].node, row[i].kernel,
               (double)row[i].us,
               row[i].us > 0 ? (double)row[i].macs / (double)row[i].us / 1e3 : 0);
    free(row);
}

static void print_result(const struct options *o, const char *path, const struct sl_graph *graph,
                         struct sl_program *program, const double *times)
{
    const struct sl_macs macs = sl_graph_macs(graph);
    const double median = times[o->runs / 2], p99 = times[(o->runs - 1) * 99 / 100];
    if (o->json) {
        printf("{\"model\":\"%s\",\"backend\":\"%s\",\"runs\":%ld,\"median_ms\":%.4f,"
               "\"p99_ms\":%.4f,\"min_ms\":%.4f,\"macs\":%" PRId64 ",\"gmacs\":%.3f}\n",
               path, o->backend, o->runs, median, p99, times[0], macs.dense,
               (double)macs.dense / median / 1e6);
        return;
    }
    printf("%s: median %.3f ms, p99 %.3f ms, %.1f MMAC, %.1f GMAC/s, %.1f MiB\n", path, median, p99,
           (double)macs.dense / 1e6, (double)macs.dense / median / 1e6,
           (double)sl_program_bytes(program) / (1 << 20));
    if (o->profile)
        print_profile(program);
}

static int bench(const struct options *o, const char *path)
{
    struct sl_error error = {""};
    struct network network = {0};
    struct sl_accel *accel = NULL;
    struct sl_program *program = NULL;
    double *times = calloc((size_t)o->runs, sizeof(*times));
    int status = times ? open_network(path, &network, &error) : -ENOMEM;
    if (status == 0)
        status = sl_accel_open(o->backend, &accel, &error);
    if (status == 0)
        status = sl_accel_load(accel, network.graph, &program, &error);
    if (status == 0) {
        fill_inputs(network.graph, program);
        status = measure(program, o->runs, times, &error);
    }
    if (status == 0)
        print_result(o, path, network.graph, program, times);
    else
        fprintf(stderr, "sightline bench: %s: %s\n", path, error.message);
    sl_accel_unload(program);
    sl_accel_close(accel);
    close_network(&network);
    free(times);
    return status;
}

int sl_command_bench_model(int argc, char **argv)
{
    static const char doc[] =
        "Times networks on a back end: one inference at a time, batch 1."
        "\vWith --pipeline the whole path is measured; `sightline bench --pipeline --help` tells "
        "more. Exit status: 0 done, 1 failed, 2 usage.";
    const struct argp argp = {rows, parse, "[PATH...]", doc, NULL, NULL, NULL};
    struct options o = {.backend = "cpu", .runs = 50};
    int failed = 0;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    for (uint32_t i = 0; i < o.n_models; i++)
        failed |= bench(&o, o.models[i]) < 0;
    return failed;
}
