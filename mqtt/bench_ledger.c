// The source of verdicts and the subscriber of `sightline bench --ledger`.
#include "mqtt/bench_ledger.h"

#include <mqtt_protocol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define STALL_S 20

static gint64 now_us(void)
{
    return g_get_monotonic_time();
}

static uint64_t number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? g_ascii_strtoull(at + strlen(key), NULL, 10) : 0;
}

static void on_message(struct mosquitto *client, void *data, const struct mosquitto_message *m,
                       const mosquitto_property *properties)
{
    struct bench *b = data;
    const gint64 now = now_us();
    char *name = NULL, *value = NULL;
    (void)client;
    const char *body = m->payload; // libmosquitto ends it with a NUL
    const uint64_t seq = number_after(body, "\"seq\":");
    if (mosquitto_property_read_string_pair(properties, MQTT_PROP_USER_PROPERTY, &name, &value,
                                            false)) {
        b->history += !strcmp(name, "history");
        free(name);
        free(value);
    }
    b->last_us = now;
    if (seq >= b->first_seq && seq > 0 && b->received < b->to_send) {
        const double begun_us = (double)number_after(body, "\"ts_mono_ns\":") / 1000;
        b->latency_ms[b->received++] = (float)(((double)now - begun_us) / 1000);
    }
    b->newest_seq = MAX(b->newest_seq, seq);
}

// A tenth of the parts has a defect.
static struct sl_verdict make_verdict(guint i)
{
    struct sl_verdict v = {.camera = "bench",
                           .recipe = "board-a",
                           .model = "pcb 1",
                           .backend = "cpu",
                           .result = i % 10 ? SL_RESULT_OK : SL_RESULT_NG,
                           .n_defects = i % 10 == 0,
                           .defects_total = i % 10 == 0,
                           .picture_width = 640,
                           .picture_height = 640,
                           .frames = 1,
                           .clock = SL_CLOCK_SYNCED,
                           .latency_ms = 12,
                           .truth_defects = -1};
    g_snprintf(v.part_id, sizeof(v.part_id), "part-%u", i);
    g_strlcpy(v.defects[0].class_name, "short", sizeof(v.defects[0].class_name));
    v.ts_utc_ms = g_get_real_time() / 1000;
    v.ts_mono_ns = now_us() * 1000;
    return v;
}

// With a rate, on time; without, as fast as the ledger's disk takes them.
static void wait_for_turn(struct bench *b, guint i)
{
    struct sl_publisher_stats stats;
    if (b->rate > 0) {
        const gint64 due = b->begin_us + (gint64)(i * 1e6 / b->rate);
        if (due > now_us()) {
            g_usleep((gulong)(due - now_us()));
        }
        return;
    }
    for (;;) {
        sl_publisher_stats(b->publisher, &stats);
        if (stats.waiting < 256) {
            return;
        }
        g_usleep(500);
    }
}

void bench_hand_over(struct bench *b, guint i)
{
    wait_for_turn(b, i);
    const struct sl_verdict v = make_verdict(i);
    sl_publisher_verdict(b->publisher, &v);
}

static gpointer hand_over_all(gpointer data)
{
    struct bench *b = data;
    for (guint i = 0; i < b->to_send; i++) {
        bench_hand_over(b, i);
    }
    return NULL;
}

bool bench_start_publisher(struct bench *b, uint32_t history_rate, GError **error)
{
    char host[] = "127.0.0.1", user[] = SL_PRIVATE_BROKER_USER, root[] = "sightline";
    char client[] = "bench-ledger", name[] = "bench";
    g_autofree char *password = g_build_filename(b->folder, "password", NULL);
    g_autofree char *ledger = g_build_filename(b->folder, "ledger", NULL);
    struct sl_config_camera camera = {.name = name};
    const struct sl_config config = {
        .broker = {.host = host,
                   .port = (uint16_t)b->broker.port,
                   .username = user,
                   .password_file = password,
                   .root = root,
                   .client_id = client,
                   .keepalive_s = 15,
                   .queue = 1000},
        .ledger = {.path = ledger,
                   .max_mb = 4096,
                   .max_records = 10000000,
                   .history_rate = history_rate},
        .cameras = &camera,
        .cameras_count = 1,
        .metrics_interval_s = 10,
    };
    b->publisher = sl_publisher_new(&config, NULL, 0, NULL, error);
    return b->publisher != NULL;
}

bool bench_subscribe(struct bench *b, GError **error)
{
    b->client =
        sl_private_broker_subscribe(&b->broker, "sightline/bench/verdict", 1, on_message, b, error);
    return b->client != NULL;
}

void bench_listen(struct bench *b, int ms)
{
    mosquitto_loop(b->client, ms, 1);
}

void bench_listen_for(struct bench *b, guint count)
{
    b->last_us = now_us();
    while (b->received < count && now_us() - b->last_us < STALL_S * G_TIME_SPAN_SECOND) {
        bench_listen(b, 20);
    }
}

void bench_begin(struct bench *b, guint count, double rate)
{
    b->to_send = count;
    b->rate = rate;
    b->received = b->history = 0;
    b->first_seq = b->newest_seq + 1;
    b->latency_ms = g_renew(float, b->latency_ms, count);
    b->begin_us = now_us();
}

double bench_transfer(struct bench *b, guint count, double rate)
{
    bench_begin(b, count, rate);
    GThread *source = g_thread_new("source", hand_over_all, b);
    bench_listen_for(b, count);
    g_thread_join(source);
    return (double)(b->last_us - b->begin_us) / 1e6;
}

static int compare(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

double bench_quantile(struct bench *b, double share)
{
    const guint n = b->received;
    qsort(b->latency_ms, n, sizeof(float), compare);
    return n ? (double)b->latency_ms[MIN((guint)(share * n), n - 1)] : 0;
}

long bench_resident_kib(void)
{
    g_autofree char *text = NULL;
    const char *line =
        g_file_get_contents("/proc/self/status", &text, NULL, NULL) ? strstr(text, "VmRSS:") : NULL;
    return line ? strtol(line + 6, NULL, 10) : 0;
}

double bench_cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}
