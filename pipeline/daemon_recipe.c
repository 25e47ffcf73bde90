// Changing over: a camera in another recipe, or as it was.
#include "pipeline/daemon_inside.h"

#include <errno.h>
#include <string.h>

struct daemon_recipe { // one wish
    gchar camera[64], name[64], job[64];
    guint32 token;
};

gboolean daemon_effective_config(const struct sl_config_camera *config, const gchar *recipe,
                                 struct sl_config_camera *out)
{
    *out = *config;
    for (guint i = 0; i < config->recipes_count; i++) {
        const struct sl_config_recipe *r = &config->recipes[i];
        if (strcmp(r->name, recipe))
            continue;
        out->part.recipe = r->name;
        out->part.reference = r->reference ? r->reference : config->part.reference;
        out->model.path = r->model ? r->model : config->model.path;
        if (r->thresholds_count) {
            out->model.thresholds = r->thresholds;
            out->model.thresholds_count = r->thresholds_count;
        }
        if (r->masks_count) {
            out->model.masks = r->masks;
            out->model.masks_count = r->masks_count;
        }
        return TRUE;
    }
    return FALSE;
}

int daemon_command_recipe(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                          char *message, size_t size)
{
    struct sl_daemon *daemon = ctx;
    const cJSON *job = cJSON_GetObjectItemCaseSensitive(arguments, "job_id");
    struct daemon_recipe *wish = g_new0(struct daemon_recipe, 1);
    (void)data;
    g_strlcpy(wish->camera, name, sizeof(wish->camera));
    g_strlcpy(wish->name, cJSON_GetObjectItemCaseSensitive(arguments, "name")->valuestring,
              sizeof(wish->name));
    g_strlcpy(wish->job, cJSON_IsString(job) ? job->valuestring : "", sizeof(wish->job));
    wish->token = sl_publisher_defer(daemon->publisher);
    if (!wish->token) {
        g_free(wish);
        g_snprintf(message, size, "other commands are under way");
        return -EBUSY;
    }
    g_mutex_lock(&daemon->lock);
    g_queue_push_tail(&daemon->recipes, wish);
    g_mutex_unlock(&daemon->lock);
    return SL_COMMAND_LATER;
}

static const struct sl_config_camera *section_of(const struct sl_daemon *daemon, const gchar *name)
{
    for (guint i = 0; i < daemon->config->cameras_count; i++)
        if (!strcmp(daemon->config->cameras[i].name, name))
            return &daemon->config->cameras[i];
    return NULL;
}

static gboolean is_known(const struct sl_config_camera *config, const gchar *recipe, GError **error)
{
    struct sl_config_camera unused;
    g_autoptr(GString) names = g_string_new(NULL);
    if (daemon_effective_config(config, recipe, &unused))
        return TRUE;
    for (guint i = 0; i < config->recipes_count && names->len < 120; i++)
        g_string_append_printf(names, "%s'%s'", i ? ", " : "", config->recipes[i].name);
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "name: expected %s, found '%s'",
                names->str, recipe);
    return FALSE;
}

static gboolean remember(struct sl_daemon *daemon, const struct sl_config_camera *config,
                         const struct daemon_recipe *wish, GError **error)
{
    const gboolean own = !strcmp(wish->name, config->part.recipe);
    g_mutex_lock(&daemon->change);
    const gboolean written =
        sl_changes_set_recipe(daemon->changes, config->name, own ? NULL : wish->name,
                              wish->job[0] ? wish->job : NULL, error);
    g_mutex_unlock(&daemon->change);
    return written;
}

static void swap(struct sl_daemon *daemon, struct sl_camera *old, struct sl_camera *made)
{
    g_autoptr(GPtrArray) before = g_ptr_array_new();
    g_autoptr(GPtrArray) after = g_ptr_array_new();
    g_ptr_array_add(before, old);
    g_ptr_array_add(after, made);
    daemon_replace_cameras(daemon, before, after);
}

// First everything that can fail, then the file, then the camera.
static cJSON *change_over(struct sl_daemon *daemon, const struct daemon_recipe *wish,
                          GError **error)
{
    const struct sl_config_camera *config = section_of(daemon, wish->camera);
    struct sl_camera *old = daemon_find_camera(daemon, wish->camera), *made = NULL;
    if (!config || !old) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT, "no camera '%s'", wish->camera);
        return NULL;
    }
    g_autofree gchar *before = g_strdup(sl_camera_config(old)->part.recipe);
    const gboolean same = !strcmp(before, wish->name);
    if (!is_known(config, wish->name, error))
        return NULL;
    if (!same) {
        made = daemon_make_camera(daemon, config, &daemon->config->evidence, wish->name, error);
        if (!made)
            return NULL;
    }
    if (!remember(daemon, config, wish, error)) {
        sl_camera_free(made);
        return NULL;
    }
    struct sl_camera *camera = made ? made : old;
    sl_camera_set_job(camera, wish->job);
    if (made)
        swap(daemon, old, made);
    else
        daemon_announce(daemon, wish->camera);
    g_autofree struct sl_camera_status *status = g_new0(struct sl_camera_status, 1);
    sl_camera_get_status(camera, status);
    cJSON *data = cJSON_CreateObject();
    cJSON_AddStringToObject(data, "recipe", wish->name);
    cJSON_AddStringToObject(data, "before", before);
    cJSON_AddStringToObject(data, "job_id", wish->job);
    cJSON_AddStringToObject(data, "model", status->model);
    return data;
}

static struct daemon_recipe *take(struct sl_daemon *daemon)
{
    g_mutex_lock(&daemon->lock);
    struct daemon_recipe *wish = g_queue_pop_head(&daemon->recipes);
    g_mutex_unlock(&daemon->lock);
    return wish;
}

void daemon_change_recipes(struct sl_daemon *daemon)
{
    struct daemon_recipe *wish;
    while (daemon->publisher && (wish = take(daemon))) {
        g_autoptr(GError) error = NULL;
        cJSON *data = change_over(daemon, wish, &error);
        if (data)
            g_message("camera %s: recipe '%s'", wish->camera, wish->name);
        sl_publisher_answer(daemon->publisher, wish->token, data ? 0 : -EINVAL,
                            error ? error->message : "", data);
        g_free(wish);
    }
}

void daemon_forget_recipes(struct sl_daemon *daemon)
{
    struct daemon_recipe *wish;
    while ((wish = take(daemon)))
        g_free(wish);
}
