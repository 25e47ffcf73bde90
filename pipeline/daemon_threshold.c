// cmd/threshold: what would be judged otherwise, and, if that is wanted, the change itself.
#include "pipeline/daemon_inside.h"

#include "mqtt/ledger/recent.h"
#include "pipeline/what_if.h"

#include <errno.h>
#include <string.h>

struct wish {
    const char *camera, *class_name; // NULL: every class
    gdouble value;
    guint parts;
    gboolean apply;
    // Of the camera, when the command came.
    gchar recipe[64], model[64];
    gdouble before; // of the first class
};

static void read_wish(const char *camera, const cJSON *arguments, struct wish *w)
{
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(arguments, "class");
    const cJSON *parts = cJSON_GetObjectItemCaseSensitive(arguments, "parts");
    *w = (struct wish){
        .camera = camera,
        .class_name = cJSON_IsString(name) ? name->valuestring : NULL,
        .value = cJSON_GetObjectItemCaseSensitive(arguments, "value")->valuedouble,
        .parts = cJSON_IsNumber(parts) ? (guint)parts->valuedouble : 1000,
        .apply = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(arguments, "apply")),
    };
}

// With `change` locked.
static int look_at_camera(struct sl_daemon *daemon, struct wish *w, char *message, size_t size)
{
    struct sl_camera *camera = daemon_find_camera(daemon, w->camera);
    struct sl_camera_threshold list[SL_MAX_CLASSES];
    g_autofree struct sl_camera_status *status = g_new0(struct sl_camera_status, 1);
    if (!camera) {
        g_snprintf(message, size, "no camera '%s'", w->camera);
        return -ENOENT;
    }
    const guint n = sl_camera_get_thresholds(camera, list);
    guint c = 0;
    while (w->class_name && c < n && strcmp(list[c].class_name, w->class_name))
        c++;
    sl_camera_get_status(camera, status);
    if (c == n) {
        g_snprintf(message, size, "class: model '%s' has no class '%s'", status->model,
                   w->class_name ? w->class_name : "");
        return -ENOENT;
    }
    w->before = (gdouble)list[c].value;
    g_strlcpy(w->recipe, sl_camera_config(camera)->part.recipe, sizeof(w->recipe));
    g_strlcpy(w->model, status->model, sizeof(w->model));
    return 0;
}

static void add_body(void *ctx, const char *body)
{
    cJSON *verdict = cJSON_Parse(body);
    sl_what_if_add(ctx, verdict);
    cJSON_Delete(verdict);
}

// With `change` locked: first the file, then the camera.
static int apply(struct sl_daemon *daemon, const struct wish *w, char *message, size_t size)
{
    struct sl_camera *camera = daemon_find_camera(daemon, w->camera);
    struct sl_camera_threshold list[SL_MAX_CLASSES];
    struct sl_change rows[SL_MAX_CLASSES];
    g_autoptr(GError) error = NULL;
    gfloat before;
    guint n = 0;
    const guint classes = camera ? sl_camera_get_thresholds(camera, list) : 0;
    for (guint c = 0; c < classes; c++)
        if (!w->class_name || !strcmp(list[c].class_name, w->class_name))
            rows[n++] = (struct sl_change){list[c].class_name, (gdouble)list[c].configured,
                                           w->value};
    if (n == 0 || strcmp(sl_camera_config(camera)->part.recipe, w->recipe)) {
        g_snprintf(message, size, "the recipe was changed meanwhile");
        return -EAGAIN;
    }
    if (!sl_changes_set_thresholds(daemon->changes, w->camera, w->recipe, rows, n, &error)) {
        g_snprintf(message, size, "%s", error->message);
        return -EIO;
    }
    return sl_camera_set_threshold(camera, w->class_name, (gfloat)w->value, &before);
}

static cJSON *make_data(const struct wish *w, const struct sl_what_if *counted)
{
    cJSON *data = cJSON_CreateObject();
    cJSON_AddItemToObject(data, "class",
                          w->class_name ? cJSON_CreateString(w->class_name) : cJSON_CreateNull());
    cJSON_AddNumberToObject(data, "value", w->value);
    cJSON_AddNumberToObject(data, "before", (gdouble)(gint64)(w->before * 1e4 + 0.5) / 1e4);
    cJSON_AddNumberToObject(data, "parts", counted->parts);
    cJSON_AddNumberToObject(data, "unknown", counted->unknown);
    cJSON_AddNumberToObject(data, "ng_before", counted->ng_before);
    cJSON_AddNumberToObject(data, "ng_after", counted->ng_after);
    cJSON_AddNumberToObject(data, "ok_to_ng", counted->ok_to_ng);
    cJSON_AddNumberToObject(data, "ng_to_ok", counted->ng_to_ok);
    cJSON_AddBoolToObject(data, "applied", w->apply);
    return data;
}

int daemon_command_threshold(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                             char *message, size_t size)
{
    struct sl_daemon *daemon = ctx;
    g_autoptr(GError) error = NULL;
    struct wish w;
    read_wish(name, arguments, &w);
    if ((gfloat)w.value < SL_THRESHOLD_FLOOR) {
        g_snprintf(message, size, "value: expected %g to 1, found %g",
                   (gdouble)SL_THRESHOLD_FLOOR, w.value);
        return -ERANGE;
    }
    g_mutex_lock(&daemon->change);
    int status = look_at_camera(daemon, &w, message, size);
    g_mutex_unlock(&daemon->change);
    if (status)
        return status;
    struct sl_what_if counted = {w.recipe, w.model, w.class_name, w.value, 0, 0, 0, 0, 0, 0};
    if (sl_ledger_recent(sl_publisher_ledger_folder(daemon->publisher), name, w.parts, add_body,
                         &counted, &error) < 0) {
        g_snprintf(message, size, "%s", error->message);
        return -EIO;
    }
    if (w.apply) {
        g_mutex_lock(&daemon->change);
        status = apply(daemon, &w, message, size);
        g_mutex_unlock(&daemon->change);
        if (status)
            return status;
        daemon_announce(daemon, name);
    }
    *data = make_data(&w, &counted);
    return 0;
}
