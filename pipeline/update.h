// The daemon's side of model updates: listens for the update agent (ota/control.h), loads what it
// passes into every camera, and tells how that went. A thread of its own; cameras come and go.
#ifndef SL_PIPELINE_UPDATE_H
#define SL_PIPELINE_UPDATE_H

#include <glib.h>
#include <gst/gst.h>

struct sl_update;

// What the agent says of its state, as JSON; called on the update's thread.
typedef void (*sl_update_state)(void *ctx, const char *json);
// A camera serves another model now: "NAME VERSION"; called on the update's thread, while the
// camera is attached.
typedef void (*sl_update_changed)(void *camera, const char *model);

// Listens at `path`, for members of `group` (NULL: this user alone). `backend` is what the agent's
// self-test shall run models on; copied.
struct sl_update *sl_update_new(const gchar *path, const gchar *group, const gchar *backend,
                                sl_update_state state, void *ctx, GError **error);
void sl_update_free(struct sl_update *update); // NULL is fine; detach the cameras first

// From the main thread. A camera that comes takes over the model that serves in the others, before
// its first frame; a trial that is on ends, and the agent is told to begin it again. `detect` is a
// running sightlinedetect. NULL for `update` is fine in all three.
void sl_update_attach(struct sl_update *update, GstElement *detect, sl_update_changed changed,
                      void *camera);
void sl_update_detach(struct sl_update *update, GstElement *detect);

// A part was seen; any thread, and cheap. NULL is fine.
void sl_update_part(struct sl_update *update);

// Passes an operator's wish on to the agent: "update" or "rollback". -ENOTCONN: no agent is there.
int sl_update_ask(struct sl_update *update, const char *what);

#endif
