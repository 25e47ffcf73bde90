// Model updates in the daemon: what the agent says goes to the broker, and commands go to the
// agent.
#include "pipeline/daemon_inside.h"

#include <errno.h>

struct sl_update *daemon_update(struct sl_daemon *daemon)
{
    return g_atomic_pointer_get(&daemon->update);
}

// The cameras said what they are before anybody could ask for updates: they say it again.
gboolean sl_daemon_listen(struct sl_daemon *daemon, const gchar *path, const gchar *group,
                          GError **error)
{
    const struct sl_config *config = daemon->config;
    const gchar *backend = config->cameras_count > 0 ? config->cameras[0].model.backend : NULL;
    struct sl_update *update =
        sl_update_new(path, group, backend ? backend : "cpu", daemon_model_state, daemon, error);
    g_atomic_pointer_set(&daemon->update, update);
    for (guint i = 0; update && i < daemon->cameras->len; i++) {
        struct sl_camera *camera = g_ptr_array_index(daemon->cameras, i);
        daemon_attach(daemon, camera);
        daemon_announce(daemon, sl_camera_config(camera)->name);
    }
    return update != NULL;
}

static void changed(void *camera, const char *model)
{
    sl_camera_set_model(camera, model);
}

void daemon_attach(struct sl_daemon *daemon, struct sl_camera *camera)
{
    sl_update_attach(daemon_update(daemon), sl_camera_detect(camera), changed, camera);
}

void daemon_detach(struct sl_daemon *daemon, struct sl_camera *camera)
{
    sl_update_detach(daemon_update(daemon), sl_camera_detect(camera));
}

void daemon_model_state(void *ctx, const char *json)
{
    struct sl_daemon *daemon = ctx;
    gchar *problem = sl_alarm_of_model_state(json);
    g_mutex_lock(&daemon->lock);
    g_free(daemon->model_problem);
    daemon->model_problem = problem;
    g_mutex_unlock(&daemon->lock);
    g_mutex_lock(&daemon->change);
    for (guint i = 0; daemon->publisher && i < daemon->cameras->len; i++) {
        struct sl_camera *camera = g_ptr_array_index(daemon->cameras, i);
        sl_publisher_state(daemon->publisher, sl_camera_config(camera)->name, SL_STATE_MODEL, json);
    }
    g_mutex_unlock(&daemon->change);
}

// Without `change`, which the update's thread takes while it holds its own lock.
static int ask(struct sl_daemon *daemon, const char *name, const char *what, char *message,
               size_t size)
{
    struct sl_update *update = daemon_update(daemon);
    if (!update) {
        g_snprintf(message, size, "camera '%s' has no update agent", name);
        return -ENOTSUP;
    }
    const int status = sl_update_ask(update, what);
    if (status < 0)
        g_snprintf(message, size, "no update agent is connected");
    return status;
}

int daemon_command_update(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                          char *message, size_t size)
{
    (void)arguments;
    (void)data;
    return ask(ctx, name, "update", message, size);
}

int daemon_command_rollback(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                            char *message, size_t size)
{
    (void)arguments;
    (void)data;
    return ask(ctx, name, "rollback", message, size);
}
