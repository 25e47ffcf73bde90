// How far the host has been told, kept over restarts.
#include "mqtt/sparkplug/progress.h"

#include <cjson/cJSON.h>
#include <string.h>

#define FILE_NAME "sparkplug.json"
#define FILE_MAX  65536u

static bool read_count(const cJSON *object, const char *key, double min, double *out)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    const bool good = cJSON_IsNumber(item) && item->valuedouble >= min &&
                      item->valuedouble < 9e15 &&
                      item->valuedouble == (double)(int64_t)item->valuedouble;
    if (good) {
        *out = item->valuedouble;
    }
    return good;
}

static void read_camera(struct progress_camera *camera, const cJSON *cameras)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(cameras, camera->name);
    double record, parts, rejects;
    if (read_count(object, "record", -1, &record) && read_count(object, "parts", 0, &parts) &&
        read_count(object, "rejects", 0, &rejects) && rejects <= parts) {
        camera->record = (int64_t)record;
        camera->parts = (uint64_t)parts;
        camera->rejects = (uint64_t)rejects;
    }
}

static bool read_all(struct progress *p, const cJSON *json)
{
    double schema, bdseq;
    const cJSON *database = cJSON_GetObjectItemCaseSensitive(json, "database");
    if (!read_count(json, "schema", 1, &schema) || schema > 1 ||
        !read_count(json, "bdseq", 0, &bdseq) || bdseq > 255 || !cJSON_IsString(database)) {
        return false;
    }
    p->bdseq = (int)bdseq;
    g_strlcpy(p->database, database->valuestring, sizeof(p->database));
    for (size_t i = 0; i < p->n_cameras; i++) {
        read_camera(&p->cameras[i], cJSON_GetObjectItemCaseSensitive(json, "cameras"));
    }
    return true;
}

void progress_load(struct progress *p, const char *folder)
{
    g_autofree char *path = g_build_filename(folder, FILE_NAME, NULL);
    g_autofree char *text = NULL;
    g_autoptr(GError) error = NULL;
    gsize size = 0;
    p->bdseq = -1;
    p->database[0] = '\0';
    for (size_t i = 0; i < p->n_cameras; i++) {
        p->cameras[i].record = -1;
        p->cameras[i].parts = p->cameras[i].rejects = 0;
    }
    if (!g_file_get_contents(path, &text, &size, &error)) {
        if (!g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
            g_warning("sparkplug: %s", error->message);
        }
        return;
    }
    cJSON *json = size <= FILE_MAX ? cJSON_ParseWithLength(text, size) : NULL;
    if (!read_all(p, json)) {
        g_warning("sparkplug: %s: it makes no sense; begun anew", path);
    }
    cJSON_Delete(json);
}

bool progress_save(const struct progress *p, const char *folder, GError **error)
{
    g_autofree char *path = g_build_filename(folder, FILE_NAME, NULL);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "schema", 1);
    cJSON_AddNumberToObject(json, "bdseq", p->bdseq);
    cJSON_AddStringToObject(json, "database", p->database);
    cJSON *cameras = cJSON_AddObjectToObject(json, "cameras");
    for (size_t i = 0; i < p->n_cameras; i++) {
        cJSON *camera = cJSON_AddObjectToObject(cameras, p->cameras[i].name);
        cJSON_AddNumberToObject(camera, "record", (double)p->cameras[i].record);
        cJSON_AddNumberToObject(camera, "parts", (double)p->cameras[i].parts);
        cJSON_AddNumberToObject(camera, "rejects", (double)p->cameras[i].rejects);
    }
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    const bool saved = text && g_file_set_contents_full(path, text, -1,
                                                        G_FILE_SET_CONTENTS_CONSISTENT |
                                                            G_FILE_SET_CONTENTS_DURABLE,
                                                        0640, error);
    cJSON_free(text);
    return saved;
}
