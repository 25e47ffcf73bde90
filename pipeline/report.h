// What the daemon says about a camera: health, metrics and birth as JSON (mqtt/schema/), and the
// summary of a run.
#ifndef SL_PIPELINE_REPORT_H
#define SL_PIPELINE_REPORT_H

#include "mqtt/publisher.h"
#include "pipeline/camera.h"
#include "pipeline/storage.h"

// All return a string to be freed with g_free.
gchar *sl_report_health(const struct sl_config_camera *config,
                        const struct sl_camera_status *status,
                        const struct sl_publisher_stats *broker, const struct sl_storage *storage,
                        const gchar *config_problem);
gchar *sl_report_metrics(const struct sl_camera_status *status,
                         const struct sl_publisher_stats *broker,
                         const struct sl_storage *storage);
struct sl_report_camera {
    const struct sl_config_camera *config;
    const char *const *verbs; // what cmd/ takes, ends with NULL
    guint n_thresholds;
    const struct sl_camera_threshold *thresholds;
    const gchar *job; // NULL: none
};
gchar *sl_report_info(const struct sl_report_camera *camera, const struct sl_camera_status *status);

// Sums over all parts of a run. All zero is empty; one thread at a time.
#define SL_SUMMARY_CLASSES 64
struct sl_summary {
    guint64 parts, ok, ng, errors;
    gint64 truth_known, truth_defects, truth_found, truth_false;
    guint n_classes;
    struct {
        gchar name[32];
        guint64 count;
    } classes[SL_SUMMARY_CLASSES];
    struct sl_latency latency;
};
void sl_summary_add(struct sl_summary *summary, const struct sl_verdict *verdict);
gchar *sl_summary_json(const struct sl_summary *summary);
gchar *sl_summary_text(const struct sl_summary *summary);

#endif
