// The network thread: what is published next, and what its answer means.
#include "mqtt/courier.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define DAY_S      86400u
#define HOUR_S     3600u
#define STEP_MS    1000
#define HISTORY_MS 10

static void on_up(void *ctx)
{
    struct sl_publisher *p = ctx;
    status_connected(p);
    replies_forget(p);
    p->discovered = 0;
    if (p->birth) {
        connection_subscribe(&p->connection, p->birth);
    }
    pthread_mutex_lock(&p->lock);
    p->stats.reconnects += p->connected_before;
    p->connected_before = true;
    p->stats.connected = true;
    p->stats.commands_problem[0] = '\0';
    for (size_t i = 0; i < p->n_cameras; i++) {
        struct courier_camera *camera = &p->cameras[i];
        for (size_t s = 0; s < COURIER_STATES; s++) {
            camera->due[s] = camera->payload[s] != NULL;
        }
        camera->newest = 0;
    }
    pictures_connected(p);
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->n_cameras; i++) {
        char filter[COURIER_TOPIC];
        snprintf(filter, sizeof(filter), "%s+", p->cameras[i].commands);
        connection_subscribe(&p->connection, filter);
    }
    feed_restart(&p->feed);
}

static void on_down(void *ctx)
{
    struct sl_publisher *p = ctx;
    pthread_mutex_lock(&p->lock);
    p->stats.connected = false;
    pthread_mutex_unlock(&p->lock);
    feed_restart(&p->feed);
}

static void on_failed(void *ctx, const char *error)
{
    struct sl_publisher *p = ctx;
    pthread_mutex_lock(&p->lock);
    snprintf(p->stats.last_error, sizeof(p->stats.last_error), "%s", error);
    pthread_mutex_unlock(&p->lock);
}

// The token of a record is its number; a status has none.
static void on_settled(void *ctx, uint64_t token, uint32_t item, bool refused)
{
    struct sl_publisher *p = ctx;
    feed_settled(&p->feed, (int64_t)token, item, refused);
}

static void note_remark(struct sl_publisher *p)
{
    const char *remark = connection_remark(&p->connection);
    pthread_mutex_lock(&p->lock);
    g_strlcpy(p->stats.connection_problem, remark ? remark : "",
              sizeof(p->stats.connection_problem));
    pthread_mutex_unlock(&p->lock);
}

static void on_denied(void *ctx, const char *error)
{
    struct sl_publisher *p = ctx;
    pthread_mutex_lock(&p->lock);
    g_strlcpy(p->stats.commands_problem, error, sizeof(p->stats.commands_problem));
    pthread_mutex_unlock(&p->lock);
}

static bool is_birth(const struct sl_publisher *p, const struct mosquitto_message *message)
{
    return p->birth && strcmp(message->topic, p->birth) == 0 && message->payloadlen == 6 &&
           memcmp(message->payload, "online", 6) == 0;
}

static void on_message(void *ctx, const struct mosquitto_message *message,
                       const mosquitto_property *properties)
{
    struct sl_publisher *p = ctx;
    if (is_birth(p, message)) {
        p->discovered = 0;
        return;
    }
    replies_command(p, message, properties);
}

const struct connection_events courier_events = {
    .up = on_up,
    .down = on_down,
    .settled = on_settled,
    .message = on_message,
    .failed = on_failed,
    .denied = on_denied,
};

// Retained, and nevertheless said again at each birth: Home Assistant may have forgotten.
static bool send_discovery(struct sl_publisher *p)
{
    for (; p->discovered < p->n_discovery; p->discovered++) {
        const struct homeassistant_message *entity = &p->discovery[p->discovered];
        const struct connection_message message = {
            .topic = entity->topic,
            .payload = entity->payload,
            .size = strlen(entity->payload),
            .qos = 1,
            .retain = true,
            .content_type = COURIER_JSON,
        };
        if (connection_publish(&p->connection, &message) == -EAGAIN) {
            return false;
        }
    }
    return true;
}

static GRefString *take_state(struct sl_publisher *p, struct courier_camera *camera, size_t s)
{
    GRefString *payload = NULL;
    pthread_mutex_lock(&p->lock);
    if (camera->due[s]) {
        payload = g_ref_string_acquire(camera->payload[s]);
        camera->due[s] = false;
    }
    pthread_mutex_unlock(&p->lock);
    return payload;
}

static void put_state_back(struct sl_publisher *p, struct courier_camera *camera, size_t s)
{
    pthread_mutex_lock(&p->lock);
    camera->due[s] = true;
    pthread_mutex_unlock(&p->lock);
}

static bool send_state(struct sl_publisher *p, struct courier_camera *camera, size_t s)
{
    GRefString *payload = take_state(p, camera, s);
    if (!payload) {
        return true;
    }
    bool metrics = s + 1 == SL_STATE_METRICS;
    const struct connection_message message = {
        .topic = camera->state[s],
        .payload = payload,
        .size = g_ref_string_length(payload),
        .qos = metrics ? 0 : 1,
        .retain = true,
        .content_type = COURIER_JSON,
        .expiry_s = metrics ? p->metrics_expiry_s : 0,
    };
    int status = connection_publish(&p->connection, &message);
    g_ref_string_release(payload);
    if (status == -EAGAIN) {
        put_state_back(p, camera, s);
    } else if (status) {
        on_failed(p, "a state message is larger than the broker takes");
    }
    return status != -EAGAIN;
}

static struct courier_camera *camera_of(struct sl_publisher *p, const char *name)
{
    for (size_t i = 0; i < p->n_cameras; i++) {
        if (strcmp(p->cameras[i].name, name) == 0) {
            return &p->cameras[i];
        }
    }
    return NULL; // the configuration has it no more
}

static const char *topic_of(const struct courier_camera *camera, const struct feed_item *item)
{
    return item->row->kind == STORE_GAP     ? camera->gap
           : item->row->kind == STORE_ALARM ? camera->alarm
           : item->item                     ? camera->defect
                                            : camera->verdict;
}

static int send_item(struct sl_publisher *p, const struct feed_item *item)
{
    const struct courier_camera *camera = camera_of(p, item->row->camera);
    const char *body = item->item ? item->defect : item->row->body;
    if (!camera || !body) {
        return -EMSGSIZE;
    }
    const struct connection_message message = {
        .topic = topic_of(camera, item),
        .payload = body,
        .size = strlen(body),
        .qos = 1,
        .expiry_s = DAY_S,
        .content_type = COURIER_JSON,
        .history = item->history,
        .token = (uint64_t)item->row->id,
        .item = item->item,
    };
    return connection_publish(&p->connection, &message);
}

// Sends one item; false if there is none or no room.
static bool send_next(struct sl_publisher *p)
{
    struct feed_item item;
    if (!connection_has_room(&p->connection) || !feed_next(&p->feed, &item)) {
        return false;
    }
    const int64_t id = item.row->id;
    const int status = send_item(p, &item);
    cJSON_free(item.defect);
    if (status == -EAGAIN) {
        return false;
    }
    feed_sent(&p->feed);
    if (status) {
        on_failed(p, "a verdict is larger than the broker takes, or of a camera that is gone");
        feed_settled(&p->feed, id, item.item, true);
    } else if (item.item == 0) {
        atomic_store(&p->last_sent_ns, connection_now_ns());
    }
    return true;
}

static void send_newest(struct sl_publisher *p, size_t index)
{
    struct courier_camera *camera = &p->cameras[index];
    const int64_t newest = sl_ledger_newest(p->ledger, index);
    struct store_row row;
    if (newest == 0 || newest == camera->newest || feed_one(&p->feed, newest, &row)) {
        return;
    }
    const struct connection_message message = {
        .topic = camera->last,
        .payload = row.body,
        .size = strlen(row.body),
        .retain = true,
        .expiry_s = HOUR_S,
        .content_type = COURIER_JSON,
    };
    camera->newest = newest;
    connection_publish(&p->connection, &message); // if it fails, the next connection repeats it
    store_row_clear(&row);
}

struct orders {
    bool stopping, empty;
    int64_t drain_ns, stop_ns;
};

static struct orders read_orders(struct sl_publisher *p)
{
    struct sl_ledger_stats ledger;
    sl_ledger_stats(p->ledger, &ledger);
    pthread_mutex_lock(&p->lock);
    struct orders orders = {p->stopping, ledger.queued == 0 && p->n_replies == 0, p->drain_ns,
                            p->stop_ns};
    pthread_mutex_unlock(&p->lock);
    return orders;
}

// State first, then verdicts in order, then what only has to be fresh, and that only while the
// socket takes all it is given: a slow broker shall not pile these up in libmosquitto.
static void pump(struct sl_publisher *p)
{
    status_send(p);
    if (p->statuses[0].due || !replies_send(p)) {
        return;
    }
    for (size_t i = 0; i < p->n_cameras; i++) {
        if (!send_state(p, &p->cameras[i], SL_STATE_INFO - 1) ||
            !send_state(p, &p->cameras[i], SL_STATE_HEALTH - 1) ||
            !send_state(p, &p->cameras[i], SL_STATE_MODEL - 1)) {
            return;
        }
    }
    while (send_next(p)) {
    }
    send_discovery(p);
    feed_settle(&p->feed, read_orders(p).stopping);
    for (size_t i = 0; i < p->n_cameras && connection_is_idle(&p->connection); i++) {
        send_newest(p, i);
        send_state(p, &p->cameras[i], SL_STATE_METRICS - 1);
    }
    pictures_send(p);
}

static int ms_until(int64_t when_ns)
{
    int64_t left = (when_ns - connection_now_ns()) / 1000000 + 1;
    return (int)CLAMP(left, 0, STEP_MS);
}

void *courier_run(void *publisher)
{
    struct sl_publisher *p = publisher;
    for (;;) {
        struct orders orders = read_orders(p);
        if (orders.stopping && (orders.empty || connection_now_ns() >= orders.drain_ns)) {
            status_leave(p, orders.stop_ns);
            replies_forget(p);
            feed_clear(&p->feed);
            return NULL;
        }
        int timeout_ms = orders.stopping ? ms_until(orders.drain_ns) : STEP_MS;
        if (p->connection.up && feed_waits(&p->feed)) {
            timeout_ms = MIN(timeout_ms, HISTORY_MS);
        }
        status_step(p, timeout_ms);
        note_remark(p);
        if (p->connection.up) {
            pump(p);
        }
    }
}
