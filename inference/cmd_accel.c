// `sightline accel`: the back ends there are, whether they find what they should, and how long they
// take beside each other.
#include "inference/bench.h"
#include "inference/commands.h"
#include "inference/detect.h"
#include "inference/selftest.h"

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_BACKENDS = 16, MOST_RUNS = 100000, FEWEST_RUNS = 5, WARM_UP = 3 };

enum action { LIST, TEST, BENCH, ACTIONS };
static const char *const actions[ACTIONS] = {"list", "test", "bench"};

struct options {
    enum action action;
    const char *model;
    const char *backends[MOST_BACKENDS];
    uint32_t n_backends;
    double seconds;
    bool json;
};

static const struct argp_option rows[] = {
    {"model", 'm', "PATH", 0, "Folder of a model; for bench an .onnx file will do", 0},
    {"backend", 'b', "NAME", 0,
     "Back end with its options, such as cpu,threads=2 or isolated:cpu; may be repeated (default: "
     "all that need no options)",
     0},
    {"seconds", 's', "S", 0, "Time for bench, of all back ends together (default 5)", 0},
    {"json", 'j', NULL, 0, "One JSON object per line", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    char *end;
    switch (key) {
    case 'm':
        o->model = text;
        return 0;
    case 'b':
        if (o->n_backends == MOST_BACKENDS)
            argp_error(state, "more than %d back ends", MOST_BACKENDS);
        o->backends[o->n_backends++] = text;
        return 0;
    case 's':
        o->seconds = strtod(text, &end);
        if (end == text || *end || !(o->seconds >= 0.01 && o->seconds <= 3600))
            argp_error(state, "--seconds: expected 0.01 to 3600, found '%s'", text);
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case ARGP_KEY_ARG:
        for (int i = 0; state->arg_num == 0 && i < ACTIONS; i++)
            if (!strcmp(text, actions[i])) {
                o->action = (enum action)i;
                return 0;
            }
        argp_error(state, "unknown argument '%s'; there are: list, test, bench", text);
        return EINVAL;
    case ARGP_KEY_END:
        if (state->arg_num == 0)
            argp_error(state, "expected list, test or bench");
        if (o->action != LIST && !o->model)
            argp_error(state, "give --model PATH");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

// Text as a JSON string; what is not printable becomes '?'.
static void print_string(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar((unsigned char)*text < ' ' || *text == 0x7f ? '?' : *text);
    }
    putchar('"');
}

static void print_number(const char *name, double value)
{
    if (isfinite(value))
        printf(",\"%s\":%.4g", name, value);
    else
        printf(",\"%s\":null", name);
}

static void list_row(void *ctx, const struct sl_backend *backend,
                     const struct sl_device_info *device, const char *problem)
{
    const struct options *o = ctx;
    if (!o->json) {
        printf("%-14s %-8s %-9s %s%s\n", backend->name, backend->version ? backend->version : "",
               device ? device->name : "-", problem ? "not usable: " : "",
               problem ? problem : device->description);
        return;
    }
    printf("{\"backend\":");
    print_string(backend->name);
    printf(",\"version\":");
    print_string(backend->version ? backend->version : "");
    printf(",\"device\":");
    print_string(device ? device->name : "");
    printf(",\"description\":");
    print_string(device ? device->description : "");
    printf(",\"problem\":");
    print_string(problem ? problem : "");
    printf("}\n");
}

static int list(struct options *o)
{
    if (!o->json)
        printf("%-14s %-8s %-9s %s\n", "BACK END", "VERSION", "DEVICE", "");
    sl_accel_list(list_row, o);
    return 0;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int test_one(const struct sl_model *model, const char *backend, bool json)
{
    struct sl_error error = {""};
    struct sl_detector *detector = NULL;
    struct sl_accel_status status = {.reason = ""};
    double start = now_ms();
    int failed = sl_detector_new(model, backend, &detector, &error);
    double opened = now_ms();
    if (failed == 0)
        failed = sl_model_selftest(detector, NULL, &error);
    double done = now_ms();
    if (detector)
        sl_detector_status(detector, &status);
    if (json) {
        printf("{\"backend\":");
        print_string(backend);
        printf(",\"ok\":%s,\"actual\":", failed ? "false" : "true");
        print_string(status.actual);
        printf(",\"problem\":");
        print_string(error.message);
        print_number("open_ms", opened - start);
        print_number("test_ms", done - opened);
        printf("}\n");
    } else if (failed) {
        printf("%-28s FAILED: %s\n", backend, error.message);
    } else {
        printf("%-28s ok, %u golden picture%s in %.0f ms, opened in %.0f ms%s%s\n", backend,
               model->n_golden, model->n_golden == 1 ? "" : "s", done - opened, opened - start,
               *status.reason ? "; " : "", status.reason);
    }
    sl_detector_free(detector);
    return failed != 0;
}

static int test(struct options *o)
{
    struct sl_error error = {""};
    struct sl_model_source *source;
    const struct sl_model *model = NULL;
    int status = sl_model_source_directory(o->model, &source, &error);
    if (status == 0)
        status = sl_model_load(source, &model, &error);
    if (status == 0 && model->n_golden == 0)
        status = sl_error_set(&error, -ENODATA, "the model has no golden pictures");
    if (status < 0)
        fprintf(stderr, "sightline accel: %s: %s\n", o->model, error.message);
    int failed = status < 0;
    for (uint32_t i = 0; status == 0 && i < o->n_backends; i++)
        failed |= test_one(model, o->backends[i], o->json);
    sl_model_unref(model);
    return failed;
}

// One back end that is timed.
struct timed {
    const char *config;
    struct sl_accel *accel;
    struct sl_program *program; // NULL: it could not be opened
    double load_ms;
    struct bench_times times;
    bool same; // outputs are those of the first
};

static int open_timed(struct timed *t, const struct bench_network *network, struct sl_error *error)
{
    double start = now_ms();
    int status = sl_accel_open(t->config, &t->accel, error);
    if (status == 0)
        status = sl_accel_load(t->accel, network->graph, &t->program, error);
    if (status)
        return status;
    bench_inputs_fill(network->graph, t->program, 1);
    for (int i = 0; status == 0 && i < WARM_UP; i++)
        status = sl_program_run(t->program, SL_NO_DEADLINE, error);
    t->load_ms = now_ms() - start;
    t->times.ms = calloc(MOST_RUNS, sizeof(double));
    return t->times.ms || status ? status : sl_error_set(error, -ENOMEM, "no memory");
}

static int run_timed(struct timed *t, struct sl_error *error)
{
    double start = now_ms();
    int status = sl_program_run(t->program, SL_NO_DEADLINE, error);
    t->times.ms[t->times.count++] = now_ms() - start;
    return status;
}

static bool same_outputs(const struct sl_graph *graph, struct sl_program *a, struct sl_program *b)
{
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        size_t bytes;
        const void *x = sl_program_output(a, i, &bytes), *y = sl_program_output(b, i, NULL);
        if (memcmp(x, y, bytes) != 0)
            return false;
    }
    return true;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_timed(const struct options *o, const struct timed *t, const struct timed *first)
{
    struct sl_accel_status status;
    sl_accel_status(t->accel, &status);
    double median = bench_median(&t->times), p99 = bench_p99(&t->times);
    double overhead = (median - bench_median(&first->times)) * 1e3;
    if (!o->json) {
        printf("%-28s %8.3f %8.3f %8.3f %9.1f  %-6s %8.1f", t->config, median, t->times.ms[0], p99,
               overhead, t->same ? "same" : "OTHER", t->load_ms);
        if (isfinite(status.health.temperature_c))
            printf("  %.1f C", (double)status.health.temperature_c);
        if (isfinite(status.health.clock_mhz))
            printf("  %.0f MHz", (double)status.health.clock_mhz);
        printf("%s%s\n", *status.reason ? "  " : "", status.reason);
        return;
    }
    printf("{\"backend\":");
    print_string(t->config);
    printf(",\"actual\":");
    print_string(status.actual);
    printf(",\"reason\":");
    print_string(status.reason);
    printf(",\"runs\":%ld,\"outputs_same\":%s", t->times.count, t->same ? "true" : "false");
    print_number("median_ms", median);
    print_number("min_ms", t->times.ms[0]);
    print_number("p99_ms", p99);
    print_number("overhead_us", overhead);
    print_number("load_ms", t->load_ms);
    print_number("temperature_c", (double)status.health.temperature_c);
    print_number("clock_mhz", (double)status.health.clock_mhz);
    printf("}\n");
}

// Runs the back ends in turns, so that clocks and neighbours are the same for all.
static int measure(const struct options *o, struct timed *timed, struct sl_error *error)
{
    int status = 0;
    double end = now_ms() + o->seconds * 1e3;
    for (long i = 0; status == 0 && i < MOST_RUNS && (i < FEWEST_RUNS || now_ms() < end); i++)
        for (uint32_t k = 0; status == 0 && k < o->n_backends; k++)
            if (timed[k].program) {
                status = run_timed(&timed[k], error);
                if (status)
                    sl_error_prefix(error, status, "%s", timed[k].config);
            }
    return status;
}

static int open_all(const struct options *o, const struct bench_network *network,
                    struct timed *timed, const struct timed **first)
{
    int failed = 0;
    for (uint32_t i = 0; i < o->n_backends; i++) {
        struct sl_error error = {""};
        timed[i].config = o->backends[i];
        if (open_timed(&timed[i], network, &error) == 0) {
            *first = *first ? *first : &timed[i];
            continue;
        }
        fprintf(stderr, "sightline accel: %s\n", error.message);
        sl_accel_unload(timed[i].program);
        timed[i].program = NULL;
        failed = 1;
    }
    return failed;
}

static int bench(struct options *o)
{
    struct sl_error error = {""};
    struct bench_network network = {0};
    struct timed timed[MOST_BACKENDS] = {0};
    const struct timed *first = NULL;
    if (bench_network_open(o->model, &network, &error) < 0) {
        fprintf(stderr, "sightline accel: %s: %s\n", o->model, error.message);
        bench_network_close(&network);
        return 1;
    }
    int failed = open_all(o, &network, timed, &first);
    int status = first ? measure(o, timed, &error) : 0;
    if (status < 0)
        fprintf(stderr, "sightline accel: %s\n", error.message);
    if (first && status == 0 && !o->json)
        printf("%-28s %8s %8s %8s %9s  %-6s %8s\n", "BACK END", "MEDIAN", "MIN", "P99 ms",
               "OVER us", "OUTPUT", "LOAD ms");
    for (uint32_t i = 0; i < o->n_backends; i++) {
        struct timed *t = &timed[i];
        if (t->program && status == 0) {
            t->same = same_outputs(network.graph, first->program, t->program);
            qsort(t->times.ms, (size_t)t->times.count, sizeof(double), by_value);
            print_timed(o, t, first);
        }
    }
    for (uint32_t i = 0; i < o->n_backends; i++) {
        sl_accel_unload(timed[i].program);
        sl_accel_close(timed[i].accel);
        free(timed[i].times.ms);
    }
    bench_network_close(&network);
    return failed || status < 0;
}

// Those that have devices of their own: wrappers describe none.
static void add_plain(void *ctx, const struct sl_backend *backend,
                      const struct sl_device_info *device, const char *problem)
{
    struct options *o = ctx;
    bool known = o->n_backends > 0 && !strcmp(o->backends[o->n_backends - 1], backend->name);
    (void)problem;
    if (device && *device->description && !known && o->n_backends < MOST_BACKENDS)
        o->backends[o->n_backends++] = backend->name;
}

int sl_command_accel(int argc, char **argv)
{
    static const char doc[] = "Shows what can run a network.\n\n"
                              "  list   the back ends, their versions and devices\n"
                              "  test   run the golden pictures of a model on back ends\n"
                              "  bench  time a model on back ends, in turns\n"
                              "\vExit status: 0 done, 1 a back end failed, 2 usage.";
    const struct argp argp = {rows, parse, "list|test|bench", doc, NULL, NULL, NULL};
    static int (*const run[ACTIONS])(struct options *) = {list, test, bench};
    struct options o = {.seconds = 5};
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    if (o.n_backends == 0)
        sl_accel_list(add_plain, &o);
    return run[o.action](&o);
}
