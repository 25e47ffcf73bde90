// What commands changed of the configuration: the recipe, the job and thresholds of each camera.
//
// Kept in a file, so that a restart does not undo them; the configuration itself is nobody's to
// write. A threshold that the configuration sets otherwise than it did when the command came is
// the configuration's again. Not locked.
#ifndef SL_PIPELINE_CHANGES_H
#define SL_PIPELINE_CHANGES_H

#include <glib.h>

struct sl_changes;

// A file that is not there is empty; one that cannot be read is moved aside, with a warning.
struct sl_changes *sl_changes_load(const gchar *path);
void sl_changes_free(struct sl_changes *changes); // NULL is fine

// NULL: the configuration's recipe; no job.
const gchar *sl_changes_recipe(const struct sl_changes *changes, const gchar *camera);
const gchar *sl_changes_job(const struct sl_changes *changes, const gchar *camera);
// The threshold of a class, where one was set instead of `configured`; otherwise `configured`.
gdouble sl_changes_threshold(const struct sl_changes *changes, const gchar *camera,
                             const gchar *recipe, const gchar *class_name, gdouble configured);

// Each writes the file, or changes nothing. `recipe` NULL: the configuration's; `job` NULL: none.
gboolean sl_changes_set_recipe(struct sl_changes *changes, const gchar *camera,
                               const gchar *recipe, const gchar *job, GError **error);
struct sl_change {
    const gchar *class_name;
    gdouble configured, value;
};
gboolean sl_changes_set_thresholds(struct sl_changes *changes, const gchar *camera,
                                   const gchar *recipe, const struct sl_change *rows, guint n,
                                   GError **error);

#endif
