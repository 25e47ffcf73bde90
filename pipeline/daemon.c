// Cameras and broker of one configuration, and its change while running.
#include "pipeline/daemon_inside.h"

#include <string.h>

// On a camera's threads.
static void on_verdict(void *ctx, const struct sl_verdict *verdict)
{
    struct sl_daemon *daemon = ctx;
    sl_update_part(daemon_update(daemon));
    g_mutex_lock(&daemon->lock);
    const gboolean wanted = daemon->limit == 0 || daemon->summary.parts < daemon->limit;
    if (wanted)
        sl_summary_add(&daemon->summary, verdict);
    g_mutex_unlock(&daemon->lock);
    if (wanted)
        sl_publisher_verdict(daemon->publisher, verdict);
}

static void keep_picture(struct sl_daemon *daemon, const char *camera,
                         const struct sl_picture_out *picture)
{
    const struct sl_evidence_picture evidence = {
        .name = picture->crop,
        .camera = camera,
        .part_id = picture->part_id,
        .result = picture->result,
        .ts_ms = picture->ts_ms,
        .jpeg = picture->jpeg,
        .size = picture->size,
    };
    sl_evidence_add(daemon->evidence, &evidence);
}

// On the thread of a camera's pictures. It is on disk before it is sent.
static void on_picture(void *ctx, const struct sl_config_camera *config,
                       const struct sl_picture_out *picture)
{
    struct sl_daemon *daemon = ctx;
    const struct sl_published_picture published = {
        .camera = config->name,
        .part_id = picture->part_id,
        .crop = picture->crop,
        .jpeg = picture->jpeg,
        .size = picture->size,
    };
    if (picture->kind != SL_PICTURE_PREVIEW && daemon->evidence)
        keep_picture(daemon, config->name, picture);
    sl_publisher_picture(daemon->publisher, &published);
}

static struct sl_config *load(const gchar *path, GError **error)
{
    struct sl_config *config = NULL;
    struct sl_yaml_error problem = {""};
    if (sl_config_load(path, &config, &problem) == 0)
        return config;
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, "%s", problem.message);
    return NULL;
}

static gboolean start_publisher(struct sl_daemon *daemon, const struct sl_config *config,
                                GError **error)
{
    g_mutex_lock(&daemon->change);
    daemon->publisher =
        sl_publisher_new(config, daemon_commands, daemon_commands_count, daemon, error);
    g_mutex_unlock(&daemon->change);
    // Without pictures parts are judged all the same; health says what is wrong.
    g_autoptr(GError) problem = NULL;
    if (daemon->publisher)
        daemon->evidence = sl_evidence_new(config->ledger.path, config->evidence.max_mb, &problem);
    if (problem)
        g_warning("evidence: %s", problem->message);
    return daemon->publisher != NULL;
}

// With `change` locked.
static gchar *make_info(struct sl_daemon *daemon, struct sl_camera *camera)
{
    g_autofree struct sl_camera_status *status = g_new0(struct sl_camera_status, 1);
    g_autofree const char **verbs = g_new0(const char *, daemon_commands_count + 1);
    struct sl_camera_threshold thresholds[SL_MAX_CLASSES];
    for (gsize i = 0, n = 0; i < daemon_commands_count; i++)
        if (daemon_update(daemon) || (daemon_commands[i].handler != daemon_command_update &&
                                      daemon_commands[i].handler != daemon_command_rollback))
            verbs[n++] = daemon_commands[i].verb;
    sl_camera_get_status(camera, status);
    const struct sl_report_camera report = {
        .config = sl_camera_config(camera),
        .verbs = verbs,
        .n_thresholds = sl_camera_get_thresholds(camera, thresholds),
        .thresholds = thresholds,
        .job = sl_changes_job(daemon->changes, sl_camera_config(camera)->name),
    };
    return sl_report_info(&report, status);
}

void daemon_announce(struct sl_daemon *daemon, const char *name)
{
    g_mutex_lock(&daemon->change);
    struct sl_camera *camera = daemon_find_camera(daemon, name);
    g_autofree gchar *info = camera ? make_info(daemon, camera) : NULL;
    if (info)
        sl_publisher_state(daemon->publisher, name, SL_STATE_INFO, info);
    g_mutex_unlock(&daemon->change);
}

static void free_camera(gpointer camera)
{
    sl_camera_free(camera);
}

// As the configuration says, in the chosen recipe. With `change` locked.
static void effective_config(struct sl_daemon *daemon, const struct sl_config_camera *config,
                             const gchar *recipe, struct sl_config_camera *out)
{
    if (!recipe)
        recipe = sl_changes_recipe(daemon->changes, config->name);
    if (!daemon_effective_config(config, recipe ? recipe : config->part.recipe, out))
        g_warning("camera %s: no recipe '%s' any more; '%s' is used", config->name, recipe,
                  config->part.recipe);
}

// The running camera whose section stays as it is, or NULL.
static struct sl_camera *unchanged(struct sl_daemon *daemon, const struct sl_config_camera *config)
{
    struct sl_camera *camera = daemon_find_camera(daemon, config->name);
    struct sl_config_camera wanted;
    g_mutex_lock(&daemon->change);
    effective_config(daemon, config, NULL, &wanted);
    g_mutex_unlock(&daemon->change);
    return camera && sl_config_camera_equal(sl_camera_config(camera), &wanted) ? camera : NULL;
}

// What cmd/threshold has set. With `change` locked.
static void apply_thresholds(struct sl_daemon *daemon, struct sl_camera *camera)
{
    struct sl_camera_threshold list[SL_MAX_CLASSES];
    const struct sl_config_camera *config = sl_camera_config(camera);
    const guint n = sl_camera_get_thresholds(camera, list);
    for (guint i = 0; i < n; i++) {
        const gdouble configured = (gdouble)list[i].configured;
        const gdouble value = sl_changes_threshold(
            daemon->changes, config->name, config->part.recipe, list[i].class_name, configured);
        gfloat before;
        if (value != configured)
            sl_camera_set_threshold(camera, list[i].class_name, (gfloat)value, &before);
    }
}

struct sl_camera *daemon_make_camera(struct sl_daemon *daemon,
                                     const struct sl_config_camera *config,
                                     const struct sl_config_evidence *evidence, const gchar *recipe,
                                     GError **error)
{
    const struct sl_camera_events events = {on_verdict, on_picture, daemon};
    struct sl_config_camera wanted;
    g_mutex_lock(&daemon->change);
    effective_config(daemon, config, recipe, &wanted);
    g_mutex_unlock(&daemon->change);
    struct sl_camera *camera = sl_camera_new(&wanted, evidence, &events, error);
    if (!camera)
        return NULL;
    g_mutex_lock(&daemon->change);
    apply_thresholds(daemon, camera);
    sl_camera_set_job(camera, sl_changes_job(daemon->changes, config->name));
    g_mutex_unlock(&daemon->change);
    return camera;
}

// Makes the cameras of a configuration without starting them; with `keep` only those that changed.
// All or, with an error, none.
static GPtrArray *make_cameras(struct sl_daemon *daemon, const struct sl_config *config,
                               gboolean keep, GError **error)
{
    g_autoptr(GPtrArray) made = g_ptr_array_new_with_free_func(free_camera);
    for (guint i = 0; i < config->cameras_count; i++) {
        if (keep && unchanged(daemon, &config->cameras[i]))
            continue;
        struct sl_camera *camera =
            daemon_make_camera(daemon, &config->cameras[i], &config->evidence, NULL, error);
        if (!camera)
            return NULL;
        g_ptr_array_add(made, camera);
    }
    return g_steal_pointer(&made);
}

void daemon_replace_cameras(struct sl_daemon *daemon, GPtrArray *old, GPtrArray *made)
{
    g_mutex_lock(&daemon->change);
    for (guint i = 0; i < old->len; i++)
        g_ptr_array_remove(daemon->cameras, g_ptr_array_index(old, i));
    for (guint i = 0; i < made->len; i++)
        g_ptr_array_add(daemon->cameras, g_ptr_array_index(made, i));
    g_mutex_unlock(&daemon->change);
    g_ptr_array_set_free_func(made, NULL);
    for (guint i = 0; i < old->len; i++) {
        daemon_detach(daemon, g_ptr_array_index(old, i));
        sl_camera_free(g_ptr_array_index(old, i));
    }
    for (guint i = 0; i < made->len; i++) {
        daemon_attach(daemon, g_ptr_array_index(made, i));
        daemon_announce(daemon, sl_camera_config(g_ptr_array_index(made, i))->name);
        sl_camera_start(g_ptr_array_index(made, i));
    }
}

// Beside the ledger, whose folder is the daemon's own.
static void load_changes(struct sl_daemon *daemon, const struct sl_config *config)
{
    g_autofree gchar *path = g_build_filename(config->ledger.path, "changes.json", NULL);
    g_mkdir_with_parents(config->ledger.path, 0750);
    g_mutex_lock(&daemon->change);
    sl_changes_free(daemon->changes);
    daemon->changes = sl_changes_load(path);
    g_mutex_unlock(&daemon->change);
}

static gboolean start_all(struct sl_daemon *daemon, const struct sl_config *config, GError **error)
{
    load_changes(daemon, config);
    g_autoptr(GPtrArray) made = make_cameras(daemon, config, FALSE, error);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    if (!made || !start_publisher(daemon, config, error))
        return FALSE;
    daemon_replace_cameras(daemon, none, made);
    return TRUE;
}

static void stop_all(struct sl_daemon *daemon)
{
    g_autoptr(GPtrArray) all = g_ptr_array_copy(daemon->cameras, NULL, NULL);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    daemon_replace_cameras(daemon, all, none);
    struct sl_publisher *publisher = daemon->publisher;
    g_mutex_lock(&daemon->change);
    daemon->publisher = NULL;
    g_mutex_unlock(&daemon->change);
    daemon_forget_recipes(daemon);
    sl_publisher_free(publisher, 1500);
    sl_evidence_free(daemon->evidence);
    daemon->evidence = NULL;
}

static void free_config(gpointer config)
{
    sl_config_free(config);
}

struct sl_daemon *sl_daemon_new(const gchar *path, GError **error)
{
    struct sl_config *config = load(path, error);
    if (!config)
        return NULL;
    struct sl_daemon *daemon = g_new0(struct sl_daemon, 1);
    g_mutex_init(&daemon->change);
    g_mutex_init(&daemon->lock);
    daemon->path = g_strdup(path);
    daemon->config = config;
    daemon->cameras = g_ptr_array_new();
    daemon->retired = g_ptr_array_new_with_free_func(free_config);
    g_queue_init(&daemon->recipes);
    daemon->alarms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    daemon->last_health = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    if (start_all(daemon, config, error))
        return daemon;
    sl_daemon_free(daemon);
    return NULL;
}

void sl_daemon_free(struct sl_daemon *daemon)
{
    if (!daemon)
        return;
    stop_all(daemon);
    sl_update_free(daemon->update);
    g_ptr_array_unref(daemon->cameras);
    g_ptr_array_unref(daemon->retired);
    g_hash_table_unref(daemon->last_health);
    g_hash_table_unref(daemon->alarms);
    sl_changes_free(daemon->changes);
    sl_config_free(daemon->config);
    g_mutex_clear(&daemon->change);
    g_mutex_clear(&daemon->lock);
    g_free(daemon->reload_problem);
    g_free(daemon->model_problem);
    g_free(daemon->path);
    g_free(daemon);
}

void sl_daemon_limit(struct sl_daemon *daemon, guint64 parts)
{
    g_mutex_lock(&daemon->lock);
    daemon->limit = parts;
    g_mutex_unlock(&daemon->lock);
}

gboolean sl_daemon_finished(struct sl_daemon *daemon)
{
    g_autofree struct sl_camera_status *status = g_new0(struct sl_camera_status, 1);
    g_mutex_lock(&daemon->lock);
    const gboolean reached = daemon->limit > 0 && daemon->summary.parts >= daemon->limit;
    g_mutex_unlock(&daemon->lock);
    if (reached)
        return TRUE;
    for (guint i = 0; i < daemon->cameras->len; i++) {
        sl_camera_get_status(g_ptr_array_index(daemon->cameras, i), status);
        if (status->state != SL_CAMERA_ENDED)
            return FALSE;
    }
    return daemon->cameras->len > 0;
}

static gboolean same_names(const struct sl_config *a, const struct sl_config *b)
{
    if (a->cameras_count != b->cameras_count)
        return FALSE;
    for (guint i = 0; i < a->cameras_count; i++)
        if (strcmp(a->cameras[i].name, b->cameras[i].name))
            return FALSE;
    return TRUE;
}

// Only once the new cameras are known to work are the old ones stopped.
static gboolean change_cameras(struct sl_daemon *daemon, const struct sl_config *config,
                               GError **error)
{
    g_autoptr(GPtrArray) made = make_cameras(daemon, config, TRUE, error);
    g_autoptr(GPtrArray) old = g_ptr_array_new();
    if (!made)
        return FALSE;
    for (guint i = 0; i < made->len; i++) {
        const char *name = sl_camera_config(g_ptr_array_index(made, i))->name;
        g_ptr_array_add(old, daemon_find_camera(daemon, name));
    }
    daemon_replace_cameras(daemon, old, made);
    return TRUE;
}

// Two connections of one name would throw each other out, so the old one ends first; it comes back
// where the new one cannot be made.
static gboolean change_all(struct sl_daemon *daemon, const struct sl_config *config, GError **error)
{
    g_autoptr(GPtrArray) made = make_cameras(daemon, config, FALSE, error);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    g_autoptr(GError) again = NULL;
    if (!made)
        return FALSE;
    stop_all(daemon);
    if (strcmp(daemon->config->ledger.path, config->ledger.path))
        load_changes(daemon, config);
    if (start_publisher(daemon, config, error)) {
        daemon_replace_cameras(daemon, none, made);
        return TRUE;
    }
    if (!start_all(daemon, daemon->config, &again))
        g_warning("%s; nothing runs until a good configuration is read", again->message);
    return FALSE;
}

static gboolean change(struct sl_daemon *daemon, GError **error)
{
    struct sl_config *before = daemon->config, *config = load(daemon->path, error);
    if (!config)
        return FALSE;
    const gboolean all = !daemon->publisher || !same_names(before, config) ||
                         !sl_config_broker_equal(&before->broker, &config->broker) ||
                         !sl_config_ledger_equal(&before->ledger, &config->ledger) ||
                         !sl_config_evidence_equal(&before->evidence, &config->evidence);
    if (!(all ? change_all(daemon, config, error) : change_cameras(daemon, config, error))) {
        sl_config_free(config);
        return FALSE;
    }
    daemon->config = config;
    g_ptr_array_add(daemon->retired, before);
    if (all)
        g_ptr_array_set_size(daemon->retired, 0);
    return TRUE;
}

void sl_daemon_reload(struct sl_daemon *daemon)
{
    g_autoptr(GError) error = NULL;
    if (change(daemon, &error))
        g_message("configuration reloaded");
    else
        g_warning("%s; the running configuration stays", error->message);
    g_mutex_lock(&daemon->change);
    g_free(daemon->reload_problem);
    daemon->reload_problem = error ? g_strdup(error->message) : NULL;
    g_mutex_unlock(&daemon->change);
}

// The part of health that does not change by itself.
static gboolean health_changed(struct sl_daemon *daemon, const gchar *camera, const gchar *health)
{
    const gchar *end = strstr(health, ",\"last_verdict_age_ms\"");
    g_autofree gchar *state = g_strndup(health, end ? (gsize)(end - health) : strlen(health));
    const gchar *before = g_hash_table_lookup(daemon->last_health, camera);
    if (before && !strcmp(before, state))
        return FALSE;
    g_hash_table_insert(daemon->last_health, g_strdup(camera), g_steal_pointer(&state));
    return TRUE;
}

static gboolean tell_alarm(void *ctx, const gchar *camera, const gchar *json)
{
    struct sl_daemon *daemon = ctx;
    return sl_publisher_alarm(daemon->publisher, camera, json);
}

static const gchar *unless_empty(const gchar *text)
{
    return text[0] ? text : NULL;
}

static void raise_alarms(struct sl_daemon *daemon, const gchar *camera,
                         const struct sl_camera_status *s, const struct sl_publisher_stats *broker)
{
    const struct sl_storage *storage = &daemon->storage;
    struct sl_alarms *alarms = g_hash_table_lookup(daemon->alarms, camera);
    if (!alarms) {
        alarms = g_new0(struct sl_alarms, 1);
        g_hash_table_insert(daemon->alarms, g_strdup(camera), alarms);
    }
    g_mutex_lock(&daemon->lock);
    g_autofree gchar *model = g_strdup(daemon->model_problem);
    g_mutex_unlock(&daemon->lock);
    const gchar *const now[SL_ALARM_COUNT] = {
        [SL_ALARM_CAMERA_LOST] = s->state == SL_CAMERA_LOST ? s->error : NULL,
        [SL_ALARM_ACCELERATOR] = s->accelerator_known ? unless_empty(s->accelerator.reason) : NULL,
        [SL_ALARM_LEDGER] = unless_empty(broker->ledger_problem),
        [SL_ALARM_VERDICTS_LOST] = broker->dropped ? "verdicts were dropped unsent" : NULL,
        [SL_ALARM_DISK_LOW] = storage->low ? "the ledger's disk is nearly full" : NULL,
        [SL_ALARM_PICTURES] = !storage->evidence_known ? "pictures cannot be kept"
                                                       : unless_empty(storage->evidence.problem),
        [SL_ALARM_MODEL] = model,
    };
    sl_alarms_update(alarms, camera, now, tell_alarm, daemon);
}

static void report(struct sl_daemon *daemon, struct sl_camera *camera, gboolean due)
{
    const struct sl_config_camera *config = sl_camera_config(camera);
    g_autofree struct sl_camera_status *status = g_new0(struct sl_camera_status, 1);
    struct sl_publisher_stats broker;
    sl_camera_get_status(camera, status);
    sl_publisher_stats(daemon->publisher, &broker);
    g_autofree gchar *health =
        sl_report_health(config, status, &broker, &daemon->storage, daemon->reload_problem);
    raise_alarms(daemon, config->name, status, &broker);
    if (health_changed(daemon, config->name, health) || due)
        sl_publisher_state(daemon->publisher, config->name, SL_STATE_HEALTH, health);
    if (!due)
        return;
    g_autofree gchar *metrics = sl_report_metrics(status, &broker, &daemon->storage);
    sl_publisher_state(daemon->publisher, config->name, SL_STATE_METRICS, metrics);
}

void sl_daemon_serve(struct sl_daemon *daemon)
{
    daemon_change_recipes(daemon);
}

void sl_daemon_tick(struct sl_daemon *daemon)
{
    const gint64 now = g_get_monotonic_time();
    const gint64 interval = (gint64)daemon->config->metrics_interval_s * G_TIME_SPAN_SECOND;
    const gboolean due = daemon->last_report_us == 0 || now - daemon->last_report_us >= interval;
    if (due)
        daemon->last_report_us = now;
    if (!daemon->publisher)
        return;
    g_mutex_lock(&daemon->change);
    sl_storage_look(daemon->config->ledger.path, daemon->evidence, &daemon->storage);
    g_mutex_unlock(&daemon->change);
    for (guint i = 0; i < daemon->cameras->len; i++)
        report(daemon, g_ptr_array_index(daemon->cameras, i), due);
}

void sl_daemon_summary(struct sl_daemon *daemon, struct sl_summary *out)
{
    g_mutex_lock(&daemon->lock);
    *out = daemon->summary;
    g_mutex_unlock(&daemon->lock);
}
