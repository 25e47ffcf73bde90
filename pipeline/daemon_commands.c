// What cmd/VERB does: each command of the table, on the network thread.
#include "pipeline/daemon_inside.h"

#include <errno.h>
#include <string.h>

struct sl_camera *daemon_find_camera(struct sl_daemon *daemon, const char *name)
{
    for (guint i = 0; i < daemon->cameras->len; i++) {
        struct sl_camera *camera = g_ptr_array_index(daemon->cameras, i);
        if (!strcmp(sl_camera_config(camera)->name, name))
            return camera;
    }
    return NULL;
}

static int command_trigger(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                           char *message, size_t size)
{
    struct sl_daemon *daemon = ctx;
    const cJSON *id = cJSON_GetObjectItemCaseSensitive(arguments, "part_id");
    (void)data;
    g_mutex_lock(&daemon->change);
    struct sl_camera *camera = daemon_find_camera(daemon, name);
    const int status =
        camera ? sl_camera_trigger(camera, cJSON_IsString(id) ? id->valuestring : NULL) : -ENOENT;
    g_mutex_unlock(&daemon->change);
    if (status == -EBUSY)
        g_snprintf(message, size, "a part is under way");
    else if (status == -ENOTSUP)
        g_snprintf(message, size, "camera '%s' judges every frame (part.mode is free-run)", name);
    else if (status < 0)
        g_snprintf(message, size, "no camera '%s'", name);
    return status;
}

gchar *daemon_health_of(struct sl_daemon *daemon, struct sl_camera *camera)
{
    g_autofree struct sl_camera_status *status = g_new0(struct sl_camera_status, 1);
    struct sl_publisher_stats broker = {0};
    if (!camera)
        return NULL;
    sl_camera_get_status(camera, status);
    if (daemon->publisher)
        sl_publisher_stats(daemon->publisher, &broker);
    return sl_report_health(sl_camera_config(camera), status, &broker, &daemon->storage,
                            daemon->reload_problem);
}

static int command_status(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                          char *message, size_t size)
{
    struct sl_daemon *daemon = ctx;
    (void)arguments;
    g_mutex_lock(&daemon->change);
    g_autofree gchar *health = daemon_health_of(daemon, daemon_find_camera(daemon, name));
    g_mutex_unlock(&daemon->change);
    if (!health) {
        g_snprintf(message, size, "no camera '%s'", name);
        return -ENOENT;
    }
    *data = cJSON_Parse(health);
    return 0;
}

// An operator's word on a part; it stays in the ledger, for those who teach the model.
static int command_feedback(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                            char *message, size_t size)
{
    struct sl_daemon *daemon = ctx;
    const cJSON *verdict = cJSON_GetObjectItemCaseSensitive(arguments, "verdict");
    (void)data;
    if (strcmp(verdict->valuestring, "ok") && strcmp(verdict->valuestring, "ng")) {
        g_snprintf(message, size, "verdict: expected ok or ng");
        return -EINVAL;
    }
    g_mutex_lock(&daemon->change);
    const gboolean taken =
        daemon->publisher &&
        sl_publisher_feedback(daemon->publisher, name,
                              cJSON_GetObjectItemCaseSensitive(arguments, "part_id")->valuestring,
                              arguments);
    g_mutex_unlock(&daemon->change);
    if (!taken)
        g_snprintf(message, size, "the ledger takes no more now");
    return taken ? 0 : -EBUSY;
}

static int fail_camera(int status, const char *name, char *message, size_t size)
{
    if (status == -ENOENT)
        g_snprintf(message, size, "no camera '%s'", name);
    else if (status)
        g_snprintf(message, size, "camera '%s' brings no pictures now", name);
    return status;
}

// The picture comes on crop/NAME with the next frame.
static int command_snapshot(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                            char *message, size_t size)
{
    struct sl_daemon *daemon = ctx;
    char crop[24] = "";
    (void)arguments;
    g_mutex_lock(&daemon->change);
    struct sl_camera *camera = daemon_find_camera(daemon, name);
    const int status = camera ? sl_camera_snapshot(camera, crop) : -ENOENT;
    g_mutex_unlock(&daemon->change);
    if (status)
        return fail_camera(status, name, message, size);
    *data = cJSON_CreateObject();
    cJSON_AddStringToObject(*data, "crop", crop);
    return 0;
}

static double number_or(const cJSON *arguments, const char *key, double otherwise)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(arguments, key);
    return cJSON_IsNumber(value) ? value->valuedouble : otherwise;
}

// A lease: whoever looks asks again before it ends.
static int command_preview(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                           char *message, size_t size)
{
    struct sl_daemon *daemon = ctx;
    const double rate = number_or(arguments, "rate", 2);
    const double seconds = number_or(arguments, "seconds", 10);
    g_mutex_lock(&daemon->change);
    struct sl_camera *camera = daemon_find_camera(daemon, name);
    const int status = camera ? sl_camera_preview(camera, rate, seconds) : -ENOENT;
    g_mutex_unlock(&daemon->change);
    if (status)
        return fail_camera(status, name, message, size);
    *data = cJSON_CreateObject();
    cJSON_AddNumberToObject(*data, "rate", rate);
    cJSON_AddNumberToObject(*data, "seconds", seconds);
    return 0;
}

static const struct sl_command_argument threshold_arguments[] = {
    {"class", SL_ARGUMENT_STRING, false, 1, 31},
    {"value", SL_ARGUMENT_NUMBER, true, 0, 1},
    {"parts", SL_ARGUMENT_NUMBER, false, 1, 10000},
    {"apply", SL_ARGUMENT_BOOL, false, 0, 0},
    {NULL, 0, false, 0, 0},
};
static const struct sl_command_argument recipe_arguments[] = {
    {"name", SL_ARGUMENT_STRING, true, 1, 63},
    {"job_id", SL_ARGUMENT_STRING, false, 0, 63},
    {NULL, 0, false, 0, 0},
};
static const struct sl_command_argument preview_arguments[] = {
    {"rate", SL_ARGUMENT_NUMBER, false, 1, 5},
    {"seconds", SL_ARGUMENT_NUMBER, false, 1, 60},
    {NULL, 0, false, 0, 0},
};
static const struct sl_command_argument feedback_arguments[] = {
    {"part_id", SL_ARGUMENT_STRING, true, 1, 63},   {"verdict", SL_ARGUMENT_STRING, true, 2, 2},
    {"class", SL_ARGUMENT_STRING, false, 1, 31},    {"operator", SL_ARGUMENT_STRING, false, 1, 63},
    {"comment", SL_ARGUMENT_STRING, false, 0, 500}, {NULL, 0, false, 0, 0},
};
static const struct sl_command_argument trigger_arguments[] = {
    {"part_id", SL_ARGUMENT_STRING, false, 1, 63},
    {NULL, 0, false, 0, 0},
};
static const struct sl_command_argument no_arguments[] = {{NULL, 0, false, 0, 0}};
const struct sl_command daemon_commands[] = {
    {"trigger", "Judge one part", trigger_arguments, command_trigger, true},
    {"status", "The camera's health", no_arguments, command_status, false},
    {"feedback", "What a part really was", feedback_arguments, command_feedback, true},
    {"snapshot", "One picture now", no_arguments, command_snapshot, false},
    {"preview", "Pictures on the topic frame for a while", preview_arguments, command_preview,
     false},
    {"threshold", "What if a threshold were another", threshold_arguments,
     daemon_command_threshold, true},
    {"recipe", "Change over", recipe_arguments, daemon_command_recipe, true},
    {"update", "Install the update that is ready", no_arguments, daemon_command_update, true},
    {"rollback", "Back to the model before", no_arguments, daemon_command_rollback, true},
};
const gsize daemon_commands_count = G_N_ELEMENTS(daemon_commands);
