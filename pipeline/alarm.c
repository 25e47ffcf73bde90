// Alarms of a camera: what went wrong and what is well again, each told once.
#include "pipeline/alarm.h"

#include <cjson/cJSON.h>

static const gchar *const kinds[SL_ALARM_COUNT] = {
    "camera-lost", "accelerator", "ledger", "verdicts-lost", "disk-low", "pictures",
};

// Raised and cleared have the same id.
static gchar *make(const gchar *camera, guint kind, gint64 raised_ms, const gchar *text)
{
    g_autofree gchar *id = g_strdup_printf("%s-%" G_GINT64_FORMAT, kinds[kind], raised_ms);
    g_autofree gchar *valid = g_utf8_make_valid(text ? text : "", -1);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "schema", 1);
    cJSON_AddStringToObject(json, "camera", camera);
    cJSON_AddStringToObject(json, "id", id);
    cJSON_AddStringToObject(json, "kind", kinds[kind]);
    cJSON_AddStringToObject(json, "state", text ? "raised" : "cleared");
    cJSON_AddNumberToObject(json, "ts", (double)(g_get_real_time() / 1000));
    cJSON_AddNumberToObject(json, "raised_ts", (double)raised_ms);
    cJSON_AddStringToObject(json, "text", valid);
    char *printed = cJSON_PrintUnformatted(json);
    gchar *copy = g_strdup(printed ? printed : "{}");
    cJSON_free(printed);
    cJSON_Delete(json);
    return copy;
}

void sl_alarms_update(struct sl_alarms *alarms, const gchar *camera,
                      const gchar *const now[SL_ALARM_COUNT], sl_alarm_tell tell, void *ctx)
{
    for (guint kind = 0; kind < SL_ALARM_COUNT; kind++) {
        const gint64 before = alarms->raised_ms[kind];
        if ((now[kind] != NULL) == (before != 0))
            continue;
        const gint64 raised_ms = before ? before : MAX(g_get_real_time() / 1000, 1);
        g_autofree gchar *json = make(camera, kind, raised_ms, now[kind]);
        if (tell(ctx, camera, json))
            alarms->raised_ms[kind] = before ? 0 : raised_ms;
    }
}
