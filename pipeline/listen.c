// One MQTT connection for a command that listens.
#include "pipeline/listen.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { KEY_USERNAME = 512, KEY_PASSWORD, KEY_CA, KEY_ROOT, KEY_CAMERA, KEY_TIMEOUT };

static const struct argp_option rows[] = {
    {"host", 'h', "NAME", 0, "Broker (default 127.0.0.1)", 10},
    {"port", 'p', "N", 0, "Port (default 1883)", 10},
    {"username", KEY_USERNAME, "NAME", 0, "User", 10},
    {"password-file", KEY_PASSWORD, "FILE", 0, "File with the password on one line", 10},
    {"ca-file", KEY_CA, "FILE", 0, "Certificate authority; turns TLS on", 10},
    {"root", KEY_ROOT, "LEVELS", 0, "First levels of the topics (default sightline)", 10},
    {"camera", KEY_CAMERA, "NAME", 0, "Only this camera", 10},
    {"timeout", KEY_TIMEOUT, "SECONDS", 0, "Give up after so long", 10},
    {0},
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    struct listen_options *o = state->input;
    char *end = NULL;
    switch (key) {
    case 'h':
        o->host = text;
        return 0;
    case 'p':
        o->port = (int)strtol(text, &end, 10);
        if (*end || o->port < 1 || o->port > 65535)
            argp_error(state, "--port: expected 1 to 65535, found '%s'", text);
        return 0;
    case KEY_USERNAME:
        o->username = text;
        return 0;
    case KEY_PASSWORD:
        o->password_file = text;
        return 0;
    case KEY_CA:
        o->ca_file = text;
        return 0;
    case KEY_ROOT:
        o->root = text;
        return 0;
    case KEY_CAMERA:
        o->camera = text;
        return 0;
    case KEY_TIMEOUT:
        o->timeout_s = strtod(text, &end);
        if (end == text || *end || !(o->timeout_s > 0 && o->timeout_s < 1e9))
            argp_error(state, "--timeout: expected seconds, found '%s'", text);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp listen_argp = {rows, parse, NULL, NULL, NULL, NULL, NULL};

struct listener {
    const struct listen_options *options;
    const char *const *leaves;
    listen_message message;
    void *ctx;
    bool stop;
    char problem[160];
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void on_connect(struct mosquitto *client, void *data, int reason, int flags,
                       const mosquitto_property *properties)
{
    struct listener *l = data;
    char topic[512];
    (void)flags;
    (void)properties;
    if (reason) {
        snprintf(l->problem, sizeof(l->problem), "%s", mosquitto_reason_string(reason));
        l->stop = true;
        return;
    }
    for (int i = 0; l->leaves[i]; i++) {
        snprintf(topic, sizeof(topic), "%s/%s/%s", l->options->root, l->options->camera,
                 l->leaves[i]);
        mosquitto_subscribe(client, NULL, topic, 1);
    }
}

// ROOT/CAMERA/LEAF taken apart; the topic is the library's and ends with a NUL.
static void on_message(struct mosquitto *client, void *data, const struct mosquitto_message *m,
                       const mosquitto_property *properties)
{
    struct listener *l = data;
    const size_t root = strlen(l->options->root);
    char camera[128];
    (void)client;
    (void)properties;
    if (strlen(m->topic) < root + 2 || m->payloadlen < 0 || m->payloadlen > (1 << 20))
        return;
    const char *name = m->topic + root + 1, *slash = strchr(name, '/');
    if (!slash || (size_t)(slash - name) >= sizeof(camera))
        return;
    snprintf(camera, sizeof(camera), "%.*s", (int)(slash - name), name);
    char *payload = strndup(m->payload ? m->payload : "", (size_t)m->payloadlen);
    if (payload && !l->stop)
        l->stop = !l->message(l->ctx, camera, slash + 1, payload, strlen(payload), m->retain);
    free(payload);
}

static int set_password(struct mosquitto *client, const struct listen_options *o)
{
    char password[256] = "";
    FILE *file = o->password_file ? fopen(o->password_file, "r") : NULL;
    if (o->password_file && (!file || !fgets(password, sizeof(password), file))) {
        if (file)
            fclose(file);
        return -1;
    }
    if (file)
        fclose(file);
    password[strcspn(password, "\r\n")] = '\0';
    return o->username ? mosquitto_username_pw_set(client, o->username, password) : 0;
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void nap(void)
{
    const struct timespec half = {0, 500000000};
    nanosleep(&half, NULL);
}

static enum listen_result loop(struct mosquitto *client, struct listener *l, void (*idle)(void *))
{
    const double end = l->options->timeout_s > 0 ? now_s() + l->options->timeout_s : 0;
    while (!l->stop && !interrupted) {
        const int status = mosquitto_loop(client, 100, 1);
        if (status != MOSQ_ERR_SUCCESS && l->options->reconnect && !l->stop) {
            nap();
            mosquitto_reconnect(client);
        } else if (status != MOSQ_ERR_SUCCESS && !l->stop && !interrupted) {
            snprintf(l->problem, sizeof(l->problem), "%s", mosquitto_strerror(status));
            return LISTEN_FAILED;
        }
        if (idle)
            idle(l->ctx);
        if (end > 0 && now_s() >= end)
            return LISTEN_TIMEOUT;
    }
    return l->problem[0] ? LISTEN_FAILED : LISTEN_STOPPED;
}

enum listen_result listen_run(const struct listen_options *o, const char *verb,
                              const char *const *leaves, listen_message message,
                              void (*idle)(void *ctx), void *ctx)
{
    struct listener l = {.options = o, .leaves = leaves, .message = message, .ctx = ctx};
    enum listen_result result = LISTEN_FAILED;
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(NULL, true, &l);
    if (!client)
        return LISTEN_FAILED;
    watch_signals();
    mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_connect_v5_callback_set(client, on_connect);
    mosquitto_message_v5_callback_set(client, on_message);
    int status = set_password(client, o);
    if (status)
        snprintf(l.problem, sizeof(l.problem), "password file '%s' cannot be read",
                 o->password_file ? o->password_file : "");
    if (status == 0 && o->ca_file)
        status = mosquitto_tls_set(client, o->ca_file, NULL, NULL, NULL, NULL);
    if (status == 0 && o->ca_file)
        status = mosquitto_tls_opts_set(client, 1, "tlsv1.2", NULL);
    if (status == 0)
        status = mosquitto_connect(client, o->host, o->port, 20);
    if (status == 0)
        result = loop(client, &l, idle);
    else if (!l.problem[0])
        snprintf(l.problem, sizeof(l.problem), "%s", mosquitto_strerror(status));
    if (result == LISTEN_FAILED)
        fprintf(stderr, "sightline %s: broker %s:%d: %s\n", verb, o->host, o->port, l.problem);
    mosquitto_disconnect(client);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return result;
}

// Length of the UTF-8 character at `s`, 0 if there is none (RFC 3629).
static size_t character(const unsigned char *s)
{
    const size_t length = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] > 0xf4 || (s[0] >= 0x80 && s[0] < 0xc2))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    // Overlong forms, surrogates, and what is beyond U+10FFFF.
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return length;
}

void listen_clean(const char *text, char *out, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t used = 0;
    while (*s && used + 1 < size) {
        const size_t length = character(s);
        // C1 controls are two bytes in UTF-8: c2 80 to c2 9f.
        const bool control = *s < 0x20 || *s == 0x7f || (*s == 0xc2 && s[1] < 0xa0);
        if (length == 0 || control) {
            out[used++] = '?';
            s += length ? length : 1;
            continue;
        }
        if (used + length >= size)
            break;
        memcpy(out + used, s, length);
        used += length;
        s += length;
    }
    out[used] = '\0';
}

void listen_print_json(const char *json)
{
    for (const unsigned char *s = (const unsigned char *)json; *s;) {
        const size_t length = character(s);
        if (length == 0)
            fputs("\xef\xbf\xbd", stdout);
        else if (*s == 0x7f || (*s == 0xc2 && s[1] < 0xa0))
            printf("\\u00%02x", s[length - 1]);
        else if (*s < 0x20)
            putchar(' ');
        else
            fwrite(s, 1, length, stdout);
        s += length ? length : 1;
    }
    putchar('\n');
}
