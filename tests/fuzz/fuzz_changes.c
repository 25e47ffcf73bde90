// Fuzz target: changes.json, the file that keeps what commands changed, with any content.
#include "pipeline/changes.h"

#include <glib/gstdio.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static gchar *folder, *path, *aside;

static void remove_folder(void)
{
    g_unlink(path);
    g_unlink(aside);
    g_rmdir(folder);
}

static void hush(const gchar *domain, GLogLevelFlags level, const gchar *text, gpointer data)
{
    (void)domain;
    (void)level;
    (void)text;
    (void)data;
}

static void prepare(const uint8_t *bytes, size_t size)
{
    if (!folder) {
        folder = g_dir_make_tmp("sl-fuzz-changes-XXXXXX", NULL);
        path = g_build_filename(folder, "changes.json", NULL);
        aside = g_strconcat(path, ".damaged", NULL);
        atexit(remove_folder);
        g_log_set_default_handler(hush, NULL);
    }
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
        abort();
}

static void must(gboolean good)
{
    if (!good)
        abort();
}

static void check_threshold(const struct sl_changes *changes, const gchar *class_name)
{
    const gdouble value = sl_changes_threshold(changes, "cam1", "board-a", class_name, 0.5);
    must(value >= 0 && value <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const struct sl_change rows[] = {{"open", 0.5, 0.25}, {"short", 0.5, 1}};
    prepare(bytes, size);
    struct sl_changes *changes = sl_changes_load(path);
    const gchar *recipe = sl_changes_recipe(changes, "cam1"),
                *job = sl_changes_job(changes, "cam1");
    must(!recipe || strlen(recipe) <= size);
    must(!job || strlen(job) <= size);
    check_threshold(changes, "open");
    check_threshold(changes, "hole");
    // What is told afterwards holds, whatever stood there, and is there after a restart.
    must(sl_changes_set_recipe(changes, "cam1", "board-b", "job-1", NULL));
    must(sl_changes_set_thresholds(changes, "cam1", "board-a", rows, 2, NULL));
    sl_changes_free(changes);
    changes = sl_changes_load(path);
    must(!g_strcmp0(sl_changes_recipe(changes, "cam1"), "board-b"));
    must(!g_strcmp0(sl_changes_job(changes, "cam1"), "job-1"));
    must(sl_changes_threshold(changes, "cam1", "board-a", "open", 0.5) == 0.25);
    must(sl_changes_threshold(changes, "cam1", "board-a", "short", 0.5) == 1);
    sl_changes_free(changes);
    return 0;
}
