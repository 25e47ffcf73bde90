// The daemon's parts put together: configuration, cameras, broker.
#ifndef SL_PIPELINE_DAEMON_H
#define SL_PIPELINE_DAEMON_H

#include "pipeline/report.h"

struct sl_daemon;

// Loads the configuration and starts everything it names.
struct sl_daemon *sl_daemon_new(const gchar *path, GError **error);
// Lets the update agent connect at socket `path`, as a member of `group` (NULL: as this user). Once,
// directly after sl_daemon_new.
gboolean sl_daemon_listen(struct sl_daemon *daemon, const gchar *path, const gchar *group,
                          GError **error);
// Stops within about two seconds, publishing what is queued.
void sl_daemon_free(struct sl_daemon *daemon);

// After `parts` verdicts sl_daemon_finished says TRUE and no more are published. 0: no limit.
void sl_daemon_limit(struct sl_daemon *daemon, guint64 parts);

// TRUE when the limit is reached, or every source has come to its end.
gboolean sl_daemon_finished(struct sl_daemon *daemon);

// Reads the file again. A bad file changes nothing, and health says so; a good one restarts the
// cameras whose section changed, or everything if the broker's section did.
void sl_daemon_reload(struct sl_daemon *daemon);

// To be called often: does what commands asked for.
void sl_daemon_serve(struct sl_daemon *daemon);

// To be called about once a second: publishes health when it changed, metrics and health at their
// interval.
void sl_daemon_tick(struct sl_daemon *daemon);

void sl_daemon_summary(struct sl_daemon *daemon, struct sl_summary *out);

#endif
