// What commands changed of the configuration: the recipe, the job and thresholds of each camera.
#include "pipeline/changes.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>

struct sl_changes {
    gchar *path;
    cJSON *root; // camera -> {recipe, job, thresholds: {recipe: {class: {value, instead_of}}}}
};

static cJSON *read_file(const gchar *path)
{
    g_autofree gchar *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return cJSON_CreateObject();
    cJSON *root = cJSON_ParseWithOpts(text, NULL, true);
    if (cJSON_IsObject(root))
        return root;
    cJSON_Delete(root);
    g_autofree gchar *aside = g_strconcat(path, ".damaged", NULL);
    g_warning("%s: expected a JSON object, found something else; moved to %s", path, aside);
    rename(path, aside);
    return cJSON_CreateObject();
}

struct sl_changes *sl_changes_load(const gchar *path)
{
    struct sl_changes *changes = g_new0(struct sl_changes, 1);
    changes->path = g_strdup(path);
    changes->root = read_file(path);
    return changes;
}

void sl_changes_free(struct sl_changes *changes)
{
    if (!changes)
        return;
    cJSON_Delete(changes->root);
    g_free(changes->path);
    g_free(changes);
}

static const gchar *text_of(const struct sl_changes *changes, const gchar *camera, const gchar *key)
{
    const cJSON *section = cJSON_GetObjectItemCaseSensitive(changes->root, camera);
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(section, key));
}

const gchar *sl_changes_recipe(const struct sl_changes *changes, const gchar *camera)
{
    return text_of(changes, camera, "recipe");
}

const gchar *sl_changes_job(const struct sl_changes *changes, const gchar *camera)
{
    return text_of(changes, camera, "job");
}

gdouble sl_changes_threshold(const struct sl_changes *changes, const gchar *camera,
                             const gchar *recipe, const gchar *class_name, gdouble configured)
{
    const cJSON *row = cJSON_GetObjectItemCaseSensitive(changes->root, camera);
    const gchar *const path[] = {"thresholds", recipe, class_name};
    for (guint i = 0; i < G_N_ELEMENTS(path); i++)
        row = cJSON_GetObjectItemCaseSensitive(row, path[i]);
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(row, "value");
    const cJSON *instead = cJSON_GetObjectItemCaseSensitive(row, "instead_of");
    if (!cJSON_IsNumber(value) || !cJSON_IsNumber(instead) ||
        !(value->valuedouble >= 0 && value->valuedouble <= 1) ||
        fabs(instead->valuedouble - configured) > 1e-6)
        return configured;
    return value->valuedouble;
}

// A key that stands there twice goes twice, or the second would count from now on.
static void drop(cJSON *object, const gchar *key)
{
    while (cJSON_GetObjectItemCaseSensitive(object, key))
        cJSON_DeleteItemFromObjectCaseSensitive(object, key);
}

static cJSON *member(cJSON *object, const gchar *key)
{
    cJSON *found = cJSON_GetObjectItemCaseSensitive(object, key);
    if (cJSON_IsObject(found))
        return found;
    drop(object, key);
    return cJSON_AddObjectToObject(object, key);
}

// The changed copy becomes what holds once it is on disk.
static gboolean commit(struct sl_changes *changes, cJSON *root, GError **error)
{
    char *text = cJSON_Print(root);
    const gboolean written = g_file_set_contents(changes->path, text, -1, error);
    cJSON_free(text);
    cJSON_Delete(written ? changes->root : root);
    if (written)
        changes->root = root;
    return written;
}

static void set_text(cJSON *section, const gchar *key, const gchar *value)
{
    drop(section, key);
    if (value)
        cJSON_AddStringToObject(section, key, value);
}

gboolean sl_changes_set_recipe(struct sl_changes *changes, const gchar *camera, const gchar *recipe,
                               const gchar *job, GError **error)
{
    cJSON *root = cJSON_Duplicate(changes->root, true);
    cJSON *section = member(root, camera);
    set_text(section, "recipe", recipe);
    set_text(section, "job", job);
    return commit(changes, root, error);
}

gboolean sl_changes_set_thresholds(struct sl_changes *changes, const gchar *camera,
                                   const gchar *recipe, const struct sl_change *rows, guint n,
                                   GError **error)
{
    cJSON *root = cJSON_Duplicate(changes->root, true);
    cJSON *section = member(member(member(root, camera), "thresholds"), recipe);
    for (guint i = 0; i < n; i++) {
        cJSON *row = member(section, rows[i].class_name);
        drop(row, "value");
        drop(row, "instead_of");
        cJSON_AddNumberToObject(row, "value", rows[i].value);
        cJSON_AddNumberToObject(row, "instead_of", rows[i].configured);
    }
    return commit(changes, root, error);
}
