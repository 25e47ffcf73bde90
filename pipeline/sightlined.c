// sightlined: the camera daemon. Options, signals, and the service manager.
#include "pipeline/daemon.h"
#include "pipeline/elements.h"

#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TICK_MS = 100, REPORT_MS = 500, KEY_PARTS = 256, KEY_SUMMARY, KEY_CONTROL, KEY_GROUP };

struct options {
    const char *config, *summary, *control, *group;
    guint64 parts;
};

static const struct argp_option rows[] = {
    {"parts", KEY_PARTS, "N", 0, "Stop after N parts", 0},
    {"summary", KEY_SUMMARY, "FILE", 0, "At the end, write a summary as JSON to FILE", 0},
    {"control", KEY_CONTROL, "PATH", 0, "Let the update agent connect at the socket PATH", 0},
    {"control-group", KEY_GROUP, "GROUP", 0, "Whose members may (default: this user alone)", 0},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct options *o = state->input;
    char *end = NULL;
    switch (key) {
    case KEY_PARTS:
        errno = 0;
        o->parts = strtoull(text, &end, 10);
        if (*end || errno || o->parts == 0 || text[0] == '-')
            argp_error(state, "--parts: expected a number above 0, found '%s'", text);
        return 0;
    case KEY_CONTROL:
        o->control = text;
        return 0;
    case KEY_GROUP:
        o->group = text;
        return 0;
    case KEY_SUMMARY:
        o->summary = text;
        return 0;
    case ARGP_KEY_ARG:
        if (o->config)
            argp_error(state, "unexpected argument '%s'", text);
        o->config = text;
        return 0;
    case ARGP_KEY_END:
        if (!o->config)
            argp_error(state, "name the configuration file");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

// The service manager's protocol: datagrams to a socket (sd_notify(3)).
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

static GLogWriterOutput log_line(GLogLevelFlags level, const GLogField *fields, gsize count,
                                 gpointer data)
{
    (void)data;
    if (level & (G_LOG_LEVEL_DEBUG | G_LOG_LEVEL_INFO))
        return G_LOG_WRITER_HANDLED;
    for (gsize i = 0; i < count; i++)
        if (!strcmp(fields[i].key, "MESSAGE"))
            fprintf(stderr, "sightlined: %s\n", (const char *)fields[i].value);
    return G_LOG_WRITER_HANDLED;
}

// TRUE when it is time to stop.
static gboolean handle_signal(int fd, struct sl_daemon *daemon)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof(info)) != sizeof(info))
        return FALSE;
    if (info.ssi_signo != SIGHUP)
        return TRUE;
    sl_daemon_reload(daemon);
    return FALSE;
}

static void serve(struct sl_daemon *daemon, int signals)
{
    gint64 reported = 0;
    while (!sl_daemon_finished(daemon)) {
        struct pollfd poll_fd = {signals, POLLIN, 0};
        if (poll(&poll_fd, 1, TICK_MS) > 0 && handle_signal(signals, daemon))
            return;
        sl_daemon_serve(daemon);
        const gint64 now = g_get_monotonic_time();
        if (now - reported < REPORT_MS * 1000)
            continue;
        reported = now;
        sl_daemon_tick(daemon);
        notify("WATCHDOG=1");
    }
    sl_daemon_tick(daemon);
}

static gboolean write_summary(const char *path, const struct sl_summary *summary)
{
    g_autofree gchar *json = sl_summary_json(summary);
    g_autofree gchar *line = g_strconcat(json, "\n", NULL);
    g_autoptr(GError) error = NULL;
    if (g_file_set_contents(path, line, -1, &error))
        return TRUE;
    g_warning("summary: %s", error->message);
    return FALSE;
}

// A thread that a library started before may not block them: it passes on what reaches it.
static pthread_t main_thread;

static void pass_on(int number)
{
    pthread_kill(main_thread, number);
}

static int block_signals(void)
{
    static const int ours[] = {SIGHUP, SIGINT, SIGTERM};
    const struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < G_N_ELEMENTS(ours); i++)
        sigaddset(&set, ours[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    main_thread = pthread_self();
    for (size_t i = 0; i < G_N_ELEMENTS(ours); i++)
        sigaction(ours[i], &action, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
    static const char doc[] =
        "Inspects parts with the cameras of a configuration file and publishes verdicts."
        "\vSIGHUP reads the file again, SIGTERM and SIGINT stop. Exit status: 0 stopped or "
        "finished, "
        "1 failed, 2 usage.";
    const struct argp argp = {rows, parse, "FILE", doc, NULL, NULL, NULL};
    struct options o = {0};
    g_autoptr(GError) error = NULL;
    argp_program_version = "sightlined " SIGHTLINE_VERSION;
    argp_err_exit_status = 2;
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    g_log_set_writer_func(log_line, NULL, NULL);
    const int signals = block_signals();
    gst_init(NULL, NULL);
    sightline_elements_register(NULL);
    struct sl_daemon *daemon = sl_daemon_new(o.config, &error);
    if (!daemon) {
        g_warning("%s", error->message);
        return 1;
    }
    if (o.control && !sl_daemon_listen(daemon, o.control, o.group, &error)) {
        g_warning("%s", error->message);
        sl_daemon_free(daemon);
        return 1;
    }
    sl_daemon_limit(daemon, o.parts);
    notify("READY=1");
    serve(daemon, signals);
    notify("STOPPING=1");
    g_autofree struct sl_summary *summary = g_new0(struct sl_summary, 1);
    sl_daemon_summary(daemon, summary);
    sl_daemon_free(daemon);
    g_autofree gchar *text = sl_summary_text(summary);
    fputs(text, stdout);
    const gboolean written = !o.summary || write_summary(o.summary, summary);
    close(signals);
    return written ? 0 : 1;
}
