// Times oneDNN's convolutions of quantised networks beside our whole networks, in turns, on one
// thread: `bench_onednn [--json] [--runs N] [--backend NAME] MODEL.onnx…`.
#include "tests/accel/onednn.h"

#include "accel/accel.h"
#include "accel/cpu/features.h"
#include "inference/dataset.h"
#include "inference/onnx.h"

#include <argp.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_RUNS = 100000, WARM_UP = 3 };
#define DEFAULT_SECONDS 3.0

struct options {
    const char *backend;
    long runs; // 0: as many as take a few seconds
    bool json;
    char **models;
    int n_models;
};

enum { KEY_BACKEND = 256, KEY_RUNS };

static const struct argp_option rows[] = {
    {"backend", KEY_BACKEND, "NAME", 0, "Our back end (default cpu)", 0},
    {"runs", KEY_RUNS, "N", 0, "Timed runs (default: as many as take three seconds)", 0},
    {"json", 'j', NULL, 0, "One JSON object per model and line", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    char *end;
    switch (key) {
    case KEY_BACKEND:
        o->backend = text;
        return 0;
    case KEY_RUNS:
        o->runs = strtol(text, &end, 10);
        if (*end || o->runs < 1 || o->runs > MOST_RUNS)
            argp_error(state, "--runs: expected 1 to %d, found '%s'", MOST_RUNS, text);
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case ARGP_KEY_ARGS:
        o->models = state->argv + state->next;
        o->n_models = state->argc - state->next;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "give MODEL.onnx");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

// One network in both.
struct pair {
    void *bytes;
    struct sl_onnx *onnx;
    struct sl_accel *accel;
    struct sl_program *program;
    struct onednn *dnn;
    uint32_t n_convs;
    long runs;
    double *ours, *theirs; // per run; theirs: the sum over convolutions
    double *each;          // [convolution][run]
};

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

static double median(double *times, long count)
{
    qsort(times, (size_t)count, sizeof(*times), by_value);
    return count % 2 ? times[count / 2] : (times[count / 2 - 1] + times[count / 2]) / 2;
}

static int open_pair(const struct options *o, const char *path, struct pair *p,
                     struct sl_error *error)
{
    size_t size;
    int status = sl_read_file(path, SL_ONNX_MAX_BYTES, &p->bytes, &size, error);
    if (status == 0)
        status = sl_onnx_load(p->bytes, size, NULL, &p->onnx, error);
    if (status == 0)
        status = onednn_open(sl_onnx_graph(p->onnx), &p->dnn, error);
    if (status == 0)
        status = sl_accel_open(o->backend, &p->accel, error);
    if (status == 0)
        status = sl_accel_load(p->accel, sl_onnx_graph(p->onnx), &p->program, error);
    if (status == 0)
        p->n_convs = onednn_count(p->dnn);
    return status;
}

static void close_pair(struct pair *p)
{
    sl_accel_unload(p->program);
    sl_accel_close(p->accel);
    onednn_close(p->dnn);
    sl_onnx_free(p->onnx);
    free(p->bytes);
    free(p->ours);
    free(p->theirs);
    free(p->each);
}

// Ours, then every convolution of theirs. `at` negative: not kept.
static int run_once(struct pair *p, long at, double *total, struct sl_error *error)
{
    const double start = now_ms();
    int status = sl_program_run(p->program, SL_NO_DEADLINE, error);
    double before = now_ms();
    const double ours = before - start;
    double theirs = 0;
    for (uint32_t i = 0; status == 0 && i < p->n_convs; i++) {
        status = onednn_run(p->dnn, i, error);
        const double after = now_ms();
        if (at >= 0)
            p->each[(long)i * p->runs + at] = after - before;
        theirs += after - before;
        before = after;
    }
    if (at >= 0) {
        p->ours[at] = ours;
        p->theirs[at] = theirs;
    }
    *total = ours + theirs;
    return status;
}

static int measure(const struct options *o, struct pair *p, struct sl_error *error)
{
    double total = 0;
    int status = 0;
    for (int i = 0; status == 0 && i < WARM_UP; i++)
        status = run_once(p, -1, &total, error);
    const double fit = DEFAULT_SECONDS * 1e3 / (total + 1e-3);
    p->runs = o->runs ? o->runs : fit < 5 ? 5 : fit > MOST_RUNS ? MOST_RUNS : (long)fit;
    p->ours = calloc((size_t)p->runs, sizeof(double));
    p->theirs = calloc((size_t)p->runs, sizeof(double));
    p->each = calloc((size_t)p->runs * p->n_convs, sizeof(double));
    if (!p->ours || !p->theirs || !p->each)
        return sl_error_set(error, -1, "no memory");
    for (long i = 0; status == 0 && i < p->runs; i++)
        status = run_once(p, i, &total, error);
    return status;
}

static void print_table(const char *path, struct pair *p, double ours, double theirs)
{
    printf("%s: our whole network %.3f ms (%s), oneDNN's %u convolutions alone %.3f ms (%s): "
           "%.2f times ours\n",
           path, ours, cpu_isa_name(cpu_isa_best()), p->n_convs, theirs, onednn_isa(),
           theirs / ours);
    printf("  %-36s %-28s %-24s %9s %9s %8s\n", "node", "shape", "implementation", "MMAC", "us",
           "GMAC/s");
    for (uint32_t i = 0; i < p->n_convs; i++) {
        const struct onednn_conv *c = onednn_conv(p->dnn, i);
        const double ms = median(p->each + (long)i * p->runs, p->runs);
        printf("  %-36.36s %-28s %-24.24s %9.3f %9.1f %8.2f\n", c->node, c->shape,
               c->implementation, (double)c->macs / 1e6, ms * 1e3,
               ms > 0 ? (double)c->macs / ms / 1e6 : 0);
    }
}

static void print_json(const char *path, const struct pair *p, double ours, double theirs)
{
    printf("{\"model\":\"%s\",\"runs\":%ld,\"threads\":1,\"isa\":\"%s\",\"ours_ms\":%.4f,"
           "\"onednn_convolutions\":%u,\"onednn_isa\":\"%s\",\"onednn_ms\":%.4f,\"ratio\":%.4f}\n",
           path, p->runs, cpu_isa_name(cpu_isa_best()), ours, p->n_convs, onednn_isa(), theirs,
           theirs / ours);
}

static int bench(const struct options *o, const char *path)
{
    struct sl_error error = {""};
    struct pair p = {0};
    int status = open_pair(o, path, &p, &error);
    if (status == 0)
        status = measure(o, &p, &error);
    if (status < 0) {
        fprintf(stderr, "bench_onednn: %s: %s\n", path, error.message);
    } else {
        const double ours = median(p.ours, p.runs), theirs = median(p.theirs, p.runs);
        if (o->json)
            print_json(path, &p, ours, theirs);
        else
            print_table(path, &p, ours, theirs);
    }
    close_pair(&p);
    return status < 0;
}

// oneDNN takes its threads from OpenMP, whose function is there only through oneDNN.
static void one_thread(void)
{
    void (*set)(int) = NULL;
    void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    memcpy(&set, &symbol, sizeof(set));
    if (set)
        set(1);
}

int main(int argc, char **argv)
{
    static const char doc[] =
        "Times oneDNN's convolutions of quantised networks beside our whole networks, in turns, on "
        "one thread. DNNL_MAX_CPU_ISA caps oneDNN's instruction set, SIGHTLINE_CPU ours.";
    const struct argp argp = {rows, parse, "MODEL.onnx...", doc, NULL, NULL, NULL};
    struct options o = {.backend = "cpu"};
    int failed = 0;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    one_thread();
    for (int i = 0; i < o.n_models; i++)
        failed |= bench(&o, o.models[i]);
    return failed;
}
