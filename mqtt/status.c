// The topic `status` of every camera, and the connections that have a will for it.
#include "mqtt/status.h"

#include "mqtt/courier.h"

#include <string.h>
#include <sys/eventfd.h>

#define WILL_DELAY_S 3u
#define STEP_MS      1000

static void on_up(void *ctx)
{
    struct status *s = ctx;
    s->due = true;
}

static void on_down(void *ctx)
{
    (void)ctx;
}

static void on_settled(void *ctx, uint64_t token, uint32_t item, bool refused)
{
    (void)ctx;
    (void)token;
    (void)item;
    (void)refused;
}

static void on_message(void *ctx, const struct mosquitto_message *message,
                       const mosquitto_property *properties)
{
    (void)ctx;
    (void)message;
    (void)properties;
}

static void on_failed(void *ctx, const char *error)
{
    const struct status *s = ctx;
    courier_events.failed(s->publisher, error);
}

static const struct connection_events events = {
    .up = on_up,
    .down = on_down,
    .settled = on_settled,
    .message = on_message,
    .failed = on_failed,
};

void status_make(struct sl_publisher *p)
{
    p->statuses = g_new0(struct status, p->n_cameras);
    p->fds = g_new0(struct pollfd, p->n_cameras + 1);
    for (size_t i = 0; i < p->n_cameras; i++) {
        struct status *s = &p->statuses[i];
        s->publisher = p;
        s->topic = g_strdup_printf("%s/%s/status", p->broker.root, p->cameras[i].name);
        s->via = &p->connection;
        if (i > 0) {
            s->client_id = g_strdup_printf("%s.%s", p->client_id, p->cameras[i].name);
            s->own = p->connection;
            s->own.client_id = s->client_id;
            s->own.events = &events;
            s->own.ctx = s;
            s->via = &s->own;
        }
        s->via->will = (struct connection_will){s->topic, "offline", 7, true, WILL_DELAY_S};
    }
}

void status_clear(struct sl_publisher *p)
{
    for (size_t i = 0; p->statuses && i < p->n_cameras; i++) {
        g_free(p->statuses[i].topic);
        g_free(p->statuses[i].client_id);
    }
    g_clear_pointer(&p->statuses, g_free);
    g_clear_pointer(&p->fds, g_free);
}

void status_connected(struct sl_publisher *p)
{
    p->statuses[0].due = true;
}

void status_send(struct sl_publisher *p)
{
    const char *text = p->leaving ? "offline" : "online";
    for (size_t i = 0; i < p->n_cameras; i++) {
        struct status *s = &p->statuses[i];
        const struct connection_message message = {
            .topic = s->topic,
            .payload = text,
            .size = strlen(text),
            .qos = 1,
            .retain = true,
        };
        if (s->due && connection_publish(s->via, &message) != -EAGAIN) {
            s->due = false;
        }
    }
}

static int read_wake(const struct sl_publisher *p)
{
    eventfd_t count;
    return p->fds[0].revents ? eventfd_read(p->wake_fd, &count) : 0;
}

void status_step(struct sl_publisher *p, int timeout_ms)
{
    const size_t n = p->n_cameras;
    p->fds[0] = (struct pollfd){.fd = p->wake_fd, .events = POLLIN};
    for (size_t i = 0; i < n; i++) {
        struct connection *c = p->statuses[i].via;
        if (i > 0 && !p->connection.up) {
            connection_close(c, false);
            p->fds[i + 1] = (struct pollfd){.fd = -1};
        } else {
            p->fds[i + 1] = connection_prepare(c, &timeout_ms);
        }
    }
    if (poll(p->fds, n + 1, timeout_ms) < 0) {
        for (size_t i = 0; i <= n; i++) {
            p->fds[i].revents = 0; // a signal
        }
    }
    read_wake(p);
    for (size_t i = 0; i < n; i++) {
        connection_dispatch(p->statuses[i].via, p->fds[i + 1].revents);
    }
}

static bool is_said(const struct status *s)
{
    return !s->via->up || (!s->due && s->via->n_pending == 0);
}

static bool all_said(const struct sl_publisher *p)
{
    for (size_t i = 0; i < p->n_cameras; i++) {
        if (!is_said(&p->statuses[i])) {
            return false;
        }
    }
    return true;
}

void status_leave(struct sl_publisher *p, int64_t stop_ns)
{
    p->leaving = true;
    for (size_t i = 0; i < p->n_cameras; i++) {
        p->statuses[i].due = true;
    }
    for (int64_t now; p->connection.up && (now = connection_now_ns()) < stop_ns;) {
        status_send(p);
        if (all_said(p)) {
            break;
        }
        status_step(p, (int)MIN((stop_ns - now) / 1000000 + 1, STEP_MS));
    }
    for (size_t i = p->n_cameras; i-- > 0;) {
        connection_close(p->statuses[i].via, is_said(&p->statuses[i]));
    }
}
