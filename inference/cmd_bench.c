// `sightline bench --model`: how fast does a network run, and how fast does a peer run it?
#include "inference/commands.h"

#include "accel/cpu/ceiling.h"
#include "accel/cpu/features.h"
#include "inference/bench.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_MODELS = 32, MOST_LAYERS = 4096, MOST_RUNS = 1000000, MOST_THREADS = 64 };
enum { WARM_UP = 3, PROFILED = 20, COMPARED = 3 };

struct options {
    const char *models[MOST_MODELS];
    uint32_t n_models;
    const char *backend, *library;
    long runs; // 0: as many as fit into `seconds`
    double seconds;
    uint32_t threads; // 0: as the back end says
    uint64_t seed;
    bool against, json, profile;
};

enum {
    KEY_AGAINST = 256,
    KEY_BACKEND,
    KEY_LIBRARY,
    KEY_PROFILE,
    KEY_RUNS,
    KEY_SECONDS,
    KEY_SEED,
    KEY_THREADS
};

static const struct argp_option rows[] = {
    {"model", 'm', "PATH", 0,
     "Folder of a model, an .onnx file, or a folder of .onnx files; may be repeated", 0},
    {"against", KEY_AGAINST, "onnxruntime", 0,
     "Run the same file in ONNX Runtime, in turns with ours, and compare the outputs", 0},
    {"onnxruntime", KEY_LIBRARY, "FILE", 0,
     "ONNX Runtime's library (default: $SIGHTLINE_ONNXRUNTIME, then where "
     "deploy/fetch-onnxruntime.sh puts it)",
     0},
    {"backend", KEY_BACKEND, "NAME", 0, "Accelerator back end (default cpu)", 0},
    {"threads", KEY_THREADS, "N", 0, "Threads, 1 to 64, of both (default 1)", 0},
    {"runs", KEY_RUNS, "N", 0, "Timed runs (default: as many as fit into --seconds)", 0},
    {"seconds", KEY_SECONDS, "S", 0, "Time for a model (default 5)", 0},
    {"seed", KEY_SEED, "N", 0, "Seed of the random inputs (default 1)", 0},
    {"profile", KEY_PROFILE, NULL, 0, "Show the time of every layer", 0},
    {"json", 'j', NULL, 0, "One JSON object per model and line", 0},
    {0},
};

static long whole(struct argp_state *state, const char *name, const char *text, long low, long high)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < low || value > high)
        argp_error(state, "--%s: expected %ld to %ld, found '%s'", name, low, high, text);
    return value;
}

static double real(struct argp_state *state, const char *name, const char *text, double low,
                   double high)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= low && value <= high))
        argp_error(state, "--%s: expected %g to %g, found '%s'", name, low, high, text);
    return value;
}

static error_t parse_number(int key, const char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_RUNS:
        o->runs = whole(state, "runs", text, 1, MOST_RUNS);
        return 0;
    case KEY_SECONDS:
        o->seconds = real(state, "seconds", text, 0.01, 3600);
        return 0;
    case KEY_SEED:
        o->seed = (uint64_t)whole(state, "seed", text, 0, 1000000000);
        return 0;
    case KEY_THREADS:
        o->threads = (uint32_t)whole(state, "threads", text, 1, MOST_THREADS);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case 'm':
    case ARGP_KEY_ARG:
        if (o->n_models == MOST_MODELS)
            argp_error(state, "more than %d models", MOST_MODELS);
        o->models[o->n_models++] = text;
        return 0;
    case KEY_AGAINST:
        if (strcmp(text, "onnxruntime") != 0)
            argp_error(state, "--against: expected onnxruntime, found '%s'", text);
        o->against = true;
        return 0;
    case KEY_LIBRARY:
        o->library = text;
        return 0;
    case KEY_BACKEND:
        o->backend = text;
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
        return parse_number(key, text, state);
    }
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

// One model: everything that is open while it is measured.
struct bench {
    const struct options *options;
    struct bench_network network;
    struct sl_accel *accel;
    struct sl_program *program;
    struct bench_peer *peer; // NULL: none
    struct bench_report report;
};

// Value of `key` in "BACKEND,key=value,…"; empty if it is not there.
static void backend_option(const char *config, const char *key, char *out, size_t size)
{
    const size_t length = strlen(key);
    *out = '\0';
    for (const char *at = strchr(config, ','); at; at = strchr(at + 1, ','))
        if (!strncmp(at + 1, key, length) && at[length + 1] == '=')
            snprintf(out, size, "%.*s", (int)strcspn(at + length + 2, ","), at + length + 2);
}

// The best set of the machine that `isa=` allows, as the back end has it.
static enum cpu_isa isa_in_use(const char *config)
{
    char name[32];
    enum cpu_isa cap, isa = cpu_isa_best();
    backend_option(config, "isa", name, sizeof(name));
    if (cpu_isa_parse(name, &cap))
        while (isa > CPU_C && (isa > cap || !(cpu_isa_sets() & 1u << isa)))
            isa--;
    return isa;
}

static int load(struct bench *b, const char *path, struct sl_error *error)
{
    char config[160], threads[16];
    const struct options *o = b->options;
    const double before = now_ms();
    int length = o->threads
                     ? snprintf(config, sizeof(config), "%s,threads=%u", o->backend, o->threads)
                     : snprintf(config, sizeof(config), "%s", o->backend);
    if ((size_t)length >= sizeof(config))
        return sl_error_set(error, -EINVAL, "--backend is too long");
    int status = bench_network_open(path, &b->network, error);
    if (status == 0)
        status = sl_accel_open(config, &b->accel, error);
    if (status == 0)
        status = sl_accel_load(b->accel, b->network.graph, &b->program, error);
    if (status < 0)
        return status;
    backend_option(config, "threads", threads, sizeof(threads));
    b->report =
        (struct bench_report){.model = path,
                              .backend = o->backend,
                              .isa = cpu_isa_name(isa_in_use(config)),
                              .threads = *threads ? (uint32_t)strtoul(threads, NULL, 10) : 1,
                              .load_ms = now_ms() - before,
                              .bytes = sl_program_bytes(b->program),
                              .footprint = sl_program_footprint(b->program),
                              .macs = sl_graph_macs(b->network.graph),
                              .difference = {.equal = true}};
    sl_program_remark(b->program, b->report.remark, sizeof(b->report.remark));
    return 0;
}

static int run_once(struct bench *b, double *ours, double *theirs, struct sl_error *error)
{
    const double start = now_ms();
    int status = sl_program_run(b->program, SL_NO_DEADLINE, error);
    const double middle = now_ms();
    if (status == 0 && b->peer)
        status = bench_peer_run(b->peer, error);
    *ours = middle - start;
    *theirs = now_ms() - middle;
    return status;
}

static void show_progress(const struct bench *b, long done, long runs)
{
    static int is_terminal = -1;
    if (is_terminal < 0)
        is_terminal = isatty(STDERR_FILENO);
    if (!is_terminal || (done % (runs / 50 + 1) != 0 && done != runs))
        return;
    if (done == runs)
        fprintf(stderr, "\r\033[K");
    else
        fprintf(stderr, "\r\033[K%.60s: %ld of %ld runs", b->report.model, done, runs);
}

// Warms up, and says how many runs fit into the time.
static int warm_up(struct bench *b, long *runs, struct sl_error *error)
{
    double ours = 0, theirs = 0;
    const long wanted = b->options->runs;
    for (long i = 0; i < (wanted && wanted < WARM_UP ? wanted : WARM_UP); i++) {
        const int status = run_once(b, &ours, &theirs, error);
        if (status < 0)
            return status;
    }
    const double fit = b->options->seconds * 1e3 / (ours + theirs + 1e-3);
    *runs = b->options->runs  ? b->options->runs
            : fit < 5         ? 5
            : fit > MOST_RUNS ? MOST_RUNS
                              : (long)fit;
    return 0;
}

// Runs ours and the peer's in turns, equally often.
static int measure(struct bench *b, struct sl_error *error)
{
    struct bench_report *r = &b->report;
    long runs = 0;
    int status = warm_up(b, &runs, error);
    if (status < 0)
        return status;
    r->ours.ms = calloc((size_t)runs, sizeof(double));
    r->theirs.ms = calloc((size_t)runs, sizeof(double));
    if (!r->ours.ms || !r->theirs.ms)
        return sl_error_set(error, -ENOMEM, "no memory");
    for (long i = 0; status == 0 && i < runs; i++) {
        show_progress(b, i, runs);
        status = run_once(b, &r->ours.ms[i], &r->theirs.ms[i], error);
    }
    show_progress(b, runs, runs);
    r->ours.count = runs;
    r->theirs.count = b->peer ? runs : 0;
    qsort(r->ours.ms, (size_t)runs, sizeof(double), by_value);
    qsort(r->theirs.ms, (size_t)runs, sizeof(double), by_value);
    return status;
}

static int compare(struct bench *b, struct sl_error *error)
{
    int status = 0;
    for (uint64_t i = 0; status == 0 && i < COMPARED; i++) {
        bench_inputs_fill(b->network.graph, b->program, b->options->seed + i);
        status = sl_program_run(b->program, SL_NO_DEADLINE, error);
        if (status == 0)
            status = bench_peer_compare(b->peer, &b->report.difference, error);
    }
    return status;
}

static int profile(struct bench *b, struct sl_error *error)
{
    struct bench_report *r = &b->report;
    struct sl_profile *rows_of_run = calloc(MOST_LAYERS, sizeof(*rows_of_run));
    r->layers = calloc(MOST_LAYERS, sizeof(*r->layers));
    int status = rows_of_run && r->layers ? 0 : sl_error_set(error, -ENOMEM, "no memory");
    for (int i = 0; status == 0 && i < PROFILED; i++) {
        status = sl_program_run(b->program, SL_NO_DEADLINE, error);
        const uint32_t count = sl_program_profile(b->program, rows_of_run, MOST_LAYERS);
        r->n_layers = count < MOST_LAYERS ? count : MOST_LAYERS;
        for (uint32_t k = 0; k < r->n_layers; k++) {
            r->layers[k].row = rows_of_run[k];
            r->layers[k].us += (double)rows_of_run[k].us / PROFILED;
        }
    }
    free(rows_of_run);
    return status;
}

static int bench(struct bench *b, const char *path, struct sl_error *error)
{
    int status = load(b, path, error);
    if (status < 0)
        return status;
    bench_inputs_fill(b->network.graph, b->program, b->options->seed);
    if (b->options->against)
        status = bench_peer_open(b->options->library, b->report.threads, b->network.graph,
                                 b->program, &b->peer, error);
    // Before and after, because clocks and neighbours change.
    const double before = status == 0 ? cpu_ceiling(b->report.isa) : 0;
    if (status == 0)
        status = measure(b, error);
    const double after = status == 0 ? cpu_ceiling(b->report.isa) : 0;
    b->report.ceiling = (before > after ? before : after) * b->report.threads;
    if (status == 0 && b->options->profile)
        status = profile(b, error);
    if (status == 0 && b->peer) {
        b->report.peer_version = bench_peer_version(b->peer);
        status = compare(b, error);
    }
    return status;
}

static int bench_path(const struct options *o, const char *path)
{
    struct sl_error error = {""};
    struct bench b = {.options = o};
    const int status = bench(&b, path, &error);
    if (status < 0)
        fprintf(stderr, "sightline bench: %s: %s\n", path, error.message);
    else if (o->json)
        bench_report_json(&b.report);
    else
        bench_report_text(&b.report);
    bench_peer_close(b.peer);
    sl_accel_unload(b.program);
    sl_accel_close(b.accel);
    bench_network_close(&b.network);
    free(b.report.ours.ms);
    free(b.report.theirs.ms);
    free(b.report.layers);
    return status;
}

static int bench_all(const struct options *o, const char *path)
{
    struct sl_error error = {""};
    struct bench_paths paths;
    int failed = 0;
    if (bench_paths_find(path, &paths, &error) < 0) {
        fprintf(stderr, "sightline bench: %s: %s\n", path, error.message);
        return 1;
    }
    for (uint32_t i = 0; i < paths.count; i++)
        failed |= bench_path(o, paths.path[i]) < 0;
    bench_paths_free(&paths);
    return failed;
}

int sl_command_bench_model(int argc, char **argv)
{
    static const char doc[] =
        "Times networks on a back end: one inference at a time, batch 1."
        "\vWith --pipeline the whole path is measured; `sightline bench --pipeline --help` tells "
        "more. Exit status: 0 done, 1 failed, 2 usage.";
    const struct argp argp = {rows, parse, "[PATH...]", doc, NULL, NULL, NULL};
    struct options o = {.backend = "cpu", .seconds = 5, .seed = 1};
    int failed = 0;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    for (uint32_t i = 0; i < o.n_models; i++)
        failed |= bench_all(&o, o.models[i]);
    return failed;
}
