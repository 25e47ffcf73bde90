// Inside of the daemon: its state, and what its files give each other.
//
// daemon.c starts and changes what the configuration names, daemon_commands.c is what the broker's
// commands do, daemon_update.c is where the update agent comes in.
#ifndef SL_PIPELINE_DAEMON_INSIDE_H
#define SL_PIPELINE_DAEMON_INSIDE_H

#include "mqtt/ledger/evidence.h"
#include "pipeline/alarm.h"
#include "pipeline/changes.h"
#include "pipeline/daemon.h"
#include "pipeline/update.h"

struct sl_daemon {
    gchar *path;
    struct sl_config *config;
    GPtrArray *cameras; // struct sl_camera, in the order of the configuration
    GPtrArray *retired; // configurations that running cameras still use
    struct sl_publisher *publisher;
    struct sl_evidence *evidence; // NULL: pictures are not kept
    struct sl_changes *changes;   // under `change`
    struct sl_storage storage;    // likewise
    GHashTable *alarms;           // camera name -> struct sl_alarms
    struct sl_update *update; // NULL: no agent may connect; set while threads run: daemon_update()
    gchar *reload_problem;
    GHashTable *last_health; // camera name -> state and reasons, to publish changes at once
    gint64 last_report_us;
    // Taken by commands for as long as they use a camera, and by who changes cameras, publisher or
    // reload_problem, which is the main thread alone. Before every other lock.
    GMutex change;
    GMutex lock;          // guards what follows
    gchar *model_problem; // by the update agent; NULL: none
    GQueue recipes;       // struct daemon_recipe, asked for
    struct sl_summary summary;
    guint64 limit;
};

extern const struct sl_command daemon_commands[];
extern const gsize daemon_commands_count;

// With `change` locked. NULL: there is no such camera.
struct sl_camera *daemon_find_camera(struct sl_daemon *daemon, const char *name);
gchar *daemon_health_of(struct sl_daemon *daemon, struct sl_camera *camera);

// Main thread. A camera as the configuration and the changes say, but of that recipe (NULL: of the
// one that is chosen); not started.
struct sl_camera *daemon_make_camera(struct sl_daemon *daemon,
                                     const struct sl_config_camera *config,
                                     const struct sl_config_evidence *evidence, const gchar *recipe,
                                     GError **error);
// From here on commands meet the made cameras, which start when the old ones have let go of their
// devices. Frees the old, takes over the made.
void daemon_replace_cameras(struct sl_daemon *daemon, GPtrArray *old, GPtrArray *made);
void daemon_announce(struct sl_daemon *daemon, const char *camera); // info; any thread

// daemon_recipe.c. FALSE: the camera has no such recipe, *out is the configuration's own.
gboolean daemon_effective_config(const struct sl_config_camera *config, const gchar *recipe,
                                 struct sl_config_camera *out);
void daemon_change_recipes(struct sl_daemon *daemon); // main thread: what was asked for
void daemon_forget_recipes(struct sl_daemon *daemon);
int daemon_command_recipe(void *daemon, const char *camera, const cJSON *arguments, cJSON **data,
                          char *message, size_t size);
// daemon_threshold.c
int daemon_command_threshold(void *daemon, const char *camera, const cJSON *arguments, cJSON **data,
                             char *message, size_t size);

// Models that the update agent brings: daemon_update.c. Attach and detach on the main thread.
struct sl_update *daemon_update(struct sl_daemon *daemon); // any thread
void daemon_attach(struct sl_daemon *daemon, struct sl_camera *camera);
void daemon_detach(struct sl_daemon *daemon, struct sl_camera *camera);
void daemon_model_state(void *ctx, const char *json);
int daemon_command_update(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                          char *message, size_t size);
int daemon_command_rollback(void *ctx, const char *name, const cJSON *arguments, cJSON **data,
                            char *message, size_t size);

#endif
