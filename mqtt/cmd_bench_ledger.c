// `sightline bench --ledger`: verdicts from the daemon's queue over the ledger's disk and a broker
// to a subscriber: how many a second, how late, and what an outage of the broker costs in memory.
#include "mqtt/bench_ledger.h"

#include <argp.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SAMPLES  10
#define ANSWER_S 20

enum { KEY_LEDGER = 256, KEY_FOLDER, KEY_RATE, KEY_CPU, KEY_OUTAGE, KEY_HISTORY, KEY_PERSISTENT };

struct options {
    const char *folder;
    guint count, outage, history_rate;
    double rate, seconds;
    int cpu;
    bool json, persistent;
};

static const struct argp_option rows[] = {
    {"ledger", KEY_LEDGER, NULL, 0, "Measure the ledger", 0},
    {"folder", KEY_FOLDER, "DIR", 0,
     "Where the ledger is made: the disk to measure (default: here)", 0},
    {"count", 'n', "N", 0, "Verdicts handed over as fast as they are taken (default 20000)", 0},
    {"rate", KEY_RATE, "R", 0, "Verdicts per second while latency is measured (default 100)", 0},
    {"seconds", 's', "S", 0, "How long latency is measured (default 20)", 0},
    {"outage", KEY_OUTAGE, "N", 0, "Instead: N verdicts while the broker is away, then with it", 0},
    {"history-rate", KEY_HISTORY, "R", 0, "Old verdicts a second after an outage (default 2000)",
     0},
    {"persistent", KEY_PERSISTENT, NULL, 0, "The broker writes every message to disk, too", 0},
    {"cpu", KEY_CPU, "N", 0,
     "Run on this core alone, broker and subscriber too (default 0; -1: all)", 0},
    {"json", 'j', NULL, 0, "Print one JSON object", 0},
    {0},
};

static double number(struct argp_state *state, const char *text, double min, double max)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= min && value <= max)) {
        argp_error(state, "expected a number from %g to %g, found '%s'", min, max, text);
    }
    return value;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case KEY_LEDGER:
        return 0;
    case KEY_FOLDER:
        o->folder = text;
        return 0;
    case 'n':
        o->count = (guint)number(state, text, 1, 1e7);
        return 0;
    case KEY_RATE:
        o->rate = number(state, text, 0.1, 10000);
        return 0;
    case 's':
        o->seconds = number(state, text, 0.1, 86400);
        return 0;
    case KEY_OUTAGE:
        o->outage = (guint)number(state, text, 1000, 1e7);
        return 0;
    case KEY_HISTORY:
        o->history_rate = (guint)number(state, text, 1, 100000);
        return 0;
    case KEY_PERSISTENT:
        o->persistent = true;
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
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static bool measure_speed(struct bench *b, const struct options *o, GError **error)
{
    if (!sl_private_broker_start(&b->broker, error) || !bench_subscribe(b, error) ||
        !bench_start_publisher(b, o->count, error)) {
        return false;
    }
    const double cpu = bench_cpu_s();
    const double s = bench_transfer(b, o->count, 0);
    const double used = bench_cpu_s() - cpu;
    const guint fast = b->received, timed = (guint)MAX(o->rate * o->seconds, 1);
    bench_transfer(b, timed, o->rate);
    const guint missing = o->count - fast + timed - b->received;
    printf(o->json ? "{\"verdicts\":%u,\"per_s\":%.0f,\"cpu_us\":%.0f,\"rate\":%g,\"timed\":%u,"
                     "\"latency_ms\":{\"p50\":%.2f,\"p99\":%.2f,\"max\":%.2f},\"missing\":%u}\n"
                   : "%u verdicts, on disk and at a subscriber: %.0f a second, %.0f us of "
                     "processor time each (broker not counted)\n"
                     "at %g a second (%u verdicts), from verdict to subscriber: p50 %.2f ms, p99 "
                     "%.2f ms, max %.2f ms\n%u missing\n",
           fast, s > 0 ? fast / s : 0, fast ? used * 1e6 / fast : 0, o->rate, b->received,
           bench_quantile(b, 0.5), bench_quantile(b, 0.99), bench_quantile(b, 1), missing);
    return missing == 0;
}

struct outage {
    long resident_kib[SAMPLES], after_kib;
    double collected_s, newest_ms, replayed_s;
    guint overtaken; // old verdicts that had not come when the new one was there
};

static void collect(struct bench *b, struct outage *out)
{
    const guint each = b->to_send / SAMPLES;
    for (guint i = 0; i < b->to_send; i++) {
        bench_hand_over(b, i);
        if ((i + 1) % each == 0 && i / each < SAMPLES) {
            out->resident_kib[i / each] = bench_resident_kib();
            if (isatty(2)) {
                fprintf(stderr, "\r%u of %u verdicts, %ld KiB ", i + 1, b->to_send,
                        out->resident_kib[i / each]);
            }
        }
    }
    out->collected_s = (double)(g_get_monotonic_time() - b->begin_us) / 1e6;
}

static void wait_for_connection(struct bench *b)
{
    const gint64 end = g_get_monotonic_time() + ANSWER_S * G_TIME_SPAN_SECOND;
    struct sl_publisher_stats stats = {0};
    while (!stats.connected && g_get_monotonic_time() < end) {
        bench_listen(b, 5);
        sl_publisher_stats(b->publisher, &stats);
    }
}

// A new verdict must not wait for the old ones.
static void send_newest(struct bench *b, struct outage *out)
{
    const gint64 handed = g_get_monotonic_time(), end = handed + ANSWER_S * G_TIME_SPAN_SECOND;
    const guint all = b->to_send++;
    b->latency_ms = g_renew(float, b->latency_ms, b->to_send);
    bench_hand_over(b, all);
    while (b->newest_seq <= all && g_get_monotonic_time() < end) {
        bench_listen(b, 5);
    }
    out->newest_ms = (double)(g_get_monotonic_time() - handed) / 1e3;
    out->overtaken = all + 1 - b->received;
}

static void print_outage(const struct bench *b, const struct outage *out, bool json)
{
    const guint missing = b->to_send - b->received;
    if (!json) {
        printf("%u verdicts taken within %.1f s without a broker; resident after a tenth %ld KiB, "
               "at the end %ld KiB, after sending all %ld KiB\n"
               "with the broker: a new verdict came after %.1f ms, before %u old ones; all within "
               "%.1f s, %u marked as history; %u missing\n",
               b->to_send - 1, out->collected_s, out->resident_kib[0],
               out->resident_kib[SAMPLES - 1], out->after_kib, out->newest_ms, out->overtaken,
               out->replayed_s, b->history, missing);
        return;
    }
    printf("{\"verdicts\":%u,\"collected_s\":%.1f,\"resident_kib\":[", b->to_send - 1,
           out->collected_s);
    for (int i = 0; i < SAMPLES; i++) {
        printf(i ? ",%ld" : "%ld", out->resident_kib[i]);
    }
    printf("],\"after_kib\":%ld,\"newest_ms\":%.1f,\"overtaken\":%u,\"replayed_s\":%.1f,"
           "\"history\":%u,\"missing\":%u}\n",
           out->after_kib, out->newest_ms, out->overtaken, out->replayed_s, b->history, missing);
}

static bool measure_outage(struct bench *b, const struct options *o, GError **error)
{
    struct outage out = {.after_kib = 0};
    // Subscribed before the outage: the publisher may find the broker sooner than the subscriber.
    if (!sl_private_broker_start(&b->broker, error) || !bench_subscribe(b, error)) {
        return false;
    }
    sl_private_broker_stop(&b->broker, SIGTERM);
    if (!bench_start_publisher(b, o->history_rate, error)) {
        return false;
    }
    bench_begin(b, o->outage, 0);
    collect(b, &out);
    const gint64 back = g_get_monotonic_time();
    if (!sl_private_broker_start(&b->broker, error) ||
        !sl_private_broker_resume(&b->broker, b->client, error)) {
        return false;
    }
    wait_for_connection(b);
    send_newest(b, &out);
    bench_listen_for(b, b->to_send);
    out.after_kib = bench_resident_kib();
    out.replayed_s = (double)(b->last_us - back) / 1e6;
    print_outage(b, &out, o->json);
    return b->received == b->to_send;
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (cpu >= 0) {
        CPU_SET((unsigned)cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) < 0) {
            fprintf(stderr, "sightline bench: cannot run on core %d alone\n", cpu);
        }
    }
}

static bool make_folder(struct bench *b, const struct options *o, GError **error)
{
    g_autofree char *name = g_build_filename(o->folder, "sightline-bench-XXXXXX", NULL);
    if (!g_mkdtemp(name)) {
        g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(errno), "%s: %s", o->folder,
                    g_strerror(errno));
        return false;
    }
    b->folder = realpath(name, NULL);
    return b->folder != NULL;
}

static void clean_up(struct bench *b)
{
    static const char *const files[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "lock"};
    if (b->client) {
        mosquitto_disconnect(b->client);
        mosquitto_destroy(b->client);
    }
    sl_publisher_free(b->publisher, 1000);
    sl_private_broker_stop(&b->broker, SIGTERM);
    sl_private_broker_remove(&b->broker);
    for (size_t i = 0; b->folder && i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(b->folder, "ledger", files[i], NULL);
        g_unlink(path);
    }
    if (b->folder) {
        g_autofree char *ledger = g_build_filename(b->folder, "ledger", NULL);
        g_rmdir(ledger);
        g_rmdir(b->folder);
    }
    free(b->folder);
    g_free(b->latency_ms);
}

int main(int argc, char **argv)
{
    static const char doc[] =
        "Measures verdicts from the daemon's queue over the ledger's disk and a private Mosquitto "
        "to a subscriber."
        "\vExit status: 0 every verdict came, 1 failed or verdicts are missing, 2 usage.";
    const struct argp argp = {rows, parse, NULL, doc, NULL, NULL, NULL};
    struct options o = {
        .folder = ".", .count = 20000, .rate = 100, .seconds = 20, .history_rate = 2000};
    struct bench b = {.folder = NULL};
    g_autoptr(GError) error = NULL;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    pin(o.cpu);
    mosquitto_lib_init();
    const bool ready = make_folder(&b, &o, &error) &&
                       sl_private_broker_prepare(&b.broker, b.folder, o.persistent, &error);
    const bool good =
        ready && (o.outage ? measure_outage(&b, &o, &error) : measure_speed(&b, &o, &error));
    clean_up(&b);
    mosquitto_lib_cleanup();
    if (error) {
        fprintf(stderr, "sightline bench: %s\n", error->message);
    }
    return good ? 0 : 1;
}
