// `sightline bench --pipeline`: the whole path, from a picture's arrival until a subscriber of the
// broker has its verdict. The cameras are the daemon's own code, run in this process.
#include "mqtt/private_broker.h"
#include "pipeline/daemon.h"
#include "pipeline/elements.h"
#include "pipeline/latency.h"

#include <argp.h>
#include <cjson/cJSON.h>
#include <glib/gstdio.h>
#include <mosquitto.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_PIPELINE = 256, KEY_PICTURES, KEY_RATE, KEY_CPU, STALL_S = 10 };

struct options {
    const char *pictures, *model;
    guint count;
    double rate;
    int cpu;
    bool json;
};

struct bench {
    struct options options;
    gchar *folder;
    struct sl_private_broker broker;
    struct sl_latency total;
    double decode_ms, registration_ms, inference_ms;
    guint received, errors;
    gint64 last_us;
};

static const struct argp_option rows[] = {
    {"pipeline", KEY_PIPELINE, NULL, 0, "Measure the whole path", 0},
    {"pictures", KEY_PICTURES, "DIR", 0, "Folder of pictures (NAME_test.jpg, NAME_temp.jpg)", 0},
    {"model", 'm', "DIR", 0, "Folder of the model (default deploy/models/pcb)", 0},
    {"count", 'n', "N", 0, "Parts (default 500; the pictures repeat)", 0},
    {"rate", KEY_RATE, "R", 0, "Parts per second (default 20; 0: as fast as they are taken)", 0},
    {"cpu", KEY_CPU, "N", 0, "Run on this core alone (default 0; -1: on all)", 0},
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

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_PIPELINE:
        return 0;
    case KEY_PICTURES:
        o->pictures = text;
        return 0;
    case 'm':
        o->model = text;
        return 0;
    case 'n':
        o->count = (guint)number(state, text, 1, 1e7);
        return 0;
    case KEY_RATE:
        o->rate = number(state, text, 0, 1000);
        return 0;
    case KEY_CPU:
        o->cpu = (int)number(state, text, -1, 1023);
        return 0;
    case 'j':
        o->json = true;
        return 0;
    case ARGP_KEY_ARG:
        argp_error(state, "unexpected argument '%s'", text);
        return 0;
    case ARGP_KEY_END:
        if (!o->pictures)
            argp_error(state, "give --pictures DIR");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static gboolean write_text(const struct bench *b, const gchar *name, const gchar *text,
                           GError **error)
{
    g_autofree gchar *path = g_build_filename(b->folder, name, NULL);
    return g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0600, error);
}

static gchar *absolute(const char *path)
{
    char *real = realpath(path, NULL);
    gchar *copy = g_strdup(real ? real : path);
    free(real);
    return copy;
}

static gboolean write_configuration(struct bench *b, GError **error)
{
    g_autofree gchar *pictures = absolute(b->options.pictures);
    g_autofree gchar *model = absolute(b->options.model);
    g_autofree gchar *text = g_strdup_printf(
        "schema: 1\n"
        "broker: {host: 127.0.0.1, port: %d, username: bench, password_file: password}\n"
        "cameras:\n"
        "  - name: bench\n"
        "    source:\n"
        "      type: pictures\n"
        "      pictures: {directory: \"%s\", rate: %.3f, loop: true}\n"
        "    model: {path: \"%s\"}\n"
        "    part: {mode: free-run, deadline_ms: 2000, recipe: bench}\n",
        b->broker.port, pictures, b->options.rate, model);
    return write_text(b, "camera.yaml", text, error);
}

static double number_in(const cJSON *json, const char *group, const char *key)
{
    const cJSON *object = group ? cJSON_GetObjectItemCaseSensitive(json, group) : json;
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static void on_message(struct mosquitto *client, void *data, const struct mosquitto_message *m,
                       const mosquitto_property *properties)
{
    struct bench *b = data;
    const gint64 now_us = g_get_monotonic_time();
    (void)client;
    (void)properties;
    cJSON *json = cJSON_ParseWithLength(m->payload, (size_t)m->payloadlen);
    const cJSON *result = cJSON_GetObjectItemCaseSensitive(json, "result");
    if (json && b->received < b->options.count) {
        // The number has more digits than a double holds exactly, by less than a microsecond.
        const double begun_us = number_in(json, NULL, "ts_mono_ns") / 1000;
        b->received++;
        b->last_us = now_us;
        b->errors += cJSON_IsString(result) && !strcmp(result->valuestring, "error");
        sl_latency_add(&b->total, (float)(((double)now_us - begun_us) / 1000));
        b->decode_ms += number_in(json, "timing", "decode_ms");
        b->registration_ms += number_in(json, "timing", "registration_ms");
        b->inference_ms += number_in(json, "timing", "inference_ms");
    }
    cJSON_Delete(json);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    if (cpu >= 0 && sched_setaffinity(0, sizeof(set), &set) < 0)
        fprintf(stderr, "sightline bench: cannot run on core %d alone\n", cpu);
}

static long resident_kib(void)
{
    g_autofree gchar *text = NULL;
    const gchar *line;
    if (!g_file_get_contents("/proc/self/status", &text, NULL, NULL))
        return 0;
    line = strstr(text, "VmHWM:");
    return line ? strtol(line + 6, NULL, 10) : 0;
}

static void listen_until_done(struct bench *b, struct mosquitto *client)
{
    b->last_us = g_get_monotonic_time();
    while (b->received < b->options.count &&
           g_get_monotonic_time() - b->last_us < STALL_S * G_TIME_SPAN_SECOND)
        if (mosquitto_loop(client, 20, 1) != MOSQ_ERR_SUCCESS)
            break;
}

static void print_result(const struct bench *b)
{
    const double n = b->received ? b->received : 1;
    const double p50 = (double)sl_latency_quantile(&b->total, 0.5);
    const double p99 = (double)sl_latency_quantile(&b->total, 0.99);
    printf(
        b->options.json
            ? "{\"parts\":%u,\"missing\":%u,\"errors\":%u,\"latency_ms\":{\"p50\":%.3f,\"p99\":%."
              "3f,"
              "\"max\":%.3f},\"decode_ms\":%.3f,\"registration_ms\":%.3f,\"inference_ms\":%.3f,"
              "\"resident_mib\":%.1f}\n"
            : "%u parts, %u missing, %u errors\n"
              "latency from a picture's arrival until a subscriber has the verdict: p50 %.2f ms, "
              "p99 %.2f ms, max %.2f ms\n"
              "mean shares: decode %.2f ms, registration %.2f ms, inference %.2f ms\n"
              "most memory resident: %.1f MiB\n",
        b->received, b->options.count - b->received, b->errors, p50, p99, (double)b->total.max_ms,
        b->decode_ms / n, b->registration_ms / n, b->inference_ms / n,
        (double)resident_kib() / 1024);
}

static gboolean measure(struct bench *b, GError **error)
{
    g_autofree gchar *path = g_build_filename(b->folder, "camera.yaml", NULL);
    struct mosquitto *client =
        sl_private_broker_subscribe(&b->broker, "sightline/bench/verdict", 0, on_message, b, error);
    if (!client)
        return FALSE;
    pin(b->options.cpu);
    struct sl_daemon *daemon = sl_daemon_new(path, error);
    if (daemon) {
        listen_until_done(b, client);
        sl_daemon_free(daemon);
    }
    mosquitto_disconnect(client);
    mosquitto_destroy(client);
    return daemon != NULL;
}

static void clean_up(struct bench *b)
{
    g_autofree gchar *path = g_build_filename(b->folder, "camera.yaml", NULL);
    sl_private_broker_stop(&b->broker, SIGTERM);
    sl_private_broker_remove(&b->broker);
    g_unlink(path);
    g_rmdir(b->folder);
    g_free(b->folder);
}

int main(int argc, char **argv)
{
    static const char doc[] =
        "Measures the whole path on pictures of a folder, with a private Mosquitto on a loopback "
        "port."
        "\vExit status: 0 every part came, 1 failed or parts are missing, 2 usage.";
    const struct argp argp = {rows, parse, NULL, doc, NULL, NULL, NULL};
    struct bench b = {.options = {.model = "deploy/models/pcb", .count = 500, .rate = 20}};
    g_autoptr(GError) error = NULL;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &b.options);
    gst_init(NULL, NULL);
    sightline_elements_register(NULL);
    mosquitto_lib_init();
    b.folder = g_dir_make_tmp("sightline-bench-XXXXXX", &error);
    const gboolean done = b.folder &&
                          sl_private_broker_prepare(&b.broker, b.folder, false, &error) &&
                          write_configuration(&b, &error) &&
                          sl_private_broker_start(&b.broker, &error) && measure(&b, &error);
    if (b.folder)
        clean_up(&b);
    if (!done) {
        fprintf(stderr, "sightline bench: %s\n", error ? error->message : "failed");
        return 1;
    }
    print_result(&b);
    return b.received < b.options.count;
}
