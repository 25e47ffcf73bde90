// The newest verdicts of a camera, read while the ledger is written.
#ifndef SL_MQTT_LEDGER_RECENT_H
#define SL_MQTT_LEDGER_RECENT_H

#include <glib.h>
#include <stdint.h>

// Calls `each` with the body of the newest `limit` verdicts, newest first. Returns how many, or -1
// with `error`. On a connection of its own; any thread.
int64_t sl_ledger_recent(const char *folder, const char *camera, uint32_t limit,
                         void (*each)(void *ctx, const char *body), void *ctx, GError **error);

#endif
