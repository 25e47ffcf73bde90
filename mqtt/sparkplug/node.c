// The edge node's session: births, deaths, commands, and the primary host.
#include "mqtt/sparkplug/node.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_MAX 4096
#define HOST_MS   2000 // between attempts while the primary host is away

uint64_t node_now_ms(void)
{
    return (uint64_t)(g_get_real_time() / 1000);
}

void node_problem(struct sl_sparkplug *n, const char *text)
{
    pthread_mutex_lock(&n->lock);
    g_strlcpy(n->problem, text ? text : "", sizeof(n->problem));
    pthread_mutex_unlock(&n->lock);
}

static struct sparkplug_metric bdseq_metric(const struct sl_sparkplug *n, uint64_t now_ms)
{
    return (struct sparkplug_metric){.name = "bdSeq",
                                     .type = SPARKPLUG_INT64,
                                     .timestamp_ms = now_ms,
                                     .number = (uint64_t)n->progress.bdseq};
}

// The number is on disk before it is used: no two sessions have the same.
static void on_connecting(void *ctx)
{
    struct sl_sparkplug *n = ctx;
    g_autoptr(GError) error = NULL;
    if (n->will && !n->connection.greeted) {
        return; // no CONNECT has carried that number yet
    }
    n->progress.bdseq = (n->progress.bdseq + 1) & 255;
    if (!progress_save(&n->progress, n->folder, &error)) {
        node_problem(n, error->message);
    }
    const uint64_t now_ms = node_now_ms();
    const struct sparkplug_metric bdseq = bdseq_metric(n, now_ms);
    size_t size = 0;
    free(n->will);
    n->will = sparkplug_encode(&bdseq, 1, true, -1, now_ms, &size);
    n->connection.will = (struct connection_will){n->death_topic, n->will, size, false, 0};
}

static void forget_session(struct sl_sparkplug *n)
{
    n->born = n->rebirth = n->host_online = n->host_left = false;
    for (size_t i = 0; i < n->n_cameras; i++) {
        n->cameras[i].born = n->cameras[i].rebirth = false;
    }
    data_forget(n);
}

static void on_up(void *ctx)
{
    struct sl_sparkplug *n = ctx;
    forget_session(n);
    n->host_ms = 0;
    connection_subscribe(&n->connection, n->command_topic);
    connection_subscribe(&n->connection, n->device_commands);
    if (n->state_topic) {
        connection_subscribe_retained(&n->connection, n->state_topic, 1);
    }
    node_problem(n, n->state_topic ? "the primary host is offline" : NULL);
}

static void on_down(void *ctx)
{
    forget_session(ctx);
}

static void on_settled(void *ctx, uint64_t token, uint32_t item, bool refused)
{
    (void)ctx;
    (void)token;
    (void)item;
    (void)refused;
}

static void on_failed(void *ctx, const char *error)
{
    node_problem(ctx, error);
}

// What is older than the newest is not true any more.
static void hear_host(struct sl_sparkplug *n, const struct mosquitto_message *m)
{
    cJSON *json = m->payloadlen > 0 && m->payloadlen <= STATE_MAX
                      ? cJSON_ParseWithLength(m->payload, (size_t)m->payloadlen)
                      : NULL;
    const cJSON *online = cJSON_GetObjectItemCaseSensitive(json, "online");
    const cJSON *timestamp = cJSON_GetObjectItemCaseSensitive(json, "timestamp");
    const bool good = cJSON_IsBool(online) && cJSON_IsNumber(timestamp) &&
                      timestamp->valuedouble >= 0 && timestamp->valuedouble < 9e15;
    if (good && (uint64_t)timestamp->valuedouble >= n->host_ms) {
        n->host_ms = (uint64_t)timestamp->valuedouble;
        n->host_left = n->born && !cJSON_IsTrue(online);
        n->host_online = cJSON_IsTrue(online);
        node_problem(n, n->host_online ? NULL : "the primary host is offline");
    }
    cJSON_Delete(json);
}

struct command {
    struct sl_sparkplug *node;
    struct node_camera *camera; // NULL: for the node
};

static void trigger(struct sl_sparkplug *n, const struct node_camera *camera)
{
    static const char request[] = "{\"id\":\"sparkplug\"}";
    int outcome = 0;
    char *reply = sl_command_run(n->commands, n->n_commands, n->commands_ctx, camera->name,
                                 "trigger", request, sizeof(request) - 1, NULL, &outcome);
    if (reply && strstr(reply, "\"status\":\"error\"")) {
        g_message("sparkplug: %s: trigger: %s", camera->name, reply);
    }
    free(reply);
}

static void take_command(void *ctx, const char *name, bool value)
{
    const struct command *c = ctx;
    if (!value) {
        return;
    }
    if (!c->camera) {
        c->node->rebirth = c->node->rebirth || strcmp(name, "Node Control/Rebirth") == 0;
    } else if (strcmp(name, "Device Control/Rebirth") == 0) {
        c->camera->rebirth = true;
    } else if (strcmp(name, "Device Control/Trigger") == 0) {
        trigger(c->node, c->camera);
    }
}

static void on_message(void *ctx, const struct mosquitto_message *m,
                       const mosquitto_property *properties)
{
    struct sl_sparkplug *n = ctx;
    struct command command = {n, NULL};
    (void)properties;
    if (n->state_topic && strcmp(m->topic, n->state_topic) == 0) {
        hear_host(n, m);
        return;
    }
    for (size_t i = 0; i < n->n_cameras; i++) {
        if (strcmp(m->topic, n->cameras[i].command) == 0) {
            command.camera = &n->cameras[i];
        }
    }
    if (m->retain || !n->born || m->payloadlen < 0 ||
        (!command.camera && strcmp(m->topic, n->command_topic))) {
        return; // a kept command is from before
    }
    if (!sparkplug_decode_flags(m->payload, (size_t)m->payloadlen, take_command, &command)) {
        g_message("sparkplug: %s: this is no Sparkplug payload", m->topic);
    }
}

const struct connection_events node_events = {
    .connecting = on_connecting,
    .up = on_up,
    .down = on_down,
    .settled = on_settled,
    .message = on_message,
    .failed = on_failed,
};

// Only when the socket takes it: what is QoS 0 would pile up in libmosquitto.
bool node_publish(struct sl_sparkplug *n, const char *topic, const struct sparkplug_metric *metrics,
                  size_t n_metrics, bool birth)
{
    size_t size = 0;
    if (!connection_is_idle(&n->connection)) {
        return false;
    }
    void *bytes = sparkplug_encode(metrics, n_metrics, birth, n->seq, node_now_ms(), &size);
    const struct connection_message message = {.topic = topic, .payload = bytes, .size = size};
    const int status = bytes ? connection_publish(&n->connection, &message) : -ENOMEM;
    free(bytes);
    if (status == 0) {
        n->seq = (n->seq + 1) & 255;
    } else if (status == -EMSGSIZE) {
        node_problem(n, "a message is larger than the broker takes");
    }
    return status == 0 || status == -EMSGSIZE;
}

static bool send_birth(struct sl_sparkplug *n)
{
    const uint64_t now_ms = node_now_ms();
    const struct node_state state = states_of(n);
    struct sparkplug_metric metrics[3 + NODE_STATES] = {
        bdseq_metric(n, now_ms),
        {.name = "Node Control/Rebirth", .type = SPARKPLUG_BOOLEAN, .timestamp_ms = now_ms},
        {.name = "Properties/Software",
         .type = SPARKPLUG_STRING,
         .timestamp_ms = now_ms,
         .text = "sightline " SIGHTLINE_VERSION},
    };
    const size_t count = 3 + states_metrics(&state, NULL, metrics + 3);
    const int before = n->seq;
    n->seq = 0;
    if (!node_publish(n, n->birth_topic, metrics, count, true)) {
        n->seq = before;
        return false;
    }
    for (size_t i = 0; i < n->n_cameras; i++) { // they are to be born again, where they were
        n->cameras[i].rebirth = n->cameras[i].born;
    }
    n->rebirth = false;
    n->said = state;
    if (!n->born) {
        n->born = true;
        data_restart(n);
    }
    return true;
}

static bool send_device_birth(struct sl_sparkplug *n, struct node_camera *c)
{
    struct sparkplug_metric metrics[SPARKPLUG_METRICS];
    pthread_mutex_lock(&n->lock);
    g_strlcpy(c->said_health, c->health, sizeof(c->said_health));
    g_strlcpy(c->said_model, c->model, sizeof(c->said_model));
    pthread_mutex_unlock(&n->lock);
    if (!c->born) {
        data_resume(n, c);
    }
    if (!node_publish(n, c->birth, metrics, data_metrics(c, metrics), true)) {
        return false;
    }
    c->born = true;
    c->rebirth = false;
    return true;
}

// Births and deaths. False: one could not go yet.
static bool send_devices(struct sl_sparkplug *n)
{
    for (size_t i = 0; i < n->n_cameras; i++) {
        struct node_camera *c = &n->cameras[i];
        pthread_mutex_lock(&n->lock);
        const bool works = c->works;
        pthread_mutex_unlock(&n->lock);
        if (c->born && !works) {
            if (!node_publish(n, c->death, NULL, 0, false)) {
                return false;
            }
            c->born = c->rebirth = false;
        }
        if (works && (!c->born || c->rebirth) && !send_device_birth(n, c)) {
            return false;
        }
    }
    return true;
}

// Nobody is to be told anything while the primary host is away: the next attempt waits for it.
static void leave_host(struct sl_sparkplug *n)
{
    n->host_left = false;
    node_leave(n, connection_now_ns() + 500 * 1000000ll);
    n->connection.next_attempt_ns = connection_now_ns() + HOST_MS * 1000000ll;
    node_problem(n, "the primary host is offline");
}

bool node_pump(struct sl_sparkplug *n)
{
    if (n->host_left) {
        leave_host(n);
        return false;
    }
    if ((n->state_topic && !n->host_online) || !data_open(n)) {
        return false;
    }
    if ((!n->born || n->rebirth) && !send_birth(n)) {
        return true;
    }
    if (!send_devices(n) || !states_send(n)) {
        return true;
    }
    const bool more = data_send(n);
    data_keep(n, false);
    return more;
}

void node_leave(struct sl_sparkplug *n, int64_t until_ns)
{
    const uint64_t now_ms = node_now_ms();
    const struct sparkplug_metric bdseq = bdseq_metric(n, now_ms);
    size_t size = 0;
    bool done = false;
    if (n->born) {
        void *bytes = sparkplug_encode(&bdseq, 1, true, -1, now_ms, &size);
        const struct connection_message message = {
            .topic = n->death_topic, .payload = bytes, .size = size, .qos = 1};
        done = bytes && connection_publish(&n->connection, &message) == 0;
        free(bytes);
        n->born = false;
    }
    while (n->connection.up && !n->connection.lost && n->connection.n_pending > 0 &&
           connection_now_ns() < until_ns) {
        connection_step(&n->connection, n->wake_fd, 20);
    }
    done = done && n->connection.up && n->connection.n_pending == 0;
    data_keep(n, done); // the broker takes messages in order: it has all that went before
    connection_close(&n->connection, true);
}
