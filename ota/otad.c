// sightline-otad: the update agent. Options, the loop, and the service manager.
#include "ota/otad.h"

#include "ota/broker/source.h"
#include "ota/bundle/key_file.h"
#include "ota/bundle/tensor.h"
#include "ota/usb/listen.h"

#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LONGEST_WAIT_MS = 250, FDS = 5 + OTAD_SOURCES * SL_SOURCE_FDS };

static struct otad otad = {
    .trial = -1, .daemon = -1, .child_socket = -1, .listener = -1, .client = -1};

struct poll_set {
    struct pollfd fds[FDS];
    size_t first[OTAD_SOURCES], count[OTAD_SOURCES];
    nfds_t n;
};

// The service manager's protocol: a datagram to a socket (sd_notify(3)).
static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || !*path || strlen(path) >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (address.sun_path[0] == '@')
        address.sun_path[0] = '\0';
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    close(fd);
}

static int block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// Returns how long to wait, in milliseconds.
static int prepare(struct otad *o, int signals, struct poll_set *p)
{
    int64_t due = otad_now_ms() + LONGEST_WAIT_MS;
    const int ours[5] = {signals, o->daemon, o->child_socket, o->listener, o->client};
    for (p->n = 0; p->n < 5; p->n++)
        p->fds[p->n] = (struct pollfd){ours[p->n], POLLIN, 0};
    for (size_t i = 0; i < o->n_sources; i++) {
        int64_t source_due = SL_SOURCE_IDLE;
        p->first[i] = p->n;
        p->count[i] = o->sources[i]->ops->poll(o->sources[i], p->fds + p->n, &source_due);
        p->n += p->count[i];
        due = least(due, source_due);
    }
    const int64_t wait = due - otad_now_ms();
    return wait > 0 ? (int)wait : 0;
}

static void tick(struct otad *o)
{
    otad_daemon_connect(o);
    otad_event(o, SL_EVENT_TICK);
    otad_try_gate(o);
    otad_tell_daemon(o);
}

static void dispatch(struct otad *o, const struct poll_set *p)
{
    if (p->fds[0].revents)
        o->stopping = true;
    if (p->fds[1].revents && o->daemon == p->fds[1].fd)
        otad_daemon_ready(o);
    if (p->fds[2].revents && o->child_socket == p->fds[2].fd)
        otad_child_ready(o);
    if (p->fds[4].revents && o->client == p->fds[4].fd)
        otad_client_ready(o);
    if (p->fds[3].revents)
        otad_client_accept(o);
    for (size_t i = 0; i < o->n_sources; i++)
        o->sources[i]->ops->step(o->sources[i], p->fds + p->first[i], p->count[i], otad_now_ms());
}

static void serve(struct otad *o, int signals)
{
    struct poll_set p;
    while (!o->stopping) {
        const int wait_ms = prepare(o, signals, &p);
        if (poll(p.fds, p.n, wait_ms) < 0 && errno != EINTR)
            return;
        dispatch(o, &p);
        tick(o);
        notify("WATCHDOG=1");
    }
}

static void on_trouble(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "sightline-otad: broker: %s\n", text);
}

static bool open_broker(struct otad *o, const struct sl_source_sink *sink)
{
    const struct sl_config_broker *broker = o->settings->broker;
    g_autoptr(GError) error = NULL;
    if (!broker)
        return true;
    const struct sl_source_broker_options options = {.broker = broker,
                                                     .root = broker->root,
                                                     .camera = o->settings->camera,
                                                     .trouble = on_trouble};
    struct sl_source *source = sl_source_broker_new(&options, sink, &error);
    if (source)
        o->sources[o->n_sources++] = source;
    else
        fprintf(stderr, "sightline-otad: broker: %s\n", error->message);
    return source != NULL;
}

static bool open_sources(struct otad *o, const struct sl_source_sink *sink)
{
    struct sl_volume_error error = {""};
    const int listener = sl_stick_listen(o->settings->stick, &error);
    if (listener < 0) {
        fprintf(stderr, "sightline-otad: %s\n", error.text);
        return false;
    }
    struct sl_source *stick = sl_source_stick_new(listener, sink);
    if (stick)
        o->sources[o->n_sources++] = stick;
    return stick != NULL && open_broker(o, sink);
}

static bool read_tensor(struct otad *o)
{
    const char *text = o->settings->tensor;
    if (!text || sl_tensor_parse(text, &o->tensor))
        return true;
    fprintf(stderr,
            "sightline-otad: tensor: expected TYPE:LAYOUT:DIMS as "
            "float32:nchw:1x2x640x640, found '%s'\n",
            text);
    return false;
}

static bool read_device_key(struct otad *o)
{
    struct sl_bundle_error error;
    const char *path = o->settings->device_key;
    if (!path || sl_key_file_secret(path, o->device, &error) == SL_ACCEPTED)
        return true;
    fprintf(stderr, "sightline-otad: device key '%s': %s\n", path, error.message);
    return false;
}

static void close_all(struct otad *o)
{
    for (size_t i = 0; i < o->n_sources; i++)
        o->sources[i]->ops->free(o->sources[i]);
    if (o->child > 0)
        kill(o->child, SIGKILL);
    if (o->listener >= 0)
        unlink(o->settings->agent);
    sl_audit_close(&o->audit);
    sl_storage_close(&o->storage);
}

static int run(struct otad *o)
{
    enum sl_agent_action action;
    struct sl_source_sink sink = otad_sink_ops;
    const int signals = block_signals();
    sink.context = o;
    if (!read_tensor(o) || !otad_begin(o, &action))
        return 1;
    o->listener = sl_control_listen(o->settings->agent, "sightline-control");
    if (o->listener < 0)
        fprintf(stderr, "sightline-otad: socket '%s': %s\n", o->settings->agent,
                strerror(-o->listener));
    if (o->listener < 0 || !read_device_key(o) || !open_sources(o, &sink)) {
        close_all(o);
        return 1;
    }
    snprintf(o->backend, sizeof(o->backend), "cpu");
    otad_act(o, action);
    notify("READY=1");
    serve(o, signals);
    notify("STOPPING=1");
    close_all(o);
    close(signals);
    return 0;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    const char **path = state->input;
    switch (key) {
    case ARGP_KEY_ARG:
        if (*path)
            argp_error(state, "unexpected argument '%s'", text);
        *path = text;
        return 0;
    case ARGP_KEY_END:
        if (!*path)
            argp_error(state, "name the configuration file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const char doc[] =
        "Brings new models into a camera: fetches signed bundles from sticks, verifies them, "
        "has them tried, and commits or rolls back."
        "\vSIGTERM and SIGINT stop; what was under way goes on at the next start. Exit status: 0 "
        "stopped, 1 failed, 2 usage.";
    const struct argp argp = {NULL, parse, "FILE", doc, NULL, NULL, NULL};
    struct sl_yaml_error error = {""};
    struct sl_settings *settings = NULL;
    const char *path = NULL;
    argp_program_version = "sightline-otad " SIGHTLINE_VERSION;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &path);
    if (sodium_init() < 0 || sl_settings_load(path, &settings, &error) < 0) {
        fprintf(stderr, "sightline-otad: %s\n",
                error.message[0] ? error.message : "libsodium does not start");
        return 1;
    }
    otad.settings = settings;
    const int status = run(&otad);
    sl_settings_free(settings);
    return status;
}
