// Thresholds of a camera: which detections make a defect, and what was nearly one.
#include "pipeline/threshold.h"

#include <string.h>

void sl_thresholds_init(struct sl_thresholds *t, const struct sl_model *model,
                        const struct sl_config_threshold *config, guint n_config)
{
    t->n = model->n_classes;
    t->floor = MAX(SL_THRESHOLD_FLOOR, model->head.min_score);
    for (guint c = 0; c < t->n; c++) {
        t->value[c] = model->classes[c].threshold;
        for (guint i = 0; i < n_config; i++)
            if (!strcmp(config[i].class_name, model->classes[c].name))
                t->value[c] = (gfloat)config[i].threshold;
        t->configured[c] = t->value[c];
    }
}

void sl_thresholds_apply(const struct sl_thresholds *t, const struct sl_detect_result *in,
                         struct sl_detect_result *out, gfloat near[SL_MAX_CLASSES])
{
    out->count = 0;
    out->registered = in->registered;
    out->registration = in->registration;
    out->timings = in->timings;
    memset(near, 0, t->n * sizeof(*near));
    for (guint i = 0; i < in->count; i++) {
        const struct sl_detection *d = &in->detections[i];
        if (d->class_id >= t->n || d->score >= t->value[d->class_id])
            out->detections[out->count++] = *d;
        else
            near[d->class_id] = MAX(near[d->class_id], d->score);
    }
}
