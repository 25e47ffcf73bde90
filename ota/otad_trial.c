// Tries a bundle: in the self-test's process, then in the camera daemon.
#include "ota/otad.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { CHILD_FD = 3, CONNECT_MS = 500 };

// --- the bundle as a message and a descriptor ---------------------------------------------------

static void describe(const struct sl_bundle *bundle, struct sl_control_message *m)
{
    const struct sl_manifest *f = &bundle->manifest;
    memset(m, 0, sizeof(*m));
    m->version = SL_CONTROL_VERSION;
    memcpy(m->id, bundle->super.id, sizeof(m->id));
    m->overlap_ppm = f->limits.overlap_ppm;
    m->score_ppm = f->limits.score_ppm;
    m->latency_us = f->claims.latency_us;
    m->memory = f->claims.memory;
    m->n_components = f->n_components;
    for (uint32_t i = 0; i < f->n_components; i++) {
        struct sl_control_component *c = &m->components[i];
        snprintf(c->name, sizeof(c->name), "%s", f->components[i].name);
        c->offset = bundle->super.payload_at + f->components[i].offset;
        c->length = f->components[i].length;
    }
}

// Verifies a slot once more, into memory that nobody can change. *fd: the caller's.
static bool load_slot(struct otad *o, enum sl_slot_name slot, struct sl_control_message *m, int *fd)
{
    struct sl_bundle_error error;
    const struct sl_bundle_policy any = {0};
    const struct sl_bundle_source source = sl_storage_source(&o->storage.slot[slot]);
    const struct sl_trust trust = otad_trust(o);
    enum sl_refusal refusal = sl_bundle_verify(&o->scratch, &source, &trust, &any, &error);
    if (refusal == SL_ACCEPTED)
        refusal = sl_bundle_load(&o->scratch, &source, o->settings->device_key ? o->device : NULL,
                                 fd, &error);
    if (refusal == SL_ACCEPTED) {
        describe(&o->scratch, m);
        return true;
    }
    otad_say(o, "%s: %s", sl_storage_slot_name(slot), error.message);
    return false;
}

static bool load_pending(struct otad *o)
{
    if (o->trial >= 0)
        return true;
    if (!load_slot(o, (enum sl_slot_name)o->agent.state.pending, &o->components, &o->trial))
        return false;
    o->limits = o->scratch.manifest.limits;
    return true;
}

static void drop_trial(struct otad *o)
{
    if (o->trial >= 0)
        close(o->trial);
    o->trial = -1;
}

static void fail_trial(struct otad *o, const char *why)
{
    snprintf(o->why, sizeof(o->why), "%.400s", why);
    otad_event(o, SL_EVENT_FAILED);
}

// --- self-test ----------------------------------------------------------------------------------

static pid_t spawn(struct otad *o, int socket)
{
    const struct sl_settings *s = o->settings;
    const char *arguments[8] = {s->self_test, "--backend", o->backend};
    size_t n = 3;
    posix_spawn_file_actions_t actions;
    pid_t child = 0;
    if (s->must_detect) {
        arguments[n++] = "--must-detect";
        arguments[n++] = s->must_detect;
    }
    arguments[n++] = "3";
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, socket, CHILD_FD);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1, 0);
    const int code = posix_spawn(&child, s->self_test, &actions, NULL,
                                 (char *const *)(uintptr_t)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0) {
        otad_say(o, "self-test '%s': %s", s->self_test, strerror(code));
        return 0;
    }
    return child;
}

// Returns how it ended, in words.
static void end_child(struct otad *o, char *how, size_t size)
{
    int status = 0;
    snprintf(how, size, "the self-test's process ended");
    if (o->child_socket >= 0)
        close(o->child_socket);
    o->child_socket = -1;
    if (o->child == 0)
        return;
    // It may have answered, or crashed, and needs a moment to go; one that hangs gets none.
    for (int i = 0; i < 100 && waitpid(o->child, &status, WNOHANG) == 0; i++) {
        if (i == 50)
            kill(o->child, SIGKILL);
        usleep(2000);
    }
    if (WIFSIGNALED(status))
        snprintf(how, size, "the self-test's process was killed by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        snprintf(how, size, "the self-test's process ended with status %d", WEXITSTATUS(status));
    o->child = 0;
}

static void kill_child(struct otad *o)
{
    char how[160];
    if (o->child > 0) {
        kill(o->child, SIGKILL);
        end_child(o, how, sizeof(how));
    }
}

// The site's pictures are judged against the model that serves: it goes in front.
static bool send_serving(struct otad *o)
{
    int fd = -1;
    const uint8_t active = o->agent.state.active;
    if (!o->settings->must_detect || active == SL_SLOT_NONE ||
        !load_slot(o, (enum sl_slot_name)active, &o->out, &fd))
        return true;
    o->out.verb = SL_CONTROL_SERVE;
    const bool sent = sl_control_send(o->child_socket, &o->out, fd) == 0;
    close(fd);
    return sent;
}

void otad_self_test(struct otad *o)
{
    int pair[2];
    kill_child(o);
    if (!load_pending(o)) {
        fail_trial(o, "the slot cannot be read");
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
        otad_say(o, "self-test: %s", strerror(errno));
        return;
    }
    o->child = spawn(o, pair[1]);
    close(pair[1]);
    o->child_socket = pair[0];
    o->components.verb = SL_CONTROL_SELF_TEST;
    if (o->child > 0 && send_serving(o) &&
        sl_control_send(o->child_socket, &o->components, o->trial) == 0) {
        otad_say(o, "self-test begins on '%s'", o->backend);
        return;
    }
    kill_child(o); // ours to mend, not the bundle's fault: the step's deadline ends it
}

void otad_child_ready(struct otad *o)
{
    char how[160];
    int fd = -1;
    const int status = sl_control_receive(o->child_socket, &o->in, &fd, MSG_DONTWAIT);
    if (status == -EAGAIN)
        return;
    if (fd >= 0)
        close(fd);
    const bool answered =
        status == 0 && (o->in.verb == SL_CONTROL_PASSED || o->in.verb == SL_CONTROL_FAILED);
    end_child(o, how, sizeof(how));
    if (!answered) {
        snprintf(o->why, sizeof(o->why), "%s", how);
        otad_say(o, "self-test: %s", how);
        otad_event(o, SL_EVENT_CRASHED);
    } else if (o->in.verb == SL_CONTROL_FAILED) {
        fail_trial(o, o->in.text);
    } else {
        otad_say(o, "self-test passed: %.200s", o->in.text);
        otad_event(o, SL_EVENT_PASSED);
    }
}

// --- the camera daemon --------------------------------------------------------------------------

static void lose_daemon(struct otad *o)
{
    if (o->daemon >= 0)
        close(o->daemon);
    o->daemon = -1;
    o->said[0] = '\0';
    o->idle = o->idle_asked = false;
    o->connect_ms = otad_now_ms() + CONNECT_MS;
}

static bool in_daemon(const struct otad *o)
{
    return o->agent.state.phase == SL_PHASE_SHADOW || o->agent.state.phase == SL_PHASE_PROBATION;
}

static void send_daemon(struct otad *o, const struct sl_control_message *m, int fd)
{
    if (o->daemon >= 0 && sl_control_send(o->daemon, m, fd) < 0)
        lose_daemon(o);
}

static void say_verb(struct otad *o, enum sl_control_verb verb, const char *text)
{
    o->out.version = SL_CONTROL_VERSION;
    o->out.verb = verb;
    o->out.n_components = 0;
    snprintf(o->out.text, sizeof(o->out.text), "%s", text);
    send_daemon(o, &o->out, -1);
}

void otad_try(struct otad *o, enum sl_control_verb verb)
{
    if (o->daemon < 0)
        return; // when it is back
    if (!load_pending(o)) {
        fail_trial(o, "the slot cannot be read");
        return;
    }
    struct sl_control_message *m = &o->components;
    m->verb = verb;
    m->frames = verb == SL_CONTROL_SHADOW ? o->limits.shadow_frames : o->limits.probation_frames;
    otad_say(o,
             verb == SL_CONTROL_SHADOW ? "shadow: %u frames beside the old model"
                                       : "swap: serves on probation for %u frames",
             m->frames);
    send_daemon(o, m, o->trial);
}

void otad_serve_active(struct otad *o)
{
    int fd = -1;
    if (o->daemon < 0 || o->agent.state.active == SL_SLOT_NONE)
        return;
    if (!load_slot(o, (enum sl_slot_name)o->agent.state.active, &o->out, &fd))
        return;
    o->out.verb = SL_CONTROL_SERVE;
    send_daemon(o, &o->out, fd);
    close(fd);
}

void otad_end_trial(struct otad *o, bool committed)
{
    kill_child(o);
    drop_trial(o);
    o->asked = false;
    say_verb(o, committed ? SL_CONTROL_COMMIT : SL_CONTROL_ROLL_BACK, "");
    if (o->agent.state.result == SL_RESULT_REVERTED)
        otad_serve_active(o);
}

void otad_ask_idle(struct otad *o)
{
    o->out.frames = o->settings->idle_s;
    say_verb(o, SL_CONTROL_WAIT_IDLE, "");
}

// A daemon that serves no bundle has just started.
static void note_start(struct otad *o)
{
    static const uint8_t none[SL_CONTROL_ID];
    o->idle = o->idle_asked = false;
    if (!memcmp(o->in.id, none, sizeof(none)) && o->agent.state.phase == SL_PHASE_ARMED)
        o->restarted = true;
}

// It lost what it had when it ended, or never had it: what serves, then the trial.
static void on_hello(struct otad *o)
{
    snprintf(o->backend, sizeof(o->backend), "%s", o->in.text);
    note_start(o);
    if (memcmp(o->in.id, o->agent.state.active_id, SL_CONTROL_ID) != 0)
        otad_serve_active(o);
    if (in_daemon(o))
        otad_try(o, o->agent.state.phase == SL_PHASE_SHADOW ? SL_CONTROL_SHADOW : SL_CONTROL_SWAP);
}

static void on_result(struct otad *o)
{
    const bool passed = o->in.verb == SL_CONTROL_PASSED;
    if (in_daemon(o) && !memcmp(o->in.id, o->agent.state.pending_id, SL_CONTROL_ID)) {
        const bool shadow = o->agent.state.phase == SL_PHASE_SHADOW;
        if (!passed) {
            fail_trial(o, o->in.text);
            return;
        }
        otad_say(o, "%s passed: %.200s", shadow ? "shadow" : "probation", o->in.text);
        otad_event(o, SL_EVENT_PASSED);
    } else if (!passed) {
        otad_say(o, "the camera daemon cannot serve the active bundle: %.200s", o->in.text);
    }
}

int otad_ask(struct otad *o, const char *what)
{
    if (!strcmp(what, "update")) {
        memset(o->withdrawn, 0, sizeof(o->withdrawn));
        o->n_refused = 0;
        o->asked = o->agent.state.phase == SL_PHASE_FETCH || o->agent.state.phase == SL_PHASE_ARMED;
        memcpy(o->asked_id, o->agent.state.pending_id, sizeof(o->asked_id));
        otad_say(o, o->asked ? "an operator asks for the update"
                             : "an operator asks to look for updates again");
        return 0;
    }
    if (strcmp(what, "rollback") != 0)
        return -EINVAL;
    otad_say(o, "an operator asks to go back");
    if (o->agent.state.phase == SL_PHASE_IDLE) {
        const int status = otad_event(o, SL_EVENT_REVERT);
        if (status == 0)
            o->reason[0] = '\0';
        return status;
    }
    memcpy(o->withdrawn, o->agent.state.pending_id, sizeof(o->withdrawn));
    snprintf(o->why, sizeof(o->why), "an operator took it back");
    return otad_event(o, SL_EVENT_WITHDRAW);
}

// Its death while it tried a bundle may be the bundle's fault; its end in order is not.
static void on_gone(struct otad *o)
{
    lose_daemon(o);
    if (!in_daemon(o))
        return;
    snprintf(o->why, sizeof(o->why), "the camera daemon died while it ran the bundle");
    otad_say(o, "%s", o->why);
    otad_event(o, SL_EVENT_CRASHED);
}

void otad_daemon_ready(struct otad *o)
{
    int fd = -1;
    const int status = sl_control_receive(o->daemon, &o->in, &fd, MSG_DONTWAIT);
    if (status == -EAGAIN)
        return;
    if (fd >= 0)
        close(fd);
    if (status < 0) {
        on_gone(o);
        return;
    }
    switch (o->in.verb) {
    case SL_CONTROL_HELLO:
        on_hello(o);
        break;
    case SL_CONTROL_PASSED:
    case SL_CONTROL_FAILED:
        on_result(o);
        break;
    case SL_CONTROL_ASK:
        otad_ask(o, o->in.text);
        break;
    case SL_CONTROL_IDLE:
        o->idle = o->idle_asked;
        break;
    case SL_CONTROL_BYE:
        lose_daemon(o);
        o->agent.deadline_ms = in_daemon(o) ? UINT64_MAX : o->agent.deadline_ms;
        break;
    default:
        lose_daemon(o);
    }
}

void otad_daemon_connect(struct otad *o)
{
    const int64_t now = otad_now_ms();
    if (o->daemon >= 0 || now < o->connect_ms)
        return;
    o->connect_ms = now + CONNECT_MS;
    o->daemon = sl_control_connect(o->settings->control);
}

void otad_tell_daemon(struct otad *o)
{
    char state[SL_CONTROL_TEXT];
    if (o->daemon < 0)
        return;
    otad_status(o, state, sizeof(state));
    if (!strcmp(state, o->said))
        return;
    snprintf(o->said, sizeof(o->said), "%s", state);
    say_verb(o, SL_CONTROL_STATE, state);
}
