// Commands that the broker brings, and the replies to them.
#include "mqtt/courier.h"

#include <errno.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLY_S 30u

// The sender names where the answer goes, but only among this camera's own replies: nobody shall
// be able to make the camera publish elsewhere.
static char *reply_topic(const struct courier_camera *camera, const char *verb, const char *asked)
{
    const size_t prefix = strlen(camera->reply);
    const bool own = asked && strncmp(asked, camera->reply, prefix) == 0 && asked[prefix] &&
                     strlen(asked) < COURIER_TOPIC && mosquitto_pub_topic_check(asked) == 0;
    return own ? g_strdup(asked) : g_strconcat(camera->reply, verb, NULL);
}

struct courier_command {
    const struct courier_camera *camera;
    const char *verb;
    char *id; // JSON; NULL: none yet
    const mosquitto_property *properties;
};

static struct later_reply address_of(const struct courier_command *command)
{
    struct later_reply reply = {0};
    char *response = NULL;
    mosquitto_property_read_string(command->properties, MQTT_PROP_RESPONSE_TOPIC, &response, false);
    mosquitto_property_read_binary(command->properties, MQTT_PROP_CORRELATION_DATA,
                                   &reply.correlation, &reply.correlation_size, false);
    reply.topic = reply_topic(command->camera, command->verb, response);
    free(response);
    return reply;
}

static void clear_reply(struct later_reply *reply)
{
    g_free(reply->topic);
    g_free(reply->payload);
    free(reply->correlation);
}

static void queue_reply(struct sl_publisher *p, struct later_reply *reply)
{
    if (p->n_replies == COURIER_REPLIES) {
        courier_events.failed(p, "replies wait for the broker; one more was dropped");
        clear_reply(reply);
        return;
    }
    p->replies[p->n_replies++] = *reply;
}

uint32_t sl_publisher_defer(struct sl_publisher *p)
{
    if (!p->handled) {
        return 0; // from another broker's topics, where answers have no place
    }
    struct later_reply reply = address_of(p->handled);
    const uint32_t token = later_add(p, p->handled->id ? p->handled->id : "null", &reply);
    clear_reply(&reply);
    return token;
}

void replies_forget(struct sl_publisher *p)
{
    while (p->n_replies > 0) {
        clear_reply(&p->replies[--p->n_replies]);
    }
}

bool replies_send(struct sl_publisher *p)
{
    struct later_reply answered;
    while (p->n_replies < COURIER_REPLIES && later_take(p, &answered)) {
        queue_reply(p, &answered);
    }
    while (p->n_replies > 0) {
        const struct later_reply *reply = &p->replies[0];
        const struct connection_message message = {
            .topic = reply->topic,
            .payload = reply->payload,
            .size = strlen(reply->payload),
            .qos = 1,
            .expiry_s = REPLY_S,
            .content_type = COURIER_JSON,
            .correlation = reply->correlation,
            .correlation_size = reply->correlation_size,
        };
        const int status = connection_publish(&p->connection, &message);
        if (status == -EAGAIN) {
            return false;
        }
        if (status) {
            courier_events.failed(p, "a reply is larger than the broker takes");
        }
        clear_reply(&p->replies[0]);
        memmove(p->replies, p->replies + 1, --p->n_replies * sizeof(p->replies[0]));
    }
    return true;
}

static int refuse_repeated(void *ctx, const struct sl_command *command, const char *id,
                           char *message, size_t size)
{
    struct sl_publisher *p = ctx;
    struct courier_command *handled = p->handled;
    handled->id = g_strdup(id);
    if (!command->once || !later_is_repeated(&p->later, handled->camera->name, command->verb, id)) {
        return 0;
    }
    snprintf(message, size, "id: expected a new one, found that of a command of the last %d s",
             LATER_SEEN_S);
    return -EALREADY;
}

static void count_command(struct sl_publisher *p, bool refused)
{
    pthread_mutex_lock(&p->lock);
    p->stats.commands++;
    p->stats.commands_refused += refused;
    pthread_mutex_unlock(&p->lock);
}

static void run_command(struct sl_publisher *p, struct courier_command *command,
                        const struct mosquitto_message *message)
{
    const struct sl_command_check check = {refuse_repeated, p};
    int outcome = 0;
    p->handled = command;
    char *text = sl_command_run(p->commands, p->n_commands, p->commands_ctx, command->camera->name,
                                command->verb, message->payload, (size_t)message->payloadlen,
                                &check, &outcome);
    p->handled = NULL;
    g_free(command->id);
    count_command(p, outcome < 0);
    if (text) {
        struct later_reply reply = address_of(command);
        reply.payload = g_strdup(text);
        queue_reply(p, &reply);
    }
    free(text);
}

// Retained commands are from before: nobody may want them any more, nor an answer.
void replies_command(struct sl_publisher *p, const struct mosquitto_message *message,
                     const mosquitto_property *properties)
{
    if (message->retain) {
        count_command(p, true);
        courier_events.failed(p, "a retained command was refused");
        return;
    }
    for (size_t i = 0; i < p->n_cameras; i++) {
        const struct courier_camera *camera = &p->cameras[i];
        size_t prefix = strlen(camera->commands);
        if (strncmp(message->topic, camera->commands, prefix) != 0) {
            continue;
        }
        struct courier_command command = {camera, message->topic + prefix, NULL, properties};
        run_command(p, &command, message);
        return;
    }
}
