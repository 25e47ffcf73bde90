// The network thread: what is published next, what its answer means, and commands.
#include "mqtt/courier.h"

#include <errno.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S     86400u
#define HOUR_S    3600u
#define REPLY_S   30u
#define STEP_MS   1000
#define TOPIC_MAX 512
#define JSON      "application/json"

static void on_up(void *ctx)
{
    struct sl_publisher *p = ctx;
    for (size_t i = 0; i < p->n_statuses; i++) {
        p->statuses[i].due = true;
    }
    pthread_mutex_lock(&p->lock);
    p->stats.reconnects += p->connected_before;
    p->connected_before = true;
    p->stats.connected = true;
    for (size_t i = 0; i < p->n_cameras; i++) {
        struct courier_camera *camera = &p->cameras[i];
        for (size_t s = 0; s < COURIER_STATES; s++) {
            camera->due[s] = camera->payload[s] != NULL;
        }
        camera->newest_due = camera->newest.seq > 0;
    }
    pthread_mutex_unlock(&p->lock);
    for (size_t i = 0; i < p->n_cameras; i++) {
        char filter[TOPIC_MAX];
        snprintf(filter, sizeof(filter), "%s+", p->cameras[i].commands);
        connection_subscribe(&p->connection, filter);
    }
}

static void on_down(void *ctx)
{
    struct sl_publisher *p = ctx;
    pthread_mutex_lock(&p->lock);
    p->stats.connected = false;
    verdict_queue_rewind(&p->queue);
    pthread_mutex_unlock(&p->lock);
}

static void on_failed(void *ctx, const char *error)
{
    struct sl_publisher *p = ctx;
    pthread_mutex_lock(&p->lock);
    snprintf(p->stats.last_error, sizeof(p->stats.last_error), "%s", error);
    pthread_mutex_unlock(&p->lock);
}

// The token of a verdict is its number in the queue, plus one.
static void on_settled(void *ctx, uint64_t token, uint32_t item, bool refused)
{
    struct sl_publisher *p = ctx;
    pthread_mutex_lock(&p->lock);
    struct verdict_left left = verdict_queue_settle(&p->queue, token - 1, item, refused);
    p->stats.acknowledged += left.acknowledged;
    p->stats.refused += left.refused;
    pthread_mutex_unlock(&p->lock);
}

static void answer(struct sl_publisher *p, const char *topic, const char *reply,
                   const mosquitto_property *asked)
{
    char *response = NULL;
    void *correlation = NULL;
    uint16_t size = 0;
    mosquitto_property *properties = NULL;
    mosquitto_property_read_string(asked, MQTT_PROP_RESPONSE_TOPIC, &response, false);
    mosquitto_property_read_binary(asked, MQTT_PROP_CORRELATION_DATA, &correlation, &size, false);
    mosquitto_property_add_int32(&properties, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, REPLY_S);
    mosquitto_property_add_string(&properties, MQTT_PROP_CONTENT_TYPE, JSON);
    if (correlation) {
        mosquitto_property_add_binary(&properties, MQTT_PROP_CORRELATION_DATA, correlation, size);
    }
    connection_reply(&p->connection, response ? response : topic, reply, properties);
    mosquitto_property_free_all(&properties);
    free(correlation);
    free(response);
}

// Retained commands are from before: nobody may want them any more.
static void on_message(void *ctx, const struct mosquitto_message *message,
                       const mosquitto_property *properties)
{
    struct sl_publisher *p = ctx;
    for (size_t i = 0; i < p->n_cameras && !message->retain; i++) {
        const struct courier_camera *camera = &p->cameras[i];
        size_t prefix = strlen(camera->commands);
        if (strncmp(message->topic, camera->commands, prefix) != 0) {
            continue;
        }
        const char *verb = message->topic + prefix;
        char topic[TOPIC_MAX];
        int length = snprintf(topic, sizeof(topic), "%s%s", camera->reply, verb);
        if (length < 0 || (size_t)length >= sizeof(topic)) {
            return;
        }
        char *reply = sl_command_run(p->commands, p->n_commands, p->commands_ctx, camera->name,
                                     verb, message->payload, (size_t)message->payloadlen);
        if (reply) {
            answer(p, topic, reply, properties);
        }
        free(reply);
        return;
    }
}

const struct connection_events courier_events = {
    .up = on_up,
    .down = on_down,
    .settled = on_settled,
    .message = on_message,
    .failed = on_failed,
};

static bool send_statuses(struct sl_publisher *p)
{
    const char *text = p->leaving ? "offline" : "online";
    for (size_t i = 0; i < p->n_statuses; i++) {
        struct courier_status *status = &p->statuses[i];
        const struct connection_message message = {
            .topic = status->topic,
            .payload = text,
            .size = strlen(text),
            .qos = 1,
            .retain = true,
        };
        if (status->due && connection_publish(&p->connection, &message) == -EAGAIN) {
            return false;
        }
        status->due = false;
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
        .content_type = JSON,
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

static struct courier_camera *camera_of(struct sl_publisher *p, const struct sl_verdict *verdict)
{
    for (size_t i = 0; i < p->n_cameras; i++) {
        if (strcmp(p->cameras[i].name, verdict->camera) == 0) {
            return &p->cameras[i];
        }
    }
    return NULL; // not reached: sl_publisher_verdict takes known cameras only
}

static int send_item(struct sl_publisher *p, uint64_t number, uint32_t item)
{
    const struct sl_verdict *v = &p->sending;
    const struct courier_camera *camera = camera_of(p, v);
    size_t size = item ? sl_defect_json(p->json, sizeof(p->json), v, &p->origin, item - 1)
                       : sl_verdict_json(p->json, sizeof(p->json), v, &p->origin);
    if (!camera || size == 0) {
        return -EMSGSIZE;
    }
    const struct connection_message message = {
        .topic = item ? camera->defect : camera->verdict,
        .payload = p->json,
        .size = size,
        .qos = 1,
        .expiry_s = DAY_S,
        .content_type = JSON,
        .token = number + 1,
        .item = item,
    };
    return connection_publish(&p->connection, &message);
}

// Sends one item; false if there is none or no room.
static bool send_next(struct sl_publisher *p)
{
    uint64_t number = 0;
    uint32_t item = 0;
    const struct sl_verdict *verdict = NULL;
    if (!connection_has_room(&p->connection)) {
        return false;
    }
    pthread_mutex_lock(&p->lock);
    bool found = verdict_queue_peek(&p->queue, &number, &item, &verdict);
    if (found) {
        p->sending = *verdict;
    }
    pthread_mutex_unlock(&p->lock);
    int status = found ? send_item(p, number, item) : -EAGAIN;
    if (status == -EAGAIN) {
        return false;
    }
    pthread_mutex_lock(&p->lock);
    verdict_queue_sent(&p->queue, number, item);
    pthread_mutex_unlock(&p->lock);
    if (status) {
        on_failed(p, "a verdict is larger than the broker takes");
        on_settled(p, number + 1, item, true);
    } else if (item == 0) {
        atomic_store(&p->last_sent_ns, connection_now_ns());
    }
    return true;
}

static void send_newest(struct sl_publisher *p, struct courier_camera *camera)
{
    pthread_mutex_lock(&p->lock);
    bool due = camera->newest_due;
    if (due) {
        p->sending = camera->newest;
        camera->newest_due = false;
    }
    pthread_mutex_unlock(&p->lock);
    size_t size = due ? sl_verdict_json(p->json, sizeof(p->json), &p->sending, &p->origin) : 0;
    if (size == 0) {
        return;
    }
    const struct connection_message message = {
        .topic = camera->last,
        .payload = p->json,
        .size = size,
        .retain = true,
        .expiry_s = HOUR_S,
        .content_type = JSON,
    };
    connection_publish(&p->connection, &message); // if it fails, the next connection repeats it
}

// State first, then verdicts in order, then what only has to be fresh, and that only while the
// socket takes all it is given: a slow broker shall not pile these up in libmosquitto.
static void pump(struct sl_publisher *p)
{
    if (!send_statuses(p)) {
        return;
    }
    for (size_t i = 0; i < p->n_cameras; i++) {
        if (!send_state(p, &p->cameras[i], SL_STATE_INFO - 1) ||
            !send_state(p, &p->cameras[i], SL_STATE_HEALTH - 1)) {
            return;
        }
    }
    while (send_next(p)) {
    }
    for (size_t i = 0; i < p->n_cameras && connection_is_idle(&p->connection); i++) {
        send_newest(p, &p->cameras[i]);
        send_state(p, &p->cameras[i], SL_STATE_METRICS - 1);
    }
}

struct orders {
    bool stopping, empty;
    int64_t drain_ns, stop_ns;
};

static struct orders read_orders(struct sl_publisher *p)
{
    pthread_mutex_lock(&p->lock);
    struct orders orders = {p->stopping, verdict_queue_length(&p->queue) == 0, p->drain_ns,
                            p->stop_ns};
    pthread_mutex_unlock(&p->lock);
    return orders;
}

static int ms_until(int64_t when_ns)
{
    int64_t left = (when_ns - connection_now_ns()) / 1000000 + 1;
    return (int)CLAMP(left, 0, STEP_MS);
}

// Says offline everywhere. If that is not acknowledged in time, no goodbye either: then the broker
// says it for us, by the will.
static void leave(struct sl_publisher *p, int64_t stop_ns)
{
    p->leaving = true;
    for (size_t i = 0; i < p->n_statuses; i++) {
        p->statuses[i].due = true;
    }
    bool done = false;
    while (p->connection.up && !done && connection_now_ns() < stop_ns) {
        done = send_statuses(p) && p->connection.n_pending == 0;
        if (!done) {
            connection_step(&p->connection, p->wake_fd, ms_until(stop_ns));
        }
    }
    connection_close(&p->connection, done);
}

void *courier_run(void *publisher)
{
    struct sl_publisher *p = publisher;
    for (;;) {
        struct orders orders = read_orders(p);
        if (orders.stopping && (orders.empty || connection_now_ns() >= orders.drain_ns)) {
            leave(p, orders.stop_ns);
            return NULL;
        }
        connection_step(&p->connection, p->wake_fd,
                        orders.stopping ? ms_until(orders.drain_ns) : STEP_MS);
        if (p->connection.up) {
            pump(p);
        }
    }
}
