// Serves the update agent: models that it passes are loaded, tried, swapped and dropped.
#include "pipeline/update.h"

#include "ota/control.h"
#include "pipeline/elements.h"
#include "pipeline/source_memory.h"
#include "pipeline/trial.h"

#include <errno.h>
#include <gio/gio.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOOK_MS = 20, IDLE_LOOK_MS = 250 };

struct camera {
    GstElement *detect;
    struct sl_trial *trial;
    sl_update_changed changed;
    void *ctx;
};

// A bundle as it came.
struct bundle {
    struct sl_control_message message;
    int fd; // -1: none
};

struct sl_update {
    gchar *path, *group, *backend;
    sl_update_state state;
    void *ctx;
    GThread *thread;
    int listener, wake, agent; // agent -1: not connected
    _Atomic gint64 last_part_us;
    GMutex lock; // guards what follows, and sending to the agent
    gboolean stopping;
    GArray *cameras; // struct camera
    struct bundle serving, trying;
    gboolean told;  // that the trial has had its frames
    guint32 idle_s; // the agent waits until no part has come for so long; 0: it does not
    struct sl_control_message in, out; // large
};

static void drop(struct bundle *bundle)
{
    if (bundle->fd >= 0)
        close(bundle->fd);
    bundle->fd = -1;
    memset(&bundle->message, 0, sizeof(bundle->message));
}

static void move(struct bundle *from, struct bundle *to)
{
    drop(to);
    *to = *from;
    from->fd = -1;
    drop(from);
}

static void hang_up(struct sl_update *u)
{
    if (u->agent >= 0)
        close(u->agent);
    u->agent = -1;
    u->idle_s = 0;
}

static void say(struct sl_update *u, enum sl_control_verb verb, const uint8_t *id, const char *text)
{
    u->out.version = SL_CONTROL_VERSION;
    u->out.verb = verb;
    u->out.n_components = 0;
    memset(u->out.id, 0, sizeof(u->out.id));
    if (id)
        memcpy(u->out.id, id, sizeof(u->out.id));
    g_strlcpy(u->out.text, text, sizeof(u->out.text));
    if (u->agent >= 0 && sl_control_send(u->agent, &u->out, -1) < 0)
        hang_up(u);
}

static void note_model(struct camera *camera)
{
    const struct sl_model *model = sl_trial_model(camera->trial);
    if (!model)
        return;
    g_autofree gchar *text = g_strdup_printf("%s %s", model->name, model->version);
    camera->changed(camera->ctx, text);
    sl_model_unref(model);
}

static int load(const struct bundle *bundle, struct camera *camera, struct sl_served **out,
                struct sl_error *error)
{
    struct sl_model_source *source = NULL;
    const int status = sl_model_source_memory(bundle->fd, &bundle->message, &source, error);
    return status < 0
               ? status
               : sl_served_new(source, sightline_detect_get_settings(camera->detect), out, error);
}

// Lets a bundle serve in one camera, for good.
static int serve(const struct bundle *bundle, struct camera *camera, struct sl_error *error)
{
    struct sl_served *served = NULL;
    int status = load(bundle, camera, &served, error);
    if (status == 0)
        status = sl_trial_swap(camera->trial, served, error);
    if (status == 0)
        sl_trial_commit(camera->trial);
    if (status == 0)
        note_model(camera);
    return status;
}

static void end_trial(struct sl_update *u, gboolean keep)
{
    for (guint i = 0; i < u->cameras->len; i++) {
        struct camera *c = &g_array_index(u->cameras, struct camera, i);
        (keep ? sl_trial_commit : sl_trial_roll_back)(c->trial);
        note_model(c);
    }
    if (keep && u->trying.fd >= 0)
        move(&u->trying, &u->serving);
    else
        drop(&u->trying);
}

static void fail(struct sl_update *u, const char *camera, const char *why)
{
    uint8_t id[SL_CONTROL_ID];
    g_autofree gchar *text = g_strdup_printf("camera %s: %s", camera, why);
    memcpy(id, u->trying.message.id, sizeof(id));
    end_trial(u, FALSE);
    g_warning("model update: %s; the old model serves", text);
    say(u, SL_CONTROL_FAILED, id, text);
}

static int begin_in(struct sl_update *u, struct camera *camera, gboolean loaded,
                    struct sl_error *error)
{
    const struct sl_control_message *m = &u->trying.message;
    struct sl_served *served = NULL;
    if (loaded)
        return sl_trial_swap(camera->trial, NULL, error);
    const int status = load(&u->trying, camera, &served, error);
    if (status < 0)
        return status;
    if (m->verb == SL_CONTROL_SHADOW)
        return sl_trial_shadow(camera->trial, served, (gfloat)m->overlap_ppm / 1e6f, error);
    return sl_trial_swap(camera->trial, served, error);
}

// SHADOW or SWAP, in every camera or in none.
static void begin(struct sl_update *u)
{
    u->told = FALSE;
    const gboolean loaded = u->in.verb == SL_CONTROL_SWAP &&
                            u->trying.message.verb == SL_CONTROL_SHADOW && u->trying.fd >= 0 &&
                            !memcmp(u->trying.message.id, u->in.id, SL_CONTROL_ID);
    struct sl_error error = {""};
    if (loaded) {
        u->trying.message.verb = SL_CONTROL_SWAP;
        u->trying.message.frames = u->in.frames;
    }
    for (guint i = 0; i < u->cameras->len; i++) {
        struct camera *c = &g_array_index(u->cameras, struct camera, i);
        if (begin_in(u, c, loaded, &error) < 0) {
            fail(u, GST_OBJECT_NAME(c->detect), error.message);
            return;
        }
        note_model(c);
    }
}

static void serve_all(struct sl_update *u, struct bundle *bundle)
{
    struct sl_error error = {""};
    for (guint i = 0; i < u->cameras->len; i++) {
        struct camera *c = &g_array_index(u->cameras, struct camera, i);
        if (serve(bundle, c, &error) < 0) {
            g_warning("model update: %s; what serves stays", error.message);
            say(u, SL_CONTROL_FAILED, bundle->message.id, error.message);
            drop(bundle);
            return;
        }
    }
    move(bundle, &u->serving);
    say(u, SL_CONTROL_PASSED, u->serving.message.id, "serves");
}

// --- how a trial goes ---------------------------------------------------------------------------

static const char *problem_with(const struct sl_trial_report *r, gboolean enough)
{
    if (r->failures >= SL_TRIAL_FAILURES)
        return r->message;
    return enough && r->phase == SL_TRIAL_SHADOW && r->old_defects >= SL_TRIAL_BLIND &&
                   r->new_defects == 0
               ? "it finds none of the defects that the old model finds"
               : NULL;
}

// Whether all cameras have had their frames; a camera that fails ends it.
static void look(struct sl_update *u)
{
    const struct sl_control_message *m = &u->trying.message;
    guint64 frames = 0, different = 0;
    gboolean done = u->cameras->len > 0;
    for (guint i = 0; i < u->cameras->len; i++) {
        const struct camera *c = &g_array_index(u->cameras, struct camera, i);
        struct sl_trial_report r;
        sl_trial_report(c->trial, &r);
        const gboolean enough = r.frames >= m->frames;
        const char *problem = problem_with(&r, enough);
        if (problem) {
            fail(u, GST_OBJECT_NAME(c->detect), problem);
            return;
        }
        done = done && enough;
        frames += r.frames;
        different += r.different;
    }
    if (!done || u->told)
        return;
    const gboolean shadow = m->verb == SL_CONTROL_SHADOW;
    u->told = TRUE;
    g_autofree gchar *text =
        shadow ? g_strdup_printf("%" G_GUINT64_FORMAT " frames, %" G_GUINT64_FORMAT " different",
                                 frames, different)
               : g_strdup_printf("%" G_GUINT64_FORMAT " frames", frames);
    u->out.compared = frames;
    u->out.different = different;
    say(u, SL_CONTROL_PASSED, m->id, text);
}

void sl_update_part(struct sl_update *u)
{
    if (u)
        atomic_store_explicit(&u->last_part_us, g_get_monotonic_time(), memory_order_relaxed);
}

static void look_at_line(struct sl_update *u)
{
    const gint64 last_us = atomic_load_explicit(&u->last_part_us, memory_order_relaxed);
    if (g_get_monotonic_time() - last_us < (gint64)u->idle_s * G_USEC_PER_SEC)
        return;
    u->idle_s = 0;
    say(u, SL_CONTROL_IDLE, NULL, "");
}

// --- messages -----------------------------------------------------------------------------------

static void take_bundle(struct sl_update *u, int fd)
{
    struct bundle bundle = {u->in, fd};
    if (u->in.verb == SL_CONTROL_SERVE) {
        end_trial(u, FALSE);
        serve_all(u, &bundle);
        return;
    }
    const gboolean again = u->in.verb == SL_CONTROL_SWAP && u->trying.fd >= 0 &&
                           !memcmp(u->trying.message.id, u->in.id, SL_CONTROL_ID);
    if (!again) {
        end_trial(u, FALSE);
        u->trying = bundle;
        begin(u);
        return;
    }
    drop(&bundle);
    if (u->trying.message.verb == SL_CONTROL_SHADOW)
        begin(u);
    else
        u->told = FALSE; // an agent that was away: it is told again
}

static void take(struct sl_update *u, int fd)
{
    switch (u->in.verb) {
    case SL_CONTROL_SERVE:
    case SL_CONTROL_SHADOW:
    case SL_CONTROL_SWAP:
        take_bundle(u, fd);
        return;
    case SL_CONTROL_COMMIT:
    case SL_CONTROL_ROLL_BACK:
        end_trial(u, u->in.verb == SL_CONTROL_COMMIT);
        break;
    case SL_CONTROL_WAIT_IDLE:
        u->idle_s = u->in.frames;
        break;
    case SL_CONTROL_STATE:
        u->state(u->ctx, u->in.text);
        break;
    default:
        hang_up(u);
    }
    if (fd >= 0)
        close(fd);
}

static void receive(struct sl_update *u)
{
    int fd = -1;
    const int status = sl_control_receive(u->agent, &u->in, &fd, MSG_DONTWAIT);
    if (status == 0) {
        take(u, fd);
    } else if (status != -EAGAIN) {
        if (status == -EPROTO)
            g_warning("model update: the agent sent something else than a message");
        hang_up(u);
    }
    // A shadow needs somebody who waits for it; who is on probation goes on serving.
    if (u->agent < 0 && u->trying.message.verb == SL_CONTROL_SHADOW)
        end_trial(u, FALSE);
}

static void greet(struct sl_update *u)
{
    const int fd = sl_control_accept(u->listener, u->group);
    if (fd < 0) {
        g_warning("model update: a connection was refused: %s", g_strerror(-fd));
        return;
    }
    if (u->agent >= 0) { // one at a time; a new agent comes after the old one's end
        close(fd);
        return;
    }
    // Nothing here may wait for an agent that does not read.
    const struct timeval limit = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    u->agent = fd;
    say(u, SL_CONTROL_HELLO, u->serving.message.id, u->backend);
}

static gpointer run(gpointer data)
{
    struct sl_update *u = data;
    g_mutex_lock(&u->lock);
    while (!u->stopping) {
        struct pollfd fds[3] = {
            {u->wake, POLLIN, 0}, {u->listener, POLLIN, 0}, {u->agent, POLLIN, 0}};
        const int wait_ms = u->trying.fd >= 0 ? LOOK_MS : u->idle_s > 0 ? IDLE_LOOK_MS : -1;
        g_mutex_unlock(&u->lock);
        poll(fds, G_N_ELEMENTS(fds), wait_ms);
        g_mutex_lock(&u->lock);
        uint64_t ticks;
        if (fds[0].revents && read(u->wake, &ticks, sizeof(ticks)) < 0)
            continue;
        if (fds[2].revents && u->agent == fds[2].fd)
            receive(u);
        if (fds[1].revents)
            greet(u);
        if (u->trying.fd >= 0)
            look(u);
        if (u->idle_s > 0)
            look_at_line(u);
    }
    say(u, SL_CONTROL_BYE, NULL, "");
    g_mutex_unlock(&u->lock);
    return NULL;
}

static void wake(struct sl_update *u)
{
    const uint64_t one = 1;
    if (write(u->wake, &one, sizeof(one)) < 0)
        g_warning("model update: %s", g_strerror(errno));
}

struct sl_update *sl_update_new(const gchar *path, const gchar *group, const gchar *backend,
                                sl_update_state state, void *ctx, GError **error)
{
    const int listener = sl_control_listen(path, group);
    if (listener < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(-listener),
                    "control socket '%s': %s", path, g_strerror(-listener));
        return NULL;
    }
    struct sl_update *u = g_new0(struct sl_update, 1);
    u->path = g_strdup(path);
    u->group = g_strdup(group);
    u->backend = g_strdup(backend);
    u->state = state;
    u->ctx = ctx;
    u->listener = listener;
    sl_update_part(u); // a line that has just started is not idle
    u->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    u->agent = u->serving.fd = u->trying.fd = -1;
    u->cameras = g_array_new(FALSE, FALSE, sizeof(struct camera));
    g_mutex_init(&u->lock);
    u->thread = g_thread_new("update", run, u);
    return u;
}

void sl_update_free(struct sl_update *u)
{
    if (!u)
        return;
    g_mutex_lock(&u->lock);
    u->stopping = TRUE;
    g_mutex_unlock(&u->lock);
    wake(u);
    g_thread_join(u->thread);
    hang_up(u);
    drop(&u->serving);
    drop(&u->trying);
    close(u->listener);
    close(u->wake);
    unlink(u->path);
    g_array_unref(u->cameras);
    g_mutex_clear(&u->lock);
    g_free(u->path);
    g_free(u->group);
    g_free(u->backend);
    g_free(u);
}

// The set of cameras changes: what was under trial is dropped, and the agent begins it again.
static void interrupt_trial(struct sl_update *u)
{
    if (u->trying.fd < 0)
        return;
    end_trial(u, FALSE);
    say(u, SL_CONTROL_BYE, NULL, "the cameras change");
    hang_up(u);
}

void sl_update_attach(struct sl_update *u, GstElement *detect, sl_update_changed changed,
                      void *camera)
{
    struct sl_error error = {""};
    if (!u)
        return;
    struct camera c = {detect, sightline_detect_get_trial(detect), changed, camera};
    g_mutex_lock(&u->lock);
    interrupt_trial(u);
    g_array_append_val(u->cameras, c);
    if (u->serving.fd >= 0 && serve(&u->serving, &c, &error) < 0)
        g_warning("model update: %s; the configured model serves", error.message);
    g_mutex_unlock(&u->lock);
    wake(u);
}

void sl_update_detach(struct sl_update *u, GstElement *detect)
{
    if (!u)
        return;
    g_mutex_lock(&u->lock);
    interrupt_trial(u);
    for (guint i = 0; i < u->cameras->len; i++)
        if (g_array_index(u->cameras, struct camera, i).detect == detect) {
            g_array_remove_index(u->cameras, i);
            break;
        }
    g_mutex_unlock(&u->lock);
    wake(u);
}

int sl_update_ask(struct sl_update *u, const char *what)
{
    if (!u)
        return -ENOTCONN;
    g_mutex_lock(&u->lock);
    say(u, SL_CONTROL_ASK, NULL, what);
    const int status = u->agent >= 0 ? 0 : -ENOTCONN;
    g_mutex_unlock(&u->lock);
    return status;
}
