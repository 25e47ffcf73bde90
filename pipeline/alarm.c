// Alarms of a camera: what went wrong and what is well again, each told once.
#include "pipeline/alarm.h"

#include <cjson/cJSON.h>
#include <string.h>

static const gchar *const kinds[SL_ALARM_COUNT] = {
    "camera-lost", "accelerator", "ledger", "verdicts-lost", "disk-low", "pictures", "model",
};

static const gchar *text_of(const cJSON *state, const gchar *key)
{
    const gchar *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(state, key));
    return text ? text : "";
}

// What the last update's end means; an update that was given up, or taken back, is no alarm.
static const gchar *meaning_of(const gchar *result)
{
    static const gchar *const rows[][2] = {
        {"failed", "the new model was rolled back: it failed"},
        {"crashed", "the new model was rolled back: it crashed"},
        {"timed-out", "the new model was rolled back: it took too long"},
        {"parked", "the new model was rolled back: the camera restarted again and again"},
        {"not-whole", "the new model was dropped: its slot does not hold what was written"},
        {"other-slot", "the slot of the model that served is damaged: an older one serves"},
        {"state-lost", "the update agent lost its state: the newest model that is whole serves"},
        {"nothing-fit", "no slot holds a model that may run"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        if (!strcmp(rows[i][0], result))
            return rows[i][1];
    return NULL;
}

gchar *sl_alarm_of_model_state(const char *json)
{
    cJSON *state = cJSON_Parse(json);
    const gchar *meaning = meaning_of(text_of(state, "last_result"));
    const gchar *reason = text_of(state, "reason");
    gchar *text = NULL;
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(state, "revoked")))
        text = g_strdup("a catalog revokes the model that serves");
    else if (meaning)
        text = g_strdup_printf("%s%s%s", meaning, *reason ? ": " : "", reason);
    cJSON_Delete(state);
    return text;
}

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
