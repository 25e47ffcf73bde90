// One connection to the broker, on the poll loop of the thread that uses it.
#include "mqtt/connection_inside.h"

#include <errno.h>
#include <glib.h>
#include <mqtt_protocol.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

#define MS                 1000000ll
#define SECOND             1000000000ll
#define CONNACK_TIMEOUT_NS (10 * SECOND)
#define PUBACK_TIMEOUT_NS  (5 * SECOND)
#define STABLE_NS          (5 * SECOND) // up for so long: the next attempt comes soon again
#define BACKOFF_FIRST_MS   200u
#define BACKOFF_MAX_MS     5000u
#define MISC_MS            500 // how often libmosquitto looks at its keep-alive
#define UNHEARD_MAX        3u  // attempts without a word, then the other version of MQTT
#define SHORT_LIVES        3u
#define RIVALS_NS          (60 * SECOND)
#define GOODBYE_NS         (SECOND / 4)

int64_t connection_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

__attribute__((format(printf, 2, 3))) static void lose(struct connection *c, const char *format,
                                                       ...)
{
    if (c->lost && c->reason[0]) {
        return; // the first cause is the one to tell
    }
    c->lost = true;
    va_list args;
    va_start(args, format);
    vsnprintf(c->reason, sizeof(c->reason), format, args);
    va_end(args);
}

void connection_lose_status(struct connection *c, const char *what, int status)
{
    lose(c, "%s: %s", what,
         status == MOSQ_ERR_ERRNO ? strerror(errno) : mosquitto_strerror(status));
}

static void on_connect(struct mosquitto *mosq, void *ctx, int rc, int flags,
                       const mosquitto_property *properties)
{
    (void)mosq;
    (void)flags;
    (void)properties;
    struct connection *c = ctx;
    c->unheard = 0;
    if (rc == (c->v311 ? CONNACK_REFUSED_PROTOCOL_VERSION : MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION)) {
        lose(c, "%s:%u: the broker does not take MQTT %s", c->broker->host, c->broker->port,
             c->v311 ? "3.1.1" : "5");
        c->v311 = !c->v311;
        return;
    }
    if (rc) {
        lose(c, "%s:%u: the broker refuses the connection: %s (0x%02X)", c->broker->host,
             c->broker->port, c->v311 ? mosquitto_connack_string(rc) : mosquitto_reason_string(rc),
             (unsigned)rc);
        return;
    }
    c->up = true;
    c->up_ns = connection_now_ns();
    c->events->up(c->ctx);
}

static void on_disconnect(struct mosquitto *mosq, void *ctx, int rc,
                          const mosquitto_property *properties)
{
    (void)mosq;
    (void)properties;
    struct connection *c = ctx;
    if (rc == MQTT_RC_SESSION_TAKEN_OVER) {
        c->rivals_ns = connection_now_ns();
    }
    if (rc >= 0x80) {
        lose(c, "%s:%u: the broker ends the connection: %s (0x%02X)", c->broker->host,
             c->broker->port, mosquitto_reason_string(rc), (unsigned)rc);
    }
}

static void on_publish(struct mosquitto *mosq, void *ctx, int mid, int reason,
                       const mosquitto_property *properties)
{
    (void)mosq;
    (void)properties;
    struct connection *c = ctx;
    for (uint32_t i = 0; i < c->n_pending; i++) {
        if (c->pending[i].mid != mid) {
            continue;
        }
        uint64_t token = c->pending[i].token;
        uint32_t item = c->pending[i].item;
        c->n_pending--;
        memmove(&c->pending[i], &c->pending[i + 1], (c->n_pending - i) * sizeof(c->pending[0]));
        if (reason >= 0x80) {
            char error[160];
            snprintf(error, sizeof(error), "the broker refuses a message: %s (0x%02X)",
                     mosquitto_reason_string(reason), (unsigned)reason);
            c->events->failed(c->ctx, error);
        }
        if (token) {
            c->events->settled(c->ctx, token, item, reason >= 0x80);
        }
        return;
    }
}

static void on_message(struct mosquitto *mosq, void *ctx, const struct mosquitto_message *message,
                       const mosquitto_property *properties)
{
    (void)mosq;
    struct connection *c = ctx;
    c->events->message(c->ctx, message, properties);
}

// A camera whose commands the broker does not deliver must not look as if it could be commanded.
static void on_subscribe(struct mosquitto *mosq, void *ctx, int mid, int n, const int *granted,
                         const mosquitto_property *properties)
{
    (void)mosq;
    (void)mid;
    (void)properties;
    struct connection *c = ctx;
    for (int i = 0; i < n; i++) {
        if (granted[i] >= 0x80) {
            char error[160];
            snprintf(error, sizeof(error), "the broker refuses a subscription: %s (0x%02X)",
                     mosquitto_reason_string(granted[i]), (unsigned)granted[i]);
            c->events->failed(c->ctx, error);
            if (c->events->denied) {
                c->events->denied(c->ctx, error);
            }
        }
    }
}

static void set_callbacks(struct mosquitto *m)
{
    mosquitto_connect_v5_callback_set(m, on_connect);
    mosquitto_disconnect_v5_callback_set(m, on_disconnect);
    mosquitto_publish_v5_callback_set(m, on_publish);
    mosquitto_message_v5_callback_set(m, on_message);
    mosquitto_subscribe_v5_callback_set(m, on_subscribe);
}

static void attempt(struct connection *c)
{
    c->attempt_ns = connection_now_ns();
    if (c->events->connecting) {
        c->events->connecting(c->ctx);
    }
    c->greeted = c->closed = false;
    c->mosq = mosquitto_new(c->client_id, c->v311 || !c->session_s, c);
    if (!c->mosq) {
        connection_lose_status(c, "MQTT client", MOSQ_ERR_ERRNO);
        return;
    }
    char where[300];
    snprintf(where, sizeof(where), "%s:%u", c->broker->host, c->broker->port);
    set_callbacks(c->mosq);
    int status = connection_configure(c);
    if (!status) {
        status = mosquitto_connect_bind_async(c->mosq, c->broker->host, c->broker->port,
                                              (int)c->broker->keepalive_s, NULL);
    }
    if (status > 0) {
        connection_lose_status(c, where, status);
    }
}

static void forget(struct connection *c)
{
    mosquitto_destroy(c->mosq);
    c->mosq = NULL;
    c->n_pending = 0;
    c->lost = false;
    bool was_up = c->up;
    c->v311 = c->v311 && !was_up; // the broker may be another one next time
    c->up = false;
    if (was_up) {
        c->events->down(c->ctx);
    }
}

// Brokers that do not say "session taken over" just close, at once, again and again.
static void note_short_life(struct connection *c, int64_t now)
{
    if (c->up || !c->closed) { // it was refused: the broker was away
        c->short_lives = c->up && c->closed && now - c->up_ns < STABLE_NS ? c->short_lives + 1 : 0;
    }
    if (c->short_lives >= SHORT_LIVES) {
        c->rivals_ns = now;
    }
}

// Half of the back-off is left to chance: the cameras of a hall do not all come back at once.
static void give_up(struct connection *c)
{
    int64_t now = connection_now_ns();
    bool stable = c->up && now - c->up_ns >= STABLE_NS;
    note_short_life(c, now);
    c->backoff_ms =
        stable || !c->backoff_ms ? BACKOFF_FIRST_MS : MIN(c->backoff_ms * 2, BACKOFF_MAX_MS);
    if (c->rivals_ns && now - c->rivals_ns < SECOND) {
        c->backoff_ms = BACKOFF_MAX_MS; // two clients that throw each other out serve nobody
    }
    if (!c->up && c->unheard >= UNHEARD_MAX) {
        c->v311 = !c->v311;
        c->unheard = 0;
    }
    uint32_t half = c->backoff_ms / 2;
    c->next_attempt_ns = now + MS * (half + (uint32_t)g_random_int_range(0, (gint32)half + 1));
    c->events->failed(c->ctx, c->reason);
    forget(c);
    c->reason[0] = '\0';
}

static void check_clocks(struct connection *c)
{
    int64_t now = connection_now_ns();
    if (!c->up && now - c->attempt_ns > CONNACK_TIMEOUT_NS) {
        lose(c, "%s:%u: no answer for 10 s", c->broker->host, c->broker->port);
    }
    if (c->up && c->n_pending && now - c->pending[0].sent_ns > PUBACK_TIMEOUT_NS) {
        lose(c, "%s:%u: no acknowledgement for 5 s", c->broker->host, c->broker->port);
    }
}

static void serve(struct connection *c, short events)
{
    int status = MOSQ_ERR_SUCCESS;
    if (events & (POLLERR | POLLHUP) && !c->up) {
        int code = 0;
        socklen_t size = sizeof(code);
        if (getsockopt(mosquitto_socket(c->mosq), SOL_SOCKET, SO_ERROR, &code, &size) == 0 &&
            code) {
            lose(c, "%s:%u: %s", c->broker->host, c->broker->port, strerror(code));
            return;
        }
    }
    c->greeted = c->greeted || events;
    if (events & (POLLIN | POLLERR | POLLHUP)) {
        status = mosquitto_loop_read(c->mosq, 1);
    }
    if (!status && events & POLLOUT) {
        status = mosquitto_loop_write(c->mosq, 1);
    }
    if (!status) {
        status = mosquitto_loop_misc(c->mosq);
    }
    if (status) {
        char where[300];
        snprintf(where, sizeof(where), "%s:%u", c->broker->host, c->broker->port);
        c->closed = status == MOSQ_ERR_CONN_LOST && !c->lost;
        c->unheard += c->closed && !c->up;
        connection_lose_status(c, where, status);
    }
}

static int wait_ms(const struct connection *c, int timeout_ms)
{
    if (c->mosq) {
        return MIN(timeout_ms, MISC_MS);
    }
    int64_t left = (c->next_attempt_ns - connection_now_ns()) / MS + 1;
    return (int)CLAMP(left, 0, timeout_ms);
}

struct pollfd connection_prepare(struct connection *c, int *timeout_ms)
{
    if (!c->mosq && connection_now_ns() >= c->next_attempt_ns) {
        attempt(c);
    }
    struct pollfd fd = {.fd = -1, .events = POLLIN};
    *timeout_ms = c->lost ? 0 : wait_ms(c, *timeout_ms);
    if (c->mosq && !c->lost) {
        fd.fd = mosquitto_socket(c->mosq);
        fd.events = (short)(POLLIN | (mosquitto_want_write(c->mosq) ? POLLOUT : 0));
    }
    return fd;
}

void connection_dispatch(struct connection *c, short revents)
{
    if (c->mosq && !c->lost) {
        serve(c, revents);
        check_clocks(c);
    }
    if (c->lost) {
        give_up(c);
    }
}

void connection_step(struct connection *c, int wake_fd, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = wake_fd, .events = POLLIN}, connection_prepare(c, &timeout_ms)};
    if (poll(fds, 2, timeout_ms) < 0) {
        fds[0].revents = fds[1].revents = 0; // a signal
    }
    eventfd_t count;
    if (fds[0].revents) {
        eventfd_read(wake_fd, &count);
    }
    connection_dispatch(c, fds[1].revents);
}

bool connection_has_room(const struct connection *c)
{
    return c->up && !c->lost && c->n_pending < CONNECTION_WINDOW;
}

bool connection_is_idle(const struct connection *c)
{
    return c->up && !c->lost && !mosquitto_want_write(c->mosq);
}

const char *connection_remark(const struct connection *c)
{
    if (c->rivals_ns && connection_now_ns() - c->rivals_ns < RIVALS_NS) {
        return c->short_lives < SHORT_LIVES
                   ? "another client connects under the same client_id"
                   : "the broker ends every connection at once, as if another client connected "
                     "under the same client_id";
    }
    return c->up && c->v311
               ? "the broker takes only MQTT 3.1.1, which does not tell what it refuses"
               : NULL;
}

void connection_close(struct connection *c, bool clean)
{
    if (!c->mosq) {
        return;
    }
    if (clean && c->up && !c->lost &&
        mosquitto_disconnect_v5(c->mosq, c->v311 ? 0 : c->goodbye, NULL) == 0) {
        int64_t end = connection_now_ns() + GOODBYE_NS;
        while (mosquitto_socket(c->mosq) >= 0 && mosquitto_want_write(c->mosq) &&
               connection_now_ns() < end) {
            struct pollfd fd = {.fd = mosquitto_socket(c->mosq), .events = POLLOUT};
            poll(&fd, 1, 50);
            if (mosquitto_loop_write(c->mosq, 1)) {
                break;
            }
        }
    }
    forget(c);
}
