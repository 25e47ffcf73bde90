// Alarms of a camera: what went wrong and what is well again, each told once.
#ifndef SL_PIPELINE_ALARM_H
#define SL_PIPELINE_ALARM_H

#include <glib.h>

enum sl_alarm_kind {
    SL_ALARM_CAMERA_LOST,
    SL_ALARM_ACCELERATOR,   // not the wanted back end
    SL_ALARM_LEDGER,        // it does not do all it should
    SL_ALARM_VERDICTS_LOST, // dropped before they were sent; for this run of the daemon
    SL_ALARM_DISK_LOW,
    SL_ALARM_PICTURES, // evidence cannot be kept
    SL_ALARM_MODEL,    // rolled back, revoked, or not the one that was committed
    SL_ALARM_COUNT
};

struct sl_alarms { // all zero: nothing is raised
    gint64 raised_ms[SL_ALARM_COUNT];
};

// Called with a JSON object (mqtt/schema/alarm.json) for each that is raised or cleared. FALSE: it
// could not be told now, and will be the next time.
typedef gboolean (*sl_alarm_tell)(void *ctx, const gchar *camera, const gchar *json);

// Why the update agent's state (mqtt/schema/model-state.json) is an alarm; NULL: it is none. Free
// with g_free.
gchar *sl_alarm_of_model_state(const char *json);

// What is the case now: a text for each kind that is, else NULL.
void sl_alarms_update(struct sl_alarms *alarms, const gchar *camera,
                      const gchar *const now[SL_ALARM_COUNT], sl_alarm_tell tell, void *ctx);

#endif
