// Health, metrics, birth and summary as text.
#include "pipeline/report.h"

#include "pipeline/clock.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static gchar *print(cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);
    gchar *copy = g_strdup(text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(json);
    return copy;
}

static const char *state_name(enum sl_camera_state state)
{
    return state == SL_CAMERA_STARTING ? "starting" : state == SL_CAMERA_LOST ? "lost" : "ok";
}

static gboolean add_reason(cJSON *reasons, const gchar *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean add_reason(cJSON *reasons, const gchar *format, ...)
{
    gchar text[200];
    va_list arguments;
    va_start(arguments, format);
    g_vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    cJSON_AddItemToArray(reasons, cJSON_CreateString(g_utf8_validate(text, -1, NULL) ? text : "?"));
    return TRUE;
}

gchar *sl_report_health(const struct sl_config_camera *config, const struct sl_camera_status *s,
                        const struct sl_publisher_stats *broker, const struct sl_storage *storage,
                        const gchar *config_problem)
{
    cJSON *json = cJSON_CreateObject(), *reasons = cJSON_CreateArray();
    gboolean fault = FALSE, degraded = FALSE;
    if (s->state == SL_CAMERA_LOST)
        fault = add_reason(reasons, "camera %s: %s", config->name, s->error);
    if (s->state == SL_CAMERA_STARTING)
        degraded = add_reason(reasons, "camera %s: no frame yet", config->name);
    if (s->accelerator_known && s->accelerator.reason[0])
        degraded = add_reason(reasons, "accelerator: %s", s->accelerator.reason);
    if (s->remarks[0])
        degraded = add_reason(reasons, "%s", s->remarks);
    if (broker->ledger_problem[0])
        fault = add_reason(reasons, "ledger: %s", broker->ledger_problem);
    if (broker->dropped)
        fault = add_reason(reasons,
                           "ledger: %" G_GUINT64_FORMAT " verdicts were dropped for want of room",
                           broker->dropped);
    if (broker->refused)
        degraded = add_reason(reasons,
                              "%" G_GUINT64_FORMAT " verdicts are parked: the broker refused them",
                              broker->refused);
    if (broker->sparkplug_problem[0])
        degraded = add_reason(reasons, "sparkplug: %s", broker->sparkplug_problem);
    if (broker->connection_problem[0])
        degraded = add_reason(reasons, "broker: %s", broker->connection_problem);
    if (broker->commands_problem[0])
        degraded = add_reason(reasons, "commands do not come: %s", broker->commands_problem);
    if (storage->low)
        degraded = add_reason(reasons, "disk: %" G_GUINT64_FORMAT " MB free of %" G_GUINT64_FORMAT,
                              storage->free_bytes / 1000000, storage->total_bytes / 1000000);
    if (storage->evidence.problem[0])
        degraded = add_reason(reasons, "pictures: %s", storage->evidence.problem);
    if (config_problem && *config_problem)
        degraded = add_reason(reasons, "configuration not reloaded: %s", config_problem);
    cJSON_AddNumberToObject(json, "schema", 1);
    cJSON_AddStringToObject(json, "state", fault ? "fault" : degraded ? "degraded" : "good");
    cJSON_AddItemToObject(json, "reasons", reasons);
    if (s->last_verdict_ns)
        cJSON_AddNumberToObject(
            json, "last_verdict_age_ms",
            (double)(g_get_monotonic_time() / 1000 - s->last_verdict_ns / 1000000));
    else
        cJSON_AddNullToObject(json, "last_verdict_age_ms");
    cJSON *camera = cJSON_AddObjectToObject(json, "camera");
    cJSON_AddStringToObject(camera, "state", state_name(s->state));
    if (s->error[0])
        cJSON_AddStringToObject(camera, "error", s->error);
    else
        cJSON_AddNullToObject(camera, "error");
    cJSON *accelerator = cJSON_AddObjectToObject(json, "accelerator");
    cJSON_AddStringToObject(accelerator, "wanted", s->accelerator.wanted);
    cJSON_AddStringToObject(accelerator, "actual", s->accelerator.actual);
    cJSON_AddStringToObject(accelerator, "reason", s->accelerator.reason);
    cJSON_AddNumberToObject(accelerator, "steps", (double)s->accelerator.steps);
    cJSON_AddNumberToObject(accelerator, "fallbacks", (double)s->accelerator.fallbacks);
    cJSON_AddNumberToObject(accelerator, "checks", (double)s->accelerator.checks);
    cJSON_AddNumberToObject(accelerator, "alarms", (double)s->accelerator.alarms);
    cJSON_AddStringToObject(json, "clock", sl_clock_name(sl_clock_state()));
    cJSON *disk = cJSON_AddObjectToObject(json, "disk");
    cJSON_AddStringToObject(disk, "state", storage->low ? "low" : "ok");
    cJSON_AddNumberToObject(disk, "free_bytes", (double)storage->free_bytes);
    cJSON_AddNumberToObject(disk, "total_bytes", (double)storage->total_bytes);
    cJSON *evidence = cJSON_AddObjectToObject(json, "evidence");
    const gboolean sound = storage->evidence_known && !storage->evidence.problem[0];
    cJSON_AddStringToObject(evidence, "state", sound ? "ok" : "error");
    cJSON_AddNumberToObject(evidence, "pictures", (double)storage->evidence.files);
    cJSON_AddNumberToObject(evidence, "bytes", (double)storage->evidence.bytes);
    cJSON_AddNumberToObject(evidence, "removed", (double)storage->evidence.removed);
    cJSON *queue = cJSON_AddObjectToObject(json, "queue");
    cJSON_AddNumberToObject(queue, "depth", (double)broker->queued);
    cJSON_AddNumberToObject(queue, "dropped", (double)broker->dropped);
    cJSON_AddNumberToObject(queue, "refused", (double)broker->refused);
    cJSON *ledger = cJSON_AddObjectToObject(json, "ledger");
    cJSON_AddStringToObject(ledger, "state", broker->ledger_problem[0] ? "error" : "ok");
    cJSON_AddNumberToObject(ledger, "records", (double)broker->ledger_records);
    cJSON_AddNumberToObject(ledger, "bytes", (double)broker->ledger_bytes);
    cJSON_AddNumberToObject(ledger, "waiting", (double)broker->waiting);
    return print(json);
}

// Three decimals are enough for people and dashboards.
static void add_ms(cJSON *json, const char *key, float ms)
{
    cJSON_AddNumberToObject(json, key, round((double)ms * 1000) / 1000);
}

gchar *sl_report_metrics(const struct sl_camera_status *s, const struct sl_publisher_stats *broker,
                         const struct sl_storage *storage)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "parts_total", (double)s->parts);
    cJSON_AddNumberToObject(json, "ok_total", (double)s->ok);
    cJSON_AddNumberToObject(json, "ng_total", (double)s->ng);
    cJSON_AddNumberToObject(json, "error_total", (double)s->errors);
    cJSON_AddNumberToObject(json, "frames_total", (double)s->frames);
    cJSON_AddNumberToObject(json, "camera_restarts_total",
                            (double)(s->restarts ? s->restarts - 1 : 0));
    add_ms(json, "infer_ms_p50", sl_latency_quantile(&s->inference, 0.5));
    add_ms(json, "infer_ms_p99", sl_latency_quantile(&s->inference, 0.99));
    add_ms(json, "latency_ms_p50", sl_latency_quantile(&s->latency, 0.5));
    add_ms(json, "latency_ms_p99", sl_latency_quantile(&s->latency, 0.99));
    cJSON_AddNumberToObject(json, "queue_depth", (double)broker->queued);
    cJSON_AddNumberToObject(json, "ledger_depth", (double)broker->waiting);
    cJSON_AddNumberToObject(json, "ledger_bytes", (double)broker->ledger_bytes);
    cJSON_AddNumberToObject(json, "refused_total", (double)broker->refused);
    cJSON_AddNumberToObject(json, "dropped_total", (double)broker->dropped);
    cJSON_AddNumberToObject(json, "pictures_total", (double)s->pictures.encoded);
    cJSON_AddNumberToObject(json, "pictures_dropped_total",
                            (double)(s->pictures.dropped + s->pictures.failed));
    cJSON_AddNumberToObject(json, "picture_ms", round(s->pictures.encode_ms * 1000) / 1000);
    cJSON_AddNumberToObject(json, "evidence_bytes", (double)storage->evidence.bytes);
    cJSON_AddNumberToObject(json, "evidence_removed_total", (double)storage->evidence.removed);
    cJSON_AddNumberToObject(json, "disk_free_bytes", (double)storage->free_bytes);
    cJSON_AddNumberToObject(json, "commands_total", (double)broker->commands);
    cJSON_AddNumberToObject(json, "commands_refused_total", (double)broker->commands_refused);
    return print(json);
}

static void add_recipes(cJSON *json, const struct sl_report_camera *camera)
{
    cJSON *list = cJSON_AddArrayToObject(json, "recipes");
    for (guint i = 0; i < camera->config->recipes_count; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(camera->config->recipes[i].name));
}

static void add_thresholds(cJSON *json, const struct sl_report_camera *camera)
{
    cJSON *list = cJSON_AddObjectToObject(json, "thresholds");
    for (guint i = 0; i < camera->n_thresholds; i++)
        add_ms(list, camera->thresholds[i].class_name, camera->thresholds[i].value);
}

gchar *sl_report_info(const struct sl_report_camera *camera, const struct sl_camera_status *s)
{
    const struct sl_config_camera *config = camera->config;
    cJSON *json = cJSON_CreateObject();
    g_autofree gchar *boot = NULL, *serial = NULL;
    gchar name[64];
    g_strlcpy(name, s->model, sizeof(name));
    gchar *version = strrchr(name, ' ');
    if (version)
        *version++ = '\0';
    if (g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL))
        g_strstrip(boot);
    if (g_file_get_contents("/etc/machine-id", &serial, NULL, NULL))
        g_strstrip(serial);
    cJSON_AddNumberToObject(json, "schema", 1);
    cJSON_AddStringToObject(json, "serial", serial && *serial ? serial : "unknown");
    cJSON_AddStringToObject(json, "software", "sightline " SIGHTLINE_VERSION);
    cJSON *model = cJSON_AddObjectToObject(json, "model");
    cJSON_AddStringToObject(model, "name", name);
    cJSON_AddStringToObject(model, "version", version ? version : "");
    cJSON_AddStringToObject(model, "id", s->model);
    cJSON_AddStringToObject(json, "recipe", config->part.recipe);
    add_recipes(json, camera);
    cJSON_AddStringToObject(json, "job_id", camera->job ? camera->job : "");
    add_thresholds(json, camera);
    cJSON_AddStringToObject(json, "boot_id", boot ? boot : "unknown");
    cJSON *schemas = cJSON_AddObjectToObject(json, "schemas");
    static const char *const topics[] = {"verdict", "defect", "gap",   "health",
                                       "info",    "alarm",  "reply"};
    for (gsize i = 0; i < G_N_ELEMENTS(topics); i++)
        cJSON_AddNumberToObject(schemas, topics[i], 1);
    cJSON *able = cJSON_AddArrayToObject(json, "capabilities");
    for (const char *const *verb = camera->verbs; *verb; verb++)
        cJSON_AddItemToArray(able, cJSON_CreateString(*verb));
    return print(json);
}

static void count_class(struct sl_summary *summary, const char *name)
{
    guint i = 0;
    while (i < summary->n_classes && strcmp(summary->classes[i].name, name))
        i++;
    if (i == SL_SUMMARY_CLASSES)
        return;
    if (i == summary->n_classes)
        g_strlcpy(summary->classes[summary->n_classes++].name, name,
                  sizeof(summary->classes[i].name));
    summary->classes[i].count++;
}

void sl_summary_add(struct sl_summary *summary, const struct sl_verdict *v)
{
    summary->parts++;
    summary->ok += v->result == SL_RESULT_OK;
    summary->ng += v->result == SL_RESULT_NG;
    summary->errors += v->result == SL_RESULT_ERROR;
    for (guint i = 0; i < v->n_defects; i++)
        count_class(summary, v->defects[i].class_name);
    if (v->truth_defects >= 0) {
        summary->truth_known++;
        summary->truth_defects += v->truth_defects;
        summary->truth_found += v->truth_found;
        summary->truth_false += v->truth_false;
    }
    if (v->frames)
        sl_latency_add(&summary->latency, v->latency_ms);
}

static double share(gint64 part, gint64 whole)
{
    return whole > 0 ? (double)part / (double)whole : 1;
}

gchar *sl_summary_json(const struct sl_summary *s)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "parts", (double)s->parts);
    cJSON_AddNumberToObject(json, "ok", (double)s->ok);
    cJSON_AddNumberToObject(json, "ng", (double)s->ng);
    cJSON_AddNumberToObject(json, "error", (double)s->errors);
    if (s->truth_known) {
        cJSON_AddNumberToObject(json, "precision",
                                share(s->truth_found, s->truth_found + s->truth_false));
        cJSON_AddNumberToObject(json, "recall", share(s->truth_found, s->truth_defects));
    } else {
        cJSON_AddNullToObject(json, "precision");
        cJSON_AddNullToObject(json, "recall");
    }
    cJSON *latency = cJSON_AddObjectToObject(json, "latency_ms");
    add_ms(latency, "p50", sl_latency_quantile(&s->latency, 0.5));
    add_ms(latency, "p99", sl_latency_quantile(&s->latency, 0.99));
    add_ms(latency, "max", s->latency.max_ms);
    cJSON *defects = cJSON_AddObjectToObject(json, "defects");
    for (guint i = 0; i < s->n_classes; i++)
        cJSON_AddNumberToObject(defects, s->classes[i].name, (double)s->classes[i].count);
    return print(json);
}

gchar *sl_summary_text(const struct sl_summary *s)
{
    GString *text = g_string_new(NULL);
    g_string_append_printf(text,
                           "%" G_GUINT64_FORMAT " parts: %" G_GUINT64_FORMAT
                           " OK, %" G_GUINT64_FORMAT " NG, %" G_GUINT64_FORMAT " ERROR\n",
                           s->parts, s->ok, s->ng, s->errors);
    g_string_append(text, "defects:");
    for (guint i = 0; i < s->n_classes; i++)
        g_string_append_printf(text, " %s %" G_GUINT64_FORMAT, s->classes[i].name,
                               s->classes[i].count);
    g_string_append(text, s->n_classes ? "\n" : " none\n");
    g_string_append_printf(text, "latency: p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
                           (double)sl_latency_quantile(&s->latency, 0.5),
                           (double)sl_latency_quantile(&s->latency, 0.99),
                           (double)s->latency.max_ms);
    if (s->truth_known)
        g_string_append_printf(
            text,
            "against the known truth: precision %.1f %%, recall %.1f %% (%" G_GINT64_FORMAT
            " defects)\n",
            100 * share(s->truth_found, s->truth_found + s->truth_false),
            100 * share(s->truth_found, s->truth_defects), s->truth_defects);
    return g_string_free(text, FALSE);
}
