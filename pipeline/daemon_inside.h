// Inside of the daemon: its state, and what its files give each other.
//
// daemon.c starts and changes what the configuration names, daemon_commands.c is what the broker's
// commands do.
#ifndef SL_PIPELINE_DAEMON_INSIDE_H
#define SL_PIPELINE_DAEMON_INSIDE_H

#include "mqtt/ledger/evidence.h"
#include "pipeline/daemon.h"

struct sl_daemon {
    gchar *path;
    struct sl_config *config;
    GPtrArray *cameras; // struct sl_camera, in the order of the configuration
    GPtrArray *retired; // configurations that running cameras still use
    struct sl_publisher *publisher;
    struct sl_evidence *evidence; // NULL: pictures are not kept
    gchar *reload_problem;
    GHashTable *last_health; // camera name -> state and reasons, to publish changes at once
    gint64 last_report_us;
    // Taken by commands for as long as they use a camera, and by who changes cameras, publisher or
    // reload_problem, which is the main thread alone. Before every other lock.
    GMutex change;
    GMutex lock; // guards what follows
    struct sl_summary summary;
    guint64 limit;
};

extern const struct sl_command daemon_commands[];
extern const gsize daemon_commands_count;

// With `change` locked. NULL: there is no such camera.
struct sl_camera *daemon_find_camera(struct sl_daemon *daemon, const char *name);
gchar *daemon_health_of(struct sl_daemon *daemon, struct sl_camera *camera);

#endif
