// sightline-selftest: tries a bundle's model in a process of its own. The update agent starts it,
// passes the bundle over a socket (ota/control.h) and reads the answer; what becomes of a model
// that crashes or hangs is the agent's to see.
#include "inference/selftest.h"
#include "pipeline/must_detect.h"
#include "pipeline/source_memory.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

enum { MOST_RUNS = 200, LEAST_RUNS = 20, RUNS_MS = 500 };

struct options {
    const char *backend, *must_detect;
    int socket;
};

static struct sl_control_message message, serving; // serving.verb 0: nothing serves

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

// Not ru_maxrss where it can be helped: that begins with what the parent had.
static uint64_t peak_octets(void)
{
    struct rusage usage;
    char line[256];
    uint64_t kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status && kib == 0 && fgets(line, sizeof(line), status))
        if (!strncmp(line, "VmHWM:", 6))
            kib = strtoull(line + 6, NULL, 10);
    if (status)
        fclose(status);
    getrusage(RUSAGE_SELF, &usage);
    return (kib ? kib : (uint64_t)usage.ru_maxrss) * 1024;
}

static int by_size(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// The 99th percentile of the network's time, of as many runs as fit into a while.
static int measure(struct sl_detector *detector, int64_t *p99_us, struct sl_error *error)
{
    static int64_t times[MOST_RUNS];
    const int64_t end = now_us() + RUNS_MS * 1000;
    size_t n = 0;
    while (n < MOST_RUNS && (n < LEAST_RUNS || now_us() < end)) {
        const int64_t begin = now_us();
        const int status = sl_program_run(sl_detector_program(detector), SL_NO_DEADLINE, error);
        if (status < 0)
            return status;
        times[n++] = now_us() - begin;
    }
    qsort(times, n, sizeof(times[0]), by_size);
    *p99_us = times[(n * 99 + 99) / 100 - 1];
    return 0;
}

static int check_claims(struct sl_detector *detector, uint64_t before, struct sl_error *error)
{
    int64_t p99_us = 0;
    const int status = measure(detector, &p99_us, error);
    if (status < 0)
        return status;
    const uint64_t peak = peak_octets(), memory = peak > before ? peak - before : 0;
    if (message.latency_us > 0 && p99_us > message.latency_us)
        return sl_error_set(error, -ETIME,
                            "latency: %.1f ms at the 99th percentile; it claims %.1f ms",
                            (double)p99_us / 1e3, (double)message.latency_us / 1e3);
    if (message.memory > 0 && memory > message.memory)
        return sl_error_set(error, -ENOMEM, "memory: %.1f MiB; it claims %.1f MiB",
                            (double)memory / 1048576, (double)message.memory / 1048576);
    snprintf(message.text, sizeof(message.text), "99 %% of runs within %.1f ms, %.1f MiB of memory",
             (double)p99_us / 1e3, (double)memory / 1048576);
    return 0;
}

static int load(int fd, const struct sl_control_message *from, const struct sl_model **out,
                struct sl_error *error)
{
    struct sl_model_source *source = NULL;
    const int status = sl_model_source_memory(fd, from, &source, error);
    return status < 0 ? status : sl_model_load(source, out, error);
}

// What serves is loaded only now, when the memory of the new one has been measured. One that cannot
// be loaded is not the new one's fault.
static int compare(const struct sl_model *model, int serving_fd, const struct options *o,
                   struct sl_error *error)
{
    const struct sl_model *before = NULL;
    struct sl_error problem = {""};
    if (serving.verb && load(serving_fd, &serving, &before, &problem) < 0)
        fprintf(stderr,
                "sightline-selftest: the model that serves cannot be loaded: %s; every object of "
                "the must-detect set is wanted\n",
                problem.message);
    const int status = sl_must_detect(model, before, o->must_detect, o->backend, error);
    sl_model_unref(before);
    return status;
}

static int try_model(const struct sl_model *model, int serving_fd, const struct options *o,
                     uint64_t before, struct sl_error *error)
{
    struct sl_detector *detector = NULL;
    const struct sl_golden_limits limits = {(float)message.overlap_ppm / 1e6f,
                                            (float)message.score_ppm / 1e6f};
    if (model->n_golden == 0)
        return sl_error_set(error, -ENOENT, "the bundle has no golden pictures");
    int status = sl_detector_new(model, o->backend, &detector, error);
    if (status == 0)
        status = sl_model_selftest(detector, &limits, error);
    if (status == 0)
        status = check_claims(detector, before, error);
    sl_detector_free(detector);
    if (status == 0 && o->must_detect)
        status = compare(model, serving_fd, o, error);
    return status;
}

// What serves may come first, to be compared with.
static int receive(const struct options *o, int *serving_fd, int *fd)
{
    int status = sl_control_receive(o->socket, &message, fd, 0);
    if (status == 0 && message.verb == SL_CONTROL_SERVE) {
        serving = message;
        *serving_fd = *fd;
        status = sl_control_receive(o->socket, &message, fd, 0);
    }
    return status == 0 && message.verb != SL_CONTROL_SELF_TEST ? -EPROTO : status;
}

static int answer(const struct options *o)
{
    struct sl_error error = {""};
    const struct sl_model *model = NULL;
    int serving_fd = -1, fd = -1;
    if (receive(o, &serving_fd, &fd) < 0)
        return 2;
    const uint64_t before = peak_octets();
    int status = load(fd, &message, &model, &error);
    if (status == 0)
        status = try_model(model, serving_fd, o, before, &error);
    sl_model_unref(model);
    message.verb = status == 0 ? SL_CONTROL_PASSED : SL_CONTROL_FAILED;
    message.n_components = 0;
    if (status < 0)
        snprintf(message.text, sizeof(message.text), "%s", error.message);
    return sl_control_send(o->socket, &message, -1) == 0 ? 0 : 2;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    char *end = NULL;
    switch (key) {
    case 'b':
        o->backend = text;
        return 0;
    case 'm':
        o->must_detect = text;
        return 0;
    case ARGP_KEY_ARG:
        o->socket = (int)strtol(text, &end, 10);
        if (*end || o->socket < 0 || state->arg_num > 0)
            argp_error(state, "'%s': expected the number of a descriptor", text);
        return 0;
    case ARGP_KEY_END:
        if (o->socket < 0)
            argp_error(state, "expected the number of a descriptor");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const char doc[] =
        "Tries the model of a bundle that comes over the socket with number FD: golden pictures, "
        "the site's must-detect set, latency and memory. Started by sightline-otad. Exit status: "
        "0 answered, 2 nothing was asked.";
    static const struct argp_option rows[] = {
        {"backend", 'b', "NAME", 0, "What runs the model (cpu)", 0},
        {"must-detect", 'm', "DIR", 0, "Pictures with defects: what serves finds, it must find", 0},
        {0}};
    const struct argp argp = {rows, parse, "FD", doc, NULL, NULL, NULL};
    struct options o = {.backend = "cpu", .socket = -1};
    argp_err_exit_status = 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL); // nobody would read the answer
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    return answer(&o);
}
